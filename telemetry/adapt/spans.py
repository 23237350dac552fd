"""A request of an access log as spans: one inbound, and one for each outbound attempt."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from telemetry import vocabulary as v
from telemetry.adapt.lines import Line, Try
from telemetry.redaction import redact_attributes, redact_text

# HAProxy's termination state, first character (configuration manual, 8.5): who ended the session, or what.
_ENDED_BY: Final = {"C": v.CANCELLED, "c": "client_timeout", "s": "timeout"}
_TEXT: Final = {
    "path": v.URL_PATH[0],
    "route": v.ROUTE[0],
    "client": v.CLIENT_ADDRESS[0],
    "scheme": v.URL_SCHEME,
    "host": v.SERVER_ADDRESS,
    "agent": v.USER_AGENT,
    "flags": v.RESPONSE_FLAGS[0],
}
TENANT_FIELD: Final = "tenant"
_LIMITS: Final = {"path": 1024, "agent": 256, "host": 255}
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})


def spans(line: Line, tenant_field: str = TENANT_FIELD) -> list[Span]:
    """The spans of ``line``; none if its trace is not kept. ``tenant_field`` is the one that says on whose behalf it came."""
    if not line.sampled:
        return []
    method = line.fields.get("method", "")
    word = method if method in _METHODS else "HTTP"
    route = line.fields.get("route", "")
    inbound = _span(line, line.span, line.parent, SERVER, redact_text(f"{word} {route}" if route else word))
    inbound.start_time_unix_nano = max(0, line.end_ns - line.took_ns)
    inbound.end_time_unix_nano = line.end_ns
    error = _error(line)
    attributes = _attributes(line, method, error)
    if tenant := line.fields.get(tenant_field):
        attributes[v.TENANT[0]] = tenant[:512]
    _describe(inbound, attributes, failed=error is not None)
    return [inbound, *_attempts(line, word)]


SERVER: Final = Span.SPAN_KIND_SERVER
CLIENT: Final = Span.SPAN_KIND_CLIENT


def _span(line: Line, span_id: bytes, parent: bytes, kind: "Span.SpanKind.ValueType", name: str) -> Span:
    return Span(
        trace_id=line.trace,
        span_id=span_id,
        parent_span_id=parent,
        kind=kind,
        name=name,
        trace_state=line.state[:512],
        flags=1,
    )


def _attributes(line: Line, method: str, error: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {v.METHOD[0]: method if method in _METHODS else "_OTHER"}
    if method and method not in _METHODS:
        found[v.METHOD_ORIGINAL] = method[:32]
    for field, name in _TEXT.items():
        if value := line.fields.get(field):
            found[name] = value[: _LIMITS.get(field, 512)]
    protocol = line.fields.get("protocol", "")
    if protocol.startswith("HTTP/"):
        found[v.PROTOCOL_VERSION] = protocol[5:].removesuffix(".0") if protocol != "HTTP/1.0" else "1.0"
    _put_port(found, line.fields.get("port", ""))
    if line.status:
        found[v.STATUS[0]] = line.status
    if error is not None:
        found[v.ERROR_TYPE[0]] = error
    return found


def _error(line: Line) -> str | None:
    if line.ended_by:
        return _ENDED_BY.get(line.ended_by[0], f"haproxy.{line.ended_by[:4]}")
    if line.status == 499:  # NGINX: the client left
        return v.CANCELLED
    return str(line.status) if line.status >= 500 or not line.status else None


def _attempts(line: Line, word: str) -> list[Span]:
    """One for each try, one after the other; the last one ended when the request did, and has the id that was passed on."""
    made: list[Span] = []
    end = line.end_ns
    begin = line.end_ns - line.took_ns
    for nth in range(len(line.tries) - 1, -1, -1):
        one = line.tries[nth]
        # The log says how long each took, not when it began.
        start = max(begin, end - one.took_ns) if one.took_ns is not None else begin
        last = nth == len(line.tries) - 1
        span = _span(line, line.attempt if last else _other_id(line, nth), line.span, CLIENT, word)
        span.start_time_unix_nano, span.end_time_unix_nano = max(0, start), max(0, end)
        failed = one.status >= 400 or not one.status
        _describe(span, _of_try(line, one, nth + line.retries, failed=failed), failed=failed)
        made.append(span)
        end = start
    return made[::-1]


def _of_try(line: Line, one: Try, resent: int, *, failed: bool) -> dict[str, Any]:
    method = line.fields.get("method", "")
    found: dict[str, Any] = {v.METHOD[0]: method if method in _METHODS else "_OTHER"}
    host, _, port = one.address.rpartition(":")
    if host:
        found[v.SERVER_ADDRESS] = host.strip("[]")
        _put_port(found, port)
    elif one.address:
        found[v.SERVER_ADDRESS] = one.address
    if one.status:
        found[v.STATUS[0]] = one.status
    if resent:
        found[v.RESEND_COUNT] = resent
    if failed:
        found[v.ERROR_TYPE[0]] = str(one.status) if one.status else "no_answer"
    return found


def _put_port(attributes: dict[str, Any], port: str) -> None:
    if port.isascii() and port.isdigit() and len(port) <= 5:
        attributes[v.SERVER_PORT] = int(port)


def _other_id(line: Line, nth: int) -> bytes:
    return hashlib.blake2b(line.attempt + bytes([nth % 256]), digest_size=8).digest()


def _describe(span: Span, attributes: Mapping[str, Any], *, failed: bool) -> None:
    kept = {**attributes, **(redact_attributes(attributes) or {})}
    for name, value in kept.items():
        if value is not None:
            span.attributes.append(pair(name, value))
    if failed:
        span.status.code = Status.STATUS_CODE_ERROR


def pair(name: str, value: str | int) -> KeyValue:
    """One attribute."""
    made = KeyValue(key=name)
    if isinstance(value, int):
        made.value.int_value = value
    else:
        made.value.string_value = value
    return made
