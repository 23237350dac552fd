"""OTLP exporters: imported by ``configure()``, built when something is to be sent, once a process."""

import contextlib
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

from opentelemetry.sdk import metrics as sdk_metrics
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.metrics.view import Aggregation, ExponentialBucketHistogramAggregation

from telemetry.sdk import log, redaction
from telemetry.sdk.settings import Histogram, Target

# Headers, certificates and credentials are read from the environment by the exporters themselves.


def load(target: Target, *, spans: bool) -> Callable[[], Any]:
    """Import what ``target``'s exporter needs, and return what builds it.

    Importing is done now because it cannot be done at the interpreter's exit or safely beside a fork; building is left for
    the process that sends, because connections do not survive a fork. Building may raise whatever the exporter raises on a
    setting it cannot use.
    """
    return _grpc(target, spans) if target.protocol == "grpc" else _http(target, spans)


def _grpc(target: Target, spans: bool) -> Callable[[], Any]:
    from grpc import Compression  # noqa: PLC0415 - heavy, and not for those who use HTTP
    from opentelemetry.exporter.otlp.proto.grpc import metric_exporter, trace_exporter  # noqa: PLC0415 - same

    exporter = trace_exporter.OTLPSpanExporter if spans else metric_exporter.OTLPMetricExporter
    compression = Compression.Gzip if target.compression == "gzip" else Compression.NoCompression
    return lambda: exporter(endpoint=target.endpoint, timeout=target.timeout, compression=compression)


def _http(target: Target, spans: bool) -> Callable[[], Any]:
    from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415 - heavy, and not for those who use gRPC
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - same
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - same

    with contextlib.suppress(ImportError):
        import_module("requests")  # the exporter's own transport would only import it when it is built
    exporter = OTLPSpanExporter if spans else OTLPMetricExporter
    compression = Compression(target.compression)
    return lambda: exporter(endpoint=target.endpoint, timeout=target.timeout, compression=compression)


_DELTA = (sdk_metrics.Counter, sdk_metrics.Histogram)
_TEMPORALITY: dict[str, dict[type, AggregationTemporality]] = {
    "cumulative": {},
    "lowmemory": dict.fromkeys(_DELTA, AggregationTemporality.DELTA),
    "delta": dict.fromkeys((*_DELTA, sdk_metrics.ObservableCounter), AggregationTemporality.DELTA),
}


def aggregation(histogram: Histogram) -> dict[type, Aggregation]:
    """How histograms are aggregated. Exponential ones need no guess at bucket boundaries, and merge without loss."""
    exponential = histogram == "base2_exponential_bucket_histogram"
    return {sdk_metrics.Histogram: ExponentialBucketHistogramAggregation()} if exponential else {}


class LazyMetricExporter(MetricExporter):
    """Builds the real exporter at the first export of each process; a failure is a failed export, not an exception."""

    def __init__(self, build: Callable[[], MetricExporter], temporality: str, histogram: Histogram) -> None:
        super().__init__(preferred_temporality=_TEMPORALITY[temporality], preferred_aggregation=aggregation(histogram))
        self._build = build
        self._real: MetricExporter | None = None
        self._pid = 0

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export through the real exporter, without card numbers and secrets."""
        try:
            if self._real is None or self._pid != os.getpid():
                self._real = self._build()
                self._pid = os.getpid()
            return self._real.export(redaction.metrics(metrics_data), timeout_millis=timeout_millis, **kwargs)
        except Exception as failure:  # noqa: BLE001 - whatever an exporter, its transport or a hostile server makes
            log.internal("exporting metrics", failure)
            return MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - nothing is held back here
        """True: exports are not buffered."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:  # noqa: ARG002 - the interface's names
        """Close the real exporter, if this process made one."""
        if self._real is None or self._pid != os.getpid():
            return
        try:
            self._real.shutdown()
        except Exception as failure:  # noqa: BLE001 - a third party's exporter
            log.internal("closing the metrics exporter", failure)
