"""Bytes that are no OTLP: exactly those are rejected, and the spans of all others arrive."""

import random
import re
from collections.abc import Callable

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from telemetry.domain import normalize
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.domain.weight import from_tracestate
from telemetry.engine.decode import Decoder
from telemetry.engine.scan import PATH_LOOKED_AT
from telemetry.engine.spans import domain_spans
from telemetry.engine.strings import Strings
from telemetry.feeds.base import Record
from telemetry.redaction import redact_text
from tests.support import otlp_messages, reference_decoder
from tests.support.traces import Seeded

TIERS = Tiers()
Mutate = Callable[[bytes, random.Random], bytes]
GARBAGE = b"\xff" * 40
ANY = Decoder(Strings(TIERS))
GOOD = [r.value for r in otlp_messages.records(Seeded(7), 60) if len(r.value) > 400]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    """One decoder for the module: what one failure leaves behind would show in the next test."""
    return Decoder(Strings(TIERS))


def cut(value: bytes, chance: random.Random) -> bytes:
    """Truncated somewhere within its first span list."""
    return value[: chance.randrange(5, len(value) - 1)]


def flipped(value: bytes, chance: random.Random) -> bytes:
    """One bit is another."""
    place = chance.randrange(len(value))
    return value[:place] + bytes([value[place] ^ 1 << chance.randrange(8)]) + value[place + 1 :]


def shifted(value: bytes, chance: random.Random) -> bytes:
    """Some bytes too many."""
    place = chance.randrange(len(value))
    return value[:place] + chance.randbytes(chance.randint(1, 4)) + value[place:]


def noise(value: bytes, chance: random.Random) -> bytes:
    """Nothing but noise."""
    return chance.randbytes(len(value) % 300 + 1)


def records_of(values: list[bytes]) -> list[Record]:
    """Records, in order."""
    return [Record(0, place, 1_760_000_000_000, value) for place, value in enumerate(values)]


@pytest.mark.parametrize("bad_at", [[0], [9], [4], [0, 9], [3, 4], [1, 3, 5, 7, 9], list(range(10))])
def test_only_the_bad_are_rejected(decoder: Decoder, bad_at: list[int]) -> None:
    """Wherever they stand among the good ones."""
    values = [GARBAGE if n in bad_at else GOOD[n] for n in range(10)]
    decoded = decoder.decode_records(records_of(values))
    assert decoded.malformed == bad_at
    expected = reference_decoder.decode([r for r in records_of(values) if r.offset not in bad_at], TIERS)
    got = domain_spans(decoded.spans, decoder._strings)
    assert [(s.span_id, s.offset) for s in got] == [(s.span_id, s.offset) for s in expected.spans]
    assert decoded.invalid == expected.invalid


@pytest.mark.parametrize("how", [cut, flipped, shifted, noise])
def test_mutations_never_make_wrong_spans(decoder: Decoder, how: Mutate) -> None:
    """What opentelemetry-proto accepts of mutated messages, the engine reads the same; the good ones beside lose nothing.

    The engine alone accepts strings that are no UTF-8: nothing more is asked of those than that they harm nobody.
    """
    chance = random.Random(how.__name__)
    for _ in range(4):
        values = [how(value, chance) if chance.random() < 0.3 else value for value in chance.choices(GOOD, k=8)]
        records = records_of(values)
        decoded = decoder.decode_records(records)
        rejected = set(decoded.malformed)
        accepted = [r for r in records if well_formed(r.value)]
        assert not rejected & {r.offset for r in accepted}
        expected = reference_decoder.decode(accepted, TIERS)
        wanted = {r.offset for r in accepted}
        got = [s for s in domain_spans(decoded.spans, decoder._strings) if s.offset in wanted]
        assert [(s.trace_id, s.span_id, s.start_ns, s.status, s.route) for s in got] == [
            (s.trace_id, s.span_id, s.start_ns, s.status, s.route) for s in expected.spans
        ]


def well_formed(value: bytes) -> bool:
    """Whether opentelemetry-proto takes it."""
    try:
        TracesData.FromString(value)
    except DecodeError:
        return False
    return True


def test_strings_that_are_no_utf8_are_kept_readable(decoder: Decoder) -> None:
    """The bad bytes become U+FFFD; the message is not lost."""
    fresh = TracesData()
    one = fresh.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    one.attributes.append(otlp_messages.text("http.route", "/caf_e"))
    decoded = decoder.decode_records(records_of([fresh.SerializeToString().replace(b"/caf_e", b"/caf\xe9e")]))
    (found,) = domain_spans(decoded.spans, decoder._strings)
    assert found.route == "/caf\ufffde"


