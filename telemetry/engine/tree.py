"""From the spans of one trace to its tree: which span stands below which, and in which role.

All rules are those of the reference (``telemetry.domain.paths``), which says why they are as they are. Everything here takes
time linear in the number of spans, but for one sort: a hostile trace of ten thousand spans must not cost more than as many
honest ones.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Bool, Int, compiled, inlined
from telemetry.engine.sorting import sort_by_key
from telemetry.engine.spans import SpanArray
from telemetry.vocabulary import SpanKind

Places = NDArray[np.int64]

SERVER: Final = int(SpanKind.SERVER)
CLIENT: Final = int(SpanKind.CLIENT)
NONE: Final = -1

NODE: Final = np.dtype(
    [
        ("at", np.int64),
        ("parent", np.int64),
        ("near", np.int64),
        ("owner", np.int64),
        ("onward", np.int64),
        ("rank", np.int64),
        ("reach", np.int64),
        ("head", np.bool_),
        ("attempt", np.bool_),
        ("leads_nowhere", np.bool_),
        ("seen", np.int8),
    ],
    align=True,
)
"""A distinct span in its tree.

``at`` is its place among the spans; ``parent``, ``near`` (the nearest ancestor that counts) and ``owner`` (the nearest that
is a head or an attempt) are places among the nodes, -1 if there is none. ``onward`` is, for an attempt, the next hop that it
leads on to; it ``leads_nowhere`` if there are hops below it and none leads on. ``reach`` is, for a head, the rank furthest
down that it or a hop below it has.
"""

_FEW: Final = 24
_NEW: Final = 0
_ON_THE_WAY: Final = 1
_DONE: Final = 2
_ENDLESS: Final = 3


@compiled
def grow(spans: SpanArray, members: Places, rank: NDArray[np.int32], nodes: Any, order: Places, ids: Any) -> Int:
    """Make the nodes of one trace; how many there are.

    Args:
        spans: the spans of all traces.
        members: places of this trace's spans; sorted here by span id.
        rank: of every string code, how far down the way that tier stands.
        nodes, order, ids: room for as many nodes as there are members; the nodes come sorted by span id, and ``order`` is one
            in which every parent stands before its children.
    """
    count = _distinct(spans, members, nodes, order, ids)
    for number in range(count):
        node = nodes[number]
        span = spans[node["at"]]
        node["rank"] = rank[span["tier"]]
        node["parent"] = _find(ids, count, span["parent_id"], number) if span["parent_id"] != 0 else NONE
    _put_in_order(nodes, count, order)
    for place in range(count):
        _give_role(spans, nodes, order[place])
    _reach_and_lead(spans, nodes, order, count)
    return count


@inlined
def _distinct(spans: SpanArray, members: Places, nodes: Any, order: Places, ids: Any) -> Int:
    """One node for each span id; of different spans with the same id the one that the reference believes."""
    size = len(members)
    if size <= _FEW:
        for i in range(1, size):
            moved = members[i]
            own = spans[moved]["span_id"]
            j = i - 1
            while j >= 0 and spans[members[j]]["span_id"] > own:
                members[j + 1] = members[j]
                j -= 1
            members[j + 1] = moved
    else:
        for i in range(size):
            ids[i] = spans[members[i]]["span_id"]
            order[i] = i
        sort_by_key(ids, order, size)
        for i in range(size):
            nodes[i]["at"] = members[order[i]]
        for i in range(size):
            members[i] = nodes[i]["at"]
    count = 0
    for i in range(size):
        at = members[i]
        own = spans[at]["span_id"]
        if count > 0 and ids[count - 1] == own:
            if _believed(spans[at], spans[nodes[count - 1]["at"]]):
                nodes[count - 1]["at"] = at
            continue
        nodes[count]["at"] = at
        ids[count] = own
        count += 1
    return count


@inlined
def _believed(one: Any, other: Any) -> Bool:
    """Whether ``one`` is believed rather than ``other``: the longest, then the earliest, and so on."""
    if one["duration"] != other["duration"]:
        return one["duration"] > other["duration"]
    if one["start"] != other["start"]:
        return one["start"] < other["start"]
    if one["parent_id"] != other["parent_id"]:
        return one["parent_id"] > other["parent_id"]
    if one["kind"] != other["kind"]:
        return one["kind"] > other["kind"]
    return one["status"] > other["status"]


@inlined
def _find(ids: Any, count: Int, wanted: Int, own: Int) -> Int:
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ids[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < count and ids[low] == wanted and low != own else NONE


@inlined
def _put_in_order(nodes: Any, count: Int, order: Places) -> None:
    """Parents before children; what hangs in or below a ring of parents is cut from it."""
    for number in range(count):
        nodes[number]["seen"] = _NEW
    filled = 0
    for number in range(count):
        # Up, until a node that has its place, a top, or a ring; the way is kept in the end of ``order`` that is not filled yet.
        above = number
        top = count
        while above != NONE and nodes[above]["seen"] == _NEW:
            nodes[above]["seen"] = _ON_THE_WAY
            top -= 1
            order[top] = above
            above = nodes[above]["parent"]
        endless = above != NONE and nodes[above]["seen"] != _DONE
        for place in range(top, count):  # the uppermost first, for it was written last
            one = order[place]
            nodes[one]["seen"] = _ENDLESS if endless else _DONE
            order[filled] = one
            filled += 1
    for number in range(count):
        if nodes[number]["seen"] == _ENDLESS:
            nodes[number]["parent"] = NONE


@inlined
def _give_role(spans: SpanArray, nodes: Any, number: Int) -> None:
    """Near, owner, head and attempt of a node whose parent has its own already."""
    node = nodes[number]
    span = spans[node["at"]]
    parent = node["parent"]
    node["near"] = node["owner"] = node["onward"] = NONE
    node["head"] = node["attempt"] = node["leads_nowhere"] = False
    if parent == NONE:
        node["head"] = True
        return
    above = nodes[parent]
    kind = spans[above["at"]]["kind"]
    counts = above["parent"] == NONE or kind == SERVER or kind == CLIENT
    near = parent if counts else above["near"]
    node["near"] = near
    node["owner"] = parent if above["head"] or above["attempt"] else above["owner"]
    upper = spans[nodes[near]["at"]]
    if span["kind"] == SERVER:
        repeats = (
            upper["component"] == span["component"] and upper["tier"] == span["tier"] and upper["pop"] == span["pop"]
        )
        node["head"] = not (upper["kind"] == SERVER and repeats)
    elif span["kind"] == CLIENT:
        node["attempt"] = nodes[near]["parent"] == NONE or upper["kind"] == SERVER


@inlined
def _reach_and_lead(spans: SpanArray, nodes: Any, order: Places, count: Int) -> None:
    """How far down every head reaches, from the leaves up; then, for every attempt, where it leads."""
    for number in range(count):
        node = nodes[number]
        node["reach"] = node["rank"] if node["head"] else NONE
    for place in range(count - 1, -1, -1):
        node = nodes[order[place]]
        if (node["head"] or node["attempt"]) and node["owner"] != NONE:
            above = nodes[node["owner"]]
            above["reach"] = max(above["reach"], node["reach"])
    for number in range(count):
        node = nodes[number]
        if not node["head"] or node["owner"] == NONE:
            continue
        attempt = nodes[node["owner"]]
        if not attempt["attempt"]:
            continue
        if node["reach"] < nodes[attempt["owner"]]["rank"]:
            attempt["leads_nowhere"] = attempt["onward"] == NONE
        elif attempt["onward"] == NONE or _earlier(spans, nodes, number, attempt["onward"]):
            attempt["onward"] = number
            attempt["leads_nowhere"] = False


@inlined
def _earlier(spans: SpanArray, nodes: Any, one: Int, other: Int) -> Bool:
    first, second = spans[nodes[one]["at"]], spans[nodes[other]["at"]]
    if first["start"] != second["start"]:
        return first["start"] < second["start"]
    return first["span_id"] < second["span_id"]
