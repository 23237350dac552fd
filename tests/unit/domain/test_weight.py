"""Weights from tracestate. Examples: OpenTelemetry specification, "TraceState: Probability Sampling"."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.domain.weight import MOST, from_tracestate


@pytest.mark.parametrize(
    ("tracestate", "weight"),
    [
        ("ot=th:0", 1.0),  # 100 % sampling
        ("ot=th:8", 2.0),  # 50 %
        ("ot=th:c", 4.0),  # 25 %
        ("ot=th:e", 8.0),
        ("ot=th:fd70a4", 1 / (1 - 0xFD70A4 / 2**24)),  # about 1 %
        ("ot=th:c;rv:d29d6a7215ced0", 4.0),
        ("ot=rv:d29d6a7215ced0;th:c", 4.0),
        ("rojo=00f067aa0ba902b7,ot=th:c,congo=t61rcWkgMzE", 4.0),
        ("rojo=00f067aa0ba902b7, ot=th:c", 4.0),
        ("congo=t61rcWkgMzE,\tot=rv:d29d6a7215ced0;th:8;x:y", 2.0),
        ("ot=th:ffffffffffffff", MOST),  # nobody keeps one of 2^56
    ],
)
def test_a_threshold_gives_a_weight(tracestate: str, weight: float) -> None:
    """Trailing zeros are left out of ``th``; other vendors and other values do not matter."""
    assert from_tracestate(tracestate) == pytest.approx(weight)


@pytest.mark.parametrize(
    "tracestate",
    [
        "",
        "rojo=00f067aa0ba902b7",
        "ot=rv:d29d6a7215ced0",
        "ot=th:",
        "ot=th:C",  # lower case only
        "ot=th:xyz",
        "ot=th:c0000000000000000",  # more than 14 digits
        "ot=tth:c",
        "notot=th:c",
        "x=ot=th:c",
        "ot=p:8;r:62",  # the older form, which says something else
        "OT=th:c",
    ],
)
def test_without_a_valid_threshold_there_is_none(tracestate: str) -> None:
    """0 stands for unknown, which a path takes for 1."""
    assert from_tracestate(tracestate) == 0.0


@given(st.integers(0, 2**56 - 1))
def test_the_weight_is_one_over_the_probability(threshold: int) -> None:
    """For every threshold, written with or without its trailing zeros."""
    digits = f"{threshold:014x}"
    whole, short = from_tracestate(f"ot=th:{digits}"), from_tracestate(f"ot=th:{digits.rstrip('0') or '0'}")
    assert (
        whole == short == pytest.approx(min(2**56 / (2**56 - threshold), MOST), rel=1e-15)
    )  # within a rounding of doubles
    assert whole >= 1


@pytest.mark.parametrize("part", ["ot=;", ",ot=th:", ", ", "th:", "ot=th:0;,"])
def test_time_is_linear(part: str) -> None:
    """A megabyte of almost-matches takes no longer than reading it."""
    began = time.perf_counter()
    from_tracestate(part * (1_000_000 // len(part)) + "!")
    assert time.perf_counter() - began < 1.0
