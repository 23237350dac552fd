"""Which outbound attempts a hop made, and which one answered. Rules: ``telemetry.domain.paths``."""

from dataclasses import dataclass

import numpy as np

from telemetry.engine.columns import I64, Flags
from telemetry.engine.tree import Forest, Pointers, heads_above


@dataclass(slots=True)
class Answers:
    """Candidates, one entry each, and the chosen ones, by position of the hop's head.

    Attributes:
        hop: the candidate's hop.
        outbound: the attempt; the next hop's head where it stands for its own attempt.
        counted: whether it counts as an attempt.
        attempt: for every head: the attempt that answered, -1 if none or a next hop stands for it.
        child: for every head: the next hop's head, -1 if none.
        answered: for every head: whether any candidate did.
        attempts: for every head: how many candidates count.
    """

    hop: Pointers
    outbound: Pointers
    counted: Flags
    attempt: Pointers
    child: Pointers
    answered: Flags
    attempts: I64


def answers(forest: Forest) -> Answers:
    """Find candidates and choose, for all hops at once."""
    spans, owner = forest.spans, forest.owner
    count = len(spans)
    heads = np.flatnonzero(forest.head & ~forest.top)
    above = owner[heads]
    by_attempt = forest.attempt[above]
    hop_above = np.where(by_attempt, owner[above], above)
    leads = _reach(forest, heads, hop_above)[heads] >= forest.rank[hop_above]

    below = np.zeros(count, dtype=bool)
    below[above[by_attempt]] = True
    onward = np.full(count, -1, dtype=np.intp)
    via = by_attempt & leads
    chosen = _first_of(above[via], (spans.span_id[heads[via]], spans.start[heads[via]]))
    onward[above[via][chosen]] = heads[via][chosen]

    tried = np.flatnonzero(forest.attempt & ~spans.side_call & ~(below & (onward < 0)))
    direct = ~by_attempt & leads
    hop = np.concatenate((owner[tried], hop_above[direct]))
    outbound = np.concatenate((tried, heads[direct]))
    attempt = np.concatenate((tried, np.full(int(direct.sum()), -1, dtype=np.intp)))
    child = np.concatenate((onward[tried], heads[direct]))

    bad, leading, failed = forest.bad[outbound], child >= 0, forest.bad[hop]
    end = spans.start[outbound] + spans.duration[outbound]
    preference = np.where(failed, np.where(bad, 0, np.where(leading, 1, 2)), np.where(bad, 2, np.where(leading, 0, 1)))
    earliest = ~failed & ~bad & leading
    best = _first_of(hop, (spans.span_id[outbound], np.where(earliest, end, -end), preference))

    counted = bad | leading
    counted[best] = True
    answer = Answers(
        hop=hop,
        outbound=outbound,
        counted=counted,
        attempt=np.full(count, -1, dtype=np.intp),
        child=np.full(count, -1, dtype=np.intp),
        answered=np.zeros(count, dtype=bool),
        attempts=np.bincount(hop[counted], minlength=count),
    )
    answer.attempt[hop[best]] = attempt[best]
    answer.child[hop[best]] = child[best]
    answer.answered[hop[best]] = True
    return answer


def _first_of(group: Pointers, keys: tuple[np.ndarray, ...]) -> Pointers:
    """Positions of the least entry of each group; ``keys`` as for lexsort, the last one counts most."""
    if len(np.unique(group)) == len(group):
        return np.arange(len(group))
    order = np.lexsort((*keys, group))
    ordered = group[order]
    return order[np.concatenate(([True], ordered[1:] != ordered[:-1]))]


def _reach(forest: Forest, heads: Pointers, hop_above: Pointers) -> I64:
    """For every head: the rank furthest down that it or a hop below it has."""
    reach = np.where(forest.head, forest.rank, -1)
    if not (forest.rank[heads] < forest.rank[hop_above]).any():
        return reach  # every next hop stands further down by itself: nothing below it can change that
    above = heads_above(forest)[heads]
    while True:
        before = reach.copy()
        np.maximum.at(reach, above, before[heads])
        if np.array_equal(before, reach):
            return reach
