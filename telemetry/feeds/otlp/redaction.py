"""Card numbers and secrets are taken out of OTLP messages, for senders that lack the SDK.

Every text of a message is looked through: names, attributes, events, links, status messages, tracestate, resources, scopes,
metric descriptions and exemplars. Ids are bytes in OTLP and are not looked at.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.feeds.otlp.glance import may_hold_something
from telemetry.redaction import CARD, SECRET, redact_attribute, redact_attributes, redact_text
from telemetry.redaction.names import Kind, kind
from telemetry.redaction.payload import suspicious

_SAMPLING: Final = "ot="
"""OpenTelemetry's own member of tracestate: hex digits of sampling, left alone."""
_DEEPEST: Final = 16
_GROUP: Final = 128 * 1024
"""Bytes that are looked at together."""
# Digits of other scripts than ASCII are several bytes, none of them ASCII: all such bytes go, too.
_MASKED: Final = bytes(ord("*") if code > 127 or chr(code).isalnum() else code for code in range(256))


def redact_spans(request: Any) -> bool:
    """Redact an ``ExportTraceServiceRequest`` (or ``TracesData``) in place; whether anything had to change."""
    changed = False
    for resource in request.resource_spans:
        changed |= _attributes(resource.resource.attributes)
        changed |= _text(resource, "schema_url")
        for scope in resource.scope_spans:
            changed |= _scope(scope)
            for span in scope.spans:
                changed |= _span(span)
    return changed


def redact_metrics(request: Any) -> bool:
    """Redact an ``ExportMetricsServiceRequest`` (or ``MetricsData``) in place; whether anything had to change."""
    changed = False
    for resource in request.resource_metrics:
        changed |= _attributes(resource.resource.attributes)
        changed |= _text(resource, "schema_url")
        for scope in resource.scope_metrics:
            changed |= _scope(scope)
            for metric in scope.metrics:
                changed |= _metric(metric)
    return changed


def redacted(request: Any, payload: bytes, *, spans: bool) -> bytes:
    """``payload``, the serialized ``request``, without card numbers and secrets; itself if there are none.

    Fields that this version of OTLP does not know are dropped if digits of a card number may be among them.
    """
    if not may_hold_something(payload):
        return payload
    changed = redact_spans(request) if spans else redact_metrics(request)
    if suspicious(bytes(request.SerializeToString()) if changed else payload):
        request.DiscardUnknownFields()
        made = bytes(request.SerializeToString())
        return payload if made == payload else made
    return bytes(request.SerializeToString()) if changed else payload


def scrub(payload: bytes) -> bytes:
    """``payload``, serialized ``TracesData`` of whatever origin, without card numbers and secrets; itself if there are none.

    For what came another way than through the receiver (Kafka): before it is decoded, stored or put aside. What is no
    ``TracesData`` and may hold something comes back with all its letters and digits masked: it can only be put aside.
    """
    return _scrub(payload, ExportTraceServiceRequest, spans=True)


def scrub_metrics(payload: bytes) -> bytes:
    """The same for ``MetricsData``."""
    return _scrub(payload, ExportMetricsServiceRequest, spans=False)


def _scrub(payload: bytes, kind: Any, *, spans: bool) -> bytes:
    if not may_hold_something(payload):
        return payload
    try:
        request = kind.FromString(payload)
    except DecodeError:
        return payload.translate(_MASKED)
    return redacted(request, payload, spans=spans)


def scrub_all(payloads: Sequence[bytes]) -> Sequence[bytes]:
    """As :func:`scrub` for each of ``payloads``; the same sequence if nothing has to go.

    Looks at many small ones joined: a glance costs some microseconds, however little there is to see.
    """
    made: list[bytes] | None = None
    at = 0
    while at < len(payloads):
        begin, size = at, 0
        while at < len(payloads) and (at == begin or size + len(payloads[at]) <= _GROUP):
            size += len(payloads[at])
            at += 1
        if not may_hold_something(b"".join(payloads[begin:at])):
            continue
        for nth in range(begin, at):
            clean = scrub(payloads[nth])
            if clean is not payloads[nth]:
                made = list(payloads) if made is None else made
                made[nth] = clean
    return payloads if made is None else made


