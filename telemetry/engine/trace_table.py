"""Open traces in arrays: a table of traces found by id, each with a chain of its spans. Compiled; time is passed in."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Int, compiled, inlined
from telemetry.engine.emitted import EmittedTable, block_of, find, key_of, last_offset
from telemetry.engine.hashing import Secret
from telemetry.engine.spans import SpanArray

TRACE: Final = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("first_arrival", np.int64),
        ("last_arrival", np.int64),
        ("first_offset", np.int64),
        ("floor", np.int64),
        ("block", np.int64),
        ("head", np.int32),
        ("tail", np.int32),
        ("count", np.int32),
        ("looked_at", np.int32),
    ],
    align=True,
)
"""A trace that is open.

``floor`` and ``block`` are -1 and 0, or, for a trace that was emitted before, the last offset that contributed and its block
(0 if that is not known). ``count`` is 0 for a free place, whose ``head`` is the next free one. ``looked_at`` is how many
spans it had when it was last seen unfinished.
"""

NONE: Final = -1
# Places of ``counts``.
SPANS: Final = 0  # live spans
TRACES: Final = 1  # live traces
USED_SPANS: Final = 2  # places of the arena that were ever used
USED_TRACES: Final = 3
FREE_SPAN: Final = 4  # first of the free places among them
FREE_TRACE: Final = 5
LATE: Final = 6  # live traces that were emitted before
REPLAYED: Final = 7  # spans dropped since the start: their record had contributed to an emitted path
COUNTS: Final = 8
TRACE_COUNTS: Final = 4
"""As how many spans a trace counts besides its own: so much the row of its path takes."""


@inlined
def _slot_of(slots: Any, traces: Any, high: Int, low: Int, secret: Secret) -> Int:
    """The slot of a trace, or the empty one where it belongs."""
    mask = len(slots) - 1
    slot = np.int64(key_of(high, low, 0, secret) >> np.uint64(20)) & mask
    while slots[slot] != NONE:
        trace = traces[slots[slot]]
        if trace["low"] == low and trace["high"] == high:
            break
        slot = (slot + 1) & mask
    return slot


@compiled
def add_spans(
    spans: SpanArray,
    partition: Int,
    arena: SpanArray,
    chain: NDArray[np.int32],
    traces: Any,
    slots: NDArray[np.int32],
    counts: NDArray[np.int64],
    emitted: EmittedTable,
) -> None:
    """Put spans into the arena, each at the end of its trace's chain; there is room for all of them."""
    slot, before_high, before_low = 0, np.uint64(0), np.uint64(0)
    for number in range(len(spans)):
        span = spans[number]
        high, low = span["trace_high"], span["trace_low"]
        if number == 0 or low != before_low or high != before_high or slots[slot] == NONE:
            slot = _slot_of(slots, traces, high, low, emitted.secret)
            before_high, before_low = high, low
        at = slots[slot]
        if at == NONE:
            known = find(emitted, key_of(high, low, partition, emitted.secret))
            if known != NONE and span["offset"] <= last_offset(emitted, known):
                counts[REPLAYED] += 1
                continue
            at = _new_trace(traces, counts)
            slots[slot] = at
            trace = traces[at]
            trace["high"], trace["low"] = high, low
            trace["first_arrival"] = trace["last_arrival"] = span["arrival_ms"]
            trace["first_offset"] = span["offset"]
            trace["floor"], trace["block"] = -1, 0
            trace["head"] = trace["tail"] = NONE
            trace["count"] = trace["looked_at"] = 0
            if known != NONE:
                trace["floor"], trace["block"] = last_offset(emitted, known), block_of(emitted, known)
                counts[LATE] += 1
        trace = traces[at]
        if span["offset"] <= trace["floor"]:
            counts[REPLAYED] += 1
            continue
        place = _new_span(chain, counts)
        arena[place] = span
        chain[place] = NONE
        if trace["tail"] == NONE:
            trace["head"] = place
        else:
            chain[trace["tail"]] = place
        trace["tail"] = place
        trace["count"] += 1
        trace["last_arrival"] = max(trace["last_arrival"], span["arrival_ms"])


@inlined
def _new_trace(traces: Any, counts: NDArray[np.int64]) -> Int:
    counts[TRACES] += 1
    at = counts[FREE_TRACE]
    if at != NONE:
        counts[FREE_TRACE] = traces[at]["head"]
        return at
    counts[USED_TRACES] += 1
    return counts[USED_TRACES] - 1


@inlined
def _new_span(chain: NDArray[np.int32], counts: NDArray[np.int64]) -> Int:
    counts[SPANS] += 1
    at = counts[FREE_SPAN]
    if at != NONE:
        counts[FREE_SPAN] = chain[at]
        return at
    counts[USED_SPANS] += 1
    return counts[USED_SPANS] - 1


@compiled
def follow_blocks(traces: Any, used: Int, partition: Int, emitted: EmittedTable) -> None:
    """Note of late spans where the newest version of their path is by now: others may have led to one while these waited."""
    for at in range(used):
        trace = traces[at]
        if trace["count"] > 0 and trace["floor"] >= 0:
            known = find(emitted, key_of(trace["high"], trace["low"], partition, emitted.secret))
            if known != NONE:
                trace["block"] = max(trace["block"], block_of(emitted, known))


