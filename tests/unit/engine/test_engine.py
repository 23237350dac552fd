"""Records in, blocks out: numbers, tokens, offsets, counters, several partitions, bounded strings."""

import dataclasses
import io
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.model import Block
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables
from telemetry.domain.spans import Span
from telemetry.engine import engine as engine_module
from telemetry.engine.engine import Batch, Engine
from telemetry.engine.settings import EngineSettings
from telemetry.feeds.base import Record
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.support.otlp_messages import message_of
from tests.support.trace_builder import healthy

NOW = time.time_ns() // 1_000_000 - 3_600_000
"""An hour ago: the tables forget what is old."""


@pytest.fixture
def engine(module_chdb: ChdbEngine) -> Iterator[Engine]:
    """An engine with partition 0 assigned from offset 0 on."""
    engine = Engine(module_chdb, EngineSettings(), topic="otlp_spans", writer="me")
    engine.assign(0, next_offset=0, next_block=1)
    yield engine
    engine.shut()


def trace(number: int, last: int = 8) -> list[Span]:
    """The first spans of a healthy trace; all eight make it complete."""
    return [dataclasses.replace(s, trace_id=number.to_bytes(16)) for s in healthy().spans[:last]]


def record(offset: int, *spans: list[Span], at: int = NOW, partition: int = 0) -> Record:
    """A record with the spans."""
    payload = message_of([s for some in spans for s in some]).SerializeToString()
    return Record(partition, offset, at, payload)


def rows(block: Block) -> list[dict[str, Any]]:
    """What is in a block."""
    found: list[dict[str, Any]] = pa.ipc.open_file(io.BytesIO(block.arrow)).read_all().to_pylist()
    return found


def ids(batch: Batch) -> list[int]:
    """Numbers of the traces that a batch holds as paths."""
    return [int.from_bytes(r["trace_id"]) for b in batch.blocks for r in rows(b) if r["kind"] == "path"]


def test_a_batch_is_one_block_with_number_and_place(engine: Engine) -> None:
    """What is needed to store it once, and to find out who did."""
    engine.ingest([record(4, trace(1)), record(6, trace(2))])
    batch = engine.close(0, idle_now_ms=NOW + 2_000)
    (block,) = batch.blocks
    assert (batch.partition, batch.number, batch.paths, batch.resume_offset) == (0, 1, 2, 7)
    assert (block.partition, block.number, block.writer, block.rows) == (0, 1, "me", 2)
    assert block.feeds == {"request_paths"}
    assert block.columns == tuple(rows(block)[0])
    assert [(r["topic"], r["partition"], r["block"], r["writer"], r["last_offset"]) for r in rows(block)] == [
        ("otlp_spans", 0, 1, "me", 4),
        ("otlp_spans", 0, 1, "me", 6),
    ]


def test_a_block_is_one_record_batch(engine: Engine) -> None:
    """Deduplication counts blocks: what is cut in two may be doubled by half."""
    engine.ingest([record(n, *(trace(n * 100 + i) for i in range(50))) for n in range(1, 5)])
    (block,) = engine.close(0, everything=True).blocks
    assert pa.ipc.open_file(io.BytesIO(block.arrow)).num_record_batches == 1


def test_numbers_grow_only_with_blocks(engine: Engine) -> None:
    """A batch without blocks still says where to resume."""
    engine.ingest([record(3, trace(1, 7))])
    nothing = engine.close(0)
    assert (nothing.blocks, nothing.number, nothing.resume_offset) == ((), 1, 3)
    assert engine.close(0, everything=True).number == 1
    engine.ingest([record(4, trace(2))])
    assert engine.close(0, everything=True).number == 2


def test_time_passes_by_arrival_unless_the_partition_is_idle(engine: Engine) -> None:
    """A consumer that catches up closes traces as it would have then, whatever the wall clock says."""
    engine.ingest([record(0, trace(1))])
    assert ids(engine.close(0)) == []
    engine.ingest([record(1, trace(2), at=NOW + 1_999)])
    assert ids(engine.close(0)) == []
    engine.ingest([record(2, trace(3), at=NOW + 2_000)])
    assert ids(engine.close(0)) == [1]
    assert ids(engine.close(0, idle_now_ms=NOW - 10**9)) == []  # a wall clock that is behind does not turn time back
    assert ids(engine.close(0, idle_now_ms=NOW + 10**6)) == [2, 3]


def test_late_spans_are_in_the_same_block(engine: Engine, embedded_store: EmbeddedStore) -> None:
    """They land in their table, with the number of the same batch; the path is not made twice."""
    log = BlockLog(SqlLogTables(embedded_store, PATHS, "otlp_spans"), new_writer=lambda: "me")
    assert log.take_over(0).next_number == 2
    engine.ingest([record(0, trace(1))])
    engine.close(0, everything=True)
    late = dataclasses.replace(trace(1)[0], span_id=77, parent_id=2**64 - 1, kind=3, status=503, pop="fra")
    engine.ingest([record(5, [late], trace(2), at=NOW + 5)])
    (block,) = engine.close(0, everything=True).blocks
    assert (block.number, block.rows, block.feeds) == (2, 2, frozenset({"request_paths", "late_spans"}))
    assert engine.counters.late_spans == 1
    assert engine.close(0, everything=True).blocks == ()
    for _ in range(2):
        log.append(block)
    (row,) = embedded_store.query(
        "SELECT trace_hex, span_id, parent_id, kind, toUnixTimestamp64Nano(start), duration_ns, tier, component, pop, "
        "status, toUnixTimestamp64Milli(arrived), block, last_offset FROM late_spans"
    ).rows
    assert row == (
        *((1).to_bytes(16).hex(), 77, 2**64 - 1, 3, late.start_ns, 100, "client", "client", "fra", 503),
        *(NOW + 5, 2, 5),
    )
    assert embedded_store.query("SELECT trace_hex FROM request_paths").rows == [((2).to_bytes(16).hex(),)]


