"""What the SDK adds to a request: the ASGI middleware and hops, against the same done by hand with opentelemetry-sdk.

Both sides record the same span attributes and the same two metrics into providers of their own, and hand their spans to a
batching processor whose exporter does nothing. CPU time of the whole process: the exporting thread's work counts.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.metrics import Meter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

import telemetry
from telemetry import vocabulary as v
from telemetry.sdk import runtime
from telemetry.sdk.asgi import ASGIApp, Message, Receive, Scope, Send
from telemetry.sdk.queue import SpanQueue
from tests.bench.measure import Series, cpu

_REQUESTS = 3_000
_SPANS = 5_000
_TURNS = 2
_RESOURCE = Resource({v.SERVICE_NAME: "bench", v.TIER: "api", v.POP: "fra"})
HEADERS = [
    (b"host", b"api.example.com:8443"),
    (b"user-agent", b"payments-python/9.2.0"),
    (b"accept", b"application/json"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer none"),
    (b"x-request-id", b"6a1f0c9e-0000-4000-8000-000000000000"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]


class Nowhere(SpanExporter):
    """Takes spans and does nothing with them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - it does nothing
        """Done."""
        return SpanExportResult.SUCCESS


def object_id(nth: int) -> str:
    """An id as APIs give their objects: 24 letters and digits."""
    rnd = random.Random(nth)
    return "".join(rnd.choices("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", k=24))


def asgi(folder: Path) -> dict[str, Series]:  # noqa: ARG001 - it needs no workload
    """Figures of middleware and of single spans; the least of a few turns each, taken one after another."""
    ours_queue = SpanQueue(Nowhere, capacity=100_000, batch=512, delay=1.0)
    with _providers(ours_queue) as (tracer, meter), _providers(_batching()) as (plain_tracer, plain_meter):
        runtime.replace(runtime.build(tracer, meter, v.Tier.API))
        plain = PlainMiddleware(_app, plain_tracer, plain_meter)
        apps: dict[str, ASGIApp] = {"bare": _app, "ours": telemetry.ASGIMiddleware(_app), "plain": plain}
        spans: dict[str, Callable[[], None]] = {"ours": _hops, "plain": lambda: _plain_spans(plain_tracer, plain)}
        asyncio.run(_requests(apps["ours"], 500))
        asyncio.run(_requests(apps["plain"], 500))
        request: dict[str, list[float]] = {name: [] for name in apps}
        span: dict[str, list[float]] = {name: [] for name in spans}
        for _ in range(_TURNS):
            for name, app in apps.items():
                with cpu() as used:
                    asyncio.run(_requests(app, _REQUESTS))
                request[name].append(used.seconds / _REQUESTS * 1e6)
            for name, make in spans.items():
                with cpu() as used:
                    make()
                span[name].append(used.seconds / _SPANS * 1e6)
        if ours_queue.dropped:
            raise AssertionError(f"{ours_queue.dropped} spans were dropped: their cost was not measured")
    bare = min(request["bare"])
    return {
        "sdk.asgi.us_per_request": Series("CPU us", (min(request["ours"]) - bare,)),
        "sdk.asgi.plain_sdk.us_per_request": Series("CPU us", (min(request["plain"]) - bare,)),
        "sdk.asgi.bare.us_per_request": Series("CPU us", (bare,)),
        "sdk.hop.us_per_span": Series("CPU us", (min(span["ours"]),)),
        "sdk.plain_sdk.us_per_span": Series("CPU us", (min(span["plain"]),)),
    }


@contextlib.contextmanager
def _providers(processor: SpanProcessor) -> Iterator[tuple[trace.Tracer, Meter]]:
    tracers = TracerProvider(resource=_RESOURCE, shutdown_on_exit=False)
    tracers.add_span_processor(processor)
    meters = MeterProvider([InMemoryMetricReader()], _RESOURCE, shutdown_on_exit=False)
    try:
        yield tracers.get_tracer("bench"), meters.get_meter("bench")
    finally:
        tracers.shutdown()
        meters.shutdown()


