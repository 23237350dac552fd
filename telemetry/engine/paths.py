"""From spans to request paths, a batch at once: the engine's counterpart of ``telemetry.domain.paths.assemble``."""

from dataclasses import dataclass

import numpy as np

from telemetry.domain.tiers import Tiers
from telemetry.engine.answer import Answers, answers
from telemetry.engine.columns import F64, I32, I64, U64, Flags, SpanColumns, Strings
from telemetry.engine.times import Times, times
from telemetry.engine.tree import Forest, Pointers, build
from telemetry.engine.verdicts import Verdicts, verdicts
from telemetry.engine.walk import Ways, walk
from telemetry.vocabulary import SpanKind


@dataclass(slots=True)
class PathColumns:
    """Request paths as arrays, one entry a path; see :class:`telemetry.domain.paths.RequestPath`.

    The hops of path ``i`` are the entries ``ways.begin[i]`` to ``ways.begin[i + 1]`` of ``hop_spans`` and ``times``;
    its gaps are the entries ``gap_begin[i]`` to ``gap_begin[i + 1]`` of ``gaps``. String columns are codes.
    """

    trace_high: U64
    trace_low: U64
    start: I64
    environment: I32
    region: I32
    pop: I32
    route: I32
    method: I32
    status: I32
    verdicts: Verdicts
    reached_api: Flags
    gaps: I32
    gap_begin: I64
    total: I64
    edge: I64
    api: I64
    attempts: I64
    retries: I64
    weight: F64
    spans: I64
    client_hash: U64
    ways: Ways
    hop_spans: SpanColumns
    times: Times
    hop_failed: Flags

    def __len__(self) -> int:
        return len(self.total)

    @property
    def complete(self) -> Flags:
        """Which paths have no gaps."""
        complete: Flags = self.gap_begin[1:] == self.gap_begin[:-1]
        return complete

    @property
    def settled(self) -> Flags:
        """Which are complete and say why they end where they end: they reached the API, or failed before.

        Of others, such as an answer out of a PoP's cache, spans of the hops below may still be on their way.
        """
        last = self.ways.begin[1:] - 1
        settled: Flags = self.complete & (self.reached_api | self.hop_failed[last])
        return settled

    def per_path(self, hop_values: I64) -> I64:
        """Sums of a hop column over each path."""
        return np.add.reduceat(hop_values, self.ways.begin[:-1])


def assemble(spans: SpanColumns, strings: Strings, tiers: Tiers) -> PathColumns:
    """The request paths of all traces in ``spans``, in the order of :func:`telemetry.engine.tree.group`.

    Args:
        spans: at least one span; any order, with or without copies.
        strings: what the codes of ``spans`` stand for; new ones (gaps) are added.
        tiers: the configured tiers.
    """
    tier_codes = [strings.code(tier) for tier in tiers.order]
    rank_of_tier = np.full(len(strings), -1, dtype=np.int64)
    rank_of_tier[tier_codes] = np.arange(len(tier_codes))
    forest = build(spans, rank_of_tier)
    answer = answers(forest)
    ways = walk(forest, answer, len(tier_codes) - 1)
    hops = forest.spans.take(ways.head)
    is_api = forest.rank[ways.head] == len(tier_codes) - 1
    split = times(forest, answer, ways, is_api)
    bad = forest.bad[ways.head]

    first, last = ways.begin[:-1], ways.begin[1:] - 1
    reached = is_api[last]
    total = split.duration[first]
    api = np.where(reached, split.duration[last], 0)
    pick = _Picker(ways)
    edge_hop = pick.first(hops.tier == strings.code(tiers.edge))
    edge_hop = np.where(edge_hop >= 0, edge_hop, pick.first(hops.pop != 0))
    edge_hop = np.where(edge_hop >= 0, edge_hop, first)
    client = pick.first((hops.client_hash != 0) & (hops.tier != tier_codes[0]))
    client = np.where(client >= 0, client, pick.first(hops.client_hash != 0))
    route = _at(hops.route, pick.last(hops.route != 0))
    route = np.where(route != 0, route, _at(hops.path, pick.first(hops.path != 0)))
    weighted = pick.first(hops.weight > 0)
    gaps, gap_begin = _gaps(forest, answer, ways, is_api, strings, tiers)
    return PathColumns(
        trace_high=hops.trace_high[first],
        trace_low=hops.trace_low[first],
        start=hops.start[first],
        environment=_at(hops.environment, pick.last(hops.environment != 0)),
        region=hops.region[edge_hop],
        pop=hops.pop[edge_hop],
        route=route,
        method=_at(hops.method, pick.first(hops.method != 0)),
        status=_at(hops.status, pick.first(hops.status != 0)),
        verdicts=verdicts(
            hops, bad, first, pick.first((hops.status != 0) | bad), pick.last(bad), reached, strings, tiers
        ),
        reached_api=reached,
        gaps=gaps,
        gap_begin=gap_begin,
        total=total,
        edge=np.where(reached, np.maximum(0, total - api), total),
        api=api,
        attempts=np.add.reduceat(split.attempts, first),
        retries=np.add.reduceat(split.attempts - split.answered, first),
        weight=np.where(weighted >= 0, hops.weight[weighted], 1.0),
        spans=np.diff(forest.first, append=len(forest.spans)),
        client_hash=np.where(client >= 0, hops.client_hash[client], np.uint64(0)),
        ways=ways,
        hop_spans=hops,
        times=split,
        hop_failed=bad,
    )


