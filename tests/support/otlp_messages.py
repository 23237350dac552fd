"""Random OTLP messages: both generations of attributes, Envoy's strings, and every kind of odd value."""

from collections.abc import Callable, Sequence

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from telemetry import vocabulary as names
from telemetry.domain.spans import Span as DomainSpan
from telemetry.feeds.base import Record
from telemetry.vocabulary import DEFAULT_TIERS
from tests.support.traces import Chance

NOW = 1_760_000_000_000_000_000
_DAY = 86_400 * 10**9
TEXTS = (
    "",
    "a",
    "envoy-fra-1",
    "größe/ünïcode/日本語",
    "🦉" * 120,
    "x" * 300,
    "with\x00null\x1fand\ncontrol\x7f",
    "  spaces  ",
    "-",
    "quote's \\ back\"slash\t{}",
    "4111 1111 1111 1111",
    "é" * 395 + "4111111111111111",
)
PATHS = (
    "",
    "/",
    "/v1/charges",
    "/v1/customers/12345/cards/7",
    "/v1/customers/cus_9s6XKzkNRiz8i3?expand=1",
    "/1/2/3/4",
    "/" + "x" * 60,
    "/" + "ж" * 39 + "/" + "ж" * 40,  # characters, not bytes
    "/日本語/123日本/1",
    "/a\nb/1\n2\n3",
    "/" + "é" * 1996 + "/17/18",  # the bound lies within it
    "/ab" * 700,
    "/1" * 1100,
    "?a=b",
    "#",
    "/v1/😀/4111111111111111",
    "/a\x00b\x00123/x",
    "//",
    "/%20/4111%201111",
)
URLS = (
    "",
    "http://127.0.0.1:58423/v1/balance",
    "https://user:secret@api.example.com/v1/customers/17?card=4111111111111111",
    "https://api.example.com",
    "http://[::1]:80/x#y",
    "notaurl",
    "h2+c.1-x://host/123456",
    "https://例え.jp/ü" + "a" * 2100,
    "http:///three",
    "1http://x/y",
)
ADDRESSES = ("", "10.0.0.1", "10.0.0.1:443", "10.0.0.1:9999", "10.0.0.2", "2001:db8::1", "::1", "[::1]:80", "unix", ":")
STATUSES = (0, 200, 204, 404, 429, 503, 999, 1000, -1, 2**31, 2**63 - 1, -(2**63))
STATUS_TEXTS = (
    *("200", "503", "0", "", "abc", "007", "99999", "-5", "200 ", " 200", "2e2", "0x10", "12.5", "+200"),
    *("1" + "0" * 18, str(2**63 - 1), str(2**63), "9" * 20, "-" + "9" * 20),
)
TRACESTATES = (
    "",
    "ot=th:8",
    "ot=th:c;rv:d29d6a7215ced0",
    "rojo=00f067aa0ba902b7, ot=rv:d29d6a7215ced0;th:fd70a4;x:y",
    "ot=th:0",
    "ot=th:ffffffffffffff",
    "ot=th:C",
    "ot=th:c0000000000000000",
    "x=ot=th:c",
    "ot=p:8",
    "ot=th:",
    "a=b,\tot=th:e,c=d",
    "ot=th:8\n",
)
TIMES: tuple[tuple[int, int], ...] = (
    (NOW, NOW + 12_345),
    (NOW, NOW),
    (NOW, NOW - 5),
    (0, NOW),
    (NOW, 0),
    (0, 0),
    (NOW + 300 * _DAY, NOW + 300 * _DAY + 7),
    (NOW, NOW + _DAY),
    (NOW, NOW + _DAY + 1),
    (2**64 - 1, 2**64 - 1),
    (2**62, 2**62 + 1),
    (2**63, NOW),
)


def text(key: str, value: str) -> KeyValue:
    """A string attribute."""
    return KeyValue(key=key, value=AnyValue(string_value=value))


def number(key: str, value: int) -> KeyValue:
    """An integer attribute."""
    return KeyValue(key=key, value=AnyValue(int_value=value))


def message(chance: Chance, trace_ids: Sequence[bytes]) -> TracesData:
    """One message of up to three resources with up to three scopes of up to four spans; any of them may be none."""
    return TracesData(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=_resource(chance)) if chance.number(0, 5) else None,
                scope_spans=[
                    ScopeSpans(spans=[span(chance, chance.pick(trace_ids)) for _ in range(chance.number(0, 4))])
                    for _ in range(chance.number(0, 3))
                ],
            )
            for _ in range(chance.number(0, 3))
        ]
    )


