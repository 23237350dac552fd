"""OTLP exporters, imported and built only when something is to be sent, once a process (a fork makes its own)."""

import os
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk import metrics as sdk_metrics
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExporter

from telemetry.sdk import log
from telemetry.sdk.settings import Target

# Headers, certificates and credentials are read from the environment by the exporters themselves.


def span_exporter(target: Target) -> SpanExporter:
    """The OTLP span exporter for ``target``. May raise whatever the exporter raises on a setting it cannot use."""
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: PLC0415 - lazy

        return Grpc(endpoint=target.endpoint, timeout=target.timeout, compression=_grpc_compression(target))
    from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415 - lazy
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http  # noqa: PLC0415 - lazy

    return Http(endpoint=target.endpoint, timeout=target.timeout, compression=Compression(target.compression))


def metric_exporter(target: Target) -> MetricExporter:
    """The OTLP metric exporter for ``target``. May raise as :func:`span_exporter`."""
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc  # noqa: PLC0415 - lazy

        return Grpc(endpoint=target.endpoint, timeout=target.timeout, compression=_grpc_compression(target))
    from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415 - lazy
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http  # noqa: PLC0415 - lazy

    return Http(endpoint=target.endpoint, timeout=target.timeout, compression=Compression(target.compression))


def _grpc_compression(target: Target) -> Any:
    from grpc import Compression  # noqa: PLC0415 - lazy

    return Compression.Gzip if target.compression == "gzip" else Compression.NoCompression


_DELTA = (sdk_metrics.Counter, sdk_metrics.Histogram)
_TEMPORALITY: dict[str, dict[type, AggregationTemporality]] = {
    "cumulative": {},
    "lowmemory": dict.fromkeys(_DELTA, AggregationTemporality.DELTA),
    "delta": dict.fromkeys((*_DELTA, sdk_metrics.ObservableCounter), AggregationTemporality.DELTA),
}


class LazyMetricExporter(MetricExporter):
    """Builds the real exporter at the first export of each process; a failure is a failed export, not an exception."""

    def __init__(self, build: Callable[[], MetricExporter], temporality: str) -> None:
        super().__init__(preferred_temporality=_TEMPORALITY[temporality])
        self._build = build
        self._real: MetricExporter | None = None
        self._pid = 0

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export through the real exporter."""
        try:
            if self._real is None or self._pid != os.getpid():
                self._real = self._build()
                self._pid = os.getpid()
            return self._real.export(metrics_data, timeout_millis=timeout_millis, **kwargs)
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
