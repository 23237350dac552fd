"""The parts together: what a process starts to be seen, and stops at its end."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry

from telemetry.observe.health import Health, pages
from telemetry.observe.model import Look, Snapshot
from telemetry.observe.server import ObserveServer
from telemetry.sdk import log as sdk_log
from telemetry.sdk import settings as sdk_settings
from telemetry.vocabulary import CONSUMER_SERVICE, SERVICE_NAME, SERVICE_VERSION

# OpenTelemetry's SDK reads some variables while it is imported, and raises on a bad one.
sdk_settings.repair(os.environ, sdk_log.once)

from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: E402 - after the repair
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader  # noqa: E402 - after the repair
from opentelemetry.sdk.resources import Resource  # noqa: E402 - after the repair

from telemetry.observe.metrics import Metrics, version  # noqa: E402 - after the repair
from telemetry.sdk import exporters, resource  # noqa: E402 - after the repair

_log: Final = logging.getLogger(__name__)
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Observer:
    """Metrics and probes of one process. Use it as a context manager; :attr:`metrics` is the sink of the durations.

    Args:
        address: (host, port) of ``/metrics``, ``/healthz`` and ``/readyz``; None: not over HTTP.
        verdicts: every word that ``Snapshot.keying`` may be.
        service: the name under which the metrics go; ``OTEL_SERVICE_NAME`` is stronger.
        environment: where OpenTelemetry's variables are looked for. With an OTLP endpoint in them, metrics are sent there, too.
        stalled_seconds: the loop is taken for dead when no round began for so long.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        address: tuple[str, int] | None,
        verdicts: Sequence[str],
        *,
        service: str = CONSUMER_SERVICE,
        environment: Mapping[str, str] = os.environ,
        stalled_seconds: float = 120.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._begun = monotonic()
        self._look: Look | None = None
        self._parts = contextlib.ExitStack()
        health = Health(stalled_seconds, monotonic)
        readers: list[MetricReader] = []
        self._server: ObserveServer | None = None
        if address is not None:
            registry = CollectorRegistry()
            readers.append(PrometheusMetricReader(scope_info_enabled=False, registry=registry))
            self._server = ObserveServer(*address, registry, pages(self.look, health))
        readers += _otlp(environment)
        self.metrics = Metrics(self.look, health, readers, _resource(service), verdicts, monotonic=monotonic)

    def __enter__(self) -> "Observer":
        self._parts.callback(self.metrics.close)
        if self._server is not None:
            try:
                self._server.start()
            except BaseException:
                self._parts.close()
                raise
            self._parts.callback(self._server.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @property
    def url(self) -> str:
        """Where the probes are; empty if nowhere."""
        return self._server.url if self._server else ""

    def watch(self, look: Look) -> None:
        """From now on, ``look`` tells. Until then a process is starting: alive for a while, and not ready."""
        self._look = look

    def look(self) -> Snapshot:
        """The snapshot of now."""
        if self._look is None:
            return Snapshot(round_at=self._begun, troubles=("it is starting",))
        return self._look()


def _resource(service: str) -> Resource:
    return resource.build({SERVICE_NAME: service, SERVICE_VERSION: version()})


def _otlp(environment: Mapping[str, str]) -> list[MetricReader]:
    if not any(environment.get(name, "").strip() for name in _ENDPOINTS):
        return []
    asked = sdk_settings.read(environment, _log.warning)
    if asked.disabled or not asked.metrics.enabled:
        return []
    exporter = exporters.LazyMetricExporter(
        exporters.load(asked.metrics, spans=False), asked.temporality, asked.histogram
    )
    return [PeriodicExportingMetricReader(exporter, asked.metric_interval * 1000, asked.metrics.timeout * 1000)]
