"""The traces of one partition that are not closed yet."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telemetry.engine import trace_table as tables
from telemetry.engine.emitted import Emitted
from telemetry.engine.paths import Paths, assemble
from telemetry.engine.settings import EngineSettings
from telemetry.engine.span_data import Bytes, pack
from telemetry.engine.spans import SPAN, SpanArray
from telemetry.engine.strings import Strings
from telemetry.engine.tree import Places

_SMALLEST = 1 << 10
_LARGE = 1 << 18
"""Places from which on arrays grow by a quarter: what is doubled may be half empty."""
_ROOMY = 30
"""Closes after which arrays that are much too large shrink; there is about one a second."""


@dataclass(slots=True)
class Closed:
    """Traces that closed for the first time.

    Attributes:
        paths: their paths.
        spans: their spans, one trace after the other.
        ends: where each trace's spans end.
        overdue: which had to close; the others were settled.
        packed: the same spans as they are kept beside the paths (:mod:`telemetry.engine.span_data`).
        packed_ends: where each trace's bytes end.
        large: whether they are about as many as are looked at for one block, so that more may be due.
    """

    paths: Paths
    spans: SpanArray
    ends: Places
    overdue: NDArray[np.bool_]
    packed: Bytes
    packed_ends: Places
    large: bool = False

    def only(self, wanted: NDArray[np.bool_], strings: Strings) -> "Closed":
        """Those that are ``wanted``."""
        sizes = np.diff(self.ends, prepend=0)
        spans, ends = self.spans[np.repeat(wanted, sizes)], np.cumsum(sizes[wanted])
        return Closed(
            self.paths.only(wanted), spans, ends, self.overdue[wanted], *pack(spans, ends, strings), self.large
        )


@dataclass(slots=True)
class Late:
    """Traces that were emitted before, and of which more spans came.

    Attributes:
        traces: pairs of the trace id's halves.
        blocks: the block that each was emitted in last.
        spans: the late spans, one trace after the other.
        ends: where each trace's spans end.
    """

    traces: NDArray[np.uint64]
    blocks: Places
    spans: SpanArray
    ends: Places

    def part(self, begin: int, end: int) -> "Late":
        """Those from one number to another."""
        first = int(self.ends[begin - 1]) if begin else 0
        ends = self.ends[begin:end]
        spans = self.spans[first : int(ends[-1]) if len(ends) else first]
        return Late(self.traces[begin:end], self.blocks[begin:end], spans, ends - first)


class OpenTraces:
    """Spans of one partition, waiting for their traces to close. Time is arrival time, passed in."""

    def __init__(self, settings: EngineSettings, emitted: Emitted, partition: int, next_offset: int) -> None:
        """Begin at ``next_offset``; ``emitted`` says which traces were emitted before."""
        self._settings = settings
        self._emitted = emitted
        self._secret = emitted.table.secret
        self._partition = partition
        self._counts = np.zeros(tables.COUNTS, dtype=np.int64)
        self._counts[tables.FREE_SPAN] = self._counts[tables.FREE_TRACE] = tables.NONE
        self._make_arrays(_SMALLEST, _SMALLEST)
        self._roomy = 0  # how many times in a row they were much too large
        self.next_offset = next_offset

    def __len__(self) -> int:
        return int(self._counts[tables.SPANS])

    @property
    def traces(self) -> int:
        """How many traces are open."""
        return int(self._counts[tables.TRACES])

    @property
    def memory(self) -> int:
        """Bytes that what waits takes."""
        return len(self) * (SPAN.itemsize + 4) + self.traces * (tables.TRACE.itemsize + 8)

    @property
    def room(self) -> int:
        """Bytes of the arrays that it lies in."""
        return self._arena.nbytes + self._chain.nbytes + self._traces.nbytes + self._slots.nbytes

    @property
    def replayed(self) -> int:
        """Spans that were dropped since the start because their record had contributed to an emitted path."""
        return int(self._counts[tables.REPLAYED])

    @property
    def spans(self) -> SpanArray:
        """The arena of the waiting spans; what is free in it holds old spans."""
        return self._arena[: self._counts[tables.USED_SPANS]]

    def places(self) -> Places:
        """Where in the arena the waiting spans are."""
        live = np.flatnonzero(self._traces["count"][: self._counts[tables.USED_TRACES]])
        return self._members(live)[0]

    def add(self, spans: SpanArray) -> None:
        """Take spans in."""
        if not len(spans):
            return
        self._make_room(len(spans))
        tables.add_spans(
            spans,
            self._partition,
            self._arena,
            self._chain,
            self._traces,
            self._slots,
            self._counts,
            self._emitted.table,
        )

    def close(
        self, now_ms: int, strings: Strings, *, block: int, landed: int, everything: bool = False, tight: bool = False
    ) -> tuple[Closed | None, Late | None]:
        """Take out the traces that close at ``now_ms``.

        Args:
            now_ms: arrival time.
            strings: what the spans' codes stand for.
            block: the number of the block that what closes will be in.
            landed: the last block of this partition that has landed; late spans wait until theirs has.
            everything: close all.
            tight: room that is not used is needed elsewhere.
        """
        self._shrink(tight=tight)
        if not len(self):
            return None, None
        s = self._settings
        if self._counts[tables.LATE]:
            tables.follow_blocks(self._traces, self._counts[tables.USED_TRACES], self._partition, self._emitted.table)
        ripe = np.empty(self.traces, dtype=np.int64)
        overdue = np.empty(self.traces, dtype=np.bool_)
        found = tables.ripe_traces(
            self._traces,
            self._counts[tables.USED_TRACES],
            now_ms - s.grace_ms,
            now_ms - s.complete_grace_ms,
            now_ms - s.max_age_ms,
            s.max_spans_per_trace,
            landed,
            everything,
            s.block_spans,
            ripe,
            overdue,
        )
        if not found:
            return None, None
        ripe, overdue = ripe[:found], overdue[:found]
        late = self._traces["floor"][ripe] >= 0
        return (
            self._close_first(ripe[~late], overdue[~late], strings, block, now_ms),
            self._close_late(ripe[late]),
        )

    def resume_offset(self) -> int:
        """Where a restart would have to begin: the first record that still has an open trace, else the next one."""
        return int(tables.first_offset(self._traces, self._counts[tables.USED_TRACES], self.next_offset))

    def _close_first(
        self, ripe: Places, overdue: NDArray[np.bool_], strings: Strings, block: int, now_ms: int
    ) -> Closed | None:
        if not len(ripe):
            return None
        s = self._settings
        members, ends = self._members(ripe)
        paths = assemble(self._arena, members, ends, strings)
        closes = paths.paths["settled"] | overdue
        if not closes.all():
            tables.mark_looked_at(self._traces, ripe[~closes])
            if not closes.any():
                return None
            sizes = np.diff(ends, prepend=0)
            members, ends = members[np.repeat(closes, sizes)], np.cumsum(sizes[closes])
            paths = paths.only(closes)
            ripe, overdue = ripe[closes], overdue[closes]
        spans = self._copy(members)
        packed, packed_ends = pack(spans, ends, strings, s.block_bytes)
        cut = len(packed_ends) < len(ends)
        if cut:  # the others stay, and close the next time
            first = np.arange(len(ends)) < len(packed_ends)
            paths, ripe, overdue, ends = paths.only(first), ripe[first], overdue[first], ends[first]
            spans = spans[: ends[-1]]
        tables.take_out(self._traces, self._chain, self._slots, self._counts, ripe, self._secret)
        found = paths.paths
        self._emitted.add(
            self._partition,
            found["trace_high"],
            found["trace_low"],
            found["last_offset"],
            np.full(len(found), block, dtype=np.int64),
            now_ms,
        )
        large = cut or 2 * (len(spans) + tables.TRACE_COUNTS * len(ends)) >= s.block_spans
        return Closed(paths, spans, ends, overdue, packed, packed_ends, large)

    def _close_late(self, ripe: Places) -> Late | None:
        if not len(ripe):
            return None
        members, ends = self._members(ripe)
        traces = np.stack((self._traces["high"][ripe], self._traces["low"][ripe]), axis=1)
        late = Late(traces, self._traces["block"][ripe], self._copy(members), ends)
        tables.take_out(self._traces, self._chain, self._slots, self._counts, ripe, self._secret)
        return late

    def _copy(self, members: Places) -> SpanArray:
        """Spans out of the arena, as bytes: numpy would copy them field by field."""
        whole = np.dtype((np.void, SPAN.itemsize))
        copied: SpanArray = self._arena.view(whole)[members].view(SPAN)
        return copied

    def _members(self, ripe: Places) -> tuple[Places, Places]:
        members = np.empty(int(self._traces["count"][ripe].sum()), dtype=np.int64)
        ends = np.empty(len(ripe), dtype=np.int64)
        tables.members_of(self._traces, self._chain, ripe, members, ends)
        return members, ends

    def _make_arrays(self, spans: int, traces: int) -> None:
        self._arena: SpanArray = np.empty(spans, dtype=SPAN)
        self._chain = np.empty(spans, dtype=np.int32)
        self._traces: NDArray[np.void] = np.zeros(traces, dtype=tables.TRACE)
        self._slots = np.full(_slots_for(traces), tables.NONE, dtype=np.int32)

    def _make_room(self, coming: int) -> None:
        """Room for so many more spans, each perhaps of a trace of its own."""
        spans, traces = len(self) + coming, self.traces + coming
        # In place: the system moves large arrays without copying them. Nobody holds on to a view of them.
        if spans > len(self._arena):
            size = _at_least(spans, len(self._arena))
            self._arena.resize(size, refcheck=False)
            self._chain.resize(size, refcheck=False)
        if traces > len(self._traces):
            size = _at_least(traces, len(self._traces))
            self._traces.resize(size, refcheck=False)
            if len(self._slots) < (slots := _slots_for(size)):
                self._slots = np.full(slots, tables.NONE, dtype=np.int32)
                tables.find_slots(self._traces, self._counts[tables.USED_TRACES], self._slots, self._secret)

    def _shrink(self, *, tight: bool) -> None:
        """Give memory back some time after a flood, for another may follow at once; if memory is tight, at once."""
        spans, traces = len(self._arena), len(self._traces)
        if tight and 2 * len(self) < spans and 2 * self.traces < traces and max(spans, traces) > 8 * _SMALLEST:
            self._move(max(len(self), _SMALLEST), max(self.traces, _SMALLEST))
        elif max(spans, traces) > 8 * _SMALLEST and 8 * len(self) < spans and 8 * self.traces < traces:
            self._roomy += 1
        else:
            self._roomy = 0
        if self._roomy >= _ROOMY:
            self._roomy = 0
            self._move(spans // 4, traces // 4)

    def _move(self, spans: int, traces: int) -> None:
        arena, chain, old = self._arena, self._chain, self._traces
        used = self._counts[tables.USED_TRACES]
        self._make_arrays(spans, traces)
        new = (self._arena, self._chain, self._traces, self._slots)
        tables.copy_live(arena, chain, old, used, *new, self._counts, self._secret)


def _at_least(wanted: int, size: int) -> int:
    while size < wanted:
        size += size if size < _LARGE else size // 4
    return size


def _slots_for(traces: int) -> int:
    """A power of two, of which no more than half are taken."""
    return 1 << (2 * traces - 1).bit_length()
