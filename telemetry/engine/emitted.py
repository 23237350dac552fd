"""Which traces were emitted lately, in which block, and the last record that contributed to each."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Int, compiled, inlined

ENTRY: Final = np.dtype(
    [("key", np.uint64), ("offset", np.int64), ("block", np.int64), ("when", np.int32), ("partition", np.int32)],
    align=True,
)
"""An emitted trace; ``key`` 0 is an empty place, ``when`` in seconds."""

_SMALLEST: Final = 1 << 12


@inlined
def key_of(high: Int, low: Int, partition: Int) -> Int:
    """64 bits of a trace id and its partition; two of a billion random traces share one with probability 0.03."""
    key = (high ^ np.uint64(partition)) * np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(32)) ^ low) * np.uint64(0xC4CEB9FE1A85EC53)
    key ^= key >> np.uint64(29)
    return key if key != 0 else np.uint64(1)


@inlined
def place_of(table: Any, key: Int) -> Int:
    """Where ``key`` stands in ``table``, or the empty place where it belongs."""
    mask = np.uint64(len(table) - 1)
    place = key & mask
    while table[place]["key"] != 0 and table[place]["key"] != key:
        place = (place + np.uint64(1)) & mask
    return np.int64(place)


class Emitted:
    """Remembers emitted traces of all partitions for a while, and not more of them than fit."""

    def __init__(self, remember_ms: int, most: int) -> None:
        """Remember each trace for ``remember_ms``, but at most about ``most`` of them: then the oldest go."""
        self._remember = max(1, remember_ms // 1000)
        self._most = most
        self._count = 0
        self._newest = 0
        self._swept = 0
        self.forgotten_before = 0
        """Traces emitted before this second may have been forgotten."""
        self.table: NDArray[np.void] = np.zeros(_SMALLEST, dtype=ENTRY)

    def __len__(self) -> int:
        return self._count

    def add(
        self,
        partition: int,
        high: NDArray[np.uint64],
        low: NDArray[np.uint64],
        offsets: NDArray[np.int64],
        blocks: NDArray[np.int64],
        now_ms: int,
    ) -> None:
        """Remember traces: the last record that contributed, and the block they are in."""
        if not len(high):
            return
        now = now_ms // 1000
        self._newest = max(self._newest, now)
        if 2 * (self._count + len(high)) > len(self.table):
            self._make_room(len(high))
        self._count += int(_add(self.table, high, low, partition, offsets, blocks, self._newest))

    def forget(self, partition: int) -> None:
        """Forget a partition's traces: it is another's now."""
        kept = self.table[(self.table["key"] != 0) & (self.table["partition"] != partition)]
        self._rebuild(kept, len(kept))

    def _make_room(self, coming: int) -> None:
        entries = self.table[self.table["key"] != 0]
        oldest = self._newest - self._remember
        kept = entries[entries["when"] >= oldest]
        if len(kept) + coming > self._most:
            # The newer half stays: late spans come soon or not at all.
            middle = int(np.median(kept["when"])) + 1 if len(kept) else self._newest
            kept = kept[kept["when"] >= middle]
            oldest = max(oldest, middle)
        if len(kept) < len(entries):
            self.forgotten_before = max(self.forgotten_before, oldest)
        self._rebuild(kept, len(kept) + coming)

    def _rebuild(self, entries: NDArray[np.void], room: int) -> None:
        size = _SMALLEST
        while size < 3 * room:
            size *= 2
        self.table = np.zeros(size, dtype=ENTRY)
        _copy(self.table, entries)
        self._count = len(entries)


@compiled
def _add(table: Any, high: Any, low: Any, partition: Int, offsets: Any, blocks: Any, now: Int) -> Int:
    new = 0
    for number in range(len(high)):
        key = key_of(high[number], low[number], partition)
        entry = table[place_of(table, key)]
        if entry["key"] == 0:
            entry["key"] = key
            entry["offset"] = -1
            entry["block"] = 0
            entry["partition"] = partition
            new += 1
        entry["offset"] = max(entry["offset"], offsets[number])
        entry["block"] = max(entry["block"], blocks[number])
        entry["when"] = now
    return new


@compiled
def _copy(table: Any, entries: Any) -> None:
    for number in range(len(entries)):
        table[place_of(table, entries[number]["key"])] = entries[number]