def _batching() -> SpanProcessor:
    return BatchSpanProcessor(Nowhere(), max_queue_size=100_000, schedule_delay_millis=1000, max_export_batch_size=512)


class _Route:
    path = "/v1/charges/{id}"


async def _app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - nothing is read
    scope["route"] = _Route
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def _requests(app: ASGIApp, count: int) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    for _ in range(count):
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": "/v1/charges/ch_123",
            "raw_path": b"/v1/charges/ch_123",
            "query_string": b"",
            "root_path": "",
            "headers": HEADERS,
            "client": ("203.0.113.9", 50123),
            "server": ("127.0.0.1", 8443),
        }
        await app(scope, receive, send)


def _hops() -> None:
    for _ in range(_SPANS):
        with telemetry.hop(method="POST", target="/v1/charges", route="/v1/charges") as hop:
            hop.status(201)


def _plain_spans(tracer: trace.Tracer, metrics: "PlainMiddleware") -> None:
    """The same span and the same two metrics."""
    for _ in range(_SPANS):
        labels: dict[str, Any] = {v.METHOD[0]: "POST"}
        attributes = {**labels, v.URL_PATH[0]: "/v1/charges", v.ROUTE[0]: "/v1/charges"}
        metrics.active.add(1, labels)
        begun = time.perf_counter()
        with tracer.start_as_current_span("POST /v1/charges", kind=SpanKind.SERVER, attributes=attributes) as span:
            span.set_attribute(v.STATUS[0], 201)
            metrics.active.add(-1, labels)
            late: dict[str, Any] = {v.ROUTE[0]: "/v1/charges", v.STATUS[0]: 201}
            metrics.duration.record(time.perf_counter() - begun, {**labels, **late})


class _HeaderGetter(Getter[list[tuple[bytes, bytes]]]):
    def get(self, carrier: list[tuple[bytes, bytes]], key: str) -> list[str] | None:
        wanted = key.lower().encode()
        return [value.decode() for name, value in carrier if name.lower() == wanted] or None

    def keys(self, carrier: list[tuple[bytes, bytes]]) -> list[str]:
        return [name.decode() for name, _ in carrier]


class PlainMiddleware:
    """A middleware as one writes it by hand with opentelemetry-sdk: extract, span, attributes, two metrics."""

    def __init__(self, app: ASGIApp, tracer: trace.Tracer, meter: Meter) -> None:
        self.app, self.tracer = app, tracer
        self.duration = meter.create_histogram(v.SERVER_DURATION, "s")
        self.active = meter.create_up_down_counter(v.ACTIVE_REQUESTS, "{request}")
        self.getter = _HeaderGetter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        headers = dict(scope["headers"])
        host, _, port = headers[b"host"].decode("latin-1").partition(":")
        labels: dict[str, Any] = {v.METHOD[0]: scope["method"], v.URL_SCHEME: scope["scheme"]}
        attributes: dict[str, Any] = {
            **labels,
            v.URL_PATH[0]: scope["path"],
            v.PROTOCOL_VERSION: scope["http_version"],
            v.CLIENT_ADDRESS[0]: scope["client"][0],
            v.USER_AGENT: headers[b"user-agent"].decode("latin-1"),
            v.SERVER_ADDRESS: host,
            v.SERVER_PORT: int(port),
        }
        context = propagate.extract(scope["headers"], getter=self.getter)
        begun = time.perf_counter()
        self.active.add(1, labels)
        with self.tracer.start_as_current_span(scope["method"], context, SpanKind.SERVER, attributes) as span:
            status = 0

            async def watched(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            run: Awaitable[None] = self.app(scope, receive, watched)
            await run
            late: dict[str, Any] = {v.ROUTE[0]: scope["route"].path, v.STATUS[0]: status}
            span.set_attributes(late)
            span.update_name(f"{scope['method']} {scope['route'].path}")
            self.active.add(-1, labels)
            self.duration.record(time.perf_counter() - begun, {**labels, **late})
