"""Sorting inside compiled loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.engine.sorting import sort_by_key


@settings(deadline=None)  # the first call may compile
@given(st.lists(st.integers(-5, 5)), st.integers(0, 3))
def test_both_are_sorted_by_key_and_then_by_value(numbers: list[int], behind: int) -> None:
    """And what lies behind the first ``size`` stays."""
    keys = np.array([*numbers, *range(behind)], dtype=np.int64)
    values = np.array([(7 * place) % 11 for place in range(len(keys))], dtype=np.int64)
    size = len(numbers)
    wanted = sorted(zip(keys[:size].tolist(), values[:size].tolist(), strict=True))
    rest = (keys[size:].tolist(), values[size:].tolist())
    sort_by_key(keys, values, size)
    assert list(zip(keys[:size].tolist(), values[:size].tolist(), strict=True)) == wanted
    assert (keys[size:].tolist(), values[size:].tolist()) == rest


def test_keys_without_a_sign() -> None:
    """Ids of spans use all 64 bits."""
    keys = np.array([2**64 - 1, 0, 2**63], dtype=np.uint64)
    values = np.arange(3, dtype=np.int64)
    sort_by_key(keys, values, 3)
    assert (keys.tolist(), values.tolist()) == ([0, 2**63, 2**64 - 1], [1, 2, 0])