def test_replays_are_dropped_and_counted(engine: Engine) -> None:
    """The same records again after a crash between storing and committing."""
    first = [record(0, trace(1)), record(1, trace(2))]
    engine.ingest(first)
    engine.close(0, everything=True)
    engine.ingest(first)
    assert engine.counters.replayed_spans == 16
    assert engine.close(0, everything=True).blocks == ()


def test_an_assigned_partition_knows_what_was_emitted(module_chdb: ChdbEngine) -> None:
    """Trace ids and offsets come from the store; block numbers go on."""
    engine = Engine(module_chdb, EngineSettings(), topic="t", writer="w")
    emitted = [((1).to_bytes(16), 10), (b"\xff" * 16, 12)]
    engine.assign(4, next_offset=9, next_block=31, emitted=emitted, now_ms=NOW)
    engine.ingest([record(9, trace(1), partition=4), record(11, trace(1)[:1], trace(5), partition=4)])
    batch = engine.close(4, everything=True)
    assert (batch.number, [b.feeds for b in batch.blocks], ids(batch)) == (
        31,
        [frozenset({"request_paths", "late_spans"})],
        [5],
    )
    assert (engine.counters.replayed_spans, engine.counters.late_spans) == (8, 1)
    engine.shut()


def test_partitions_do_not_touch_each_other(engine: Engine) -> None:
    """Own traces, own numbers, own clocks; records of partitions that are not ours are left out."""
    engine.assign(1, next_offset=100, next_block=9)
    engine.ingest(
        [
            record(0, trace(1, 4)),
            record(100, trace(1)[4:], partition=1),
            record(101, trace(2), at=NOW + 60_000, partition=1),
            record(5, trace(3), partition=2),
        ]
    )
    assert list(engine.partitions) == [0, 1]
    assert engine.open_spans == 16
    assert ids(engine.close(0)) == []
    one = engine.close(1)
    assert (ids(one), one.number, one.resume_offset) == ([1], 9, 101)
    engine.forget(1)
    assert list(engine.partitions) == [0]
    assert engine.open_spans == 4
    engine.forget(1)


def test_what_cannot_be_decoded_is_given_back(engine: Engine) -> None:
    """Of each partition, with the reason; the place moves past it."""
    engine.assign(1, next_offset=0, next_block=1)
    bad = [Record(0, 1, NOW, b"\xff\xff"), Record(1, 7, NOW, b"\x0a\x99")]
    rejected = engine.ingest([record(0, trace(1)), *bad, record(2, trace(2))])
    assert [r for r, _ in rejected] == bad
    assert engine.close(0, everything=True).resume_offset == 3
    assert engine.close(1).resume_offset == 8


def test_counters(engine: Engine) -> None:
    """Everything that went through."""
    invalid = dataclasses.replace(trace(9)[0], span_id=0)
    engine.ingest([record(0, trace(1), [invalid]), record(1, trace(2, 7)), Record(0, 2, NOW, b"\xff")])
    engine.close(0, everything=True)
    engine.ingest([record(0, trace(1)), record(3, trace(1)[:1])])
    c = engine.counters
    assert dataclasses.asdict(c) == {
        "records": 5,
        "spans": 24,
        "invalid_spans": 1,
        "rejected_records": 1,
        "replayed_spans": 8,
        "late_spans": 1,
        "paths": 2,
        "complete_paths": 1,
    }


def test_full(module_chdb: ChdbEngine) -> None:
    """From so many open spans on, until some traces close."""
    engine = Engine(module_chdb, EngineSettings(max_open_spans=10), topic="t", writer="w")
    engine.assign(0, next_offset=0, next_block=1)
    engine.ingest([record(0, trace(1))])
    seen = [engine.full]
    engine.ingest([record(1, trace(2), at=NOW + 2_000)])
    seen.append(engine.full)
    assert ids(engine.close(0)) == [1]
    assert [*seen, engine.full] == [False, True, False]
    engine.shut()


def test_strings_are_bounded(module_chdb: ChdbEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender with endless new names: what open spans use is kept, all else is forgotten, and paths stay right."""
    monkeypatch.setattr(engine_module, "_STRINGS_KEPT", 100)
    engine = Engine(module_chdb, EngineSettings(), topic="t", writer="w")
    engine.assign(0, next_offset=0, next_block=1)
    waiting = [dataclasses.replace(s, route="/waits") for s in trace(1, 7)]
    engine.ingest([record(0, waiting)])
    for turn in range(1, 20):
        new = [dataclasses.replace(s, component=f"{s.tier}-{turn}", route=f"/r{turn}") for s in trace(1000 + turn)]
        names = [
            dataclasses.replace(s, component=f"c{turn}-{n}") for n in range(20) for s in trace(2000 + 20 * turn + n)
        ]
        engine.ingest([record(turn, new, names, at=NOW + turn)])
        batch = engine.close(0, idle_now_ms=NOW + 5_000 + turn)
        routes = {int.from_bytes(r["trace_id"]): r["route"] for r in rows(batch.blocks[0])}
        assert routes[1000 + turn] == f"/r{turn}"
        assert len(engine._strings) < 200
    (row,) = rows(engine.close(0, everything=True).blocks[0])
    assert (row["route"], row["hops.component"]) == ("/waits", ["client", "edge", "balancer", "gateway"])
    engine.shut()
