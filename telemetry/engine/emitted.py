"""Which traces were emitted lately, in which block, and the last record that contributed to each."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Bool, Int, compiled, inlined
from telemetry.engine.hashing import Secret, folded, new_secret
from telemetry.engine.past import Remembered

ENTRY: Final = np.dtype([("key", np.uint64), ("further", np.int32), ("group", np.int32)], align=True)
"""An emitted trace; ``key`` 0 is an empty place. Its last record is so many ``further`` than its group's."""

GROUP: Final = np.dtype(
    [("offset", np.int64), ("block", np.int64), ("when", np.int32), ("arrived", np.int32), ("partition", np.int32)],
    align=True,
)
"""What traces have in common that were emitted together. ``partition`` is -1 if they are forgotten.

``when`` is the second since which they are remembered, ``arrived`` one by which all their records had arrived.
"""

_FURTHEST: Final = (1 << 31) - 1
_SMALL: Final = 1 << 17
_GROUPS: Final = 1 << 10
_FILLED: Final = 0.7
"""No more of a table's places are taken: fewer would be memory, more would be long ways to an empty place."""
_SPARE: Final = 1 / 16
"""So much of a table is free when places were made, or they would have to be made again at once."""


class EmittedTable(NamedTuple):
    """What compiled code gets of :class:`Emitted`."""

    entries: NDArray[np.void]
    groups: NDArray[np.void]
    secret: Secret


@inlined
def key_of(high: Int, low: Int, partition: Int, secret: Secret) -> Int:
    """64 bits of a trace id and its partition; of a billion random traces hardly two share one."""
    key = folded(high ^ secret.mask, low ^ secret.factor)
    key = (key ^ np.uint64(partition)) * np.uint64(0xC4CEB9FE1A85EC53)
    key ^= key >> np.uint64(32)
    return key if key != 0 else np.uint64(1)


