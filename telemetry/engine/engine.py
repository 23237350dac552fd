"""The engine: records in, blocks out. No I/O but ClickHouse's engine in this process; time is passed in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from telemetry.blocklog.model import Block
from telemetry.engine.columns import I64, U64, SpanColumns, Strings
from telemetry.engine.decode import Decoder
from telemetry.engine.emitted import Emitted, trace_keys
from telemetry.engine.open_traces import OpenTraces
from telemetry.engine.rows import arrow_bytes, late_rows, log_rows, path_rows, with_place
from telemetry.engine.settings import EngineSettings
from telemetry.feeds.base import Record
from telemetry.store.chdb import ChdbEngine
from telemetry.store.tables import LATE_SPANS, REQUEST_PATHS

_STRINGS_KEPT = 200_000


@dataclass(slots=True)
class Counters:
    """What went through since the start."""

    records: int = 0
    spans: int = 0
    invalid_spans: int = 0
    rejected_records: int = 0
    replayed_spans: int = 0
    late_spans: int = 0
    paths: int = 0
    complete_paths: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one partition has to store now.

    Attributes:
        partition: the partition.
        number: the block's number in the partition's sequence.
        blocks: one, or none.
        resume_offset: to be committed once the block has landed.
        paths: how many request paths the block holds.
    """

    partition: int
    number: int
    blocks: tuple[Block, ...]
    resume_offset: int
    paths: int


@dataclass(slots=True)
class _Partition:
    open: OpenTraces
    emitted: Emitted
    next_block: int
    writer: str
    late: list[SpanColumns]
    clock_ms: int = 0


