"""When traces close, and what becomes of spans that come after. Time is passed in; nothing here waits."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from telemetry.domain.paths import RequestPath, assemble
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine.emitted import Emitted
from telemetry.engine.open_traces import OpenTraces
from telemetry.engine.settings import EngineSettings
from telemetry.engine.spans import SpanArray, span_array
from telemetry.engine.strings import Strings
from tests.support.compare import request_paths
from tests.support.trace_builder import healthy
from tests.support.traces import Seeded, random_spans

SETTINGS = EngineSettings(complete_grace_ms=2_000, grace_ms=10_000, max_age_ms=60_000, max_spans_per_trace=20)
A, B = b"\x0a" * 16, b"\x0b" * 16


@dataclasses.dataclass
class Added:
    """What became of spans that came in: of so many the trace was emitted before; so many were dropped."""

    late: int
    replayed: int


class Bench:
    """Open traces with their surroundings, speaking the domain's language."""

    def __init__(self, settings: EngineSettings = SETTINGS, next_offset: int = 0) -> None:
        self.strings = Strings(Tiers())
        self.emitted = Emitted(settings.remember_ms, settings.max_remembered)
        self.open = OpenTraces(settings, self.emitted, 0, next_offset)
        self.paths: dict[bytes, RequestPath] = {}
        self.late: list[SpanArray] = []
        self.blocks = 0

    def add(self, spans: list[Span], at: int, offset: int) -> Added:
        """Spans of one record."""
        stamped = [dataclasses.replace(s, arrival_ms=at, offset=offset) for s in spans]
        self.open.next_offset = offset + 1
        late, replayed = self._late(), self.open.replayed
        self.open.add(span_array(stamped, self.strings))
        return Added(self._late() - late, self.open.replayed - replayed)

    def close(self, now: int, *, everything: bool = False) -> set[bytes]:
        """The ids of the traces that close now for the first time; their paths are kept, late spans as well."""
        self.blocks += 1
        closed, late = self.open.close(now, self.strings, block=self.blocks, landed=self.blocks, everything=everything)
        if late is not None:
            self.late.append(late.spans)
        paths = request_paths(closed.paths, self.strings) if closed is not None else {}
        assert not set(paths) & set(self.paths), "a trace was emitted twice"
        self.paths.update(paths)
        return set(paths)

    def _late(self) -> int:
        traces = self.open._traces
        return int(traces["count"][(traces["count"] > 0) & (traces["floor"] >= 0)].sum())


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
        assert bench.add(many[:3], 0, 2).late == 3
        assert len(bench.open) == 11

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
        assert (added.late, added.replayed, len(bench.open)) == (1, 0, 9)
        assert bench.close(30_000) == {B}
        assert [some["span_id"].tolist() for some in bench.late] == [[spans(A)[-1].span_id]]

    def test_a_replayed_span_is_dropped(self) -> None:
        """Its record had contributed: the consumer went back over records that it had read."""
        bench = Bench()
        bench.add(spans(A)[:4], 0, 5)
        bench.add(spans(A)[4:], 0, 7)
        bench.close(2_000)
        for offset in (4, 5, 6, 7):
            assert bench.add(spans(A)[:4], 3_000, offset).replayed == 4
        added = bench.add(spans(A)[:4], 3_000, 8)
        assert (added.late, added.replayed) == (4, 0)

    def test_what_was_emitted_before_a_restart_is_known(self) -> None:
        """As the store tells it."""
        bench = Bench(next_offset=3)
        half = np.array([0x0A0A0A0A0A0A0A0A], np.uint64)
        bench.emitted.add(0, half, half, np.array([6]), np.array([1]), 0)
        assert bench.add(spans(A), 0, 6).replayed == 8
        assert bench.add(spans(A)[:1], 0, 7).late == 1
        assert bench.add(spans(B), 0, 3).late == 0


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
    now = offset = 0
    while waiting:
        part = [waiting.pop() for _ in range(min(len(waiting), chance.number(1, 30)))]
        now, offset = now + chance.number(0, 4_000), offset + chance.number(1, 3)
        assert bench.add(part, now, offset).replayed == 0
        bench.close(now)
        assert bench.open.resume_offset() <= offset + 1
        assert (bench.open.resume_offset() == offset + 1) == (len(bench.open) == 0)
    bench.close(now, everything=True)
    bench.close(now, everything=True)
    assert (len(bench.open), bench.open.traces) == (0, 0)
    assert bench.open.resume_offset() == offset + 1
    assert set(bench.paths) == {n.to_bytes(16) for n in range(1, 60)}
    late = Counter(pair for some in bench.late for pair in zip(trace_ids(some), some["span_id"].tolist(), strict=True))
    for trace_id, path in bench.paths.items():
        mine = Counter((trace_id, s.span_id) for s in sent if s.trace_id == trace_id)
        assert path.spans == len(mine - late)


def trace_ids(spans: SpanArray) -> list[bytes]:
    """The trace id of every span."""
    pairs = zip(spans["trace_high"].tolist(), spans["trace_low"].tolist(), strict=True)
    return [high.to_bytes(8) + low.to_bytes(8) for high, low in pairs]


@pytest.mark.parametrize("seed", range(4))
def test_the_table_under_a_flood_and_after(seed: int) -> None:
    """Many traces come and go in any order; none is lost in the table, and the memory comes back."""
    chance = Seeded(seed)
    bench = Bench(dataclasses.replace(SETTINGS, grace_ms=1, complete_grace_ms=1))
    one = spans(A)[0]
    expected: set[bytes] = set()
    largest = 0
    for turn in range(40):
        ids = [chance.random.randbytes(16) for _ in range(chance.pick((0, 1, 50, 3_000, 9_000)))]
        some = [i for i in ids if chance.random.random() < 0.5]
        bench.add([dataclasses.replace(one, trace_id=i) for i in ids], turn * 10, turn)
        bench.add([dataclasses.replace(one, trace_id=i, span_id=2, parent_id=1) for i in some], turn * 10 + 5, turn)
        largest = max(largest, len(bench.open._arena))
        expected |= set(ids)
        bench.close(turn * 10 + 4)
    bench.close(1_000, everything=True)
    assert set(bench.paths) == expected
    assert len(bench.open._arena) == largest, "another flood may follow at once"
    for _ in range(100):
        bench.add([one], 2_000, 99)
        bench.close(2_000, everything=True)
    assert set(bench.paths) - {A} == expected
    assert len(bench.open._arena) < largest
