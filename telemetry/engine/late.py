"""Late spans: told apart from new traces, and joined to the paths that were emitted without them."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from telemetry.engine.counters import Counters
from telemetry.engine.emitted import Emitted
from telemetry.engine.open_traces import Closed, Late
from telemetry.engine.past import Past
from telemetry.engine.restate import Restated, restate
from telemetry.engine.settings import EngineSettings
from telemetry.engine.strings import Strings
from telemetry.errors import EdgepathError
from telemetry.store.tables import CORRECTIONS, LATE_SPANS, REQUEST_PATHS

_AT_ONCE = 500
"""How many paths are restated at once: each may have some 2,000 spans."""
_ASKED = 5_000
"""How many traces are looked up in the past at once."""
_CLOCKS_MS = 10_000
"""So far senders' clocks may be wrong."""


@dataclass(frozen=True, slots=True)
class Apart:
    """What closed, told apart.

    Attributes:
        first: what closed for the first time.
        late: what did not.
        rest: what is to be looked at with the next block: the past is not asked about too many at once.
    """

    first: Closed | None
    late: Late | None = None
    rest: Closed | None = None


@dataclass(slots=True)
class Joined:
    """What late spans lead to in one block.

    Attributes:
        rows: its rows.
        feeds: the tables that they go to.
        paths: how many paths are restated.
        rest: the late spans that there is no room for in this block.
    """

    rows: list[Any] = field(default_factory=list)
    feeds: set[str] = field(default_factory=set)
    paths: int = 0
    rest: Late | None = None


class LateSpans:
    """What the engine does about spans of traces that were emitted before. Asks the past; holds nothing itself."""

    def __init__(
        self, past: Past, emitted: Emitted, strings: Strings, settings: EngineSettings, counters: Counters
    ) -> None:
        """Share what the engine has."""
        self._past = past
        self._emitted = emitted
        self._strings = strings
        self._settings = settings
        self._counters = counters

    def told_apart(self, partition: int, closed: Closed, replayed_until: int) -> Apart:
        """Tell apart what closed for the first time from late spans of traces that are no longer remembered.

        Only what is incomplete and old when it arrives can be such a remainder; the past is asked about those. How old it is
        says the sender's clock, so what comes out of the future may be old as well. Whatever is read a second time may have
        been emitted, complete or not, if not all is remembered that was known to be.

        Args:
            partition: where they came from.
            closed: what closed.
            replayed_until: the last offset of which records had contributed when the partition was taken over.

        Raises:
            StoreError, UnavailableError: the past does not answer.
        """
        found = closed.paths.paths
        ended_ms = (found["start"] + found["total"]) // 1_000_000
        old = ended_ms < self._emitted.forgotten_before(partition) * 1000 + _CLOCKS_MS
        old |= ended_ms > found["arrived_ms"] + _CLOCKS_MS
        doubt = old & (found["gaps"] > 0)
        if self._emitted.has_lost(partition):
            doubt |= found["last_offset"] <= replayed_until
        doubtful = np.flatnonzero(doubt)
        if len(doubtful) > _ASKED:
            now = np.arange(len(found)) < doubtful[_ASKED]
            return replace(
                self.told_apart(partition, closed.only(now, self._strings), replayed_until),
                rest=closed.only(~now, self._strings),
            )
        if not len(doubtful):
            return Apart(closed)
        ids = [
            int(high).to_bytes(8) + int(low).to_bytes(8)
            for high, low in zip(found["trace_high"][doubtful], found["trace_low"][doubtful], strict=True)
        ]
        known = self._past.find(partition, ids)
        if not known:
            return Apart(closed)
        again = np.zeros(len(found), dtype=np.bool_)
        again[[number for number, i in zip(doubtful, ids, strict=True) if i in known]] = True
        sizes = np.diff(closed.ends, prepend=0)
        traces = np.stack((found["trace_high"][again], found["trace_low"][again]), axis=1)
        blocks = np.array([known[i][1] for i in ids if i in known], dtype=np.int64)
        floors = np.repeat(np.array([known[i][0] for i in ids if i in known], dtype=np.int64), sizes[again])
        spans = closed.spans[np.repeat(again, sizes)]
        late = _after(Late(traces, blocks, spans, np.cumsum(sizes[again])), floors)
        return Apart(None if again.all() else closed.only(~again, self._strings), late)

    def joined(self, partition: int, late: Late, block: int, now_ms: int) -> Joined:
        """Restate the paths of late spans, as many as there is room for in a block.

        Args:
            partition: where they came from.
            late: the late spans.
            block: the number of the block that their paths will be in.
            now_ms: the time, for how long those are remembered.

        Raises:
            StoreError, UnavailableError: the past does not answer; nothing was done.
        """
        made = Joined()
        size = 0
        for begin in range(0, len(late.traces), _AT_ONCE):
            try:
                found = self._restated(partition, late.part(begin, begin + _AT_ONCE), block, now_ms)
            except EdgepathError:
                if not begin:
                    raise
                made.rest = late.part(begin, len(late.traces))  # asked for again with the next block
                return made
            made.rows += found.rows
            if found.late:
                made.feeds.add(LATE_SPANS)
            if found.restated:
                made.feeds |= {REQUEST_PATHS, CORRECTIONS}
            made.paths += found.restated
            size += sum(rows.nbytes for rows in found.rows)
            if size >= self._settings.block_bytes and begin + _AT_ONCE < len(late.traces):
                made.rest = late.part(begin + _AT_ONCE, len(late.traces))
                return made
        return made

    def _restated(self, partition: int, late: Late, block: int, now_ms: int) -> Restated:
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
        c = self._counters
        c.late_spans += found.late
        c.duplicate_spans += found.duplicates
        c.restated_paths += found.restated
        c.kept_late_spans += found.kept
        return found


def both(one: Late | None, other: Late | None) -> Late | None:
    """Of two, of which either may be missing."""
    if one is None or other is None:
        return other if one is None else one
    return Late(
        np.concatenate((one.traces, other.traces)),
        np.concatenate((one.blocks, other.blocks)),
        np.concatenate((one.spans, other.spans)),
        np.concatenate((one.ends, other.ends + len(one.spans))),
    )


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
