"""An engine with a past, and what its tests send and read."""

import dataclasses
import io
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from telemetry.blocklog.model import Block
from telemetry.domain.spans import Span
from telemetry.engine.engine import Batch, Engine
from telemetry.engine.past import Past
from telemetry.engine.rows import ROW_TYPES
from telemetry.engine.settings import EngineSettings
from telemetry.errors import UnavailableError
from telemetry.feeds.base import Record, batches_of
from tests.support.otlp_messages import message_of
from tests.support.trace_builder import healthy

NOW = time.time_ns() // 1_000_000 - 3_600_000
"""An hour ago: the tables forget what is old."""


class Nothing:
    """A past in which nothing was emitted."""

    def find(self, _partition: int, _traces: Sequence[bytes], /) -> Mapping[bytes, tuple[int, int]]:
        """None of them."""
        return {}

    def originals(self, _partition: int, _blocks: Mapping[bytes, int], /) -> Any:
        """None of them."""
        return ROW_TYPES.empty_table()


class Kept(Nothing):
    """A past that has what the engine's blocks held; may be away."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.away = False
        self.answers: int | None = None  # how often it answers before it goes away; None: it stays

    def keep(self, batch: Batch) -> None:
        """The block has landed."""
        if batch.block is not None:
            self.rows += table(batch.block).to_pylist()

    def find(self, _partition: int, traces: Sequence[bytes], /) -> Mapping[bytes, tuple[int, int]]:
        """As ``Past.find``."""
        self._reach()
        return {r["trace_id"]: (r["last_offset"], r["block"]) for r in self.rows if r["trace_id"] in traces}

    def originals(self, _partition: int, blocks: Mapping[bytes, int], /) -> Any:
        """As ``Past.originals``."""
        self._reach()
        newest = {r["trace_id"]: r for r in self.rows if r["kind"] == "path" and r["sign"] == 1}
        wanted = [newest[trace] for trace in blocks if trace in newest]
        assert all(r["block"] == blocks[r["trace_id"]] for r in wanted)
        return pa.Table.from_pylist([{n: r[n] for n in ROW_TYPES.names} for r in wanted], schema=ROW_TYPES)

    def _reach(self) -> None:
        if self.answers is not None:
            self.answers -= 1
        if self.away or (self.answers is not None and self.answers < 0):
            raise UnavailableError("the past is away")


def new_engine(past: Past | None = None, **settings: int) -> Engine:
    """An engine with partition 0 assigned from offset 0 on."""
    engine = Engine(EngineSettings(**settings), topic="otlp_spans", past=past or Nothing())  # type: ignore[arg-type]
    engine.assign(0, writer="me", next_offset=0, next_block=1)
    return engine


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
