"""From spans to trees: which trace, which parent, which role. Whole batches at once, by arrays of positions.

A pointer array holds, for every span, the position of another one, or -1. All rules are those of the reference
(``telemetry.domain.paths``), which says why they are as they are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telemetry.engine.columns import I64, Flags, SpanColumns
from telemetry.vocabulary import SpanKind

Pointers = NDArray[np.intp]


@dataclass(slots=True)
class Forest:
    """The spans of many traces, sorted by trace and span id, one of each id, with their roles.

    Attributes:
        spans: the distinct spans.
        trace: the trace's number, from 0, ascending.
        first: position of each trace's first span.
        rank: the tier's rank, -1 if unknown.
        bad: whether the span says that it failed.
        top: whether it is the topmost of its piece of the trace.
        head: whether it is the head of a hop.
        attempt: whether it is an outbound attempt of the hop above.
        owner: the nearest ancestor that is a head or an attempt.
    """

    spans: SpanColumns
    trace: I64
    first: Pointers
    rank: I64
    bad: Flags
    top: Flags
    head: Flags
    attempt: Flags
    owner: Pointers

    @property
    def traces(self) -> int:
        """How many traces there are."""
        return len(self.first)


@dataclass(frozen=True, slots=True)
class Traces:
    """Which spans belong together.

    Attributes:
        order: positions of the spans, sorted by trace and span id.
        trace: the trace's number, in that order.
        first: where each trace begins, in that order.
    """

    order: Pointers
    trace: I64
    first: Pointers


def group(spans: SpanColumns) -> Traces:
    """Sort spans by trace and span id. Exact on all 128 bits of the trace id."""
    order = np.lexsort((spans.span_id, spans.trace_low))
    low, high = spans.trace_low[order], spans.trace_high[order]
    same_low = low[1:] == low[:-1]
    if np.any(same_low & (high[1:] != high[:-1])):  # two traces with the same lower half: sort by both
        order = np.lexsort((spans.span_id, spans.trace_high, spans.trace_low))
        low, high = spans.trace_low[order], spans.trace_high[order]
        same_low = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    begins = np.concatenate(([True], ~same_low)) if len(order) else np.zeros(0, dtype=bool)
    return Traces(order, np.cumsum(begins) - 1, np.flatnonzero(begins))


def build(spans: SpanColumns, rank_of_tier: I64) -> Forest:
    """The forest of ``spans``; ``rank_of_tier`` gives the rank of every string code."""
    spans, trace = _distinct(spans)
    parent = _unring(_parents(spans, trace), trace)
    kind = spans.kind
    top = parent < 0
    near = _jump(parent, ~(top | (kind == SpanKind.SERVER) | (kind == SpanKind.CLIENT)))
    below_server = (near >= 0) & (kind[near] == SpanKind.SERVER)
    repeats = (
        below_server
        & (spans.component[near] == spans.component)
        & (spans.tier[near] == spans.tier)
        & (spans.pop[near] == spans.pop)
    )
    head = top | ((kind == SpanKind.SERVER) & ~repeats)
    attempt = ~top & (kind == SpanKind.CLIENT) & (top[near] | below_server)
    return Forest(
        spans=spans,
        trace=trace,
        first=np.flatnonzero(np.concatenate(([True], trace[1:] != trace[:-1]))),
        rank=rank_of_tier[spans.tier],
        bad=spans.bad,
        top=top,
        head=head,
        attempt=attempt,
        owner=_jump(parent, ~(head | attempt)),
    )


def heads_above(forest: Forest) -> Pointers:
    """For every span the nearest head above it."""
    return _jump(forest.owner, ~forest.head)


def _distinct(spans: SpanColumns) -> tuple[SpanColumns, I64]:
    traces = group(spans)
    ordered = spans.take(traces.order)
    trace = traces.trace
    copies = (trace[1:] == trace[:-1]) & (ordered.span_id[1:] == ordered.span_id[:-1])
    if not copies.any():
        return ordered, trace
    believed = np.lexsort(
        (-ordered.status, -ordered.kind, ~ordered.parent_id, ordered.start, -ordered.duration, ordered.span_id, trace)
    )
    ordered, trace = ordered.take(believed), trace[believed]
    keep = np.concatenate(([True], ~copies))  # the copies stand at the same places after this sort
    return ordered.take(keep), trace[keep]


def _parents(spans: SpanColumns, trace: I64) -> Pointers:
    count = len(spans)
    _, ranks = np.unique(np.concatenate((spans.span_id, spans.parent_id)), return_inverse=True)
    # (trace, rank of the id) in one number: exact, and ascending because the spans are sorted so.
    own = (trace << 32) | ranks[:count]
    wanted = (trace << 32) | ranks[count:]
    found = np.minimum(np.searchsorted(own, wanted), count - 1)
    known = (own[found] == wanted) & (spans.parent_id != 0) & (found != np.arange(count))
    return np.where(known, found, -1)


def _unring(parent: Pointers, trace: I64) -> Pointers:
    """Cut what hangs in or below a ring of parents."""
    longest = int(np.bincount(trace).max())
    ancestor = parent
    for _ in range(longest.bit_length() + 1):
        if not (ancestor >= 0).any():
            return parent
        ancestor = np.where(ancestor >= 0, ancestor[ancestor], -1)  # twice as far up each time
    return np.where(ancestor >= 0, -1, parent)


def _jump(pointer: Pointers, through: Flags) -> Pointers:
    """Follow ``pointer`` upwards past every span in ``through``."""
    pointer = pointer.copy()
    moving = np.flatnonzero((pointer >= 0) & through[pointer])
    while len(moving):
        pointer[moving] = pointer[pointer[moving]]
        ahead = pointer[moving]
        moving = moving[(ahead >= 0) & through[ahead]]
    return pointer