@compiled
def ripe_traces(
    traces: Any,
    used: Int,
    quiet_before: Int,
    settled_before: Int,
    born_before: Int,
    most_spans: Int,
    landed: Int,
    everything: bool,
    at_once: Int,
    ripe: NDArray[np.int64],
    overdue: NDArray[np.bool_],
) -> Int:
    """Find the traces that may close: how many; their places and whether they must close.

    No more than count about as ``at_once`` spans: the others are found the next time.

    A trace must close that was quiet for long, or is too old or too large; one that was quiet for a little may, if it has
    spans that were not looked at yet. One that was emitted before must, after the little, and when its block has landed.
    """
    found, total = 0, 0
    for at in range(used):
        trace = traces[at]
        if trace["count"] == 0:
            continue
        if total >= at_once:
            break
        if trace["floor"] >= 0:
            must = trace["block"] <= landed and (
                trace["last_arrival"] <= settled_before or trace["count"] > most_spans or everything
            )
            may = False
        else:
            must = (
                trace["last_arrival"] <= quiet_before
                or trace["first_arrival"] <= born_before
                or trace["count"] > most_spans
                or everything
            )
            may = trace["last_arrival"] <= settled_before and trace["looked_at"] != trace["count"]
        if must or may:
            ripe[found] = at
            overdue[found] = must
            found += 1
            total += trace["count"] + TRACE_COUNTS
    return found


@compiled
def members_of(
    traces: Any, chain: NDArray[np.int32], ripe: NDArray[np.int64], members: NDArray[np.int64], ends: NDArray[np.int64]
) -> None:
    """The places of the spans of several traces, one trace after the other."""
    count = 0
    for number in range(len(ripe)):
        place = traces[ripe[number]]["head"]
        while place != NONE:
            members[count] = place
            count += 1
            place = chain[place]
        ends[number] = count


@compiled
def mark_looked_at(traces: Any, which: NDArray[np.int64]) -> None:
    """They are unfinished: they need not be looked at again before they have more spans."""
    for number in range(len(which)):
        traces[which[number]]["looked_at"] = traces[which[number]]["count"]


@compiled
def take_out(
    traces: Any,
    chain: NDArray[np.int32],
    slots: NDArray[np.int32],
    counts: NDArray[np.int64],
    which: NDArray[np.int64],
    secret: Secret,
) -> None:
    """Free traces and their spans."""
    mask = len(slots) - 1
    for number in range(len(which)):
        at = which[number]
        trace = traces[at]
        hole = _slot_of(slots, traces, trace["high"], trace["low"], secret)
        # Close the gap: move back whatever was put further on only because this place was taken.
        place = (hole + 1) & mask
        while slots[place] != NONE:
            other = traces[slots[place]]
            home = np.int64(key_of(other["high"], other["low"], 0, secret) >> np.uint64(20)) & mask
            if ((place - home) & mask) >= ((place - hole) & mask):
                slots[hole] = slots[place]
                hole = place
            place = (place + 1) & mask
        slots[hole] = NONE
        chain[trace["tail"]] = counts[FREE_SPAN]
        counts[FREE_SPAN] = trace["head"]
        counts[SPANS] -= trace["count"]
        counts[TRACES] -= 1
        if trace["floor"] >= 0:
            counts[LATE] -= 1
        trace["count"] = 0
        trace["head"] = counts[FREE_TRACE]
        counts[FREE_TRACE] = at


@compiled
def first_offset(traces: Any, used: Int, otherwise: Int) -> Int:
    """The least offset that a live trace needs; ``otherwise`` if there is none."""
    least = otherwise
    for at in range(used):
        if traces[at]["count"] > 0:
            least = min(least, traces[at]["first_offset"])
    return least


@compiled
def find_slots(traces: Any, used: Int, slots: NDArray[np.int32], secret: Secret) -> None:
    """Fill an empty table of slots with the traces that are live."""
    for at in range(used):
        trace = traces[at]
        if trace["count"] > 0:
            slots[_slot_of(slots, traces, trace["high"], trace["low"], secret)] = at


@compiled
def copy_live(
    arena: SpanArray,
    chain: NDArray[np.int32],
    traces: Any,
    used: Int,
    new_arena: SpanArray,
    new_chain: NDArray[np.int32],
    new_traces: Any,
    new_slots: NDArray[np.int32],
    counts: NDArray[np.int64],
    secret: Secret,
) -> None:
    """Copy what is live into other arrays, close together."""
    spans, live = 0, 0
    for at in range(used):
        if traces[at]["count"] == 0:
            continue
        new_traces[live] = traces[at]
        trace = new_traces[live]
        place = traces[at]["head"]
        trace["head"] = spans
        while place != NONE:
            new_arena[spans] = arena[place]
            new_chain[spans] = spans + 1
            spans += 1
            place = chain[place]
        new_chain[spans - 1] = NONE
        trace["tail"] = spans - 1
        new_slots[_slot_of(new_slots, new_traces, trace["high"], trace["low"], secret)] = live
        live += 1
    counts[USED_SPANS] = spans
    counts[USED_TRACES] = live
    counts[FREE_SPAN] = counts[FREE_TRACE] = NONE
