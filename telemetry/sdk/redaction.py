"""Card numbers and secrets are taken out of spans, metrics, resources and baggage before anything leaves the process.

Spans: :class:`Redacting` stands in front of the processor that sends, as the first one of the provider, so that processors
which a service adds itself see clean spans, too. Metrics: as they are exported. Baggage: as it is injected.
A span that cannot be looked through is not sent.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, SpanContext, Status, TraceState

from telemetry.redaction import redact_attributes, redact_text
from telemetry.sdk import log

_SAMPLING: Final = "ot"
"""OpenTelemetry's own member of tracestate: 56 random bits and a threshold in hex, and nothing else."""


class Redacting(SpanProcessor):
    """Redacts ended spans, in place, and hands them on to ``after``.

    Args:
        after: gets the clean spans.
        lost: told of each span that could not be looked through, and was therefore not handed on.
    """

    def __init__(self, after: SpanProcessor, lost: Callable[[], None]) -> None:
        self._after = after
        self._lost = lost

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand it on."""
        self._after.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Redact ``span`` and hand it on. Never raises."""
        try:
            clean(span)
        except Exception as failure:  # noqa: BLE001 - a span that may hold anything must not go on
            log.internal("redacting a span", failure)
            self._lost()
            return
        self._after.on_end(span)

    def shutdown(self) -> None:
        """Hand it on."""
        self._after.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hand it on."""
        return self._after.force_flush(timeout_millis)


def clean(span: ReadableSpan) -> None:
    """Take card numbers and secrets out of ``span``: name, attributes, status, events, links, tracestate.

    Raises:
        RuntimeError: OpenTelemetry keeps a span's parts elsewhere than this module knows.
    """
    attributes = _plain(span._attributes)
    changed = redact_attributes(attributes) if attributes else None
    if changed is not None:
        span._attributes = _with(span._attributes, changed)
        if any(span.attributes.get(name) != value for name, value in changed.items() if value is not None):  # type: ignore[union-attr]
            raise RuntimeError("a span's attributes are not where they were")
    name = span.name
    if (safe := redact_text(name)) is not name:
        span._name = safe
        _check(span.name, safe)
    status = span.status
    if status.description and (safe := redact_text(status.description)) is not status.description:
        span._status = Status(status.status_code, safe)
        _check(span.status.description, safe)
    if span._events:
        events = tuple(map(_event, span.events))
        if events != span.events:
            span._events = _kept(events, span.dropped_events)
            _check(span.events, events)
    if span._links:
        links = tuple(map(_link, span.links))
        if links != span.links:
            span._links = _kept(links, span.dropped_links)
            _check(span.links, links)
    context = span.context
    if context is not None and context.trace_state and (cleaned := _context(context)) is not context:
        span._context = cleaned
        _check(span.context, cleaned)


def _check(now: object, wanted: object) -> None:
    if now != wanted:
        raise RuntimeError("a part of a span is not where it was")


def _kept(items: Sequence[Any], dropped: int) -> Any:
    """OpenTelemetry's own list, which remembers how many items were dropped before."""
    made: Any = BoundedList.from_seq(None, items)
    made.dropped = dropped
    return made


def _plain(attributes: Any) -> Mapping[str, Any]:
    """The dict in OpenTelemetry's attributes: reading through its wrapper costs ten times as much."""
    inner = getattr(attributes, "_dict", None)
    return inner if type(inner) is dict else attributes or {}


def _with(attributes: Any, changed: Mapping[str, Any]) -> BoundedAttributes:
    merged = {**_plain(attributes), **changed}
    made = BoundedAttributes(
        getattr(attributes, "maxlen", None),
        {name: value for name, value in merged.items() if value is not None},
        immutable=True,
        max_value_len=getattr(attributes, "max_value_len", None),
    )
    made.dropped = getattr(attributes, "dropped", 0)
    return made


def _event(event: Event) -> Event:
    changed = redact_attributes(_plain(event.attributes)) if event.attributes else None
    name = redact_text(event.name)
    if changed is None and name is event.name:
        return event
    attributes = event.attributes if changed is None else _with(event.attributes, changed)
    return Event(name, attributes, event.timestamp)


