"""The statement that reads OTLP bytes: ClickHouse's engine decodes protobuf and picks attributes."""

from collections.abc import Sequence
from typing import Final

from telemetry import vocabulary as names
from telemetry.domain import normalize, weight

_ATTRIBUTES: Final = "Array(Tuple(key String, value Tuple(string_value String, int_value Int64)))"
_STRUCTURE: Final = (
    f"resource_spans Array(Tuple(resource Tuple(attributes {_ATTRIBUTES}), scope_spans Array(Tuple(spans Array(Tuple("
    "trace_id String, span_id String, trace_state String, parent_span_id String, kind Int32, "
    "start_time_unix_nano UInt64, end_time_unix_nano UInt64, "
    f"attributes {_ATTRIBUTES}, status Tuple(code Int32)))))))"
)
_LONGEST: Final = 2000


def decode_statement(path: str) -> str:
    """SELECT of one row a span from length-delimited TracesData messages under ``path``; ``record`` counts the messages."""
    address = _text("k", "sv", names.CLIENT_ADDRESS)
    return f"""
SELECT
    record,
    length(sp.trace_id) = 16 AND length(sp.span_id) = 8 AND {_number("sp.span_id")} != 0
        AND sp.trace_id != unhex('00000000000000000000000000000000') AS valid,
    {_number("substring(sp.trace_id, 1, 8)")} AS trace_high,
    {_number("substring(sp.trace_id, 9, 8)")} AS trace_low,
    {_number("sp.span_id")} AS span_id,
    {_number("sp.parent_span_id")} AS parent_id,
    toInt32(sp.kind) AS kind,
    sp.start_time_unix_nano AS started,
    sp.end_time_unix_nano AS ended,
    toInt32(sp.status.code) AS span_status,
    {_low(_text("rk", "rv", (names.SERVICE_NAME,)))} AS component,
    {_low(_text("rk", "rv", (names.TIER,)))} AS tier,
    {_low(_first((_text("rk", "rv", (names.POP,)), _text("rk", "rv", names.ZONE), _text("k", "sv", names.ZONE))))} AS pop,
    {_low(_text("rk", "rv", names.REGION))} AS region,
    {_low(_text("rk", "rv", names.ENVIRONMENT))} AS environment,
    {_low(_text("k", "sv", names.RESPONSE_FLAGS))} AS flags,
    {_low(_text("k", "sv", names.ERROR_TYPE))} AS error,
    {_text("k", "sv", names.ROUTE)} AS route_text,
    {_low("route_text")} AS route,
    {_low(f"if(route_text != '', '', {_path(_text('k', 'sv', (*names.URL_PATH, *names.URL_FULL)))})")} AS path,
    {_low(_text("k", "sv", names.METHOD))} AS method,
    toInt32(greatest(least({_integer(names.STATUS)}, 1000), -1)) AS status,
    hasAny(k, {_array(names.SIDE_CALL)}) AS side_call,
    if(sp.trace_state = '', 0, {_weight("sp.trace_state")}) AS weight,
    {address} AS address,
    if(address = '', 0, cityHash64(if(countSubstrings(address, ':') = 1, substringIndex(address, ':', 1), address)))
        AS client_hash
FROM
(
    SELECT
        record, sp,
        ra.key AS rk, ra.value.string_value AS rv,
        sp.attributes.key AS k, sp.attributes.value.string_value AS sv, sp.attributes.value.int_value AS iv
    FROM
    (
        SELECT record, rs.resource.attributes AS ra, arrayJoin(arrayFlatten(rs.scope_spans.spans)) AS sp
        FROM
        (
            SELECT rowNumberInAllBlocks() AS record, arrayJoin(resource_spans) AS rs
            FROM file('{path}', 'Protobuf', '{_STRUCTURE}')
        )
    )
)"""  # noqa: S608 - nothing here comes from outside


def _quote(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _array(values: Sequence[str]) -> str:
    return f"[{', '.join(_quote(v) for v in values)}]"


def _low(expression: str) -> str:
    return f"toLowCardinality({expression})"


def _number(expression: str) -> str:
    """Big-endian bytes as an unsigned number."""
    return f"reinterpretAsUInt64(reverse({expression}))"


def _first(texts: Sequence[str]) -> str:
    """The first that is not empty."""
    if len(texts) == 1:
        return texts[0]
    return f"if({texts[0]} != '', {texts[0]}, {_first(texts[1:])})"


def _text(keys: str, values: str, wanted: Sequence[str]) -> str:
    """The first non-empty string attribute of ``wanted``."""
    return _first([f"{values}[indexOf({keys}, {_quote(name)})]" for name in wanted])


def _integer(wanted: Sequence[str]) -> str:
    """The first non-zero integer attribute of ``wanted``, sent as a number or (Envoy) as a string."""
    each = []
    for name in wanted:
        place = f"indexOf(k, {_quote(name)})"
        each.append(f"if(iv[{place}] != 0, iv[{place}], toInt64OrZero(sv[{place}]))")
    result = each[-1]
    for one in reversed(each[:-1]):
        result = f"if({one} != 0, {one}, {result})"
    return result


def _path(expression: str) -> str:
    """As :func:`telemetry.domain.normalize.path`, in RE2."""
    n = normalize
    result = f"substringUTF8({expression}, 1, {_LONGEST})"
    for pattern, by in (
        (n.URL_PREFIX, ""),
        (n.QUERY, ""),
        (n.ID_SEGMENT, "/{id}"),
        (n.LONG_SEGMENT, "/{id}"),
        (n.NUMBER_SEGMENT, "/{id}\\1"),
        (n.NUMBER_SEGMENT, "/{id}\\1"),
    ):
        result = f"replaceRegexpAll({result}, {_quote(pattern)}, {_quote(by)})"
    return result


def _weight(expression: str) -> str:
    """As :func:`telemetry.domain.weight.from_tracestate`."""
    digits = f"extract({expression}, {_quote(weight.THRESHOLD)})"
    threshold = _number(f"unhex(rightPad({digits}, 14, '0'))")
    return f"if({digits} = '', 0, least(72057594037927936 / (72057594037927936 - {threshold}), {weight.MOST!r}))"
