"""When traces close, and what becomes of spans that come after. Time is passed in; nothing here waits."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from telemetry.domain.paths import RequestPath, assemble
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine.columns import SpanColumns, Strings
from telemetry.engine.emitted import Emitted, trace_keys
from telemetry.engine.open_traces import Added, OpenTraces
from telemetry.engine.settings import EngineSettings
from tests.support.compare import request_paths
from tests.support.trace_builder import healthy
from tests.support.traces import Seeded, random_spans

SETTINGS = EngineSettings(complete_grace_ms=2_000, grace_ms=10_000, max_age_ms=60_000, max_spans_per_trace=20)
A, B = b"\x0a" * 16, b"\x0b" * 16


class Bench:
    """Open traces with their surroundings, speaking the domain's language."""

    def __init__(self, settings: EngineSettings = SETTINGS, next_offset: int = 0) -> None:
        self.strings = Strings()
        self.emitted = Emitted(settings.remember_ms)
        self.open = OpenTraces(settings, self.emitted, next_offset)
        self.paths: dict[bytes, RequestPath] = {}

    def add(self, spans: list[Span], at: int, offset: int) -> Added:
        """Spans of one record."""
        stamped = [dataclasses.replace(s, arrival_ms=at, offset=offset) for s in spans]
        self.open.next_offset = offset + 1
        return self.open.add(SpanColumns.of(stamped, self.strings))

    def close(self, now: int, *, everything: bool = False) -> set[bytes]:
        """The ids of the traces that close now; their paths are kept."""
        closed = self.open.close(now, self.strings, everything=everything)
        if closed is None:
            return set()
        paths = request_paths(closed.paths, self.strings)
        gone = {trace_id for trace_id, out in zip(paths, closed.closed, strict=True) if out}
        assert not gone & set(self.paths), "a trace was emitted twice"
        self.paths.update({trace_id: paths[trace_id] for trace_id in gone})
        return gone


def spans(trace_id: bytes, *, complete: bool = True) -> list[Span]:
    """A healthy trace, or one whose API span has not come yet."""
    made = [dataclasses.replace(s, trace_id=trace_id) for s in healthy().spans]
    return made if complete else made[:-1]


class TestClosing:
    """Quiet time, age, size."""

    def test_a_complete_trace_closes_after_the_short_grace(self) -> None:
        """To the millisecond."""
        bench = Bench()
        bench.add(spans(A), 1_000, 0)
        assert bench.close(2_999) == set()
        assert bench.close(3_000) == {A}
        assert bench.paths[A] == assemble(spans(A), Tiers())
        assert len(bench.open) == 0

    def test_an_incomplete_trace_closes_after_the_long_grace(self) -> None:
        """It is a path all the same."""
        bench = Bench()
        bench.add(spans(A, complete=False), 1_000, 0)
        assert bench.close(10_999) == set()
        assert bench.close(11_000) == {A}
        assert bench.paths[A] == assemble(spans(A, complete=False), Tiers())

    def test_every_span_begins_the_quiet_time_anew(self) -> None:
        """Also of a trace that looks complete."""
        bench = Bench()
        bench.add(spans(A), 1_000, 0)
        bench.add([dataclasses.replace(healthy().spans[0], trace_id=A, span_id=99, parent_id=1)], 2_500, 1)
        assert bench.close(4_499) == set()
        assert bench.close(4_500) == {A}

    def test_an_old_trace_closes_though_spans_keep_coming(self) -> None:
        """Its age counts from its first span."""
        bench = Bench()
        for number in range(15):
            bench.add([dataclasses.replace(spans(A)[1], span_id=number + 2)], number * 4_000, number)
            assert bench.close(number * 4_000) == set()
        bench.add([dataclasses.replace(spans(A)[1], span_id=99)], 59_998, 15)
        assert bench.close(59_999) == set()
        assert bench.close(60_000) == {A}

    def test_a_trace_with_too_many_spans_closes_at_once(self) -> None:
        """What comes of it later is late; others are not touched."""
        bench = Bench()
        many = [dataclasses.replace(spans(A)[0], span_id=n) for n in range(1, 22)]
        bench.add(many[:20] + spans(B), 0, 0)
        assert bench.close(0) == set()
        bench.add(many[20:], 0, 1)
        assert bench.close(0) == {A}
        assert len(bench.add(many[:3], 0, 2).late) == 3
        assert len(bench.open) == 8

    def test_closing_everything(self) -> None:
        """At the orderly end."""
        bench = Bench()
        bench.add(spans(A) + spans(B, complete=False), 0, 0)
        assert bench.close(0, everything=True) == {A, B}

    def test_one_closes_and_the_others_stay_whole(self) -> None:
        """Mixed in one record; the ones that stay are complete later."""
        bench = Bench()
        mixed = [s for pair in zip(spans(A), spans(B), strict=True) for s in pair]
        bench.add(mixed[:-1], 0, 0)
        assert bench.close(2_000) == {A}
        bench.add(mixed[-1:], 2_500, 1)
        assert bench.close(4_500) == {B}
        assert bench.paths[B] == assemble(spans(B), Tiers())

    def test_nothing_closes_nothing(self) -> None:
        assert Bench().close(10**9, everything=True) == set()


