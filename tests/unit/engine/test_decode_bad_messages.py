"""Bytes that are no OTLP: exactly those are rejected, and the spans of all others arrive."""

import random
from collections.abc import Callable, Iterator

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from telemetry.domain import normalize
from telemetry.domain.tiers import Tiers
from telemetry.engine import decode as decoding
from telemetry.engine.columns import Strings
from telemetry.engine.decode import Decoder
from telemetry.errors import StoreError
from telemetry.feeds.base import Record
from telemetry.store.chdb import ChdbEngine
from tests.support import otlp_messages, reference_decoder
from tests.support.chdb_fixture import OpenEngine
from tests.support.compare import spans_of
from tests.support.traces import Seeded

TIERS = Tiers()
Mutate = Callable[[bytes, random.Random], bytes]
GARBAGE = b"\xff" * 40
GOOD = [r.value for r in otlp_messages.records(Seeded(7), 60) if len(r.value) > 400]


@pytest.fixture(scope="module")
def decoder(module_chdb: ChdbEngine) -> Iterator[Decoder]:
    """One decoder for the module: what one failure leaves behind would show in the next test."""
    decoder = Decoder(module_chdb, TIERS, Strings())
    yield decoder
    decoder.close()


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
    decoded = decoder.decode(records_of(values))
    assert [record.offset for record, _ in decoded.rejected] == bad_at
    assert all(reason.startswith("not an OTLP TracesData message") for _, reason in decoded.rejected)
    expected = reference_decoder.decode([r for r in records_of(values) if r.offset not in bad_at], TIERS)
    got = spans_of(decoded.spans, decoder._strings)
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
        decoded = decoder.decode(records)
        rejected = {record.offset for record, _ in decoded.rejected}
        accepted = [r for r in records if well_formed(r.value)]
        assert not rejected & {r.offset for r in accepted}
        expected = reference_decoder.decode(accepted, TIERS)
        wanted = {r.offset for r in accepted}
        got = [s for s in spans_of(decoded.spans, decoder._strings) if s.offset in wanted]
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
    decoded = decoder.decode(records_of([fresh.SerializeToString().replace(b"/caf_e", b"/caf\xe9e")]))
    (found,) = spans_of(decoded.spans, decoder._strings)
    assert found.route == "/caf\ufffde"


def test_an_engine_that_fails_is_not_the_records_fault(open_chdb: OpenEngine) -> None:
    """A closed engine (a full disk, no descriptors left) rejects nothing: records must not land in the dead letters."""
    engine = open_chdb()
    decoder = Decoder(engine, TIERS, Strings())
    engine.close()
    with pytest.raises(StoreError, match="closed"):
        decoder.decode(records_of(GOOD[:5]))
    decoder.close()


def test_a_hostile_string_is_not_remembered_whole() -> None:
    """What is kept to know a string again is bounded, and what it becomes is the same."""
    asked: list[str] = []

    def clean(value: str) -> str:
        asked.append(value)
        return normalize.route(value)

    remembered = decoding._remembering(clean)
    for value in ("é" * 5_000, "日" * 5_000, "🦉" * 5_000, "x" * 100_000):
        assert remembered(value.encode()) == normalize.route(value)
    assert max(len(value) for value in asked) <= 16 * normalize.ROUTE_LENGTH
