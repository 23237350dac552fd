"""OTLP to spans in plain Python, by opentelemetry-proto: what the engine's decoder is tested against."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from telemetry import vocabulary as names
from telemetry.domain import normalize
from telemetry.domain.spans import Span, sane_times
from telemetry.domain.tiers import Tiers
from telemetry.domain.weight import from_tracestate
from telemetry.feeds.base import Record
from telemetry.redaction import redact_text

Attributes = Mapping[str, AnyValue]
_INT64 = range(-(2**63), 2**63)


@dataclass(slots=True)
class Reference:
    """What some records hold; in ``Span.client_hash`` stands the place of the address in ``addresses``, from 1."""

    spans: list[Span] = field(default_factory=list)
    invalid: int = 0
    addresses: list[str] = field(default_factory=lambda: [""])

    def address_number(self, address: str) -> int:
        """The same number for the same address, whatever its port; 0 for none."""
        host = _without_port(address) or "nameless"
        if address and host not in self.addresses:
            self.addresses.append(host)
        return self.addresses.index(host) if address else 0


def decode(records: Iterable[Record], tiers: Tiers) -> Reference:
    """Decode well-formed records.

    Raises:
        google.protobuf.message.DecodeError: one of them is not.
    """
    found = Reference()
    for record in records:
        for group in TracesData.FromString(record.value).resource_spans:
            resource = _first_of_each(group.resource.attributes)
            for scope in group.scope_spans:
                for span in scope.spans:
                    if _valid(span):
                        found.spans.append(_span(span, resource, record, tiers, found))
                    else:
                        found.invalid += 1
    return found


def _valid(span: OtlpSpan) -> bool:
    return len(span.trace_id) == 16 and len(span.span_id) == 8 and any(span.trace_id) and any(span.span_id)


def _span(span: OtlpSpan, resource: Attributes, record: Record, tiers: Tiers, found: Reference) -> Span:
    own = _first_of_each(span.attributes)
    start, duration = sane_times(span.start_time_unix_nano, span.end_time_unix_nano)
    status = _number(own, names.STATUS)
    status = status if 0 <= status <= 999 else 0
    component = _name(_text(resource, (names.SERVICE_NAME,)))
    route = _text(own, names.ROUTE)
    pop = _text(resource, (names.POP,)) or _text(resource, names.ZONE) or _text(own, names.ZONE)
    return Span(
        trace_id=span.trace_id,
        span_id=int.from_bytes(span.span_id),
        parent_id=int.from_bytes(span.parent_span_id[-8:]),
        kind=span.kind,
        start_ns=start,
        duration_ns=duration,
        component=component,
        tier=tiers.resolve(_name(_text(resource, (names.TIER,))), component),
        pop=_name(pop),
        region=_name(_text(resource, names.REGION)),
        environment=_name(_text(resource, names.ENVIRONMENT)),
        status=status,
        flags=normalize.flags(redact_text(_text(own, names.RESPONSE_FLAGS))),
        error=normalize.error(redact_text(_text(own, names.ERROR_TYPE)), span.status.code, status),
        route=normalize.route(redact_text(route)),
        path="" if route else redact_text(normalize.path(_text(own, (*names.URL_PATH, *names.URL_FULL)))),
        method=normalize.method(_text(own, names.METHOD)),
        tenant=_name(_text(own, names.TENANT)),
        side_call=any(name in own for name in names.SIDE_CALL),
        weight=from_tracestate(span.trace_state),
        client_hash=found.address_number(_text(own, names.CLIENT_ADDRESS)),
        arrival_ms=record.arrival_ms,
        offset=record.offset,
    )


def _name(text: str) -> str:
    return normalize.text(redact_text(text))


def _first_of_each(attributes: Iterable[KeyValue]) -> Attributes:
    first: dict[str, AnyValue] = {}
    for attribute in attributes:
        first.setdefault(attribute.key, attribute.value)
    return first


def _text(attributes: Attributes, wanted: Sequence[str]) -> str:
    """The first of the names whose value is a string that is not empty."""
    texts = (attributes[name].string_value for name in wanted if name in attributes)
    return next((text for text in texts if text), "")


def _number(attributes: Attributes, wanted: Sequence[str]) -> int:
    """The first of the names whose value is a number that is not zero, or a string of one."""
    numbers = (_as_number(attributes[name]) for name in wanted if name in attributes)
    return next((number for number in numbers if number), 0)


def _as_number(value: AnyValue) -> int:
    if value.int_value:
        return int(value.int_value)
    text = value.string_value
    number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,30}", text) else 0
    return number if number in _INT64 else 0


def _without_port(address: str) -> str:
    """``10.0.0.1`` of ``10.0.0.1:443``; an IPv6 address has more colons than one."""
    return address.partition(":")[0] if address.count(":") == 1 else address