def _link(link: Link) -> Link:
    changed = redact_attributes(_plain(link.attributes)) if link.attributes else None
    context = _context(link.context)
    if changed is None and context is link.context:
        return link
    return Link(context, link.attributes if changed is None else _with(link.attributes, changed))


def _context(context: SpanContext) -> SpanContext:
    state = context.trace_state
    if not state or all(name == _SAMPLING or redact_text(value) is value for name, value in state.items()):
        return context
    # "[card]" is no valid tracestate value: the member goes.
    kept = [(name, value) for name, value in state.items() if name == _SAMPLING or redact_text(value) is value]
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, TraceState(kept))


def resource(found: Resource) -> Resource:
    """``found`` without card numbers and secrets."""
    changed = redact_attributes(found.attributes)
    if changed is None:
        return found
    return Resource(_without(found.attributes, changed), found.schema_url)


def _without(attributes: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**attributes, **changed}.items() if value is not None}


# --- metrics ------------------------------------------------------------------------------------------------------------


def metrics(data: MetricsData) -> MetricsData:
    """``data`` without card numbers and secrets in attributes of points and exemplars; itself if there are none."""
    resources = [_resource_metrics(each) for each in data.resource_metrics]
    if all(new is old for new, old in zip(resources, data.resource_metrics, strict=True)):
        return data
    return MetricsData(resources)


def _resource_metrics(each: ResourceMetrics) -> ResourceMetrics:
    scopes = [_scope_metrics(scope) for scope in each.scope_metrics]
    same = all(new is old for new, old in zip(scopes, each.scope_metrics, strict=True))
    return each if same else replace(each, scope_metrics=scopes)


def _scope_metrics(scope: ScopeMetrics) -> ScopeMetrics:
    found = [_metric(metric) for metric in scope.metrics]
    same = all(new is old for new, old in zip(found, scope.metrics, strict=True))
    return scope if same else replace(scope, metrics=found)


def _metric(metric: Metric) -> Metric:
    points: Any = [_point(point) for point in metric.data.data_points]
    if all(new is old for new, old in zip(points, metric.data.data_points, strict=True)):
        return metric
    return replace(metric, data=replace(metric.data, data_points=points))


def _point(point: Any) -> Any:
    attributes: Mapping[str, Any] = point.attributes or {}
    changed = redact_attributes(attributes)
    exemplars = [_exemplar(one) for one in point.exemplars or ()]
    if changed is not None:
        point = replace(point, attributes=_without(attributes, changed))
    if any(new is not old for new, old in zip(exemplars, point.exemplars or (), strict=True)):
        point = replace(point, exemplars=exemplars)
    return point


def _exemplar(exemplar: Any) -> Any:
    attributes: Mapping[str, Any] = exemplar.filtered_attributes or {}
    changed = redact_attributes(attributes)
    return exemplar if changed is None else replace(exemplar, filtered_attributes=_without(attributes, changed))


# --- logs of OpenTelemetry's own code -----------------------------------------------------------------------------------

# They write what they refuse into the log: baggage headers, attribute values, tracestate members.
_TALKATIVE: Final = (
    "opentelemetry.attributes",
    "opentelemetry.baggage",
    "opentelemetry.baggage.propagation",
    "opentelemetry.sdk.trace",
    "opentelemetry.trace.span",
    "opentelemetry.util._decorator",
    "opentelemetry.util.re",
    "opentelemetry.sdk.resources",
)


def _tone_down(record: logging.LogRecord) -> bool:
    try:
        said = record.getMessage()
        safe = redact_text(said)
    except Exception:  # noqa: BLE001 - a log line must not break the host, and must not be written unread
        return False
    if safe is not said:
        record.msg, record.args = safe, ()
    return True


def quiet_logs() -> None:
    """Redact what OpenTelemetry's own code logs about values that it refuses. Twice does the same as once."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if _tone_down not in logger.filters:
            logger.addFilter(_tone_down)
