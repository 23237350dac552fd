"""The engine: batches of records in, blocks out. No I/O but what is asked of the past; time is passed in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from telemetry.blocklog.model import Block
from telemetry.engine.decode import Decoder
from telemetry.engine.emitted import Emitted
from telemetry.engine.open_traces import Closed, Late, OpenTraces
from telemetry.engine.past import Past, Remembered
from telemetry.engine.restate import restate
from telemetry.engine.rows import arrow_file, path_rows, with_place
from telemetry.engine.settings import EngineSettings
from telemetry.engine.spans import STRING_FIELDS
from telemetry.engine.split import SplitTraces
from telemetry.engine.strings import Strings
from telemetry.feeds.base import Record, RecordBatch
from telemetry.store.tables import CORRECTIONS, LATE_SPANS, REQUEST_PATHS

_STRINGS_KEPT = 200_000
_ASKED = 5_000
"""How many traces are looked up in the past at once."""
_CLOCKS_MS = 10_000
"""So far senders' clocks may be wrong."""


@dataclass(slots=True)
class Counters:
    """What went through since the start."""

    records: int = 0
    bytes: int = 0
    spans: int = 0
    invalid_spans: int = 0
    rejected_records: int = 0
    replayed_spans: int = 0
    duplicate_spans: int = 0
    late_spans: int = 0
    paths: int = 0
    complete_paths: int = 0
    restated_paths: int = 0
    kept_late_spans: int = 0
    split_traces: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one partition has to store now.

    Attributes:
        partition: the partition.
        block: to be appended to the log; None if nothing closed.
        resume_offset: to be committed once the block has landed.
        paths: how many request paths the block holds, restated ones included.
        arrived_ms: when the newest record came that the partition had by then.
        large: whether the block is as large as blocks get, so that more may be due at once.
    """

    partition: int
    block: Block | None
    resume_offset: int
    paths: int
    arrived_ms: int = 0
    large: bool = False


@dataclass(slots=True)
class _Partition:
    open: OpenTraces
    writer: str
    next_block: int
    clock_ms: int = 0
    replayed: int = 0
    held: tuple[Closed | None, Late | None] | None = None  # what was taken out, while the past does not answer


class Engine:
    """Assembles request paths from the records of several partitions. Used by one thread."""

    def __init__(self, settings: EngineSettings, *, topic: str, past: Past) -> None:
        """Assemble with ``settings``.

        Args:
            settings: when traces close, and limits.
            topic: where the records come from; stands in every row.
            past: what was emitted before.
        """
        self._settings = settings
        self._strings = Strings(settings.tiers)
        self._most_strings = _STRINGS_KEPT
        self._few_spans = settings.max_open_spans  # when so few wait, strings that are too large are sorted out
        self._decoder = Decoder(self._strings)
        self._emitted = Emitted(settings.remember_ms, settings.max_remembered)
        self._split = SplitTraces()
        self._partitions: dict[int, _Partition] = {}
        self._topic = topic
        self._past = past
        self.counters = Counters()

    def assign(
        self,
        partition: int,
        *,
        writer: str,
        next_offset: int,
        next_block: int,
        emitted: Remembered | None = None,
        now_ms: int = 0,
    ) -> None:
        """Begin with a partition.

        Args:
            partition: its number.
            writer: whom its blocks are from.
            next_offset: the committed offset, where reading resumes.
            next_block: the number of the next block.
            emitted: traces that may come again.
            now_ms: the time, for how long those are remembered.
        """
        if emitted is not None:
            self._emitted.load(partition, emitted, now_ms)
        self._partitions[partition] = _Partition(
            OpenTraces(self._settings, self._emitted, partition, next_offset), writer, next_block
        )

    def forget(self, partition: int) -> None:
        """Drop everything of a partition that is no longer ours; what was not stored is read again by its next owner."""
        if self._partitions.pop(partition, None) is not None:
            self._emitted.forget(partition)

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that were assigned."""
        return tuple(self._partitions)

    @property
    def open_spans(self) -> int:
        """How many spans wait for their traces to close."""
        return sum(len(p.open) for p in tuple(self._partitions.values()))

    @property
    def open_traces(self) -> int:
        """How many traces are open."""
        return sum(p.open.traces for p in tuple(self._partitions.values()))

    @property
    def full(self) -> bool:
        """Whether no more records should be taken in now."""
        s = self._settings
        return self.open_spans >= s.max_open_spans or self._strings.memory >= s.max_string_bytes

    def split_example(self) -> str:
        """The id of a trace that came from two partitions; empty if there was none."""
        return self._split.example

    def ingest(self, batches: Sequence[RecordBatch]) -> list[tuple[Record, str]]:
        """Take records in; returns those that cannot be decoded, each with the reason.

        Records of partitions that are not assigned are left out.
        """
        c = self.counters
        rejected = []
        for batch in batches:
            partition = self._partitions.get(batch.partition)
            if partition is None or not len(batch):
                continue
            decoded = self._decoder.decode(batch.data, batch.begins, batch.ends, batch.arrival_ms, batch.offsets)
            c.records += len(batch)
            c.bytes += batch.size
            c.spans += len(decoded.spans)
            c.invalid_spans += decoded.invalid
            c.rejected_records += len(decoded.malformed)
            rejected += [(batch.record(place), decoded.reason) for place in decoded.malformed]
            partition.open.add(decoded.spans)
            self._split.look(decoded.spans, batch.partition)
            partition.open.next_offset = max(partition.open.next_offset, batch.next_offset)
            partition.clock_ms = max(partition.clock_ms, int(batch.arrival_ms.max()))
            c.replayed_spans += partition.open.replayed - partition.replayed
            partition.replayed = partition.open.replayed
        c.split_traces = self._split.count
        return rejected

    def close(
        self,
        partition: int,
        *,
        landed: int,
        idle_now_ms: int | None = None,
        waited_ms: int = 0,
        everything: bool = False,
    ) -> Batch:
        """What the partition has to store now; a batch without a block if nothing closed.

        Args:
            partition: its number.
            landed: its last block that has landed.
            idle_now_ms: the wall clock, if the partition has no more records waiting: then quiet time passes by it.
                Otherwise time passes by arrival, so that a consumer that catches up closes traces as it would have then.
            waited_ms: how long nothing was taken in because the engine is full: arrival time stands still then, so this
                passes on top of it, or what fills the engine would never close.
            everything: close all traces now (orderly end of a journal that nobody will resume).

        Raises:
            StoreError, UnavailableError: the past does not answer. Nothing is lost: what was taken out is held for the next
                time.
        """
        state = self._partitions[partition]
        now_ms = max(idle_now_ms or 0, state.clock_ms + waited_ms)
        opened = state.open
        if state.held is None:
            state.held = opened.close(
                now_ms, self._strings, block=state.next_block, landed=landed, everything=everything
            )
        closed, late = state.held
        tables: list[Any] = []
        feeds: set[str] = set()
        paths = 0
        if closed is not None and self._emitted.forgotten_before(partition):
            closed, more = self._look_up(partition, closed)
            late = more if late is None else late if more is None else _joined(late, more)
        if late is not None:
            paths += self._restate(partition, late, state.next_block, now_ms, tables, feeds)
        state.held = None
        if closed is not None:
            tables.append(path_rows(closed, self._strings, self._settings))
            feeds.add(REQUEST_PATHS)
            paths += len(closed.paths)
            found = closed.paths.paths
            self.counters.paths += len(found)
            self.counters.complete_paths += int((found["gaps"] == 0).sum())
            self.counters.duplicate_spans += len(closed.spans) - int(found["spans"].sum())
        block = None
        if tables:
            rows = [
                with_place(t, topic=self._topic, partition=partition, block=state.next_block, writer=state.writer)
                for t in tables
            ]
            block = Block(
                partition=partition,
                number=state.next_block,
                writer=state.writer,
                columns=tuple(rows[0].column_names),
                arrow=arrow_file(rows),
                rows=sum(t.num_rows for t in rows),
                feeds=frozenset(feeds),
            )
            state.next_block += 1
        large = closed is not None and len(closed.spans) >= self._settings.block_spans // 2
        batch = Batch(partition, block, opened.resume_offset(), paths, state.clock_ms, large)
        self._bound_strings()
        return batch

    def _restate(self, partition: int, late: Late, block: int, now_ms: int, tables: list[Any], feeds: set[str]) -> int:
        """Add the rows that late spans lead to; how many paths are restated."""
        ids = [int(high).to_bytes(8) + int(low).to_bytes(8) for high, low in late.traces.tolist()]
        blocks = dict(zip(ids, late.blocks.tolist(), strict=True))
        unknown = [i for i, where in blocks.items() if not where]
        if unknown:
            blocks |= {i: where for i, (_, where) in self._past.find(partition, unknown).items()}
        originals = self._past.originals(partition, {i: where for i, where in blocks.items() if where})
        found = restate(late, originals, self._strings, self._settings)
        self._emitted.add(
            partition,
            found.traces[:, 0],
            found.traces[:, 1],
            found.last_offset,
            np.where(found.again, block, found.blocks),
            now_ms,
        )
        tables += found.rows
        if found.late:
            feeds.add(LATE_SPANS)
        if found.restated:
            feeds |= {REQUEST_PATHS, CORRECTIONS}
        c = self.counters
        c.late_spans += found.late
        c.duplicate_spans += found.duplicates
        c.restated_paths += found.restated
        c.kept_late_spans += found.kept
        return found.restated

    def _look_up(self, partition: int, closed: Closed) -> tuple[Closed | None, Late | None]:
        """Tell apart what closed for the first time from late spans of traces that are no longer remembered.

        Only what is incomplete and old when it arrives can be such a remainder; the past is asked about those. How old it is
        says the sender's clock, so what comes out of the future may be old as well.
        """
        found = closed.paths.paths
        ended_ms = (found["start"] + found["total"]) // 1_000_000
        old = ended_ms < self._emitted.forgotten_before(partition) * 1000 + _CLOCKS_MS
        old |= ended_ms > found["arrived_ms"] + _CLOCKS_MS
        doubtful = np.flatnonzero(old & (found["gaps"] > 0))[:_ASKED]
        if not len(doubtful):
            return closed, None
        ids = [
            int(high).to_bytes(8) + int(low).to_bytes(8)
            for high, low in zip(found["trace_high"][doubtful], found["trace_low"][doubtful], strict=True)
        ]
        known = self._past.find(partition, ids)
        if not known:
            return closed, None
        again = np.zeros(len(found), dtype=np.bool_)
        again[[number for number, i in zip(doubtful, ids, strict=True) if i in known]] = True
        sizes = np.diff(closed.ends, prepend=0)
        which = np.repeat(again, sizes)
        traces = np.stack((found["trace_high"][again], found["trace_low"][again]), axis=1)
        blocks = np.array([known[i][1] for i in ids if i in known], dtype=np.int64)
        floors = np.repeat(np.array([known[i][0] for i in ids if i in known], dtype=np.int64), sizes[again])
        late = _after(Late(traces, blocks, closed.spans[which], np.cumsum(sizes[again])), floors)
        if again.all():
            return None, late
        first = Closed(
            closed.paths.only(~again), closed.spans[~which], np.cumsum(sizes[~again]), closed.overdue[~again]
        )
        return first, late

    def _bound_strings(self) -> None:
        """Forget strings that no open span uses: senders with endless new names must not fill the memory."""
        large = self._strings.memory >= self._settings.max_string_bytes and self.open_spans <= self._few_spans
        many = len(self._strings) >= self._most_strings
        if not (large or many) or any(p.held is not None for p in self._partitions.values()):
            return
        arenas = [(p.open.spans, p.open.places()) for p in self._partitions.values()]
        used = [np.unique(arena[name][live]) for arena, live in arenas for name in STRING_FIELDS]
        renamed = self._strings.keep(np.unique(np.concatenate([np.zeros(1, dtype=np.int32), *used])))
        for arena, _ in arenas:
            for name in STRING_FIELDS:
                arena[name] = renamed[arena[name]]
        self._decoder.forget()
        # Where all of them are in use there is nothing to gain until there are many others, or fewer spans that use them.
        self._most_strings = max(_STRINGS_KEPT, 2 * len(self._strings) - self._strings.fixed)
        large = 2 * self._strings.memory >= self._settings.max_string_bytes
        self._few_spans = 3 * self.open_spans // 4 if large else self._settings.max_open_spans


def _after(late: Late, floors: Any) -> Late:
    """Only the spans whose record had not contributed yet."""
    fresh = late.spans["offset"] > floors
    counts = np.add.reduceat(fresh.astype(np.int64), np.concatenate(([0], late.ends[:-1])))
    there = counts > 0
    return replace(
        late,
        traces=late.traces[there],
        blocks=late.blocks[there],
        spans=late.spans[fresh],
        ends=np.cumsum(counts[there]),
    )


def _joined(one: Late, other: Late) -> Late:
    return Late(
        np.concatenate((one.traces, other.traces)),
        np.concatenate((one.blocks, other.blocks)),
        np.concatenate((one.spans, other.spans)),
        np.concatenate((one.ends, other.ends + len(one.spans))),
    )
