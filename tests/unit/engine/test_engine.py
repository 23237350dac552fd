"""Records in, blocks out: numbers, tokens, offsets, counters, several partitions."""

import dataclasses
import io
from typing import Any

import pyarrow as pa
import pytest

from telemetry.domain.paths import assemble
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine import late
from telemetry.engine.engine import Engine
from telemetry.engine.past import Remembered
from telemetry.errors import UnavailableError
from telemetry.feeds.base import Record
from tests.support.compare import row_of
from tests.support.engine_rig import NOW, Kept, close, ids, new_engine, record, rows, take, trace


@pytest.fixture
def engine() -> Engine:
    """The same, without a past."""
    return new_engine()


def test_a_batch_is_one_block_with_its_number_and_place(engine: Engine) -> None:
    """What is needed to store it once, and to find out who did."""
    take(engine, record(4, trace(1)), record(6, trace(2)))
    batch = close(engine, idle_now_ms=NOW + 2_000)
    block = batch.block
    assert block is not None
    assert (batch.partition, batch.paths, batch.resume_offset, batch.arrived_ms) == (0, 2, 7, NOW)
    assert (block.partition, block.number, block.writer, block.rows, set(block.feeds)) == (
        *(0, 1, "me", 2),
        {"request_paths"},
    )
    assert block.columns == tuple(rows(batch)[0])
    assert [(r["topic"], r["partition"], r["block"], r["writer"], r["last_offset"]) for r in rows(batch)] == [
        ("otlp_spans", 0, 1, "me", 4),
        ("otlp_spans", 0, 1, "me", 6),
    ]


def test_a_block_is_one_record_batch() -> None:
    """Deduplication counts blocks: what is cut in two may be doubled by half."""
    past = Kept()
    engine = new_engine(past)
    take(engine, *(record(n, *(trace(n * 100 + i) for i in range(50))) for n in range(1, 5)))
    first = close(engine, everything=True)
    past.keep(first)
    take(engine, record(9, trace(101)[:1], [late_span(102)], trace(7)))
    second = close(engine, everything=True)
    for batch in (first, second):
        assert batch.block is not None
        assert pa.ipc.open_file(io.BytesIO(batch.block.arrow)).num_record_batches == 1


def test_numbers_grow_only_with_blocks(engine: Engine) -> None:
    """A batch without a block still says where to resume."""
    take(engine, record(3, trace(1, 7)))
    nothing = close(engine)
    assert (nothing.block, nothing.resume_offset) == (None, 3)
    numbers = []
    for offset in (4, 5):
        batch = close(engine, everything=True)
        assert batch.block is not None
        numbers.append(batch.block.number)
        take(engine, record(offset, trace(offset)))
    assert numbers == [1, 2]


def test_time_passes_by_arrival_unless_the_partition_is_idle(engine: Engine) -> None:
    """A consumer that catches up closes traces as it would have then, whatever the wall clock says."""
    take(engine, record(0, trace(1)))
    assert ids(close(engine)) == []
    take(engine, record(1, trace(2), at=NOW + 1_999))
    assert ids(close(engine)) == []
    take(engine, record(2, trace(3), at=NOW + 2_000))
    assert ids(close(engine)) == [1]
    assert ids(close(engine, idle_now_ms=NOW - 10**9)) == []  # a wall clock that is behind does not turn time back
    assert ids(close(engine, idle_now_ms=NOW + 10**6)) == [2, 3]


def late_span(number: int, **fields: Any) -> Span:
    """A span that comes after its trace was emitted."""
    return dataclasses.replace(trace(number)[0], **{"span_id": 77, "parent_id": 1, "kind": 3, "status": 503, **fields})


