"""Hypothesis strategies for traces: plausible ones, and every kind of broken one."""

from typing import Any

from hypothesis import strategies as st

from telemetry.domain.spans import Span
from telemetry.vocabulary import DEFAULT_TIERS, UNKNOWN_TIER, SpanKind

EPOCH = 1_760_000_000_000_000_000
TIERS = (*DEFAULT_TIERS, UNKNOWN_TIER)
STATUSES = (0, 0, 200, 200, 200, 204, 302, 401, 403, 404, 429, 499, 500, 502, 503, 504)
FLAGS = ("", "", "", "UF", "UT", "DC", "RL", "UAEX", "UF,URX", "NR")
ERRORS = ("", "", "", "timeout", "ConnectError", "cancelled", "error", "500")


@st.composite
def spans(draw: st.DrawFn, trace_id: bytes = b"\x01" * 16, most: int = 14) -> list[Span]:
    """Spans of one trace: a random forest, mostly a chain of tiers, with lost parents, rings, copies and skewed clocks."""
    count = draw(st.integers(1, most))
    ids = draw(st.lists(st.integers(1, 40), min_size=count, max_size=count, unique=True))
    made = []
    for place, span_id in enumerate(ids):
        parent = draw(st.sampled_from((0, ids[0], *ids[max(0, place - 2) : place + 1], *ids[place : place + 2], 99)))
        made.append(_span(draw, trace_id, span_id, 0 if place == 0 and draw(st.booleans()) else parent, place))
    for _ in range(draw(st.integers(0, 2))):
        made.append(draw(st.sampled_from(made)))
    return made


def _span(draw: st.DrawFn, trace_id: bytes, span_id: int, parent_id: int, place: int) -> Span:
    tier = draw(st.sampled_from((*TIERS, DEFAULT_TIERS[min(place // 2, 4)], DEFAULT_TIERS[min(place // 2, 4)])))
    fields: dict[str, Any] = {
        "kind": draw(st.sampled_from((SpanKind.SERVER, SpanKind.CLIENT, SpanKind.CLIENT, SpanKind.SERVER, *SpanKind))),
        "start_ns": EPOCH + place * 10 + draw(st.integers(-60, 60)),
        "duration_ns": draw(st.integers(0, 120)),
        "tier": tier,
        "component": f"{tier}-{draw(st.sampled_from('ab'))}",
        "pop": draw(st.sampled_from(("", "fra", "iad"))),
        "region": draw(st.sampled_from(("", "eu"))),
        "environment": draw(st.sampled_from(("", "prod"))),
        "status": draw(st.sampled_from(STATUSES)),
        "flags": draw(st.sampled_from(FLAGS)),
        "error": draw(st.sampled_from(ERRORS)),
        "route": draw(st.sampled_from(("", "", "/v1/charges"))),
        "path": draw(st.sampled_from(("", "/v1/{id}"))),
        "method": draw(st.sampled_from(("", "GET", "POST"))),
        "side_call": draw(st.integers(0, 9)) == 0,
        "weight": draw(st.sampled_from((0.0, 0.0, 1.0, 8.0))),
        "client_hash": draw(st.sampled_from((0, 7, 8))),
    }
    return Span(trace_id=trace_id, span_id=span_id, parent_id=parent_id, **fields)
