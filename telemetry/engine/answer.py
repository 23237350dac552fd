"""Which outbound attempts a hop made, which one answered, and how much of its time they took.

Rules: ``telemetry.domain.paths``. A hop, an attempt and a next hop are places among the nodes of one trace.
"""

from typing import Any, Final

import numpy as np

from telemetry.compiled import Bool, Int, compiled, inlined
from telemetry.engine.sorting import sort_by_key
from telemetry.engine.spans import SpanArray
from telemetry.engine.tree import CLIENT, NONE, Places

STEP: Final = np.dtype(
    [
        ("node", np.int64),
        ("attempt", np.int64),
        ("child", np.int64),
        ("attempts", np.int64),
        ("begin", np.int64),
        ("length", np.int64),
        ("busy", np.int64),
        ("answered", np.bool_),
    ],
    align=True,
)
"""A hop on the way.

``attempt`` answered, or ``child`` (the next hop) stands for it; -1 where there is none. ``attempts`` counts; of the hop's
time, in ns from its start, the answering attempt took ``length`` from ``begin`` on, and all attempts together ``busy``.
"""

_FEW: Final = 24


@compiled
def answer(spans: SpanArray, nodes: Any, count: Int, number: Int, step: Any, outbound: Places, places: Places) -> None:
    """Fill in ``step`` for the hop ``number``.

    Args:
        spans: the spans of all traces.
        nodes, count: the trace.
        number: the hop's node.
        step: what is filled in.
        outbound, places: room for as many nodes as there are.
    """
    hop = nodes[number]
    own = spans[hop["at"]]
    failed = own["bad"] != 0
    step["node"] = number
    step["attempt"] = step["child"] = NONE
    step["answered"] = False
    found = 0
    best, best_order = NONE, 0
    for one in range(count):
        node = nodes[one]
        if node["owner"] != number:
            continue
        if node["head"]:
            if node["reach"] < hop["rank"]:
                continue
            leads = True
        elif node["attempt"]:
            if spans[node["at"]]["side_call"] != 0 or node["leads_nowhere"]:
                continue
            leads = node["onward"] != NONE
        else:
            continue
        span = spans[node["at"]]
        bad = span["bad"] != 0
        order = _order(failed, bad, leads)
        if best == NONE or _preferred(spans, nodes, failed, order, one, best_order, best):
            best, best_order = one, order
        if bad or leads:
            outbound[found] = one
            found += 1
    if best == NONE:
        step["attempts"] = step["begin"] = step["length"] = step["busy"] = 0
        return
    node = nodes[best]
    span = spans[node["at"]]
    if not (span["bad"] != 0 or node["head"] or node["onward"] != NONE):
        outbound[found] = best
        found += 1
    step["answered"] = True
    step["attempt"] = NONE if node["head"] else best
    step["child"] = best if node["head"] else node["onward"]
    step["attempts"] = found
    step["begin"], step["length"] = interval(spans, nodes, number, best)
    step["busy"] = step["length"] if found == 1 else _union(spans, nodes, number, outbound[:found], places)


@inlined
def _order(failed: bool, bad: bool, leads: bool) -> Int:
    if failed:
        return 0 if bad else (1 if leads else 2)
    return 2 if bad else (0 if leads else 1)


@inlined
def _preferred(spans: SpanArray, nodes: Any, failed: bool, order: Int, one: Int, best_order: Int, best: Int) -> Bool:
    """Whether ``one`` answered rather than ``best``."""
    if order != best_order:
        return order < best_order
    first, second = spans[nodes[one]["at"]], spans[nodes[best]["at"]]
    end, other = first["start"] + first["duration"], second["start"] + second["duration"]
    if end != other:
        return end < other if not failed and order == 0 else end > other
    return first["span_id"] < second["span_id"]


@inlined
def place_within(outer_start: Int, outer: Int, start: Int, duration: Int) -> tuple[Int, Int]:
    """(offset, length) within an outer interval of an inner one that was measured by another clock."""
    if duration > outer:
        return 0, outer
    if start >= outer_start and start + duration <= outer_start + outer:
        return start - outer_start, duration
    return (outer - duration) // 2, duration


@inlined
def interval(spans: SpanArray, nodes: Any, number: Int, outbound: Int) -> tuple[Int, Int]:
    """(offset, length) within a hop of an attempt, or of a next hop that stands for its own attempt."""
    hop, inner = spans[nodes[number]["at"]], spans[nodes[outbound]["at"]]
    start, duration = inner["start"], inner["duration"]
    if nodes[outbound]["attempt"]:
        begin = min(max(start - hop["start"], 0), hop["duration"])
        end = min(max(start + duration - hop["start"], 0), hop["duration"])
        return begin, end - begin
    if hop["kind"] == CLIENT:
        return 0, hop["duration"]  # a client's only span is its own attempt
    return place_within(hop["start"], hop["duration"], start, duration)


@inlined
def _union(spans: SpanArray, nodes: Any, number: Int, outbound: Places, begins: Places) -> Int:
    """How much of a hop's time its attempts cover."""
    size = len(outbound)
    for i in range(size):
        begins[i] = interval(spans, nodes, number, outbound[i])[0]
    if size <= _FEW:
        for i in range(1, size):
            begin, one = begins[i], outbound[i]
            j = i - 1
            while j >= 0 and begins[j] > begin:
                begins[j + 1], outbound[j + 1] = begins[j], outbound[j]
                j -= 1
            begins[j + 1], outbound[j + 1] = begin, one
    else:
        sort_by_key(begins, outbound, size)
    total, reached = 0, 0
    for i in range(size):
        begin, length = interval(spans, nodes, number, outbound[i])
        total += max(0, begin + length - max(begin, reached))
        reached = max(reached, begin + length)
    return total
