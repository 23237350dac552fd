"""Where the time of every hop went, in integer nanoseconds. Rules: ``telemetry.domain.paths``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from telemetry.engine.answer import Answers
from telemetry.engine.columns import I64, Flags, SpanColumns
from telemetry.engine.tree import Forest, Pointers
from telemetry.engine.walk import Ways
from telemetry.vocabulary import SpanKind

_How = Callable[[SpanColumns, Pointers, Pointers], tuple[I64, I64]]
_GROUPS = 50_000
_GROUP_WIDTH = 1 << 47  # wider than a day in ns; times _GROUPS it still fits an int64


@dataclass(slots=True)
class Times:
    """One entry a hop, in the order of ``Ways``; see :class:`telemetry.domain.paths.Hop`."""

    offset: I64
    duration: I64
    self_time: I64
    retry: I64
    network: I64
    unattributed: I64
    attempts: I64
    answered: Flags


def times(forest: Forest, answer: Answers, ways: Ways, is_api: Flags) -> Times:
    """Split every hop's duration; ``is_api`` marks the hops of ``ways`` where paths stop."""
    spans, head = forest.spans, ways.head
    duration = spans.duration[head]
    following = _following(ways)
    next_duration = np.where(following >= 0, spans.duration[following], 0)

    attempt = np.where(is_api, -1, answer.attempt[head])
    # Without an attempt, the next hop stands for it: the connected one, or the one across a gap.
    standing = np.where(following >= 0, following, answer.child[head])
    standing = np.where(is_api | (attempt >= 0), -1, standing)
    begin, length = np.zeros_like(duration), np.zeros_like(duration)
    _fill(begin, length, attempt, spans, head, _clip)
    _fill(begin, length, standing, spans, head, _stand)

    busy = length.copy()
    attempts = np.where(is_api, 0, answer.attempts[head])
    several = np.flatnonzero(attempts > 1)
    if len(several):
        busy[several] = _union(spans, answer, head[several])
    across = (standing >= 0) & ~answer.answered[head]
    attempts[across] += 1

    remainder = length - next_duration
    within = _place(spans.start[head] + begin, length, spans.start[following], next_duration)[0]
    step = np.where(following >= 0, begin + within, 0)
    passed = np.cumsum(step) - step  # wraps for long batches, and the difference unwraps it
    return Times(
        offset=passed - passed[ways.begin[ways.trace]],
        duration=duration,
        self_time=duration - busy,
        retry=busy - length,
        network=np.maximum(remainder, 0),
        unattributed=np.minimum(remainder, 0),
        attempts=attempts,
        answered=(~is_api & answer.answered[head]) | across,
    )


def _following(ways: Ways) -> Pointers:
    following = np.empty_like(ways.head)
    following[:-1] = ways.head[1:]
    following[ways.begin[1:] - 1] = -1
    return following


def _fill(begin: I64, length: I64, outbound: Pointers, spans: SpanColumns, head: Pointers, how: _How) -> None:
    where = np.flatnonzero(outbound >= 0)
    begin[where], length[where] = how(spans, head[where], outbound[where])


def _clip(spans: SpanColumns, hop: Pointers, inner: Pointers) -> tuple[I64, I64]:
    begin = np.clip(spans.start[inner] - spans.start[hop], 0, spans.duration[hop])
    end = np.clip(spans.start[inner] + spans.duration[inner] - spans.start[hop], 0, spans.duration[hop])
    return begin, end - begin


def _stand(spans: SpanColumns, hop: Pointers, inner: Pointers) -> tuple[I64, I64]:
    begin, length = _place(spans.start[hop], spans.duration[hop], spans.start[inner], spans.duration[inner])
    whole = spans.kind[hop] == SpanKind.CLIENT
    return np.where(whole, 0, begin), np.where(whole, spans.duration[hop], length)


def _place(outer_start: I64, outer: I64, start: I64, duration: I64) -> tuple[I64, I64]:
    fits = (start >= outer_start) & (start + duration <= outer_start + outer)
    begin = np.where(fits, start - outer_start, (outer - duration) // 2)
    longer = duration > outer
    return np.where(longer, 0, begin), np.where(longer, outer, duration)


def _union(spans: SpanColumns, answer: Answers, hops: Pointers) -> I64:
    """Time covered by any counted attempt, for each of ``hops``."""
    place = np.full(len(spans), -1, dtype=np.intp)
    place[hops] = np.arange(len(hops))
    candidates = np.flatnonzero(answer.counted & (place[answer.hop] >= 0))
    hop, outbound = answer.hop[candidates], answer.outbound[candidates]
    group = place[hop]
    begin, length = np.zeros(len(hop), dtype=np.int64), np.zeros(len(hop), dtype=np.int64)
    # An outbound span that is an attempt of this hop is told from a next hop by its role.
    head_of = spans.kind[outbound] == SpanKind.CLIENT
    _fill(begin, length, np.where(head_of, outbound, -1), spans, hop, _clip)
    _fill(begin, length, np.where(head_of, -1, outbound), spans, hop, _stand)
    order = np.lexsort((begin, group))
    group, begin, end = group[order], begin[order], (begin + length)[order]
    total = np.zeros(len(hops), dtype=np.int64)
    for low in range(0, len(hops), _GROUPS):
        part = slice(*np.searchsorted(group, (low, low + _GROUPS)))
        _add_covered(total, group[part], begin[part], end[part], low)
    return total


def _add_covered(total: I64, group: I64, begin: I64, end: I64, low: int) -> None:
    base = (group - low) * _GROUP_WIDTH
    reached = np.maximum.accumulate(end + base)
    before = np.concatenate(([0], reached[:-1])) - base
    np.add.at(total, group, np.maximum(0, end - np.maximum(begin, np.maximum(before, 0))))