def _span(span: Any) -> bool:
    changed = _text(span, "name")
    changed |= _attributes(span.attributes)
    if span.trace_state:
        changed |= _trace_state(span)
    if span.HasField("status"):
        changed |= _text(span.status, "message")
    for event in span.events:
        changed |= _text(event, "name")
        changed |= _attributes(event.attributes)
    for link in span.links:
        changed |= _attributes(link.attributes)
        changed |= _trace_state(link)
    return changed


def _scope(scope: Any) -> bool:
    changed = _text(scope, "schema_url") | _text(scope.scope, "name") | _text(scope.scope, "version")
    return _attributes(scope.scope.attributes) | changed


def _metric(metric: Any) -> bool:
    changed = _text(metric, "name") | _text(metric, "description") | _text(metric, "unit")
    changed |= _attributes(metric.metadata)
    which = metric.WhichOneof("data")
    for point in getattr(metric, which).data_points if which else ():
        changed |= _attributes(point.attributes)
        for exemplar in getattr(point, "exemplars", ()):
            changed |= _attributes(exemplar.filtered_attributes)
    return changed


def _text(message: Any, field: str) -> bool:
    said = getattr(message, field)
    safe = redact_text(said)
    if safe is said:
        return False
    setattr(message, field, safe)
    return True


def _trace_state(message: Any) -> bool:
    state = message.trace_state
    if redact_text(state) is state:
        return False
    # "[card]" is no valid value there: a member that holds something goes.
    kept = [one for one in state.split(",") if one.strip().startswith(_SAMPLING) or redact_text(one) is one]
    safe = ",".join(kept)
    if safe == state:
        return False
    message.trace_state = safe
    return True


def _attributes(pairs: Iterable[Any], depth: int = 0) -> bool:
    changed = False
    texts: dict[str, str] = {}
    for pair in pairs:
        value = pair.value
        which = value.WhichOneof("value")
        if which == "string_value":
            # Most are; looked through together, below.
            name = pair.key
            if name in texts:
                changed |= _pair(pair, depth)
            else:
                texts[name] = value.string_value
        elif which is not None:
            changed |= _pair(pair, depth)
        else:
            changed |= _text(pair, "key")
    if texts and redact_attributes(texts) is not None:
        for pair in pairs:
            changed |= _pair(pair, depth)
    return changed


def _pair(pair: Any, depth: int) -> bool:
    """Redact one key and value, whatever its type."""
    name, value = pair.key, pair.value
    changed = _text(pair, "key")
    which = value.WhichOneof("value")
    if which is None:
        return changed
    special = kind(name) in (Kind.SECRET, Kind.CODE, Kind.CARD)
    if which in ("kvlist_value", "array_value") and not special:
        return _nested(value, which, depth) | changed
    said = getattr(value, which) if which not in ("kvlist_value", "array_value") else which
    safe = redact_attribute(name, said)
    if safe is said or safe == said:
        return changed
    value.string_value = str(safe)
    return True


def _nested(value: Any, which: str, depth: int) -> bool:
    if depth >= _DEEPEST:
        value.string_value = SECRET  # nothing that deep is looked through, so nothing that deep is kept
        return True
    if which == "kvlist_value":
        return _attributes(value.kvlist_value.values, depth + 1)
    items = value.array_value.values
    changed = False
    for item in items:
        inner = item.WhichOneof("value")
        if inner in ("kvlist_value", "array_value"):
            changed |= _nested(item, inner, depth + 1)
        elif inner is not None:
            said = getattr(item, inner)
            safe = redact_attribute("", said)
            if safe is not said:
                item.string_value = str(safe)
                changed = True
    plain = [item.WhichOneof("value") in ("string_value", "int_value") for item in items]
    if not changed and len(plain) > 1 and all(plain):
        # A number in pieces.
        pieces = [getattr(item, item.WhichOneof("value")) for item in items]
        if redact_attribute("", pieces) is not pieces:
            for item in items:
                item.string_value = CARD
            changed = True
    return changed
