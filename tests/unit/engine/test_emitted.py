"""The memory of what was emitted."""

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from telemetry.engine import emitted as module
from telemetry.engine.emitted import Emitted, block_of, key_of, last_offset
from telemetry.engine.hashing import new_secret, secret_of
from telemetry.engine.past import Remembered

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
    key = np.uint64(key_of(np.uint64(high), np.uint64(low), partition, emitted.table.secret))
    at = module.find(emitted.table, key)
    return (int(last_offset(emitted.table, at)), int(block_of(emitted.table, at))) if at >= 0 else None


def test_it_forgets_when_it_needs_the_room() -> None:
    """What is older than asked for goes first; that it may be forgotten is said."""
    emitted = Emitted(remember_ms=600_000, most=1_000_000)
    put(emitted, [7], 0)
    assert emitted.forgotten_before(0) == 0
    for minute in range(1, 60):
        put(emitted, [minute * 1_000_000 + n for n in range(1, 2_000)], minute * 60_000)
    assert find(emitted, 7) is None
    assert all(find(emitted, minute * 1_000_000 + 1) for minute in range(50, 60))
    assert 0 < emitted.forgotten_before(0) <= 50 * 60
    assert len(emitted) < 40 * 2_000


def test_it_remembers_no_more_than_it_may() -> None:
    """The newer ones stay, however short their time was."""
    emitted = Emitted(remember_ms=600_000, most=10_000)
    for second in range(300):
        put(emitted, [second * 1_000 + n for n in range(1, 500)], second * 1_000)
        assert len(emitted) <= 3 * 10_000
        assert find(emitted, second * 1_000 + 1) == (1, 1)
    assert find(emitted, 1) is None
    assert emitted.forgotten_before(0) > 200


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
    assert (find(emitted, 5, partition=1), find(emitted, 5, partition=2)) == (None, (20, 1))
    put(emitted, [5], 0, partition=1, offset=7, block=0)
    assert (find(emitted, 5, partition=1), find(emitted, 6, partition=1)) == ((7, 0), None)


def test_the_key_uses_the_whole_id() -> None:
    """Traces that share a half are different ones, and so is one in another partition."""
    for seed in range(2):
        secret = secret_of(random.Random(seed).getrandbits(128))
        halves = [(np.uint64(high), np.uint64(low)) for high in range(200) for low in range(200)]
        keys = {int(key_of(high, low, 0, secret)) for high, low in halves}
        keys |= {int(key_of(high, low, 1, secret)) for high, low in halves}
        assert len(keys) == 80_000


def test_ids_that_were_made_for_one_place_are_spread() -> None:
    """They were, when the key was the same in every process: 80,000 such traces took 15 s."""
    chance, word = random.Random(1), (1 << 64) - 1

    def made(constant: int) -> tuple[np.uint64, np.uint64]:
        high = chance.getrandbits(64)
        mixed = high * 0x9E3779B97F4A7C15 & word
        return np.uint64(high), np.uint64(mixed ^ (mixed >> 32) ^ constant)

    ids = [made(0x1234567890ABCDEF) for _ in range(3_000)]
    # Differences that a multiplication keeps where they are: of the highest bits.
    ids += [(np.uint64(high << 56), np.uint64(low << 56 | low << 24)) for high in range(50) for low in range(50)]
    for _ in range(5):
        secret = secret_of(chance.getrandbits(128))
        homes = [int(key_of(high, low, 0, secret)) >> 44 for high, low in ids]
        assert max(Counter(homes).values()) < 5
    one, other = (int(key_of(*ids[0], 0, new_secret())) for _ in range(2))
    assert one != other


def test_its_memory_is_all_that_it_ever_has_as_soon_as_it_is_used_much() -> None:
    """A consumer's memory does not grow for as long as traces are remembered."""
    emitted = Emitted(remember_ms=900_000, most=400_000)
    sizes = []
    for second in range(1, 900):
        put(emitted, [second * 1_000_000 + n for n in range(1, 1_000)], second * 1_000, block=second)
        sizes.append(emitted.table.entries.nbytes)
    (grown,) = (at for at, (before, after) in enumerate(pairwise(sizes), 1) if before != after)
    assert grown < 100
    assert sizes[-1] <= 23 * 400_000
    assert emitted.forgotten_before(0) > 100


def test_what_is_added_again_and_again_takes_no_more_room() -> None:
    """A trace that is restated for every span of its own."""
    emitted = Emitted(600_000, 1_000)
    for block in range(10_000):
        put(emitted, [5], block, offset=block, block=block)
    assert find(emitted, 5) == (9_999, 9_999)
    assert len(emitted.table.groups) <= 2_000


