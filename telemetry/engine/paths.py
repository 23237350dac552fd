"""From spans to request paths: the engine's counterpart of ``telemetry.domain.paths.assemble``, for many traces at once."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Int, compiled, inlined
from telemetry.domain.paths import MAX_HOPS
from telemetry.engine.answer import STEP, place_within
from telemetry.engine.spans import SpanArray
from telemetry.engine.strings import Strings
from telemetry.engine.tree import NODE, Places, grow
from telemetry.engine.verdicts import CANCELLED, OK, outcome_of
from telemetry.engine.walk import AFTER, BEFORE, FIRST_TIER, MAX_GAPS, walk

PATH: Final = np.dtype(
    [
        ("trace_high", np.uint64),
        ("trace_low", np.uint64),
        ("start", np.int64),
        ("total", np.int64),
        ("edge", np.int64),
        ("api", np.int64),
        ("network", np.int64),
        ("retry", np.int64),
        ("unattributed", np.int64),
        ("attempts", np.int64),
        ("retries", np.int64),
        ("weight", np.float64),
        ("client_hash", np.uint64),
        ("arrived_ms", np.int64),
        ("last_offset", np.int64),
        ("first_hop", np.int64),
        ("first_gap", np.int64),
        ("hops", np.int32),
        ("gaps", np.int32),
        ("spans", np.int32),
        ("status", np.int32),
        ("environment", np.int32),
        ("region", np.int32),
        ("pop", np.int32),
        ("route", np.int32),
        ("method", np.int32),
        ("tenant", np.int32),
        ("outcome", np.int32),
        ("blamed_tier", np.int32),
        ("blamed_component", np.int32),
        ("blamed_pop", np.int32),
        ("reason", np.int32),
        ("reached_api", np.bool_),
        ("settled", np.bool_),
    ],
    align=True,
)
"""A path: times in ns, strings as codes. Its hops are ``hops`` entries from ``first_hop`` on, its gaps likewise.

