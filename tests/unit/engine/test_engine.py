"""Records in, blocks out: numbers, tokens, offsets, counters, several partitions, bounded strings."""

import dataclasses
import io
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from numpy.typing import NDArray

from telemetry.blocklog.model import Block
from telemetry.domain.paths import assemble
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine import engine as engine_module
from telemetry.engine.engine import Batch, Engine
from telemetry.engine.past import Past, Remembered
from telemetry.engine.rows import ROW_TYPES
from telemetry.engine.settings import EngineSettings
from telemetry.engine.strings import Codes, Strings
from telemetry.errors import UnavailableError
from telemetry.feeds.base import Record, batches_of
from tests.support.compare import row_of
from tests.support.otlp_messages import message_of
from tests.support.trace_builder import healthy

NOW = time.time_ns() // 1_000_000 - 3_600_000
"""An hour ago: the tables forget what is old."""


class Nothing:
    """A past in which nothing was emitted."""

    def find(self, partition: int, traces: Sequence[bytes]) -> Mapping[bytes, tuple[int, int]]:  # noqa: ARG002 - as Past
        """None of them."""
        return {}

    def originals(self, partition: int, blocks: Mapping[bytes, int]) -> Any:  # noqa: ARG002 - as Past
        """None of them."""
        return ROW_TYPES.empty_table()


class Kept(Nothing):
    """A past that has what the engine's blocks held; may be away."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.away = False

    def keep(self, batch: Batch) -> None:
        """The block has landed."""
        if batch.block is not None:
            self.rows += table(batch.block).to_pylist()

    def find(self, partition: int, traces: Sequence[bytes]) -> Mapping[bytes, tuple[int, int]]:  # noqa: ARG002 - as Past
        """As ``Past.find``."""
        self._reach()
        return {r["trace_id"]: (r["last_offset"], r["block"]) for r in self.rows if r["trace_id"] in traces}

    def originals(self, partition: int, blocks: Mapping[bytes, int]) -> Any:  # noqa: ARG002 - as Past
        """As ``Past.originals``."""
        self._reach()
        newest = {r["trace_id"]: r for r in self.rows if r["kind"] == "path" and r["sign"] == 1}
        wanted = [newest[trace] for trace in blocks if trace in newest]
        assert all(r["block"] == blocks[r["trace_id"]] for r in wanted)
        return pa.Table.from_pylist([{n: r[n] for n in ROW_TYPES.names} for r in wanted], schema=ROW_TYPES)

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("the past is away")


def new_engine(past: Past | None = None, **settings: int) -> Engine:
    """An engine with partition 0 assigned from offset 0 on."""
    engine = Engine(EngineSettings(**settings), topic="otlp_spans", past=past or Nothing())  # type: ignore[arg-type]
    engine.assign(0, writer="me", next_offset=0, next_block=1)
    return engine


@pytest.fixture
def engine() -> Engine:
    """The same, without a past."""
    return new_engine()


def trace(number: int, last: int = 8) -> list[Span]:
    """The first spans of a healthy trace; all eight make it complete."""
    return [dataclasses.replace(s, trace_id=number.to_bytes(16)) for s in healthy().spans[:last]]


def record(offset: int, *spans: list[Span], at: int = NOW, partition: int = 0) -> Record:
    """A record with the spans."""
    payload = message_of([s for some in spans for s in some]).SerializeToString()
    return Record(partition, offset, at, payload)


def table(block: Block) -> Any:
    """What is in a block."""
    return pa.ipc.open_file(io.BytesIO(block.arrow)).read_all()


def rows(batch: Batch) -> list[dict[str, Any]]:
    """The rows of a batch's block, if it has one."""
    found: list[dict[str, Any]] = table(batch.block).to_pylist() if batch.block else []
    return found


def take(engine: Engine, *records: Record) -> list[tuple[Record, str]]:
    """Let the engine take records in."""
    return engine.ingest(batches_of(records))


def close(engine: Engine, partition: int = 0, **how: Any) -> Batch:
    """Close what is due; every block before has landed."""
    return engine.close(partition, landed=1 << 40, **how)


def ids(batch: Batch) -> list[int]:
    """Numbers of the traces that a batch holds as paths."""
    return [int.from_bytes(r["trace_id"]) for r in rows(batch) if r["kind"] == "path" and r["sign"] == 1]


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


def test_full() -> None:
    """From so many open spans on, until some traces close."""
    engine = new_engine(max_open_spans=10)
    take(engine, record(0, trace(1)))
    seen = [engine.full]
    take(engine, record(1, trace(2), at=NOW + 2_000))
    seen.append(engine.full)
    assert ids(close(engine)) == [1]
    assert [*seen, engine.full] == [False, True, False]


def test_full_of_strings() -> None:
    """Few spans with long names: nothing more is taken in until they close; and then their names are forgotten."""
    engine = new_engine(max_string_bytes=1_000_000)
    number = 0
    for turn in range(3):
        begun = number
        while not engine.full:
            number += 1
            names = [dataclasses.replace(s, route=f"/{number}/" + "ab/" * 60) for s in trace(number)]
            take(engine, record(number, names, at=NOW + turn * 60_000))
        assert number - begun > 300
        found = len(ids(close(engine, waited_ms=1_000)))
        seen = [engine.full]
        found += len(ids(close(engine, waited_ms=12_000)))
        assert (found, engine.open_spans) == (number - begun, 0)
        assert [*seen, engine.full] == [True, False]
        assert len(engine._strings.words) < 300_000


def test_strings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender with endless new names: what open spans use is kept, all else is forgotten, and paths stay right."""
    monkeypatch.setattr(engine_module, "_STRINGS_KEPT", 1_200)
    engine = new_engine()
    waiting = [dataclasses.replace(s, route="/waits") for s in trace(1, 7)]
    take(engine, record(0, waiting))
    for turn in range(1, 20):
        new = [dataclasses.replace(s, component=f"{s.tier}-{turn}", route=f"/r{turn}") for s in trace(1000 + turn)]
        names = [
            dataclasses.replace(s, component=f"c{turn}-{n}") for n in range(20) for s in trace(2000 + 20 * turn + n)
        ]
        take(engine, record(turn, new, names, at=NOW + turn))
        routes = {
            int.from_bytes(r["trace_id"]): r["route"] for r in rows(close(engine, idle_now_ms=NOW + 5_000 + turn))
        }
        assert routes[1000 + turn] == f"/r{turn}"
        assert len(engine._strings) < 1_300
    (row,) = rows(close(engine, everything=True))
    assert (row["route"], row["hops.component"]) == ("/waits", ["client", "edge", "balancer", "gateway"])


def test_strings_that_are_all_in_use_are_not_sorted_out_at_every_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a second for some hundred thousand: only when there are twice as many as were in use the last time."""
    monkeypatch.setattr(engine_module, "_STRINGS_KEPT", 1_200)
    kept: list[int] = []
    keep = Strings.keep

    def counted(strings: Strings, used: NDArray[Any]) -> Codes:
        kept.append(len(used))
        return keep(strings, used)

    monkeypatch.setattr(Strings, "keep", counted)
    engine = new_engine()
    for turn in range(30):
        numbers = range(turn * 100 + 1, turn * 100 + 101)
        take(engine, record(turn, *([dataclasses.replace(trace(n)[0], component=f"c{n}")] for n in numbers)))
        close(engine)
    assert len(engine._strings) > 3_000
    assert len(kept) == 4
    assert all(after >= 2 * before - 5 for before, after in pairwise(kept))
    assert len(ids(close(engine, everything=True))) == 3_000
