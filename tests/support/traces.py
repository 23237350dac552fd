"""Random traces: plausible ones, and every kind of broken one.

One generator, two sources of chance: Hypothesis (``spans()``, shrinks) and a seeded ``random.Random`` (``random_spans``, fast).
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

from telemetry.domain.spans import Span
from telemetry.vocabulary import DEFAULT_TIERS, UNKNOWN_TIER, SpanKind

EPOCH = 1_760_000_000_000_000_000
TIERS = (*DEFAULT_TIERS, UNKNOWN_TIER)
STATUSES = (0, 0, 200, 200, 200, 204, 302, 401, 403, 404, 429, 499, 500, 502, 503, 504)
FLAGS = ("", "", "", "UF", "UT", "DC", "RL", "UAEX", "UF,URX", "NR")
ERRORS = ("", "", "", "timeout", "ConnectError", "cancelled", "error", "500")
WEIGHTS = (0.0, 0.0, 1.0, 8.0)
_T = TypeVar("_T")


class Chance(Protocol):
    """Where choices come from."""

    def pick(self, choices: Sequence[_T]) -> _T:
        """One of them."""
        ...

    def number(self, least: int, most: int) -> int:
        """A number between, both included."""
        ...


class Seeded:
    """Chance by ``random.Random``."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pick = self.random.choice
        self.number = self.random.randint


class _Drawn:
    """Chance by Hypothesis."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def pick(self, choices: Sequence[_T]) -> _T:
        return self._draw(st.sampled_from(choices))

    def number(self, least: int, most: int) -> int:
        return self._draw(st.integers(least, most))


@st.composite
def spans(draw: st.DrawFn, trace_id: bytes = b"\x01" * 16, most: int = 14) -> list[Span]:
    """Spans of one trace, by Hypothesis."""
    return random_spans(_Drawn(draw), trace_id, most)


def random_spans(chance: Chance, trace_id: bytes = b"\x01" * 16, most: int = 14) -> list[Span]:
    """Spans of one trace: a random forest, mostly a chain of tiers, with lost parents, rings, copies and skewed clocks."""
    count = chance.number(1, most)
    ids: list[int] = []
    while len(ids) < count:
        span_id = chance.number(1, 40)
        if span_id not in ids:
            ids.append(span_id)
    made = []
    for place, span_id in enumerate(ids):
        parent = chance.pick((0, ids[0], *ids[max(0, place - 2) : place + 1], *ids[place : place + 2], 99))
        root = place == 0 and chance.pick((False, True))
        made.append(_span(chance, trace_id, span_id, 0 if root else parent, place))
    for _ in range(chance.number(0, 2)):
        made.append(chance.pick(made))
    return made


def _span(chance: Chance, trace_id: bytes, span_id: int, parent_id: int, place: int) -> Span:
    likely = DEFAULT_TIERS[min(place // 2, 4)]
    tier = chance.pick((*TIERS, likely, likely))
    fields: dict[str, Any] = {
        "kind": chance.pick((SpanKind.SERVER, SpanKind.CLIENT, SpanKind.CLIENT, SpanKind.SERVER, *SpanKind)),
        "start_ns": EPOCH + place * 10 + chance.number(-60, 60),
        "duration_ns": chance.number(0, 120),
        "tier": tier,
        "component": f"{tier}-{chance.pick('ab')}",
        "pop": chance.pick(("", "fra", "iad")),
        "region": chance.pick(("", "eu")),
        "environment": chance.pick(("", "prod")),
        "status": chance.pick(STATUSES),
        "flags": chance.pick(FLAGS),
        "error": chance.pick(ERRORS),
        "route": chance.pick(("", "", "/v1/charges")),
        "path": chance.pick(("", "/v1/{id}")),
        "method": chance.pick(("", "GET", "POST")),
        "tenant": chance.pick(("", "", "acct_1", "acct_2")),
        "side_call": chance.number(0, 9) == 0,
        "weight": chance.pick(WEIGHTS),
        "client_hash": chance.pick((0, 7, 8)),
    }
    return Span(trace_id=trace_id, span_id=span_id, parent_id=parent_id, **fields)


def smallest(spans: Sequence[Span], fails: Callable[[list[Span]], bool]) -> list[Span]:
    """The fewest of ``spans`` for which ``fails`` still holds, leaving out one after the other: for a readable failure."""
    left = list(spans)
    for span in spans:
        fewer = [s for s in left if s is not span]
        if fewer and fails(fewer):
            left = fewer
    return left