``settled`` is one that is complete and says why it ends where it ends: it reached the API, or failed before. Of others, such
as an answer out of a PoP's cache, spans of the hops below may still be on their way.
"""

HOP: Final = np.dtype(
    [
        ("span_id", np.uint64),
        ("offset", np.int64),
        ("duration", np.int64),
        ("self", np.int64),
        ("retry", np.int64),
        ("network", np.int64),
        ("unattributed", np.int64),
        ("tier", np.int32),
        ("component", np.int32),
        ("pop", np.int32),
        ("status", np.int32),
        ("flags", np.int32),
        ("error", np.int32),
        ("attempts", np.int32),
        ("failed", np.bool_),
    ],
    align=True,
)
"""A hop, as :class:`telemetry.domain.paths.Hop`; times in ns, strings as codes."""


@dataclass(slots=True)
class Paths:
    """Request paths, as arrays of :data:`PATH` and :data:`HOP`; ``gaps`` are codes."""

    paths: NDArray[np.void]
    hops: NDArray[np.void]
    gaps: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.paths)

    def only(self, wanted: NDArray[np.bool_]) -> "Paths":
        """Those that are ``wanted``."""
        paths = self.paths[wanted]
        hops = self.hops[np.repeat(wanted, self.paths["hops"])]
        gaps = self.gaps[np.repeat(wanted, self.paths["gaps"])]
        paths["first_hop"] = np.cumsum(paths["hops"]) - paths["hops"]
        paths["first_gap"] = np.cumsum(paths["gaps"]) - paths["gaps"]
        return Paths(paths, hops, gaps)


def assemble(spans: SpanArray, members: Places, ends: Places, strings: Strings) -> Paths:
    """The request paths of several traces, in their order.

    Args:
        spans: the spans of all traces, with or without copies.
        members: places of the traces' spans, one trace after the other, in any order within one; sorted here by span id.
        ends: where each trace's members end; none is empty.
        strings: what the codes of ``spans`` stand for; words for gaps are added.
    """
    traces = len(ends)
    most = int(np.diff(ends, prepend=0).max()) if traces else 0
    paths = np.empty(traces, dtype=PATH)
    hops = np.empty(len(members), dtype=HOP)
    gaps = np.empty(traces + len(members) + MAX_GAPS, dtype=np.int64)
    counts = np.zeros(2, dtype=np.int64)
    tiers = strings.tiers
    _assemble(
        spans,
        members,
        ends,
        strings.rank,
        strings.says,
        strings.outcome,
        strings.status_code,
        np.array([tiers.rank(tiers.api), tiers.rank(tiers.edge)], dtype=np.int64),
        np.empty(most, dtype=NODE),
        np.empty(MAX_HOPS, dtype=STEP),
        np.empty((3, most), dtype=np.int64),
        np.empty(most, dtype=np.uint64),
        np.empty(MAX_HOPS, dtype=np.int64),
        paths,
        hops,
        gaps,
        counts,
    )
    return Paths(paths, hops[: counts[0]], _named(gaps[: counts[1]], strings))


@compiled
def _assemble(
    spans: SpanArray,
    members: Places,
    ends: Places,
    rank: NDArray[np.int32],
    says: NDArray[np.uint8],
    outcomes: NDArray[np.int32],
    status_code: NDArray[np.int32],
    ranks: NDArray[np.int64],
    nodes: Any,
    steps: Any,
    room: Any,
    ids: Any,
    way: Places,
    paths: Any,
    hops: Any,
    gaps: Places,
    counts: Places,
) -> None:
    begin = 0
    for number in range(len(ends)):
        end = ends[number]
        mine = members[begin:end]
        count = grow(spans, mine, rank, nodes, room[0], ids)
        first_gap = counts[1]
        made, missing = walk(spans, nodes, count, ranks[0], steps, gaps[first_gap:], room[1], room[2])
        path = paths[number]
        path["spans"] = count
        path["first_hop"], path["hops"] = counts[0], made
        path["first_gap"], path["gaps"] = first_gap, missing
        path["attempts"] = path["retries"] = 0
        for place in range(made):
            way[place] = nodes[steps[place]["node"]]["at"]
            path["attempts"] += steps[place]["attempts"]
            path["retries"] += steps[place]["attempts"] - (1 if steps[place]["answered"] else 0)
        _times(spans, way, made, steps, hops[counts[0] :], path)
        _describe(spans, way, made, rank, ranks, path)
        _judge(spans, way, made, rank, ranks, says, outcomes, status_code, path)
        path["settled"] = missing == 0 and (path["reached_api"] or spans[way[made - 1]]["bad"] != 0)
        _arrival(spans, mine, path)
        counts[0] += made
        counts[1] += missing
        begin = end


@inlined
def _times(spans: SpanArray, way: Places, made: Int, steps: Any, hops: Any, path: Any) -> None:
    """Where the time of every hop went, exactly."""
    offset = np.int64(0)
    path["network"] = path["retry"] = path["unattributed"] = 0
    for place in range(made):
        span, step, hop = spans[way[place]], steps[place], hops[place]
        last = place == made - 1
        following = np.int64(0) if last else spans[way[place + 1]]["duration"]
        remainder = step["length"] - following
        hop["span_id"] = span["span_id"]
        hop["offset"] = offset
        hop["duration"] = span["duration"]
        hop["self"] = span["duration"] - step["busy"]
        hop["retry"] = step["busy"] - step["length"]
        hop["network"] = max(remainder, 0)
        hop["unattributed"] = min(remainder, 0)
        hop["tier"] = span["tier"]
        hop["component"] = span["component"]
        hop["pop"] = span["pop"]
        hop["status"] = span["status"]
        hop["flags"] = span["flags"]
        hop["error"] = span["error"]
        hop["attempts"] = step["attempts"]
        hop["failed"] = span["bad"] != 0
        path["network"] += hop["network"]
        path["retry"] += hop["retry"]
        path["unattributed"] += hop["unattributed"]
        if not last:
            start = spans[way[place + 1]]["start"]
            within = place_within(span["start"] + step["begin"], step["length"], start, following)[0]
            offset += step["begin"] + within


@inlined
def _describe(spans: SpanArray, way: Places, made: Int, rank: Any, ranks: Places, path: Any) -> None:
    """What the hops say of the request: the first one, or for some things the last one, that says it."""
    first, last = spans[way[0]], spans[way[made - 1]]
    reached = rank[last["tier"]] == ranks[0]
    path["trace_high"], path["trace_low"] = first["trace_high"], first["trace_low"]
    path["start"] = first["start"]
    path["total"] = first["duration"]
    path["reached_api"] = reached
    path["api"] = last["duration"] if reached else 0
    path["edge"] = max(0, first["duration"] - last["duration"]) if reached else first["duration"]
    path["environment"] = path["route"] = path["tenant"] = path["method"] = path["status"] = 0
    path["weight"] = 0.0
    path["client_hash"] = 0
    url, edge, with_pop, client = 0, -1, -1, np.uint64(0)
    for place in range(made):
        span = spans[way[place]]
        standing = rank[span["tier"]]
        if span["environment"] != 0:
            path["environment"] = span["environment"]
        if span["route"] != 0:
            path["route"] = span["route"]
        if span["tenant"] != 0:
            path["tenant"] = span["tenant"]
        if url == 0:
            url = span["path"]
        if path["method"] == 0:
            path["method"] = span["method"]
        if path["status"] == 0:
            path["status"] = span["status"]
        if path["weight"] == 0.0:
            path["weight"] = span["weight"]
        if edge < 0 and standing == ranks[1]:
            edge = place
        if with_pop < 0 and span["pop"] != 0:
            with_pop = place
        if client == 0:
            client = span["client_hash"]
        if path["client_hash"] == 0 and standing != 0:
            path["client_hash"] = span["client_hash"]
    if path["route"] == 0:
        path["route"] = url
    if path["weight"] == 0.0:
        path["weight"] = 1.0
    if path["client_hash"] == 0:
        path["client_hash"] = client
    at_edge = spans[way[edge if edge >= 0 else max(with_pop, 0)]]
    path["region"] = at_edge["region"]
    path["pop"] = at_edge["pop"]


@inlined
def _judge(
    spans: SpanArray,
    way: Places,
    made: Int,
    rank: Any,
    ranks: Places,
    says: Any,
    outcomes: Any,
    status_code: Any,
    path: Any,
) -> None:
    """Outcome and blame."""
    final, blamed = -1, -1
    for place in range(made):
        span = spans[way[place]]
        if final < 0 and (span["status"] != 0 or span["bad"] != 0):
            final = place
        if span["bad"] != 0:
            blamed = place
    if final < 0 or spans[way[final]]["bad"] == 0:
        path["outcome"] = outcomes[OK]
        path["blamed_tier"] = path["blamed_component"] = path["blamed_pop"] = path["reason"] = 0
        return
    how, whom = spans[way[final]], spans[way[blamed]]
    outcome = outcome_of(how, whom, path["reached_api"], rank[whom["tier"]] == ranks[0], says)
    path["outcome"] = outcomes[outcome]
    who, why = (spans[way[0]], how) if outcome == CANCELLED else (whom, whom)
    path["blamed_tier"] = who["tier"]
    path["blamed_component"] = who["component"]
    path["blamed_pop"] = who["pop"]
    if why["flags"] != 0:
        path["reason"] = why["flags"]
    elif why["error"] != 0:
        path["reason"] = why["error"]
    else:
        path["reason"] = status_code[why["status"]]


@inlined
def _arrival(spans: SpanArray, members: Places, path: Any) -> None:
    path["arrived_ms"] = spans[members[0]]["arrival_ms"]
    path["last_offset"] = spans[members[0]]["offset"]
    for place in range(1, len(members)):
        path["arrived_ms"] = max(path["arrived_ms"], spans[members[place]]["arrival_ms"])
        path["last_offset"] = max(path["last_offset"], spans[members[place]]["offset"])


def _named(gaps: Places, strings: Strings) -> NDArray[np.int32]:
    """The words for gaps."""
    distinct, inverse = np.unique(gaps, return_inverse=True)
    codes = strings.codes(_word(int(gap) >> 32, strings.text(int(gap) & 0xFFFFFFFF), strings) for gap in distinct)
    named: NDArray[np.int32] = codes[inverse] if len(distinct) else codes
    return named


def _word(kind: int, tier: str, strings: Strings) -> str:
    if kind == FIRST_TIER:
        return strings.tiers.first
    return f"before:{tier}" if kind == BEFORE else f"after:{tier}" if kind == AFTER else "too_long"
