"""What the ASGI middleware adds to a request, redaction and all, against OpenTelemetry's own ASGI instrumentation.

Both as a service would have them: ours as ``telemetry.configure()`` sets it up (sampling, redaction, exponential histograms),
theirs over plain opentelemetry-sdk with the current conventions. Both hand their spans to a batching processor whose exporter
does nothing. Theirs is measured twice: with one span a request, as ours has (``official``, the baseline of the ratio), and
as it is by default, with further spans for ``receive`` and ``send`` (``official_default``). CPU time of the whole process.
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http"  # read once, when the instrumentation is first used

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import telemetry
from telemetry import vocabulary as v
from telemetry.sdk import exporters
from telemetry.sdk.asgi import ASGIApp, Message, Receive, Scope, Send
from tests.bench.measure import Series, cpu
from tests.bench.parts.sdk import HEADERS, Nowhere, object_id

_REQUESTS = 2_000
_TURNS = 4


_NAMES: Final = {
    "ours": "sdk.asgi.ours.us_per_request",
    "official": "sdk.asgi.official.us_per_request",
    "official_default": "sdk.asgi.official_default.us_per_request",
}
_PATHS: Final = [f"/v1/charges/ch_{object_id(nth)}" for nth in range(_REQUESTS)]


class NoMetrics(MetricExporter):
    """Takes metrics and does nothing with them."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **kwargs: Any) -> MetricExportResult:  # noqa: ARG002
        """Done."""
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002 - nothing waits
        """Done."""
        return True

    def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None:
        """Nothing to do."""


class _Route:
    path = "/v1/charges/{id}"


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    scope["route"] = _Route
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


def run(folder: Path) -> dict[str, Series]:  # noqa: ARG001 - it needs no workload
    """Microseconds a request beyond the bare application; the least of a few turns, taken one after another."""
    handle = _ours()
    resource = Resource({v.SERVICE_NAME: "bench"})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(Nowhere(), max_queue_size=100_000, schedule_delay_millis=1000))
    meters = MeterProvider([InMemoryMetricReader()], resource, shutdown_on_exit=False)
    theirs: dict[str, Any] = {"tracer_provider": tracers, "meter_provider": meters}
    apps: dict[str, ASGIApp] = {
        "bare": _app,
        "ours": telemetry.ASGIMiddleware(_app),
        "official": OpenTelemetryMiddleware(_app, exclude_spans=["receive", "send"], **theirs),
        "official_default": OpenTelemetryMiddleware(_app, **theirs),
    }
    took: dict[str, list[float]] = {name: [] for name in apps}
    for app in apps.values():
        asyncio.run(_requests(app, 300))
    for _ in range(_TURNS):
        for name, app in apps.items():
            with cpu() as used:
                asyncio.run(_requests(app, _REQUESTS))
            took[name].append(used.seconds / _REQUESTS * 1e6)
    if handle.dropped:
        raise AssertionError(f"{handle.dropped} spans were dropped: their cost was not measured")
    bare = min(took.pop("bare"))
    return {_NAMES[name]: Series("CPU us", (min(all_) - bare,)) for name, all_ in took.items()}


def _ours() -> telemetry.Handle:
    """What ``configure()`` sets up, with exporters that do nothing."""
    os.environ.update(OTEL_BSP_MAX_QUEUE_SIZE="100000", OTEL_BSP_SCHEDULE_DELAY="1000")
    load: Any = lambda _, spans: Nowhere if spans else NoMetrics  # noqa: E731 - it stands in for a function
    exporters.load = load
    return telemetry.configure("bench", "api", "fra")


async def _requests(app: ASGIApp, count: int) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    for nth in range(count):
        path = _PATHS[nth]  # one of its own each, as in real life: nothing is remembered
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": HEADERS,
            "client": ("203.0.113.9", 50123),
            "server": ("127.0.0.1", 8443),
        }
        await app(scope, receive, send)
