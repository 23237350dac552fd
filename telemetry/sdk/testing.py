"""For a service's own tests: what would have been sent, in memory.

::

    def test_charge():
        with telemetry.sdk.testing.recording(tier="gateway") as recorder:
            client.post("/v1/charges")
        assert recorder.hops[0].name == "POST /v1/charges"
        assert recorder.hops[0].attributes["http.response.status_code"] == 201
        assert [a.attributes["http.response.status_code"] for a in recorder.attempts] == [503, 201]

Services that run in one process (each behind its middleware, or as hops) make one path::

        (path,) = recorder.paths
        assert path.names == ["GET /checkout", "POST /v1/charges"]
        assert path.statuses == [503, 201]      # one retry
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind

from telemetry import vocabulary as v
from telemetry.sdk import redaction, runtime
from telemetry.sdk.exporters import aggregation

_HISTOGRAM: Final = "base2_exponential_bucket_histogram"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One finished span.

    Attributes:
        name: the span's name.
        kind: ``SERVER`` or ``CLIENT``.
        attributes: its attributes, names as in ``telemetry.vocabulary``.
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        parent_id: 16 hex digits, ``None`` for a root.
        failed: whether the span's status is ERROR.
        start_ns: when it began, in nanoseconds since the epoch.
        duration_ns: in nanoseconds.
    """

    name: str
    kind: SpanKind
    attributes: Mapping[str, Any]
    trace_id: str
    span_id: str
    parent_id: str | None
    failed: bool
    start_ns: int
    duration_ns: int


@dataclass(frozen=True, slots=True)
class PathStep:
    """One hop of a path, with the attempts that were made for it.

    Attributes:
        hop: the inbound span.
        attempts: its outbound spans in the order of their beginning, retries and hedges among them.
        next: the hops that were reached by these attempts, in the same order; more than one if several were answered.
    """

    hop: Recorded
    attempts: tuple[Recorded, ...]
    next: "tuple[PathStep, ...]"

    @property
    def names(self) -> list[str]:
        """The hops' names from here down, depth first: ``["GET /checkout", "POST /v1/charges"]``."""
        return [self.hop.name, *(name for step in self.next for name in step.names)]

    @property
    def statuses(self) -> list[int | None]:
        """The statuses of this hop's attempts: ``[503, 201]`` says that it was retried once."""
        return [attempt.attributes.get(v.STATUS[0]) for attempt in self.attempts]


class Recorder:
    """What was recorded since :func:`recording` was entered, in the order of ending."""

    def __init__(self, spans: InMemorySpanExporter, metrics: InMemoryMetricReader, *, is_client: bool) -> None:
        self._spans = spans
        self._metrics = metrics
        self._is_client = is_client

    @property
    def spans(self) -> list[Recorded]:
        """Every finished span."""
        return [_recorded(span) for span in self._spans.get_finished_spans()]

    @property
    def hops(self) -> list[Recorded]:
        """Inbound spans: kind SERVER, and in tier ``client`` the CLIENT roots."""
        return [span for span in self.spans if span.kind is SpanKind.SERVER or self._is_root(span)]

    @property
    def attempts(self) -> list[Recorded]:
        """Outbound spans: kind CLIENT, in tier ``client`` without the roots."""
        return [span for span in self.spans if span.kind is SpanKind.CLIENT and not self._is_root(span)]

    @property
    def paths(self) -> list[PathStep]:
        """What was recorded as request paths, in order: hops whose caller was not recorded, and where they led.

        Spans between (an inner function's, a database's) do not hide what hangs below them.
        """
        spans = sorted(self.spans, key=lambda span: span.start_ns)
        hops = {span.span_id for span in self.hops}
        below: dict[str | None, list[Recorded]] = {}
        for span in spans:
            below.setdefault(span.parent_id, []).append(span)
        known = {span.span_id for span in spans}
        roots = [span for span in spans if span.span_id in hops and span.parent_id not in known]
        return [_step(span, below, hops) for span in roots]

    def points(self, metric: str) -> list[tuple[dict[str, Any], float]]:
        """The points of ``metric``, each as its attributes and its sum (histogram: of all values) or value."""
        data = self._metrics.get_metrics_data()
        return [
            (dict(point.attributes or {}), float(point.sum if hasattr(point, "sum") else getattr(point, "value", 0)))
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]

    def clear(self) -> None:
        """Forget the spans."""
        self._spans.clear()

    def _is_root(self, span: Recorded) -> bool:
        return self._is_client and span.parent_id is None


def _step(hop: Recorded, below: Mapping[str | None, list[Recorded]], hops: set[str]) -> PathStep:
    attempts: list[Recorded] = []
    reached: list[PathStep] = []

    def walk(parent: Recorded) -> None:
        for span in below.get(parent.span_id, ()):
            if span.span_id in hops:
                reached.append(_step(span, below, hops))
                continue
            if span.kind is SpanKind.CLIENT:
                attempts.append(span)
            walk(span)

    walk(hop)
    return PathStep(hop, tuple(attempts), tuple(reached))


def _recorded(span: ReadableSpan) -> Recorded:
    context = span.get_span_context()
    if context is None:
        raise AssertionError(f"span {span.name} has no context")
    return Recorded(
        name=span.name,
        kind=span.kind,
        attributes=dict(span.attributes or {}),
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        failed=not span.status.is_ok,
        start_ns=span.start_time or 0,
        duration_ns=(span.end_time or 0) - (span.start_time or 0),
    )


def _lost() -> None:
    raise AssertionError("a span could not be looked through for card numbers; the log says why")


@contextmanager
def recording(component: str = "test", tier: str = "gateway", pop: str = "test") -> Iterator[Recorder]:
    """Record hops, attempts and metrics in memory while entered, whatever was configured; nothing is sent.

    Replaces what this process records with, so tests that use it must not run in parallel threads.
    """
    resource = Resource({v.SERVICE_NAME: component, v.TIER: tier, v.POP: pop})
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader(preferred_aggregation=aggregation(_HISTOGRAM))
    tracers = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
    tracers.add_span_processor(redaction.Redacting(SimpleSpanProcessor(spans), _lost))
    meters = MeterProvider([reader], resource, shutdown_on_exit=False)
    is_client = tier == v.Tier.CLIENT
    previous = runtime.replace(runtime.build(tracers.get_tracer(runtime.SCOPE), meters.get_meter(runtime.SCOPE), tier))
    try:
        yield Recorder(spans, reader, is_client=is_client)
    finally:
        runtime.replace(previous)
        tracers.shutdown()
        meters.shutdown()