class Engine:
    """Assembles request paths from the records of several partitions. Used by one thread."""

    def __init__(self, chdb: ChdbEngine, settings: EngineSettings, *, topic: str, writer: str = "") -> None:
        """Assemble with ``settings``.

        Args:
            chdb: decodes the records.
            settings: when traces close, and limits.
            topic: where the records come from; stored with every row.
            writer: who writes, for partitions that are assigned without one.
        """
        self._settings = settings
        self._strings = Strings()
        self._decoder = Decoder(chdb, settings.tiers, self._strings)
        self._partitions: dict[int, _Partition] = {}
        self._topic = topic
        self._writer = writer
        self.counters = Counters()

    def assign(
        self,
        partition: int,
        *,
        next_offset: int,
        next_block: int,
        emitted: Iterable[tuple[bytes, int]] = (),
        now_ms: int = 0,
        writer: str = "",
    ) -> None:
        """Begin with a partition.

        Args:
            partition: its number.
            next_offset: the committed offset, where reading resumes.
            next_block: the number of the next block.
            emitted: traces that may come again: (trace id, offset of the last record that contributed).
            now_ms: the time, for how long those are remembered.
            writer: who writes; stored with every row.
        """
        known = Emitted(self._settings.remember_ms)
        pairs = list(emitted)
        if pairs:
            halves = np.frombuffer(b"".join(trace for trace, _ in pairs), dtype=">u8").reshape(-1, 2).astype(np.uint64)
            offsets: I64 = np.fromiter((offset for _, offset in pairs), dtype=np.int64)
            keys: U64 = trace_keys(halves[:, 0], halves[:, 1])
            known.add(keys, offsets, now_ms)
        open_traces = OpenTraces(self._settings, known, next_offset)
        self._partitions[partition] = _Partition(open_traces, known, next_block, writer or self._writer, [])

    def forget(self, partition: int) -> None:
        """Drop everything of a partition that is no longer ours; what was not stored is read again by its next owner."""
        self._partitions.pop(partition, None)

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that were assigned."""
        return tuple(self._partitions)

    @property
    def open_spans(self) -> int:
        """How many spans wait for their traces to close."""
        return sum(len(p.open) for p in self._partitions.values())

    @property
    def full(self) -> bool:
        """Whether no more records should be taken in now."""
        return self.open_spans >= self._settings.max_open_spans

    def ingest(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Take records in; returns those that cannot be decoded, each with the reason.

        Records of partitions that are not assigned are left out.

        Raises:
            StoreError: ClickHouse's engine failed for a reason that is not in the records.
        """
        ours = [r for r in records if r.partition in self._partitions]
        if not ours:
            return []
        # One statement for all partitions: it costs tens of milliseconds before it has read a byte.
        decoded = self._decoder.decode(ours)
        c = self.counters
        c.records += len(ours)
        c.spans += len(decoded.spans)
        c.invalid_spans += decoded.invalid
        c.rejected_records += len(decoded.rejected)
        for record in ours:
            partition = self._partitions[record.partition]
            partition.open.next_offset = max(partition.open.next_offset, record.offset + 1)
            partition.clock_ms = max(partition.clock_ms, record.arrival_ms)
        for number in {record.partition for record in ours}:
            mine = decoded.spans.partition == number
            partition = self._partitions[number]
            added = partition.open.add(decoded.spans if mine.all() else decoded.spans.take(mine))
            if len(added.late):
                partition.late.append(added.late)
            c.replayed_spans += added.replayed
            c.late_spans += len(added.late)
        return decoded.rejected

    def close(
        self, partition: int, *, idle_now_ms: int | None = None, waited_ms: int = 0, everything: bool = False
    ) -> Batch:
        """What the partition has to store now; a batch without blocks if nothing closed.

        Args:
            partition: its number.
            idle_now_ms: the wall clock, if the partition has no more records waiting: then quiet time passes by it.
                Otherwise time passes by arrival, so that a consumer that catches up closes traces as it would have then.
            waited_ms: how long nothing was taken in because the engine is full: arrival time stands still then, so this
                passes on top of it, or what fills the engine would never close.
            everything: close all traces now (orderly end of a journal that nobody will resume).
        """
        state = self._partitions[partition]
        now_ms = max(idle_now_ms or 0, state.clock_ms + waited_ms)
        closed = state.open.close(now_ms, self._strings, everything=everything)
        paths = late = None
        if closed is not None:
            paths = path_rows(closed, self._strings, self._settings)
            self.counters.paths += paths.num_rows
            self.counters.complete_paths += int((closed.paths.complete & closed.closed).sum())
        if state.late:
            late = late_rows(SpanColumns.concat(state.late), self._strings)
            state.late.clear()
        blocks = [self._block(partition, state, paths, late)] if paths is not None or late is not None else []
        count = paths.num_rows if paths is not None else 0
        batch = Batch(partition, state.next_block, tuple(blocks), state.open.resume_offset(), count)
        if blocks:
            state.next_block += 1
        self._bound_strings()
        return batch

    def shut(self) -> None:
        """Let go of what was opened."""
        self._decoder.close()

    def _block(self, partition: int, state: _Partition, paths: "pa.Table | None", late: "pa.Table | None") -> Block:
        rows = log_rows(paths, late)
        placed = with_place(rows, topic=self._topic, partition=partition, block=state.next_block, writer=state.writer)
        return Block(
            partition=partition,
            number=state.next_block,
            writer=state.writer,
            columns=tuple(placed.column_names),
            arrow=arrow_bytes(placed),
            rows=placed.num_rows,
            feeds=frozenset(name for name, part in ((REQUEST_PATHS, paths), (LATE_SPANS, late)) if part is not None),
        )

    def _bound_strings(self) -> None:
        """Forget strings that no open span uses: senders with endless new names must not fill the memory."""
        if len(self._strings) < _STRINGS_KEPT:
            return
        parts = [part for p in self._partitions.values() for part in (*p.open.parts, *p.late)]
        used = np.concatenate([np.zeros(1, dtype=np.int32), *(part.used_codes() for part in parts)])
        renamed = self._strings.keep(used)
        for part in parts:
            part.rename(renamed)
