"""The traces of one partition that are not closed yet."""

from dataclasses import dataclass

import numpy as np

from telemetry.engine.columns import I64, Flags, SpanColumns, Strings
from telemetry.engine.emitted import Emitted, trace_keys
from telemetry.engine.paths import PathColumns, assemble
from telemetry.engine.settings import EngineSettings
from telemetry.engine.tree import group


@dataclass(slots=True)
class Closed:
    """Traces that closed.

    Attributes:
        paths: paths of all traces that were looked at.
        closed: which of them closed; the others stay open.
        arrived_ms: arrival of each one's last record.
        last_offset: offset of each one's last record.
    """

    paths: PathColumns
    closed: Flags
    arrived_ms: I64
    last_offset: I64


@dataclass(slots=True)
class Added:
    """What became of spans that came in.

    Attributes:
        late: spans of traces that were emitted before these came.
        replayed: how many were dropped because their record had contributed to an emitted trace already.
    """

    late: SpanColumns
    replayed: int


class OpenTraces:
    """Spans of one partition, waiting for their traces to close. Time is arrival time, passed in."""

    def __init__(self, settings: EngineSettings, emitted: Emitted, next_offset: int) -> None:
        """Begin at ``next_offset``; ``emitted`` says which traces were emitted before."""
        self._settings = settings
        self._emitted = emitted
        self._parts: list[SpanColumns] = []
        self.next_offset = next_offset

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    @property
    def parts(self) -> list[SpanColumns]:
        """The waiting spans."""
        return self._parts

    def add(self, spans: SpanColumns) -> Added:
        """Take spans in."""
        if not len(spans):
            return Added(spans, 0)
        last = self._emitted.last_offset(trace_keys(spans.trace_high, spans.trace_low))
        fresh = last < 0
        if fresh.all():
            self._parts.append(spans)
            return Added(spans.take(~fresh), 0)
        late = ~fresh & (spans.offset > last)
        if fresh.any():
            self._parts.append(spans.take(fresh))
        return Added(spans.take(late), int((~fresh & ~late).sum()))

    def close(self, now_ms: int, strings: Strings, *, everything: bool = False) -> Closed | None:
        """Take out the traces that close at ``now_ms``; None if there is none to look at."""
        if not self._parts:
            return None
        spans = SpanColumns.concat(self._parts)
        self._parts = [spans]
        traces = group(spans)
        s = self._settings
        arrival = spans.arrival_ms[traces.order]
        last = np.maximum.reduceat(arrival, traces.first)
        count = np.diff(traces.first, append=len(arrival))
        overdue = (
            (last <= now_ms - s.grace_ms)
            | (np.minimum.reduceat(arrival, traces.first) <= now_ms - s.max_age_ms)
            | (count > s.max_spans_per_trace)
            | everything
        )
        ripe = overdue | (last <= now_ms - s.complete_grace_ms)
        if not ripe.any():
            return None
        looked_at = traces.order[ripe[traces.trace]]
        paths = assemble(spans.take(looked_at), strings, s.tiers)
        closed = paths.settled | overdue[ripe]
        if not closed.any():
            return None
        last_offset = np.maximum.reduceat(spans.offset[traces.order], traces.first)[ripe]
        gone = np.zeros(len(traces.first), dtype=bool)
        gone[np.flatnonzero(ripe)[closed]] = True
        left = traces.order[~gone[traces.trace]]
        self._parts = [spans.take(left)] if len(left) else []
        keys = trace_keys(paths.trace_high[closed], paths.trace_low[closed])
        self._emitted.add(keys, last_offset[closed], now_ms)
        return Closed(paths, closed, last[ripe], last_offset)

    def resume_offset(self) -> int:
        """Where a restart would have to begin: the first record that still has an open trace, else the next one."""
        if not self._parts:
            return self.next_offset
        return min(int(part.offset.min()) for part in self._parts)