class TestLateSpans:
    """They restate their path: taken back, and given again with them."""

    def test_a_path_is_restated(self) -> None:
        """Late spans, the old row taken back exactly, the new one: in one block; it is the reference's path of all spans."""
        past = Kept()
        engine = new_engine(past)
        take(engine, record(0, trace(1, 7)))
        first = close(engine, everything=True)
        past.keep(first)
        take(engine, record(5, trace(1)[7:], trace(2), at=NOW + 5))
        batch = close(engine, everything=True)
        assert batch.block is not None
        assert batch.block.feeds == {"request_paths", "late_spans", "corrections"}
        late, old, new, other = rows(batch)
        assert [(r["kind"], r["sign"], r["version"]) for r in (late, old, new, other)] == [
            ("late", 1, 1),
            ("path", -1, 1),
            ("path", 1, 2),
            ("path", 1, 1),
        ]
        (before,) = rows(first)
        changed = {name for name in old if old[name] != before[name]}
        assert changed == {"sign", "span_data", "block"}
        expected = row_of(assemble(trace(1), Tiers()))
        assert {n: new[n] for n in expected if n in new and n not in ("start", "client_hash")} == {
            n: v for n, v in expected.items() if n in new and n not in ("start", "client_hash")
        }
        assert (new["last_offset"], new["arrived"].timestamp()) == (5, (NOW + 5) / 1000)
        c = engine.counters
        assert (c.late_spans, c.restated_paths, c.paths, c.duplicate_spans) == (1, 1, 2, 0)
        assert ids(close(engine, everything=True)) == []

    def test_again_and_again_until_there_are_too_many_versions(self) -> None:
        """Then late spans are kept, and the path stays."""
        past = Kept()
        engine = new_engine(past, max_versions=3)
        take(engine, record(0, trace(1)))
        past.keep(close(engine, everything=True))
        seen = []
        for turn in range(1, 6):
            take(engine, record(turn, [late_span(1, span_id=100 + turn)]))
            batch = close(engine, everything=True)
            past.keep(batch)
            seen.append(sorted((r["kind"], r["sign"], r["version"], r["spans"]) for r in rows(batch)))
        assert seen[0] == [("late", 1, 1, 0), ("path", -1, 1, 8), ("path", 1, 2, 9)]
        assert seen[1] == [("late", 1, 1, 0), ("path", -1, 2, 9), ("path", 1, 3, 10)]
        assert seen[2:] == [[("late", 1, 1, 0)]] * 3
        assert engine.counters.kept_late_spans == 3

    def test_copies_change_nothing(self) -> None:
        """A producer's retry after its trace was emitted."""
        past = Kept()
        engine = new_engine(past)
        take(engine, record(0, trace(1)))
        past.keep(close(engine, everything=True))
        take(engine, record(1, trace(1)[:3], trace(1)[2:4]))
        batch = close(engine, everything=True)
        assert (batch.block, batch.resume_offset, engine.counters.duplicate_spans) == (None, 2, 5)

    def test_another_span_with_a_known_id_is_no_copy(self) -> None:
        """The one that the reference believes is in the new path."""
        past = Kept()
        engine = new_engine(past)
        take(engine, record(0, trace(1)))
        past.keep(close(engine, everything=True))
        longer = dataclasses.replace(trace(1)[0], duration_ns=10**9)
        take(engine, record(1, [longer], [longer]))
        (_, _, new) = rows(close(engine, everything=True))
        assert (new["total_ns"], new["spans"]) == (10**9, 8)

    def test_they_wait_until_their_path_has_landed(self) -> None:
        """It cannot be read back before."""
        past = Kept()
        engine = new_engine(past)
        take(engine, record(0, trace(1)))
        first = close(engine, everything=True)
        take(engine, record(1, [late_span(1)]))
        waits = engine.close(0, landed=0, everything=True)
        assert (waits.block, waits.resume_offset) == (None, 1)
        past.keep(first)
        assert engine.close(0, landed=1, everything=True).paths == 1

    def test_a_past_that_is_away_loses_nothing(self) -> None:
        """What was taken out is held, with everything that closed beside it."""
        past = Kept()
        engine = new_engine(past)
        take(engine, record(0, trace(1)))
        past.keep(close(engine, everything=True))
        take(engine, record(1, [late_span(1)], trace(2)))
        past.away = True
        for _ in range(2):
            with pytest.raises(UnavailableError):
                close(engine, everything=True)
        past.away = False
        assert sorted(ids(close(engine, everything=True))) == [1, 2]
        assert close(engine).resume_offset == 2

    def test_what_is_not_remembered_is_looked_up(self) -> None:
        """A remainder that comes when the trace is forgotten is found by asking, and is no second path."""
        past = Kept()
        engine = new_engine(past, max_remembered=10, remember_ms=1_000)
        now = [dataclasses.replace(s, start_ns=s.start_ns % 10**9 + NOW * 10**6) for s in trace(1)]
        take(engine, record(0, now[:7]))
        past.keep(close(engine, everything=True))
        for turn in range(1, 1_000):
            at = NOW + turn * 60_000
            fresh = [dataclasses.replace(s, start_ns=at * 10**6) for n in range(10) for s in trace(turn * 10 + n)]
            take(engine, record(turn, fresh, at=at))
            past.keep(close(engine, idle_now_ms=at + 3_000, everything=True))
        take(engine, record(2_000, now[7:], at=NOW + 60_100_000))
        batch = close(engine, everything=True)
        assert [(r["kind"], r["sign"], r["version"]) for r in rows(batch)] == [
            ("late", 1, 1),
            ("path", -1, 1),
            ("path", 1, 2),
        ]
        assert len(engine._emitted) < 10_000

    def test_what_is_read_again_is_looked_up_if_it_is_not_remembered(self) -> None:
        """More was emitted beyond the committed offset than is remembered: whole traces come again, and make no second path."""
        past = Kept()
        before = new_engine(past)
        again = [record(offset, trace(offset + 1)) for offset in range(30)]
        take(before, *again)
        past.keep(close(before, everything=True))
        engine = new_engine(past, max_remembered=10, remember_ms=1_000)
        known = Remembered.of([((offset + 1).to_bytes(16), offset, 1) for offset in range(30)])
        engine.assign(1, writer="w", next_offset=0, next_block=1)
        engine.assign(0, writer="w", next_offset=0, next_block=2, emitted=known, now_ms=NOW)
        for turn in range(1, 400):
            others = [s for n in range(10) for s in trace(1_000 + turn * 10 + n)]
            take(engine, record(turn, others, at=NOW + turn * 60_000, partition=1))
            close(engine, 1, everything=True)
        take(engine, *again, record(30, trace(31)))
        batch = close(engine, everything=True)
        assert engine.counters.replayed_spans == 0
        assert (ids(batch), {r["kind"] for r in rows(batch)}, batch.resume_offset) == ([31], {"path"}, 31)

    def test_what_is_read_again_is_not_looked_up_where_all_is_remembered(self) -> None:
        """After any restart there is more that was open then: ClickHouse need not say that it was not emitted."""
        past = Kept()
        past.away = True
        engine = new_engine(past)
        known = dataclasses.replace(Remembered.of([((1).to_bytes(16), 9, 1)]), forgotten_ms=NOW - 60_000)
        engine.assign(0, writer="w", next_offset=5, next_block=2, emitted=known, now_ms=NOW)
        again = [dataclasses.replace(s, start_ns=s.start_ns % 10**9 + NOW * 10**6) for s in trace(2)]
        take(engine, record(5, again), record(9, trace(1)))
        assert ids(close(engine, everything=True)) == [2]

    def test_many_that_must_be_looked_up_come_in_several_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The past is asked about so many at once; each path is found again in the block that it came in."""
        monkeypatch.setattr(late, "_ASKED", 4)
        past = Kept()
        engine = new_engine(past)
        old = [[dataclasses.replace(s, start_ns=s.start_ns % 10**9) for s in trace(n)] for n in range(1, 11)]
        take(engine, *(record(n, spans[:6]) for n, spans in enumerate(old[:5])))
        past.keep(close(engine, everything=True))
        known = dataclasses.replace(Remembered.of([(b"\1" * 16, 0, 1)]), forgotten_ms=NOW)
        engine = new_engine(past)
        engine.assign(0, writer="w", next_offset=5, next_block=2, emitted=known, now_ms=NOW)
        take(engine, *(record(5 + n, spans[6:7]) for n, spans in enumerate(old[:5])))
        take(engine, *(record(10 + n, spans[:7]) for n, spans in enumerate(old[5:])))
        offsets = {n + 1: 5 + n for n in range(10)}
        found = []
        while offsets:
            batch = close(engine, everything=True)
            past.keep(batch)
            found.append(ids(batch))
            for number in found[-1]:
                del offsets[number]
            assert (batch.large, engine.open_spans > 0) == (bool(offsets), bool(offsets))
            assert batch.resume_offset == min(offsets.values(), default=15)
        assert (sorted(n for some in found for n in some), len(found)) == (list(range(1, 11)), 3)
        take(engine, *(record(15 + n, spans[7:]) for n, spans in enumerate(old)))
        batch = close(engine, everything=True)
        versions = {int.from_bytes(r["trace_id"]): r["version"] for r in rows(batch) if r["kind"] == "path"}
        assert versions == {n: 3 if n <= 5 else 2 for n in range(1, 11)}

    @pytest.mark.parametrize(("ahead_ms", "asked"), [(0, False), (9_000, False), (86_400_000, True)])
    def test_a_clock_that_is_ahead_makes_nothing_new(self, ahead_ms: int, asked: bool) -> None:
        """What comes out of the future may be old: it is looked up. What is new by an honest clock is not."""
        past = Kept()
        engine = new_engine(past)
        late = [dataclasses.replace(s, start_ns=s.start_ns % 10**9 + (NOW + ahead_ms) * 10**6) for s in trace(1)]
        take(engine, record(0, late[:7]))
        past.keep(close(engine, everything=True))
        engine.assign(
            1,
            writer="w",
            next_offset=0,
            next_block=2,
            emitted=dataclasses.replace(Remembered.of([(b"\1" * 16, 0, 1)]), forgotten_ms=NOW - 60_000),
            now_ms=NOW,
        )
        take(engine, record(1, late[7:], at=NOW + 5_000, partition=1))
        kinds = [(r["kind"], r["sign"], r["version"]) for r in rows(close(engine, 1, everything=True))]
        assert kinds == ([("late", 1, 1), ("path", -1, 1), ("path", 1, 2)] if asked else [("path", 1, 1)])

    def test_a_trace_with_very_many_spans_is_not_restated(self) -> None:
        """One trace id for everything: nothing grows with what has come before."""
        past = Kept()
        engine = new_engine(past, max_spans_per_trace=1_000)
        many = [late_span(1, span_id=n, parent_id=0) for n in range(1, 3_001)]
        take(engine, record(0, many))
        past.keep(close(engine))
        take(engine, record(1, [late_span(1, span_id=9_000)]))
        assert [r["kind"] for r in rows(close(engine, everything=True))] == ["late"]


def test_replays_are_dropped_and_counted(engine: Engine) -> None:
    """The same records again after a crash between storing and committing."""
    first = [record(0, trace(1)), record(1, trace(2))]
    take(engine, *first)
    close(engine, everything=True)
    take(engine, *first)
    assert engine.counters.replayed_spans == 16
    assert close(engine, everything=True).block is None


def test_an_assigned_partition_knows_what_was_emitted() -> None:
    """Trace ids, offsets and blocks come from the store; block numbers go on."""
    engine = new_engine()
    emitted = Remembered.of([((1).to_bytes(16), 10, 30), (b"\xff" * 16, 12, 28)])
    engine.assign(4, writer="w", next_offset=9, next_block=31, emitted=emitted, now_ms=NOW)
    take(engine, record(9, trace(1), partition=4), record(11, trace(1)[:1], trace(5), partition=4))
    batch = close(engine, 4, everything=True)
    assert batch.block is not None
    assert (batch.block.number, set(batch.block.feeds), ids(batch)) == (31, {"late_spans", "request_paths"}, [5])
    assert (engine.counters.replayed_spans, engine.counters.late_spans) == (8, 1)


def test_partitions_do_not_touch_each_other(engine: Engine) -> None:
    """Own traces, own numbers, own clocks; records of partitions that are not ours are left out."""
    engine.assign(1, writer="w", next_offset=100, next_block=9)
    take(
        engine,
        record(0, trace(1, 4)),
        record(100, trace(1)[4:], partition=1),
        record(101, trace(2), at=NOW + 60_000, partition=1),
        record(5, trace(3), partition=2),
    )
    assert list(engine.partitions) == [0, 1]
    assert (engine.open_spans, engine.open_traces) == (16, 3)
    assert ids(close(engine)) == []
    one = close(engine, 1)
    assert one.block is not None
    assert (ids(one), one.block.number, one.resume_offset) == ([1], 9, 101)
    engine.forget(1)
    assert list(engine.partitions) == [0]
    assert engine.open_spans == 4
    engine.forget(1)


def test_a_trace_in_two_partitions_is_noticed(engine: Engine) -> None:
    """Of those that are watched; once each, with an example."""
    engine.assign(1, writer="w", next_offset=0, next_block=1)
    for turn in range(3):
        take(engine, record(turn, trace(8), trace(16)), record(turn, trace(8), trace(24), partition=1))
    assert (engine.counters.split_traces, engine.split_example()) == (1, f"{8:032x}")


def test_what_cannot_be_decoded_is_given_back(engine: Engine) -> None:
    """Of each partition, with the reason; the place moves past it."""
    engine.assign(1, writer="w", next_offset=0, next_block=1)
    bad = [Record(0, 1, NOW, b"\xff\xff"), Record(1, 7, NOW, b"\x0a\x99")]
    rejected = take(engine, record(0, trace(1)), *bad, record(2, trace(2)))
    assert [r for r, _ in rejected] == bad
    assert close(engine, everything=True).resume_offset == 3
    assert close(engine, 1).resume_offset == 8


def test_counters() -> None:
    """Everything that went through."""
    engine = new_engine()
    invalid = dataclasses.replace(trace(9)[0], span_id=0)
    take(engine, record(0, trace(1), [invalid], trace(1)[:2]), record(1, trace(2, 7)), Record(0, 2, NOW, b"\xff"))
    close(engine, everything=True)
    take(engine, record(0, trace(1)), record(3, trace(1)[:1]))
    close(engine, everything=True)
    c = dataclasses.asdict(engine.counters)
    assert c.pop("bytes") > 1_000
    assert c == {
        "records": 5,
        "spans": 26,
        "invalid_spans": 1,
        "rejected_records": 1,
        "replayed_spans": 8,
        "duplicate_spans": 2,
        "late_spans": 1,
        "paths": 2,
        "complete_paths": 1,
        "restated_paths": 0,
        "kept_late_spans": 1,
        "split_traces": 0,
    }
