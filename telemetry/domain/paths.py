"""The reference: spans of one trace to its request path, in plain Python, clear and slow.

This module says what a request path *is*; the engine (``telemetry.engine``) is tested against it on generated traces.
The order of the spans, and copies of them, change nothing.

**Roles.** SERVER and CLIENT spans count, and the topmost span of every connected piece of the trace, whatever its kind;
other spans are looked through. A SERVER span is the head of a hop, unless it only repeats the SERVER span above it (same
component, tier and PoP: a service instrumented twice). A topmost span is a head too: the client's own first span, or what is
left where spans are missing. A CLIENT span whose nearest counting ancestor is no CLIENT span (or is a topmost one) is an
attempt of the hop above it; CLIENT spans below attempts are looked through.

**The attempt that answered.** A candidate is an attempt, or a next hop directly below a head (a proxy that makes no CLIENT
spans). Calls beside the way are no candidates: databases and queues, and calls that lead only to components that stand
before this hop or have no tier. A hop that served its request well was answered by the first of its good attempts that leads
on to another hop to end, else by its last good attempt, else by its last attempt; a hop that failed was answered by its last
failed attempt, else by its last good one that leads on, else by its last.

**Time.** ``self`` + ``retry`` + ``network`` times of all hops + ``unattributed`` = the first hop's duration, exactly: at each
hop, duration = self (outside all attempts) + retry (attempts other than the one that answered, outside it) + the answering
attempt, and that attempt = network + unattributed + the next hop's duration, where unattributed is the negative remainder.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from telemetry.domain.outcome import Verdict, verdict
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.vocabulary import SpanKind

MAX_HOPS = 64
"""A way longer than this is cut, with the gap ``too_long``: no real one has as many tiers."""
_FAR = 1 << 30


@dataclass(frozen=True, slots=True)
class Hop:
    """One component's handling of one request. Times in ns; ``offset_ns`` is skew-corrected, for drawing only."""

    span_id: int
    tier: str
    component: str
    pop: str
    offset_ns: int
    duration_ns: int
    self_ns: int
    retry_ns: int
    network_ns: int
    unattributed_ns: int
    status: int
    flags: str
    error: str
    attempts: int
    failed: bool


