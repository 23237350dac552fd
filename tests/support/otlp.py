"""Spans of the domain as OTLP messages, the way components send them: attributes, not columns."""

from collections.abc import Iterable, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from telemetry import vocabulary as names
from telemetry.domain.spans import Span


def text(key: str, value: str) -> KeyValue:
    """A string attribute."""
    return KeyValue(key=key, value=AnyValue(string_value=value))


def number(key: str, value: int) -> KeyValue:
    """An integer attribute."""
    return KeyValue(key=key, value=AnyValue(int_value=value))


def request(spans: Iterable[Span]) -> ExportTraceServiceRequest:
    """One export request; spans of one component share a resource. Path, weight, client and arrival are left out."""
    groups: dict[tuple[str, ...], list[Span]] = {}
    for span in spans:
        groups.setdefault((span.component, span.tier, span.pop, span.region, span.environment), []).append(span)
    return ExportTraceServiceRequest(resource_spans=[_resource(list(group)) for group in groups.values()])


def _resource(spans: Sequence[Span]) -> ResourceSpans:
    one = spans[0]
    attributes = [
        text(names.SERVICE_NAME, one.component),
        text(names.TIER, one.tier),
        text(names.POP, one.pop),
        text(names.REGION[0], one.region),
        text(names.ENVIRONMENT[0], one.environment),
    ]
    return ResourceSpans(
        resource=Resource(attributes=[a for a in attributes if a.value.string_value]),
        scope_spans=[ScopeSpans(spans=[_span(span) for span in spans])],
    )


def _span(span: Span) -> OtlpSpan:
    attributes = [
        text(names.METHOD[0], span.method),
        text(names.ROUTE[0], span.route),
        text(names.TENANT[0], span.tenant),
        text(names.ERROR_TYPE[0], span.error),
        text(names.RESPONSE_FLAGS[0], span.flags),
        text(names.SIDE_CALL[0], "postgresql" if span.side_call else ""),
    ]
    attributes = [a for a in attributes if a.value.string_value]
    if span.status:
        attributes.append(number(names.STATUS[0], span.status))
    return OtlpSpan(
        trace_id=span.trace_id,
        span_id=span.span_id.to_bytes(8),
        parent_span_id=span.parent_id.to_bytes(8) if span.parent_id else b"",
        name=f"{span.method} {span.route}".strip(),
        kind=span.kind,  # type: ignore[arg-type]  # an int
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.start_ns + span.duration_ns,
        attributes=attributes,
    )