def test_offsets_that_are_far_apart() -> None:
    """Only so much of the difference is kept; what is told is never after the record, or late spans would be dropped."""
    offsets = [0, 1 << 40, (1 << 40) + 1, (1 << 41) + 7]
    for first in offsets:
        emitted = Emitted(600_000, 1_000)
        for each in (first, *offsets):
            put(emitted, [each + 1], 0, offset=each, block=3)
        together = [first, *(each for each in offsets if each != first)]
        count = len(together)
        low = np.arange(1, count + 1).astype(np.uint64)
        emitted.add(1, np.zeros(count, np.uint64), low, np.array(together), np.full(count, 4), 0)
        assert all(find(emitted, each + 1) == (each, 3) for each in offsets)
        found = [find(emitted, nth, partition=1) for nth in range(1, count + 1)]
        assert found[0] == (first, 4)
        for place, offset in zip(found, together, strict=True):
            assert place is not None
            assert 0 <= place[0] <= offset
            assert place[0] == offset or abs(offset - first) >= 1 << 31


def loaded(first: int, count: int, *, arrived_ms: int, forgotten_ms: int = 0) -> Remembered:
    """Traces of a partition that was taken over."""
    traces = Remembered.of([(n.to_bytes(16), n, n) for n in range(first, first + count)])
    return replace(traces, arrived_ms=arrived_ms, forgotten_ms=forgotten_ms)


def test_a_partition_that_was_taken_over_says_from_when_on_it_is_remembered() -> None:
    """By itself: others know all of theirs. When it is lost and comes again, the one who had it meanwhile says."""
    emitted = Emitted(600_000, 1_000)
    emitted.load(1, loaded(1, 10, arrived_ms=90_000, forgotten_ms=50_000), 100_000)
    emitted.load(2, loaded(1, 10, arrived_ms=90_000), 100_000)
    assert (emitted.forgotten_before(1), emitted.forgotten_before(2)) == (51, 0)
    assert find(emitted, 7, partition=1) == (7, 7)
    emitted.forget(1)
    assert emitted.forgotten_before(1) == 0


def test_the_ones_that_were_added_first_go_first() -> None:
    """Also of those that were added in one second: what was taken over last may be about to be read again.

    Time is that of arrival, which may be an hour behind.
    """
    emitted = Emitted(600_000, 400)
    for partition in range(4):
        emitted.load(partition, loaded(1, 100, arrived_ms=90_000 + partition * 1_000), 4_000_000)
    put(emitted, [7], 95_000, partition=9)
    there = [find(emitted, 100, partition=p) is not None for p in range(4)]
    assert there == [False, False, True, True]
    assert [emitted.forgotten_before(p) for p in (0, 1, 2, 3, 9)] == [91, 92, 0, 0, 0]


ADDED = st.tuples(
    *(st.integers(0, 2), st.lists(st.integers(1, 60), min_size=1, max_size=30, unique=True), st.integers(0, 500)),
    *(st.integers(0, 9), st.integers(0, 40)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 2), ADDED), max_size=60))
def test_it_is_a_dictionary_that_may_forget(steps: list[int | tuple[int, list[int], int, int, int]]) -> None:
    """Whatever is told was added; nothing new and recent is forgotten, nor what was added after a partition came back lost."""
    emitted, now = Emitted(remember_ms=60_000, most=100), 100
    known: dict[tuple[int, int], tuple[int, int]] = {}
    for step in steps:
        if isinstance(step, int):
            emitted.forget(step)
            known = {place: value for place, value in known.items() if place[0] != step}
            continue
        partition, low, offset, block, passed = step
        now += passed
        known = {(p, trace): value for (p, trace), value in known.items() if find(emitted, trace, partition=p)}
        put(emitted, low, now * 1_000, partition=partition, offset=offset, block=block)
        for trace in low:
            before = known.get((partition, trace), (0, 0))
            merged = (max(before[0], offset), max(before[1], block))
            found = find(emitted, trace, partition=partition)
            # It may have been forgotten for want of room just before it was added.
            assert found == merged or (found == (offset, block) and emitted.forgotten_before(partition))
            known[partition, trace] = found
        for (p, trace), value in known.items():
            assert find(emitted, trace, partition=p) in (value, None)
        for p, trace in known:
            forgotten = emitted.forgotten_before(p)
            assert forgotten <= now + 1
            assert forgotten or find(emitted, trace, partition=p)