@dataclass(frozen=True, slots=True)
class RequestPath:
    """The ordered hops from the client to the first API hop, and what follows from them. Columns of ``request_paths``."""

    trace_id: bytes
    start_ns: int
    environment: str
    region: str
    pop: str
    route: str
    method: str
    tenant: str
    status: int
    verdict: Verdict
    reached_api: bool
    gaps: tuple[str, ...]
    total_ns: int
    edge_ns: int
    api_ns: int
    network_ns: int
    retry_ns: int
    unattributed_ns: int
    attempts: int
    retries: int
    weight: float
    spans: int
    client_hash: int
    hops: tuple[Hop, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing between the first and the last hop."""
        return not self.gaps


@dataclass(slots=True)
class _Node:
    """A span in its tree."""

    span: Span
    parent: "_Node | None" = None
    children: list["_Node"] = field(default_factory=list)

    @property
    def top(self) -> bool:
        return self.parent is None

    @property
    def counts(self) -> bool:
        return self.top or self.span.kind in (SpanKind.SERVER, SpanKind.CLIENT)

    @property
    def near(self) -> "_Node | None":
        """The nearest ancestor that counts."""
        node = self.parent
        while node is not None and not node.counts:
            node = node.parent
        return node

    @property
    def head(self) -> bool:
        if self.top:
            return True
        near = self.near
        if self.span.kind != SpanKind.SERVER or near is None:
            return False
        above, own = near.span, self.span
        repeats = (own.component, own.tier, own.pop) == (above.component, above.tier, above.pop)
        return not (above.kind == SpanKind.SERVER and repeats)

    @property
    def attempt(self) -> bool:
        near = self.near
        return (
            near is not None and self.span.kind == SpanKind.CLIENT and (near.top or near.span.kind == SpanKind.SERVER)
        )

    @property
    def owner(self) -> "_Node | None":
        """The nearest ancestor that is a head or an attempt."""
        node = self.parent
        while node is not None and not (node.head or node.attempt):
            node = node.parent
        return node


@dataclass(frozen=True, slots=True)
class _Candidate:
    attempt: _Node | None
    child: _Node | None

    @property
    def span(self) -> Span:
        node = self.attempt or self.child
        assert node is not None  # noqa: S101 - made from one or the other
        return node.span


@dataclass(slots=True)
class _Step:
    """A hop on the way, with the attempts that count and the one that answered."""

    node: _Node
    answered: _Candidate | None
    attempts: list[_Node]


def assemble(spans: Iterable[Span], tiers: Tiers) -> RequestPath:
    """The request path of one trace.

    Args:
        spans: all spans of one trace, in any order, with or without copies; at least one.
        tiers: the configured tiers.

    Raises:
        ValueError: there is no span.
    """
    distinct = _distinct(spans)
    if not distinct:
        raise ValueError("a trace has at least one span")
    nodes = _tree(distinct)
    steps, gaps = _walk(nodes, tiers)
    hops = _hops(steps)
    return _path(distinct, steps, hops, gaps, tiers)


def _distinct(spans: Iterable[Span]) -> list[Span]:
    """One span for each id; of different ones with the same id, the longest, then the earliest, is believed."""
    best: dict[int, Span] = {}
    for span in spans:
        have = best.get(span.span_id)
        if have is None or _believed(span) > _believed(have):
            best[span.span_id] = span
    return list(best.values())


def _believed(span: Span) -> tuple[int, ...]:
    return (span.duration_ns, -span.start_ns, span.parent_id, span.kind, span.status)


def _tree(spans: Sequence[Span]) -> list[_Node]:
    nodes = {span.span_id: _Node(span) for span in spans}
    parents = {s.span_id: s.parent_id for s in spans if s.parent_id in nodes and s.parent_id != s.span_id}
    endless = {s.span_id for s in spans if _never_ends(s.span_id, parents)}
    for child, parent in parents.items():
        # What hangs in or below a ring of parents (no honest sender makes one) is taken for unconnected.
        if child not in endless:
            nodes[child].parent = nodes[parent]
            nodes[parent].children.append(nodes[child])
    return list(nodes.values())


def _never_ends(span_id: int, parents: dict[int, int]) -> bool:
    seen = set()
    while span_id in parents:
        if span_id in seen:
            return True
        seen.add(span_id)
        span_id = parents[span_id]
    return False


def _walk(nodes: Sequence[_Node], tiers: Tiers) -> tuple[list[_Step], list[str]]:
    reach = _reach(nodes, tiers)
    tops = [n for n in nodes if n.top]
    start = min(tops, key=lambda n: (n.span.parent_id != 0, _down(n, tiers), n.span.start_ns, n.span.span_id))
    gaps = []
    if start.span.parent_id != 0:
        gaps.append(f"before:{start.span.tier}")
    elif start.span.tier != tiers.first:
        gaps.append(tiers.first)
    steps: list[_Step] = []
    here: _Node | None = start
    deepest = -1
    while here is not None:
        answered, attempts = _answer(here, nodes, reach, tiers)
        step = _Step(here, answered, attempts)
        steps.append(step)
        deepest = max(deepest, tiers.rank(here.span.tier))
        if here.span.tier == tiers.api:
            # What the API server does below is not Edgepath's business: its whole duration is its own.
            step.answered, step.attempts = None, []
            break
        if len(steps) == MAX_HOPS:
            gaps.append("too_long")
            break
        here = answered.child if answered else None
        if here is None:
            further = [n for n in tops if tiers.rank(n.span.tier) > deepest]
            if further:
                # The connection is missing, but the rest of the way is there: an uninstrumented or lost middle.
                here = min(further, key=lambda n: (tiers.rank(n.span.tier), n.span.start_ns, n.span.span_id))
                gaps.append(f"before:{here.span.tier}")
                step.answered = _Candidate(answered.attempt if answered else None, here)
    if _unanswered(steps[-1], tiers):
        gaps.append(f"after:{steps[-1].node.span.tier}")
    return steps, gaps


def _unanswered(last: _Step, tiers: Tiers) -> bool:
    """Whether the way must have gone on behind its last hop: something answered of which there is no span."""
    span = last.node.span
    if last.answered is not None:
        return last.answered.child is None and not _explained(last.answered.span)
    # A client does not answer itself.
    calls = span.kind == SpanKind.CLIENT or span.tier == tiers.first
    return span.tier != tiers.api and calls and not _explained(span)


def _down(node: _Node, tiers: Tiers) -> int:
    rank = tiers.rank(node.span.tier)
    return rank if rank >= 0 else _FAR


def _explained(attempt: Span) -> bool:
    """Whether the attempt itself says that it got no answer from below (no status, or a flag of the proxy's own)."""
    return attempt.bad and (attempt.status == 0 or attempt.flags != "")


def _reach(nodes: Sequence[_Node], tiers: Tiers) -> dict[int, int]:
    """For every head: the rank furthest down that it or a hop below it has."""
    reach = {n.span.span_id: tiers.rank(n.span.tier) for n in nodes if n.head}
    for node in nodes:
        if node.head:
            rank = tiers.rank(node.span.tier)
            above = node.owner
            while above is not None:
                if above.head:
                    reach[above.span.span_id] = max(reach[above.span.span_id], rank)
                above = above.owner
    return reach


def _answer(
    hop: _Node, nodes: Sequence[_Node], reach: dict[int, int], tiers: Tiers
) -> tuple[_Candidate | None, list[_Node]]:
    """The candidate that answered ``hop``, and all its outbound attempts (nodes; a next hop stands for its own attempt)."""

    def leads_on(child: _Node) -> bool:
        return reach[child.span.span_id] >= tiers.rank(hop.span.tier)

    candidates: list[_Candidate] = []
    for node in nodes:
        if node.owner is not hop:
            continue
        if node.head:
            if leads_on(node):
                candidates.append(_Candidate(None, node))
        elif node.attempt and not node.span.side_call:
            below = [n for n in nodes if n.head and n.owner is node]
            onward = [n for n in below if leads_on(n)]
            if onward:
                candidates.append(_Candidate(node, min(onward, key=lambda n: (n.span.start_ns, n.span.span_id))))
            elif not below:
                candidates.append(_Candidate(node, None))
    if not candidates:
        return None, []
    answered = min(candidates, key=lambda c: _preference(c, hop_failed=hop.span.bad))
    counted = [c for c in candidates if c is answered or c.span.bad or c.child is not None]
    return answered, [n for c in counted if (n := c.attempt or c.child) is not None]


def _preference(candidate: _Candidate, *, hop_failed: bool) -> tuple[int, int, int]:
    span, leads = candidate.span, candidate.child is not None
    if hop_failed:
        order = 0 if span.bad else (1 if leads else 2)
        return order, -span.end_ns, span.span_id
    if span.bad:
        return 2, -span.end_ns, span.span_id
    return (0, span.end_ns, span.span_id) if leads else (1, -span.end_ns, span.span_id)


def _place(outer_start: int, outer: int, start: int, duration: int) -> tuple[int, int]:
    """(offset within the outer interval, length) of an inner interval measured by another clock.

    It stands where its own clock says if it fits; else in the middle; one that is longer begins with the outer one.
    """
    if duration > outer:
        return 0, outer
    if start >= outer_start and start + duration <= outer_start + outer:
        return start - outer_start, duration
    return (outer - duration) // 2, duration


def _clip(hop: Span, inner: Span) -> tuple[int, int]:
    """(offset within the hop, length) of an interval of the hop's own clock, cut to the hop's."""
    begin = min(max(inner.start_ns - hop.start_ns, 0), hop.duration_ns)
    end = min(max(inner.end_ns - hop.start_ns, 0), hop.duration_ns)
    return begin, end - begin


def _interval(hop: _Node, outbound: _Node) -> tuple[int, int]:
    """(offset, length) within the hop of an attempt, or of a next hop that stands for its own attempt."""
    if outbound.attempt:
        return _clip(hop.span, outbound.span)
    if hop.span.kind == SpanKind.CLIENT:
        return 0, hop.span.duration_ns  # a client's only span is its own attempt
    return _place(hop.span.start_ns, hop.span.duration_ns, outbound.span.start_ns, outbound.span.duration_ns)


def _union(intervals: Iterable[tuple[int, int]]) -> int:
    total, reached = 0, 0
    for begin, length in sorted(intervals):
        end = begin + length
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _hops(steps: Sequence[_Step]) -> list[Hop]:
    hops = []
    offset = 0
    for position, step in enumerate(steps):
        span = step.node.span
        following = steps[position + 1].node if position + 1 < len(steps) else None
        outbound = list(step.attempts)
        answer: _Node | None = None
        if step.answered is not None:
            answer = step.answered.attempt or step.answered.child
            if answer is not None and answer not in outbound:
                outbound.append(answer)
        if answer is not None:
            begin, length = _interval(step.node, answer)
        else:
            begin, length = 0, 0
        busy = _union(_interval(step.node, n) for n in outbound)
        remainder = length - (following.span.duration_ns if following else 0)
        hops.append(
            Hop(
                span_id=span.span_id,
                tier=span.tier,
                component=span.component,
                pop=span.pop,
                offset_ns=offset,
                duration_ns=span.duration_ns,
                self_ns=span.duration_ns - busy,
                retry_ns=busy - length,
                network_ns=max(remainder, 0),
                unattributed_ns=min(remainder, 0),
                status=span.status,
                flags=span.flags,
                error=span.error,
                attempts=len(outbound),
                failed=span.bad,
            )
        )
        if following is not None:
            within = _place(span.start_ns + begin, length, following.span.start_ns, following.span.duration_ns)[0]
            offset += begin + within
    return hops


def _path(spans: Sequence[Span], steps: Sequence[_Step], hops: list[Hop], gaps: list[str], tiers: Tiers) -> RequestPath:
    way = [s.node.span for s in steps]
    first, last = way[0], way[-1]
    reached = last.tier == tiers.api
    edge_hop = next((s for s in way if s.tier == tiers.edge), None) or next((s for s in way if s.pop), first)
    behind_client = [s.client_hash for s in way if s.client_hash and s.tier != tiers.first]
    answered = sum(1 for s in steps if s.answered is not None)
    attempts = sum(h.attempts for h in hops)
    return RequestPath(
        trace_id=first.trace_id,
        start_ns=first.start_ns,
        environment=next((s.environment for s in reversed(way) if s.environment), ""),
        region=edge_hop.region,
        pop=edge_hop.pop,
        route=next((s.route for s in reversed(way) if s.route), "") or next((s.path for s in way if s.path), ""),
        method=next((s.method for s in way if s.method), ""),
        # Of several the one nearest the API, which has authenticated the request; others may repeat what a header claims.
        tenant=next((s.tenant for s in reversed(way) if s.tenant), ""),
        status=next((s.status for s in way if s.status), 0),
        verdict=verdict(way, tiers),
        reached_api=reached,
        gaps=tuple(gaps),
        total_ns=first.duration_ns,
        edge_ns=max(0, first.duration_ns - last.duration_ns) if reached else first.duration_ns,
        api_ns=last.duration_ns if reached else 0,
        network_ns=sum(h.network_ns for h in hops),
        retry_ns=sum(h.retry_ns for h in hops),
        unattributed_ns=sum(h.unattributed_ns for h in hops),
        attempts=attempts,
        retries=attempts - answered,
        weight=next((s.weight for s in way if s.weight), 1.0),
        spans=len(spans),
        client_hash=(behind_client or [s.client_hash for s in way if s.client_hash] or [0])[0],
        hops=tuple(hops),
    )
