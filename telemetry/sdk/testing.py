"""For a service's own tests: what would have been sent, in memory.

::

    def test_charge():
        with telemetry.sdk.testing.recording(tier="gateway") as recorder:
            client.post("/v1/charges")
        assert recorder.hops[0].name == "POST /v1/charges"
        assert recorder.hops[0].attributes["http.response.status_code"] == 201
        assert [a.attributes["http.response.status_code"] for a in recorder.attempts] == [503, 201]
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
        duration_ns: in nanoseconds.
    """

    name: str
    kind: SpanKind
    attributes: Mapping[str, Any]
    trace_id: str
    span_id: str
    parent_id: str | None
    failed: bool
    duration_ns: int


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