def test_a_hostile_string_is_not_remembered_whole(decoder: Decoder) -> None:
    """What is kept to know a string again is bounded."""
    fresh = TracesData()
    one = fresh.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    one.attributes.append(otlp_messages.text("http.route", "日" * 100_000))
    (found,) = domain_spans(decoder.decode_records(records_of([fresh.SerializeToString()])).spans, decoder._strings)
    assert found.route == "日" * 200
    assert int(decoder._known.entries["size"].max()) <= PATH_LOOKED_AT


@pytest.mark.parametrize("count", [1, 40, 5_000, 70_000])
def test_any_number_of_new_strings_in_one_batch(count: int) -> None:
    """The tables grow, forget, and mix nothing up."""
    decoder = Decoder(Strings(TIERS))
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for number in range(count):
        span = scope.spans.add(trace_id=b"\x01" * 16, span_id=(number + 1).to_bytes(8))
        span.attributes.append(otlp_messages.text("error.type", f"e{number}"))
        span.attributes.append(otlp_messages.text("url.path", f"/p{number % 90}/{'x' * (number % 7)}"))
    records = records_of([data.SerializeToString()])
    for _ in range(2):
        got = domain_spans(decoder.decode_records(records).spans, decoder._strings)
        expected = reference_decoder.decode(records, TIERS).spans
        assert [(s.error, s.path) for s in got] == [(s.error, s.path) for s in expected]


def test_groups_are_skipped_and_torn_ones_rejected(decoder: Decoder) -> None:
    """Nobody sends them; a parser that runs into one must neither hang nor read past the end."""
    good = GOOD[0]
    group = bytes([99 << 3 & 0x7F | 0x80 | 3, 99 >> 4, 0x08, 0x01, 99 << 3 & 0x7F | 0x80 | 4, 99 >> 4])
    whole = decoder.decode_records(records_of([good + group]))
    assert (whole.malformed, len(whole.spans)) == ([], len(decoder.decode_records(records_of([good])).spans))
    assert decoder.decode_records(records_of([good + group[:-2]])).malformed == [0]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_at_all(value: bytes) -> None:
    """No bytes hang it, crash it, or make it read what is not there; what protobuf accepts, it accepts."""
    decoded = ANY.decode_records(records_of([value]))
    if well_formed(value):
        assert decoded.malformed == []


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300) | st.from_regex(r"(https?://[a-z.]{1,20})?(/[a-zA-Z0-9 _-]{0,45}){0,8}[?#]?[0-9 -]{0,30}"))
def test_paths_are_cleaned_as_by_the_domain(value: str) -> None:
    """Compiled code and regular expressions say the same of any text."""
    assert decoded_span(otlp_messages.text("url.path", value)).path == redact_text(normalize.path(value))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["ot=", "th:", ";", ",", " ", "\t", "8", "fd70a4", "0", "rv:", "x=1", "tH:", "f" * 14, "a" * 15]
        ),
        max_size=12,
    ).map("".join)
)
def test_weights_are_read_as_by_the_domain(tracestate: str) -> None:
    """Any tracestate, well-formed or not."""
    data = TracesData()
    data.resource_spans.add().scope_spans.add().spans.add(
        trace_id=b"\x01" * 16, span_id=b"\x02" * 8, trace_state=tracestate
    )
    (found,) = domain_spans(ANY.decode_records(records_of([data.SerializeToString()])).spans, ANY._strings)
    assert found.weight == from_tracestate(tracestate)


def decoded_span(*attributes: KeyValue) -> Span:
    """The one span of a message with these attributes."""
    data = TracesData()
    span = data.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    span.attributes.extend(attributes)
    (found,) = domain_spans(ANY.decode_records(records_of([data.SerializeToString()])).spans, ANY._strings)
    return found


@pytest.mark.parametrize("name", ["http.route", "error.type", "url.path", "http.url", "response_flags", "http.method"])
@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111.1111.1111.1111",
        "4111%201111%201111%201111",
        "41/11/11/11/11/11/11/11",
    ],
)
def test_card_numbers_go_no_further(name: str, card: str) -> None:
    """Of senders that do not take them out themselves: nothing that is stored has one, in whatever field and disguise."""
    for text in (card, f"/pay/{card}/now", f"https://host/{card}?{card}", f"{card}/x"):
        found = decoded_span(otlp_messages.text(name, text))
        said = " ".join((found.route, found.path, found.error, found.flags, found.method))
        assert "411111" not in re.sub(r"[^0-9]", "", said), said