class TestAfterwards:
    """Spans whose trace was emitted."""

    def test_a_new_span_is_late(self) -> None:
        """Kept apart, never a second path."""
        bench = Bench()
        bench.add(spans(A, complete=False), 0, 5)
        bench.close(10_000)
        added = bench.add(spans(A)[-1:] + spans(B), 11_000, 6)
        assert (len(added.late), added.replayed, len(bench.open)) == (1, 0, 8)
        assert int(added.late.span_id[0]) == spans(A)[-1].span_id
        assert bench.close(30_000) == {B}

    def test_a_replayed_span_is_dropped(self) -> None:
        """Its record had contributed: the consumer went back over records that it had read."""
        bench = Bench()
        bench.add(spans(A)[:4], 0, 5)
        bench.add(spans(A)[4:], 0, 7)
        bench.close(2_000)
        for offset in (4, 5, 6, 7):
            assert bench.add(spans(A)[:4], 3_000, offset).replayed == 4
        added = bench.add(spans(A)[:4], 3_000, 8)
        assert (len(added.late), added.replayed) == (4, 0)

    def test_what_was_emitted_before_a_restart_is_known(self) -> None:
        """As the store tells it."""
        bench = Bench(next_offset=3)
        keys = trace_keys(np.array([0x0A0A0A0A0A0A0A0A], np.uint64), np.array([0x0A0A0A0A0A0A0A0A], np.uint64))
        bench.emitted.add(keys, np.array([6]), 0)
        assert bench.add(spans(A), 0, 6).replayed == 8
        assert len(bench.add(spans(A)[:1], 0, 7).late) == 1
        assert len(bench.add(spans(B), 0, 3).late) == 0


class TestResumeOffset:
    """Where a restart would have to begin."""

    def test_it_is_the_first_record_with_an_open_trace(self) -> None:
        """Else the next record."""
        bench = Bench(next_offset=100)
        assert bench.open.resume_offset() == 100
        bench.add(spans(A, complete=False), 0, 104)
        bench.add(spans(B), 100, 107)
        assert bench.open.resume_offset() == 104
        bench.close(2_100)
        assert bench.open.resume_offset() == 104
        bench.close(10_000)
        assert bench.open.resume_offset() == 108

    def test_records_without_spans_move_it(self) -> None:
        """Empty messages, rejected ones and replays must not be read forever."""
        bench = Bench()
        bench.add([], 0, 8)
        assert bench.open.resume_offset() == 9


