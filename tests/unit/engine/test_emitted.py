"""The memory of what was emitted."""

import numpy as np
from numpy.typing import NDArray

from telemetry.engine.emitted import Emitted, key_of, place_of

Halves = NDArray[np.uint64]


def put(emitted: Emitted, low: list[int], now_ms: int, *, partition: int = 0, offset: int = 1, block: int = 1) -> None:
    """Remember traces that have only a lower half."""
    count = len(low)
    emitted.add(
        partition,
        np.zeros(count, np.uint64),
        np.array(low, np.uint64),
        np.full(count, offset),
        np.full(count, block),
        now_ms,
    )


def find(emitted: Emitted, low: int, *, high: int = 0, partition: int = 0) -> tuple[int, int] | None:
    """The last offset and the block of a trace, None if it is not remembered."""
    key = np.uint64(key_of(np.uint64(high), np.uint64(low), partition))
    entry = emitted.table[place_of(emitted.table, key)]
    return (int(entry["offset"]), int(entry["block"])) if entry["key"] else None


def test_it_forgets_when_it_needs_the_room() -> None:
    """What is older than asked for goes first; that it may be forgotten is said."""
    emitted = Emitted(remember_ms=600_000, most=1_000_000)
    put(emitted, [7], 0)
    assert emitted.forgotten_before == 0
    for minute in range(1, 60):
        put(emitted, [minute * 1_000_000 + n for n in range(1, 2_000)], minute * 60_000)
    assert find(emitted, 7) is None
    assert all(find(emitted, minute * 1_000_000 + 1) for minute in range(50, 60))
    assert 0 < emitted.forgotten_before <= 50 * 60
    assert len(emitted) < 40 * 2_000


def test_it_remembers_no_more_than_it_may() -> None:
    """The newer ones stay, however short their time was."""
    emitted = Emitted(remember_ms=600_000, most=10_000)
    for second in range(300):
        put(emitted, [second * 1_000 + n for n in range(1, 500)], second * 1_000)
        assert len(emitted) <= 3 * 10_000
        assert find(emitted, second * 1_000 + 1) == (1, 1)
    assert find(emitted, 1) is None
    assert emitted.forgotten_before > 200


def test_the_last_offset_and_block_count() -> None:
    """A trace that is restated is in a later block, and more records have contributed."""
    emitted = Emitted(600_000, 1_000)
    put(emitted, [5], 0, offset=10, block=3)
    put(emitted, [5], 0, offset=12, block=4)
    put(emitted, [5], 0, offset=11, block=0)
    assert (find(emitted, 5), len(emitted)) == ((12, 4), 1)


def test_partitions_are_apart() -> None:
    """One that is no longer ours is forgotten alone."""
    emitted = Emitted(600_000, 1_000)
    put(emitted, [5, 6], 0, partition=1, offset=10)
    put(emitted, [5], 0, partition=2, offset=20)
    assert (find(emitted, 5, partition=1), find(emitted, 5, partition=2)) == ((10, 1), (20, 1))
    emitted.forget(1)
    assert (find(emitted, 5, partition=1), find(emitted, 5, partition=2), len(emitted)) == (None, (20, 1), 1)


def test_the_key_uses_the_whole_id() -> None:
    """Traces that share a half are different ones."""
    keys = {int(key_of(np.uint64(high), np.uint64(low), 0)) for high in range(200) for low in range(200)}
    assert len(keys) == 40_000
