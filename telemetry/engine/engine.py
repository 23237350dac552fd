"""The engine: batches of records in, blocks out. No I/O but what is asked of the past; time is passed in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from telemetry.blocklog.model import Block
from telemetry.engine.counters import Counters
from telemetry.engine.decode import Decoder
from telemetry.engine.emitted import Emitted
from telemetry.engine.late import Joined, LateSpans, both
from telemetry.engine.open_traces import Closed, Late, OpenTraces
from telemetry.engine.past import Past, Remembered
from telemetry.engine.rows import arrow_file, path_rows, with_place
from telemetry.engine.settings import EngineSettings
from telemetry.engine.spans import STRING_FIELDS
from telemetry.engine.split import SplitTraces
from telemetry.engine.strings import Strings
from telemetry.feeds.base import Record, RecordBatch
from telemetry.store.tables import REQUEST_PATHS

_STRINGS_KEPT = 200_000
_ANY = 1 << 62


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
    replayed_until: int = -1
    clock_ms: int = 0
    replayed: int = 0
    # What was taken out, while the past does not answer, or while there is no room for it in a block.
    held: tuple[Closed | None, Late | None] | None = None

    @property
    def held_spans(self) -> int:
        return sum(len(part.spans) for part in self.held or () if part is not None)

    @property
    def resume_offset(self) -> int:
        """Where a restart would have to begin."""
        waiting = [int(part.spans["offset"].min()) for part in self.held or () if part is not None]
        return min([self.open.resume_offset(), *waiting])


class Engine:
    """Assembles request paths from the records of several partitions. Used by one thread."""

    def __init__(self, settings: EngineSettings, *, topic: str, past: Past, counters: Counters | None = None) -> None:
        """Assemble with ``settings``.

        Args:
            settings: when traces close, and limits.
            topic: where the records come from; stands in every row.
            past: what was emitted before.
            counters: what an engine before this one has counted, to go on with.
        """
        self._settings = settings
        self._strings = Strings(settings.tiers)
        self._most_strings = _STRINGS_KEPT
        self._few_spans = _ANY  # when no more wait, strings that are too large are sorted out
        self._decoder = Decoder(self._strings)
        self._emitted = Emitted(settings.remember_ms, settings.max_remembered)
        self._split = SplitTraces()
        self._partitions: dict[int, _Partition] = {}
        self._topic = topic
        self.counters = counters or Counters()
        self._late = LateSpans(past, self._emitted, self._strings, settings, self.counters)

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
        replayed_until = -1
        if emitted is not None:
            self._emitted.load(partition, emitted, now_ms)
            replayed_until = int(emitted.offsets.max(initial=-1))
        self._partitions[partition] = _Partition(
            OpenTraces(self._settings, self._emitted, partition, next_offset), writer, next_block, replayed_until
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
        return sum(len(p.open) + p.held_spans for p in tuple(self._partitions.values()))

    @property
    def open_traces(self) -> int:
        """How many traces are open."""
        return sum(p.open.traces for p in tuple(self._partitions.values()))

    @property
    def full(self) -> bool:
        """Whether no more records should be taken in now."""
        waiting = sum(p.open.memory for p in self._partitions.values())
        return waiting + self._strings.memory >= self._settings.max_open_bytes

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
                now_ms,
                self._strings,
                block=state.next_block,
                landed=landed,
                everything=everything,
                tight=sum(p.open.room for p in self._partitions.values()) > 5 * self._settings.max_open_bytes // 4,
            )
        closed, late = state.held
        unsaid = None
        if closed is not None and self._emitted.forgotten_before(partition):
            apart = self._late.told_apart(partition, closed, state.replayed_until)
            closed, late, unsaid = apart.first, both(late, apart.late), apart.rest
        made = Joined()
        if late is not None:
            made = self._late.joined(partition, late, state.next_block, now_ms)
        state.held = (unsaid, made.rest) if unsaid is not None or made.rest is not None else None
        if closed is not None:
            made.rows.append(path_rows(closed, self._strings, self._settings))
            made.feeds.add(REQUEST_PATHS)
            made.paths += len(closed.paths)
            found = closed.paths.paths
            self.counters.paths += len(found)
            self.counters.complete_paths += int((found["gaps"] == 0).sum())
            self.counters.duplicate_spans += len(closed.spans) - int(found["spans"].sum())
        block = None
        if made.rows:
            rows = [
                with_place(t, topic=self._topic, partition=partition, block=state.next_block, writer=state.writer)
                for t in made.rows
            ]
            block = Block(
                partition=partition,
                number=state.next_block,
                writer=state.writer,
                columns=tuple(rows[0].column_names),
                arrow=arrow_file(rows),
                rows=sum(t.num_rows for t in rows),
                feeds=frozenset(made.feeds),
            )
            state.next_block += 1
        if unsaid is not None:
            self._note(partition, unsaid, state.next_block, now_ms)
        large = state.held is not None or (closed is not None and closed.large)
        batch = Batch(partition, block, state.resume_offset, made.paths, state.clock_ms, large)
        self._bound_strings()
        return batch

    def _note(self, partition: int, closed: Closed, block: int, now_ms: int) -> None:
        """What closed comes in another block than it was to."""
        found = closed.paths.paths
        self._emitted.add(
            partition,
            found["trace_high"],
            found["trace_low"],
            found["last_offset"],
            np.full(len(found), block, dtype=np.int64),
            now_ms,
        )

    def _bound_strings(self) -> None:
        """Forget strings that no open span uses: senders with endless new names must not fill the memory."""
        most = self._settings.max_open_bytes // 2
        large = self._strings.memory >= most and self.open_spans <= self._few_spans
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
        self._few_spans = 3 * self.open_spans // 4 if 2 * self._strings.memory >= most else _ANY