@inlined
def _place_of(entries: NDArray[np.void], key: Int) -> Int:
    """Where ``key`` stands, or the empty place where it belongs."""
    size = len(entries)
    place: Int = np.int64(((key >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))
    while entries[place]["key"] != 0 and entries[place]["key"] != key:
        place += 1
        if place == size:
            place = 0
    return place


@inlined
def find(table: EmittedTable, key: Int) -> Int:
    """The number of a trace's entry; -1 if it is not remembered."""
    place = _place_of(table.entries, key)
    entry = table.entries[place]
    if entry["key"] == 0 or table.groups[entry["group"]]["partition"] < 0:
        return np.int64(-1)
    return place


@inlined
def last_offset(table: EmittedTable, at: Int) -> Int:
    """The offset of the last record that contributed to the trace with entry ``at``.

    Where that is too far from its group's: an offset before it. A replay is then taken for late, and folded.
    """
    further = np.int64(table.entries[at]["further"])
    return np.int64(0) if further < -_FURTHEST else table.groups[table.entries[at]["group"]]["offset"] + further


@inlined
def block_of(table: EmittedTable, at: Int) -> Int:
    """The block of the newest version of the trace with entry ``at``."""
    return table.groups[table.entries[at]["group"]]["block"]


class Emitted:
    """Remembers emitted traces of all partitions for a while, and not more of them than fit.

    The table has two sizes: a small one, and, as soon as that does not do, all that it ever may have, so that the memory of a
    busy consumer does not grow for as long as traces are remembered. A trace that fits takes 23 bytes, free places included.
    """

    def __init__(self, remember_ms: int, most: int, secret: Secret | None = None) -> None:
        """Remember each trace for ``remember_ms``, but at most about ``most`` of them: then the oldest go."""
        self._remember = max(1, remember_ms // 1000)
        self._full = int(most / _FILLED) + 1
        self._count = 0  # places taken, those of forgotten partitions among them
        self._groups = 0
        self._newest = 0
        self._forgotten: dict[int, int] = {}
        self._lost: set[int] = set()
        entries = np.zeros(min(_SMALL, self._full), dtype=ENTRY)
        self.table = EmittedTable(entries, np.zeros(_GROUPS, dtype=GROUP), secret or new_secret())

    def __len__(self) -> int:
        return self._count

    def forgotten_before(self, partition: int) -> int:
        """Traces of a partition whose records had arrived before this second may have been forgotten; 0 if none was."""
        return self._forgotten.get(partition, 0)

    def has_lost(self, partition: int) -> bool:
        """Whether any trace of a partition was forgotten since we began with it."""
        return partition in self._lost

    def load(self, partition: int, past: Remembered, now_ms: int) -> None:
        """Begin with a partition: remember what was emitted of it, and that there was more before.

        That is remembered for as long as what is emitted now: what it must be told apart from may be about to be read.
        """
        traces = past.traces
        self.add(partition, traces[:, 0], traces[:, 1], past.offsets, past.blocks, now_ms, past.arrived_ms)
        self._lost.discard(partition)
        if past.forgotten_ms:
            self._forgot(partition, past.forgotten_ms // 1000 + 1)

    def add(
        self,
        partition: int,
        high: NDArray[np.uint64],
        low: NDArray[np.uint64],
        offsets: NDArray[np.int64],
        blocks: NDArray[np.int64],
        now_ms: int,
        arrived_ms: int | None = None,
    ) -> None:
        """Remember traces: the last record that contributed, and the block they are in.

        Their records had arrived by ``arrived_ms``, or by now.
        """
        if not len(high):
            return
        self._newest = max(self._newest, now_ms // 1000)
        different, firsts, which = np.unique(blocks, return_index=True, return_inverse=True)
        if self._count + len(high) > _FILLED * len(self.table.entries) or (
            self._groups + len(different) > len(self.table.groups)
        ):
            self._make_room(len(high), len(different))
        groups = self.table.groups[self._groups : self._groups + len(different)]
        groups["offset"], groups["block"] = offsets[firsts], different
        groups["when"], groups["partition"] = self._newest, partition
        groups["arrived"] = (now_ms if arrived_ms is None else arrived_ms) // 1000
        self._count += int(_add(self.table, high, low, partition, offsets, which.astype(np.int64) + self._groups))
        self._groups += len(different)

    def forget(self, partition: int) -> None:
        """Forget a partition's traces: it is another's now. Their places become free when places are needed."""
        partitions = self.table.groups["partition"]
        partitions[partitions == partition] = -1
        self._forgotten.pop(partition, None)
        self._lost.discard(partition)

    def _forgot(self, partition: int, before: int) -> None:
        self._forgotten[partition] = max(before, self.forgotten_before(partition))

    def _make_room(self, coming: int, coming_groups: int) -> None:
        groups = self.table.groups[: self._groups]
        counts = np.zeros(self._groups, dtype=np.int64)
        _count(self.table.entries, counts)
        counts[groups["partition"] < 0] = 0
        live = counts > 0
        counts[groups["when"] < self._newest - self._remember] = 0
        size = self._size_for(int(counts.sum()) + coming)
        if size > self._full:
            # The newer half stays: late spans come soon or not at all.
            counts[: _halfway(counts) + 1] = 0
            size = self._size_for(int(counts.sum()) + coming)
        for group in groups[live & (counts == 0)]:
            self._forgot(int(group["partition"]), int(group["arrived"]) + 1)
            self._lost.add(int(group["partition"]))
        kept = np.flatnonzero(counts)
        numbers = np.full(self._groups, -1, dtype=np.int64)
        numbers[kept] = np.arange(len(kept))
        room = max(_GROUPS, 2 * (len(kept) + coming_groups))
        table = EmittedTable(np.zeros(size, dtype=ENTRY), np.zeros(room, dtype=GROUP), self.table.secret)
        table.groups[: len(kept)] = groups[kept]
        _move(self.table.entries, numbers, table.entries)
        self.table, self._groups, self._count = table, len(kept), int(counts.sum())

    def _size_for(self, count: int) -> int:
        """Places for so many and some to spare; a table does not become smaller again, but for one that was too large."""
        needed = int(count / (_FILLED * (1 - _SPARE))) + 1
        now = min(len(self.table.entries), self._full)
        return now if needed <= now else max(needed, self._full)


def _halfway(counts: NDArray[np.int64]) -> int:
    """The group with which the older half of so many ends. They stand in the order in which they were added."""
    return int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))


@compiled
def _add(
    table: EmittedTable,
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    partition: Int,
    offsets: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> Int:
    new = 0
    for number in range(len(high)):
        key = key_of(high[number], low[number], partition, table.secret)
        place = _place_of(table.entries, key)
        entry = table.entries[place]
        offset, group = offsets[number], groups[number]
        if entry["key"] == 0:
            entry["key"] = key
            new += 1
        elif _is_live(table, place):
            offset = max(offset, last_offset(table, place))
            if block_of(table, place) > table.groups[group]["block"]:
                group = np.int64(entry["group"])
        further = offset - table.groups[group]["offset"]
        entry["further"] = max(-_FURTHEST - 1, min(_FURTHEST, further))
        entry["group"] = group
    return new


@inlined
def _is_live(table: EmittedTable, at: Int) -> Bool:
    return table.groups[table.entries[at]["group"]]["partition"] >= 0


@compiled
def _count(entries: NDArray[np.void], counts: NDArray[np.int64]) -> None:
    """How many traces each group has."""
    for at in range(len(entries)):
        if entries[at]["key"] != 0:
            counts[entries[at]["group"]] += 1


@compiled
def _move(entries: NDArray[np.void], numbers: NDArray[np.int64], to: NDArray[np.void]) -> None:
    """Put traces into an empty table; groups get other numbers, or -1: what is in them is left out."""
    for at in range(len(entries)):
        if entries[at]["key"] != 0 and numbers[entries[at]["group"]] >= 0:
            place = _place_of(to, entries[at]["key"])
            to[place] = entries[at]
            to[place]["group"] = numbers[entries[at]["group"]]