@pytest.mark.parametrize("seed", range(8))
def test_every_span_has_one_fate(seed: int) -> None:
    """Random traces whose spans come in any order, late, and twice: each trace is one path; nothing vanishes."""
    chance = Seeded(seed)
    bench = Bench(dataclasses.replace(SETTINGS, max_spans_per_trace=10_000))
    waiting = [s for n in range(1, 60) for s in random_spans(chance, n.to_bytes(16), 10)]
    chance.random.shuffle(waiting)
    sent = waiting.copy()
    late: list[tuple[bytes, int]] = []
    now = offset = 0
    while waiting:
        part = [waiting.pop() for _ in range(min(len(waiting), chance.number(1, 30)))]
        now, offset = now + chance.number(0, 4_000), offset + chance.number(1, 3)
        added = bench.add(part, now, offset)
        assert added.replayed == 0
        late += zip(trace_ids(added.late), added.late.span_id.tolist(), strict=True)
        bench.close(now)
        assert bench.open.resume_offset() <= offset + 1
        assert (bench.open.resume_offset() == offset + 1) == (len(bench.open) == 0)
    bench.close(now, everything=True)
    assert len(bench.open) == 0
    assert bench.open.resume_offset() == offset + 1
    assert set(bench.paths) == {n.to_bytes(16) for n in range(1, 60)}
    for trace_id, path in bench.paths.items():
        mine = Counter(s.span_id for s in sent if s.trace_id == trace_id)
        mine -= Counter(span_id for one, span_id in late if one == trace_id)
        assert path.spans == len(mine)


def trace_ids(columns: SpanColumns) -> list[bytes]:
    """The trace id of every span."""
    pairs = zip(columns.trace_high.tolist(), columns.trace_low.tolist(), strict=True)
    return [high.to_bytes(8) + low.to_bytes(8) for high, low in pairs]


class TestEmitted:
    """The memory of what was emitted."""

    def test_it_forgets_after_a_while(self) -> None:
        """At least as long as asked for, and not much longer: it is bounded by time."""
        emitted = Emitted(remember_ms=600_000)
        key = np.array([7], np.uint64)
        emitted.add(key, np.array([1]), 0)
        for minute in range(1, 30):
            emitted.add(np.array([1000 + minute], np.uint64), np.array([minute]), minute * 60_000)
            known = int(emitted.last_offset(key)[0])
            assert known == 1 if minute <= 10 else minute <= 12 or known == -1
        assert len(emitted) <= 13

    def test_many_in_one_minute(self) -> None:
        """Added in several portions, found in any order."""
        emitted = Emitted(remember_ms=60_000)
        chance = np.random.default_rng(1)
        keys = chance.permutation(np.arange(1, 5_001, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        for begin in range(0, 5_000, 700):
            part = keys[begin : begin + 700]
            emitted.add(part, np.arange(begin, begin + len(part)), 5)
        assert emitted.last_offset(keys).tolist() == list(range(5_000))
        assert emitted.last_offset(np.array([0, 5, 2**64 - 1], np.uint64)).tolist() == [-1, -1, -1]

    def test_the_key_uses_the_whole_id(self) -> None:
        """Traces that share a half are different ones."""
        high, low = (grid.ravel().astype(np.uint64) for grid in np.meshgrid(np.arange(300), np.arange(300)))
        assert len(np.unique(trace_keys(high, low))) == 90_000


class TestStrings:
    """Strings with codes."""

    def test_equal_strings_have_equal_codes(self) -> None:
        strings = Strings()
        assert strings.codes(["a", "", "b", "a"]).tolist() == [1, 0, 2, 1]
        assert [strings.text(c) for c in (0, 1, 2)] == ["", "a", "b"]

    def test_keep_forgets_the_rest(self) -> None:
        """And says what became of the codes."""
        strings = Strings()
        strings.codes(["a", "b", "c", "d"])
        renamed = strings.keep(np.array([0, 4, 2], np.int32))
        assert list(strings.texts) == ["", "b", "d"]
        assert renamed[[0, 2, 4]].tolist() == [0, 1, 2]
        assert strings.code("b") == 1
        assert strings.code("a") == 3