def records(chance: Chance, count: int) -> list[Record]:
    """Records with messages; offsets grow, sometimes by more than one."""
    trace_ids = [bytes([0, number]) + b"\xff" * 14 for number in range(1, 6)]
    made = []
    offset = 0
    for _ in range(count):
        offset += chance.number(1, 3)
        payload = message(chance, trace_ids).SerializeToString()
        made.append(Record(0, offset, NOW // 1_000_000 + chance.number(0, 5_000), payload))
    return made


def span(chance: Chance, trace_id: bytes) -> Span:
    """One span, sometimes without a valid id."""
    start, end = TIMES[0] if chance.number(0, 1) else chance.pick(TIMES)
    if not chance.number(0, 9):
        trace_id = chance.pick((b"", b"\0" * 16, b"\1" * 15, b"\1" * 17, b"\1" * 8))
    span_id = b"\0\xfe" + chance.number(1, 2**48 - 1).to_bytes(6)
    if not chance.number(0, 9):
        span_id = chance.pick((b"", b"\0" * 8, b"\1" * 7, b"\1" * 9))
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=chance.pick(
            (b"", b"", b"\0" * 8, b"\1\2\3\4\5\6\7\x88", b"\1\2\3", b"\xff" * 8, bytes(range(12)))
        ),
        trace_state=chance.pick(TRACESTATES),
        kind=chance.pick((0, 1, 2, 2, 3, 3, 4, 5, 77)),  # type: ignore[arg-type]  # one that the enumeration has not
        name=chance.pick(TEXTS),
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        attributes=_attributes(chance),
        status=Status(code=chance.pick((0, 1, 2))) if chance.number(0, 1) else None,  # type: ignore[arg-type]  # likewise
    )


def _resource(chance: Chance) -> list[KeyValue]:
    made = [
        text(names.SERVICE_NAME, chance.pick(TEXTS)),
        text(names.TIER, chance.pick((*DEFAULT_TIERS, "cdn", "Edge", "", "ed\x00ge"))),
        text(names.POP, chance.pick(("", "fra", *TEXTS))),
    ]
    for wanted in (names.REGION, names.ENVIRONMENT, names.ZONE):
        made += [text(name, chance.pick(TEXTS)) for name in wanted]
    return _some(chance, made)


def _attributes(chance: Chance) -> list[KeyValue]:
    values: dict[tuple[str, ...], Callable[[str], KeyValue]] = {
        names.METHOD: lambda name: text(name, chance.pick(("", "GET", "post", "BREW", "G" * 99, "ĞET"))),
        names.STATUS: lambda name: _status(chance, name),
        names.ROUTE: lambda name: text(name, chance.pick(("", "", *PATHS, *TEXTS))),
        names.URL_PATH: lambda name: text(name, chance.pick(PATHS)),
        names.URL_FULL: lambda name: text(name, chance.pick((*URLS, *PATHS))),
        names.ERROR_TYPE: lambda name: text(name, chance.pick(("", "", "timeout", *TEXTS[1:6]))),
        names.RESPONSE_FLAGS: lambda name: text(name, chance.pick(("", "-", "UF", "UF,URX", "X" * 50))),
        names.CLIENT_ADDRESS: lambda name: text(name, chance.pick(ADDRESSES)),
        names.ZONE: lambda name: text(name, chance.pick(("", "fra-a", "iad-b"))),
        names.TENANT: lambda name: text(name, chance.pick(("", "acct_1", *TEXTS))),
    }
    made = [make(name) for wanted, make in values.items() for name in wanted]
    if not chance.number(0, 4):
        made.append(text(chance.pick(names.SIDE_CALL), chance.pick(("", "postgresql"))))
    return _some(chance, made)


def _status(chance: Chance, name: str) -> KeyValue:
    match chance.number(0, 5):
        case 0:
            return KeyValue(key=name, value=AnyValue(double_value=200.0))
        case 1:
            return KeyValue(key=name, value=AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=200)])))
        case 2 | 3:
            return text(name, chance.pick(STATUS_TEXTS))
        case _:
            return number(name, chance.pick(STATUSES))


def _some(chance: Chance, attributes: list[KeyValue]) -> list[KeyValue]:
    """Some of them in another order, some twice with another value, some of a type that nobody expects."""
    made = [one for one in attributes if chance.number(0, 1)]
    for one in list(made):
        match chance.number(0, 19):
            case 0:
                made.append(text(one.key, "twice"))
            case 1:
                made.insert(0, KeyValue(key=one.key, value=AnyValue(bool_value=True)))
            case 2:
                made.insert(0, KeyValue(key=one.key))
            case 3:
                made.insert(0, text("pad", "x" * 50))
    return made


def message_of(spans: Sequence[DomainSpan]) -> TracesData:
    """The domain's spans as components would send them, each with a resource of its own; all that a path needs."""
    return TracesData(resource_spans=[_whole(one) for one in spans])


def _whole(one: DomainSpan) -> ResourceSpans:
    resource = {
        names.SERVICE_NAME: one.component,
        names.TIER: one.tier,
        names.POP: one.pop,
        names.REGION[0]: one.region,
        names.ENVIRONMENT[0]: one.environment,
    }
    own = {
        names.METHOD[0]: one.method,
        names.ROUTE[0]: one.route,
        names.TENANT[0]: one.tenant,
        names.URL_PATH[0]: one.path,
        names.ERROR_TYPE[0]: one.error,
        names.RESPONSE_FLAGS[0]: one.flags,
        names.CLIENT_ADDRESS[0]: f"10.0.0.{one.client_hash}" if one.client_hash else "",
    }
    attributes = [text(key, value) for key, value in own.items() if value]
    if one.status:
        attributes.append(number(names.STATUS[0], one.status))
    if one.side_call:
        attributes.append(text(names.SIDE_CALL[0], "postgresql"))
    sent = Span(
        trace_id=one.trace_id,
        span_id=one.span_id.to_bytes(8),
        parent_span_id=one.parent_id.to_bytes(8) if one.parent_id else b"",
        kind=one.kind,  # type: ignore[arg-type]  # an int
        trace_state=f"ot=th:{int(2**56 * (1 - 1 / one.weight)):014x}" if one.weight else "",
        start_time_unix_nano=one.start_ns,
        end_time_unix_nano=one.end_ns,
        attributes=attributes,
    )
    return ResourceSpans(
        resource=Resource(attributes=[text(key, value) for key, value in resource.items() if value]),
        scope_spans=[ScopeSpans(spans=[sent])],
    )
