"""Tiers by name and by pattern; times that a span claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.domain.spans import MAX_DURATION_NS, MAX_START_NS, Span, sane_times
from telemetry.domain.tiers import Tiers
from telemetry.vocabulary import DEFAULT_TIERS, UNKNOWN_TIER

NOW = 1_760_000_000_000_000_000


@pytest.mark.parametrize(
    ("named", "component", "tier"),
    [
        ("edge", "anything", "edge"),
        ("Edge", "anything", UNKNOWN_TIER),
        ("", "envoy-fra-1", "edge"),
        ("cdn", "envoy-fra-1", "edge"),  # a tier that is not configured counts as none
        ("", "haproxy", "balancer"),
        ("", "HAPROXY", UNKNOWN_TIER),
        ("", "", UNKNOWN_TIER),
        ("", "mystery", UNKNOWN_TIER),  # a pattern whose tier is not configured does not count
    ],
)
def test_resolve(named: str, component: str, tier: str) -> None:
    """The name first, then the first pattern that fits."""
    tiers = Tiers(patterns=(("envoy-*", "edge"), ("haproxy", "balancer"), ("haproxy*", "edge"), ("mystery", "nowhere")))
    assert tiers.resolve(named, component) == tier


def test_rank_follows_the_order() -> None:
    """Unknown ones have none."""
    tiers = Tiers()
    assert [tiers.rank(t) for t in (*DEFAULT_TIERS, UNKNOWN_TIER)] == [0, 1, 2, 3, 4, -1]
    assert (tiers.first, tiers.api, tiers.edge) == ("client", "api", "edge")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (NOW, NOW + 5, (NOW, 5)),
        (NOW, NOW, (NOW, 0)),
        (NOW, NOW - 1, (NOW, 0)),
        (0, NOW, (NOW, 0)),
        (NOW, 0, (NOW, 0)),
        (0, 0, (0, 0)),
        (NOW, NOW + MAX_DURATION_NS, (NOW, MAX_DURATION_NS)),
        (NOW, NOW + MAX_DURATION_NS + 1, (NOW, 0)),
        (NOW, MAX_START_NS, (NOW, 0)),
        (2**64 - 1, 2**64 - 1, (0, 0)),
        (2**64 - 1, NOW, (NOW, 0)),
        (1, 2, (1, 1)),
    ],
)
def test_sane_times(start: int, end: int, expected: tuple[int, int]) -> None:
    """A broken claim gets the duration 0; the sane one of its times is kept."""
    assert sane_times(start, end) == expected


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_sane_times_are_sane(start: int, end: int) -> None:
    """Whatever is claimed."""
    sane, duration = sane_times(start, end)
    assert 0 <= sane < MAX_START_NS
    assert 0 <= duration <= MAX_DURATION_NS
    assert sane in (start, end, 0)


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({"status": 200}, False),
        ({"status": 399}, False),
        ({"status": 400}, True),
        ({"status": 503}, True),
        ({"status": 200, "error": "x"}, True),
        ({"error": "x"}, True),
        ({"flags": "UF"}, True),
        ({"status": 200, "flags": "DC"}, False),  # flags beside a status add nothing
        ({}, False),
    ],
)
def test_bad(fields: dict[str, object], bad: bool) -> None:
    """A 4xx or 5xx, an error, or no answer but a flag."""
    assert Span(b"\x01" * 16, 1, **fields).bad is bad  # type: ignore[arg-type]  # fields of several types
