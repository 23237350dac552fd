"""From the first hop down to the API. Rules: ``telemetry.domain.paths``."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Bool, Int, compiled, inlined
from telemetry.domain.paths import MAX_HOPS
from telemetry.engine.answer import answer, interval
from telemetry.engine.spans import SpanArray
from telemetry.engine.tree import CLIENT, NONE, Places

MAX_GAPS: Final = MAX_HOPS + 4
_FAR: Final = 1 << 30

BEFORE: Final = 0
AFTER: Final = 1
FIRST_TIER: Final = 2
TOO_LONG: Final = 3


@compiled
def walk(
    spans: SpanArray,
    nodes: Any,
    count: Int,
    api_rank: Int,
    steps: Any,
    gaps: NDArray[np.int64],
    outbound: Places,
    places: Places,
) -> tuple[Int, Int]:
    """Walk one trace; (how many steps, how many gaps) it has.

    Args:
        spans: the spans of all traces.
        nodes, count: the trace.
        api_rank: where paths stop.
        steps: room for ``MAX_HOPS`` steps.
        gaps: room for ``MAX_GAPS`` gaps, each a kind and the code of a tier: ``kind << 32 | code``.
        outbound, places: room for as many nodes as there are.
    """
    start, tops = _start(spans, nodes, count)
    made, missing = 0, 0
    if spans[nodes[start]["at"]]["parent_id"] != 0:
        gaps[missing] = _gap(BEFORE, spans[nodes[start]["at"]]["tier"])
        missing += 1
    elif nodes[start]["rank"] != 0:
        gaps[missing] = _gap(FIRST_TIER, 0)
        missing += 1
    here, deepest = start, -1
    while here != NONE:
        step = steps[made]
        made += 1
        rank = nodes[here]["rank"]
        deepest = max(deepest, rank)
        if rank == api_rank:
            # What the API server does below is not Edgepath's business: its whole duration is its own.
            step["node"] = here
            step["attempt"] = step["child"] = NONE
            step["attempts"] = step["begin"] = step["length"] = step["busy"] = 0
            step["answered"] = False
            break
        answer(spans, nodes, count, here, step, outbound, places)
        if made == MAX_HOPS:
            gaps[missing] = _gap(TOO_LONG, 0)
            missing += 1
            break
        here = step["child"]
        if here == NONE and tops > 1:
            further = _further(spans, nodes, count, deepest)
            if further != NONE:
                # The connection is missing, but the rest of the way is there: an uninstrumented or lost middle.
                gaps[missing] = _gap(BEFORE, spans[nodes[further]["at"]]["tier"])
                missing += 1
                step["child"] = further
                if not step["answered"]:
                    step["answered"] = True
                    step["attempts"] += 1
                    step["begin"], step["length"] = interval(spans, nodes, step["node"], further)
                    step["busy"] = step["length"]
                here = further
    if _unanswered(spans, nodes, steps[made - 1], api_rank):
        gaps[missing] = _gap(AFTER, spans[nodes[steps[made - 1]["node"]]["at"]]["tier"])
        missing += 1
    return made, missing


@inlined
def _gap(kind: Int, tier: Int) -> Int:
    return np.int64(kind) << 32 | np.int64(tier)


@inlined
def _start(spans: SpanArray, nodes: Any, count: Int) -> tuple[Int, Int]:
    """(the topmost span where the way begins, how many topmost spans there are)."""
    best, tops = NONE, 0
    for number in range(count):
        if nodes[number]["parent"] != NONE:
            continue
        tops += 1
        if best == NONE or _begins_before(spans, nodes, number, best):
            best = number
    return best, tops


@inlined
def _begins_before(spans: SpanArray, nodes: Any, one: Int, other: Int) -> Bool:
    first, second = spans[nodes[one]["at"]], spans[nodes[other]["at"]]
    root, other_root = first["parent_id"] == 0, second["parent_id"] == 0
    if root != other_root:
        return root
    rank, other_rank = nodes[one]["rank"], nodes[other]["rank"]
    rank = rank if rank >= 0 else _FAR
    other_rank = other_rank if other_rank >= 0 else _FAR
    if rank != other_rank:
        return rank < other_rank
    if first["start"] != second["start"]:
        return first["start"] < second["start"]
    return first["span_id"] < second["span_id"]


@inlined
def _further(spans: SpanArray, nodes: Any, count: Int, deepest: Int) -> Int:
    """The nearest unconnected piece further down than ``deepest``, -1 if none."""
    best = NONE
    for number in range(count):
        node = nodes[number]
        if node["parent"] != NONE or node["rank"] <= deepest:
            continue
        if best == NONE:
            best = number
            continue
        other = nodes[best]
        if node["rank"] != other["rank"]:
            nearer = node["rank"] < other["rank"]
        else:
            start, other_start = spans[node["at"]]["start"], spans[other["at"]]["start"]
            nearer = start < other_start  # span ids ascend with the nodes, so the first of equals stays
        if nearer:
            best = number
    return best


@inlined
def _unanswered(spans: SpanArray, nodes: Any, last: Any, api_rank: Int) -> Bool:
    """Whether the way must have gone on behind its last hop: something answered of which there is no span."""
    node = nodes[last["node"]]
    span = spans[node["at"]]
    if last["answered"]:
        if last["child"] != NONE:
            return False
        return not _explained(spans[nodes[last["attempt"]]["at"]])
    # A client does not answer itself.
    calls = span["kind"] == CLIENT or node["rank"] == 0
    return node["rank"] != api_rank and calls and not _explained(span)


@inlined
def _explained(span: Any) -> Bool:
    """Whether an attempt itself says that it got no answer from below (no status, or a flag of the proxy's own)."""
    return span["bad"] != 0 and (span["status"] == 0 or span["flags"] != 0)