class _Picker:
    """Finds, for every path, the first or last of its hops that has a property; -1 if none has."""

    def __init__(self, ways: Ways) -> None:
        self._begin = ways.begin[:-1]
        self._place = np.arange(len(ways.head))

    def first(self, having: Flags) -> Pointers:
        far = len(self._place)
        found = np.minimum.reduceat(np.where(having, self._place, far), self._begin)
        return np.where(found < far, found, -1)

    def last(self, having: Flags) -> Pointers:
        return np.maximum.reduceat(np.where(having, self._place, -1), self._begin)


def _at(values: I32, place: Pointers) -> I32:
    return np.where(place >= 0, values[place], 0).astype(np.int32)


def _gaps(
    forest: Forest, answer: Answers, ways: Ways, is_api: Flags, strings: Strings, tiers: Tiers
) -> tuple[I32, I64]:
    """What is missing, as codes with the place where each path's begin."""
    spans = forest.spans
    first, last = ways.begin[:-1], ways.begin[1:] - 1
    start = ways.head[first]
    dangling = spans.parent_id[start] != 0
    headless = ~dangling & (spans.tier[start] != strings.code(tiers.first))
    before = np.flatnonzero(ways.stitched)
    end = ways.head[last]
    # What the last word came from: the attempt that answered, or a client's own span, for a client does not answer itself.
    calls = (spans.kind[end] == SpanKind.CLIENT) | (spans.tier[end] == strings.code(tiers.first))
    word = np.where(answer.answered[end], answer.attempt[end], end)
    says_why = forest.bad[word] & ((spans.status[word] == 0) | (spans.flags[word] != 0))
    after = ~is_api[last] & np.where(answer.answered[end], answer.child[end] < 0, calls) & ~says_why
    parts: list[tuple[Pointers, I64, I32]] = []

    def add(trace: Pointers, order: int | I64, codes: I32) -> None:
        parts.append((trace, np.broadcast_to(np.asarray(order, dtype=np.int64), trace.shape), codes))

    add(np.flatnonzero(dangling), 0, _named("before:", spans.tier[start[dangling]], strings))
    add(np.flatnonzero(headless), 0, np.full(int(headless.sum()), strings.code(tiers.first), dtype=np.int32))
    add(ways.trace[before], ways.depth[before], _named("before:", spans.tier[ways.head[before]], strings))
    long = np.flatnonzero(ways.too_long)
    add(long, 1 << 20, np.full(len(long), strings.code("too_long") if len(long) else 0, dtype=np.int32))
    add(np.flatnonzero(after), 1 << 21, _named("after:", spans.tier[end[after]], strings))
    trace = np.concatenate([p[0] for p in parts])
    order = np.lexsort((np.concatenate([p[1] for p in parts]), trace))
    counts = np.bincount(trace, minlength=forest.traces)
    return np.concatenate([p[2] for p in parts])[order], np.concatenate(([0], np.cumsum(counts)))


def _named(prefix: str, tier_codes: I32, strings: Strings) -> I32:
    distinct, inverse = np.unique(tier_codes, return_inverse=True)
    codes = strings.codes(prefix + strings.text(int(c)) for c in distinct)
    return codes[inverse]
