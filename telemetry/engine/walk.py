"""From the first hop down to the API, for all traces at once. Rules: ``telemetry.domain.paths``."""

from dataclasses import dataclass

import numpy as np

from telemetry.domain.paths import MAX_HOPS
from telemetry.engine.answer import Answers
from telemetry.engine.columns import I64, Flags
from telemetry.engine.tree import Forest, Pointers

_FAR = 1 << 30
_RANKS = 1 << 10


@dataclass(slots=True)
class Ways:
    """The hops of all ways, one after the other, in order.

    Attributes:
        head: position of each hop's head span.
        trace: the trace's number.
        depth: the hop's place in its way, from 0.
        begin: where each way begins; one more entry at the end.
        stitched: whether the connection to the hop before is missing.
        too_long: for every trace, whether its way was cut.
    """

    head: Pointers
    trace: I64
    depth: I64
    begin: I64
    stitched: Flags
    too_long: Flags


def walk(forest: Forest, answer: Answers, api_rank: int) -> Ways:
    """Walk every trace from its start to the first API hop or to where the trail ends."""
    tops = _tops(forest)
    deepest = np.full(forest.traces, -1, dtype=np.int64)
    too_long = np.zeros(forest.traces, dtype=bool)
    trace, here = np.arange(forest.traces), tops.start
    stitched = np.zeros(forest.traces, dtype=bool)
    steps = []
    for depth in range(MAX_HOPS):
        steps.append((trace, here, stitched, depth))
        rank = forest.rank[here]
        deepest[trace] = np.maximum(deepest[trace], rank)
        going = rank != api_rank
        trace, here = trace[going], here[going]
        if depth == MAX_HOPS - 1:
            too_long[trace] = True
            break
        following = answer.child[here]
        lost = np.flatnonzero((following < 0) & tops.several[trace])
        stitched = np.zeros(len(here), dtype=bool)
        if len(lost):
            found = tops.further(trace[lost], deepest[trace[lost]])
            following[lost] = found
            stitched[lost] = found >= 0
        going = following >= 0
        trace, here, stitched = trace[going], following[going], stitched[going]
        if not len(trace):
            break
    return _flatten(forest.traces, steps, too_long)


@dataclass(slots=True)
class _Tops:
    """The topmost spans: where each trace starts, and where pieces of it that are not connected begin."""

    start: Pointers
    several: Flags
    place: I64
    piece: Pointers

    def further(self, trace: I64, deepest: I64) -> Pointers:
        """The nearest unconnected piece further down than ``deepest``, -1 if none."""
        if not len(self.place):
            return np.full(len(trace), -1, dtype=np.intp)
        found = np.searchsorted(self.place, trace * _RANKS + deepest + 1)
        inside = np.minimum(found, len(self.place) - 1)
        same = (found < len(self.place)) & (self.place[inside] // _RANKS == trace)
        return np.where(same, self.piece[inside], -1)


def _tops(forest: Forest) -> _Tops:
    spans = forest.spans
    top = np.flatnonzero(forest.top)
    trace = forest.trace[top]
    per_trace = np.bincount(trace, minlength=forest.traces)
    several = per_trace > 1
    if not several.any():
        return _Tops(top, several, np.zeros(0, dtype=np.int64), top[:0])
    rank, start, span_id = forest.rank[top], spans.start[top], spans.span_id[top]
    down = np.where(rank >= 0, rank, _FAR)
    order = np.lexsort((span_id, start, down, spans.parent_id[top] != 0, trace))
    first = np.concatenate(([True], trace[order][1:] != trace[order][:-1]))
    known = np.flatnonzero(rank >= 0)
    by_rank = known[np.lexsort((span_id[known], start[known], rank[known], trace[known]))]
    return _Tops(top[order[first]], several, trace[by_rank] * _RANKS + rank[by_rank], top[by_rank])


def _flatten(traces: int, steps: list[tuple[I64, Pointers, Flags, int]], too_long: Flags) -> Ways:
    trace = np.concatenate([s[0] for s in steps])
    depth = np.concatenate([np.full(len(s[0]), s[3], dtype=np.int64) for s in steps])
    begin = np.concatenate(([0], np.cumsum(np.bincount(trace, minlength=traces))))
    place = begin[trace] + depth
    head = np.empty(len(trace), dtype=np.intp)
    stitched = np.empty(len(trace), dtype=bool)
    by_place_trace, by_place_depth = np.empty_like(trace), np.empty_like(depth)
    head[place] = np.concatenate([s[1] for s in steps])
    stitched[place] = np.concatenate([s[2] for s in steps])
    by_place_trace[place], by_place_depth[place] = trace, depth
    return Ways(head, by_place_trace, by_place_depth, begin, stitched, too_long)
