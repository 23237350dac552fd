"""From raw bytes to string codes: a table of what was seen before, asked by compiled code.

A raw string has a *kind*: how it is cleaned (``telemetry.domain.normalize``). What is not in the table is noted once for a
batch; Python cleans it, and the table knows it from then on.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Bool, Int, compiled, inlined
from telemetry.engine.hashing import Secret, keyed_hash, new_secret
from telemetry.engine.wire import Bytes, same_bytes

Slots = NDArray[np.int32]
Entries = NDArray[np.void]

ENTRY: Final = np.dtype(
    [("hash", np.uint64), ("begin", np.int64), ("size", np.int32), ("kind", np.int32), ("code", np.int32)], align=True
)
FULL: Final = -1

# Places of ``Fresh.counts``.
ENTRIES: Final = 0
SIDE_BYTES: Final = 1
LAST_PATH: Final = 2  # where the bytes of the last path lie, how many they are, and what they led to
LAST_PATH_SIZE: Final = 3
LAST_PATH_CODE: Final = 4
COUNTS: Final = 5
_MOST: Final = 1 << 16
_ARENA: Final = 1 << 24


class KnownStrings(NamedTuple):
    """What compiled code gets of :class:`Known`."""

    slots: Slots
    entries: Entries
    arena: Bytes
    secret: Secret


class FreshStrings(NamedTuple):
    """What compiled code gets of :class:`Fresh`, to be filled in."""

    slots: Slots
    entries: Entries
    side: Bytes
    counts: NDArray[np.int64]


@inlined
def find(
    slots: Slots, entries: Entries, arena: Bytes, data: Bytes, begin: Int, end: Int, kind: Int, hashed: Int
) -> Int:
    """The entry of ``data[begin:end]``, or the slot where it belongs as ``-1 - slot``."""
    mask = np.uint64(len(slots) - 1)
    slot = hashed & mask
    size = end - begin
    while True:
        number = slots[slot]
        if number == 0:
            return -1 - np.int64(slot)
        entry = entries[number - 1]
        alike = entry["hash"] == hashed and entry["size"] == size and entry["kind"] == kind
        if alike and same_bytes(arena, entry["begin"], data, begin, size):
            return np.int64(number - 1)
        slot = (slot + np.uint64(1)) & mask


class Known:
    """Strings that were seen before, with the codes of what they became. Bounded: when it is full it forgets all."""

    def __init__(self, secret: Secret | None = None) -> None:
        """Know nothing yet."""
        self._secret = secret or new_secret()
        self.slots: Slots = np.zeros(2 * _MOST, dtype=np.int32)
        self.entries: Entries = np.zeros(_MOST, dtype=ENTRY)
        self.arena: Bytes = np.zeros(1 << 16, dtype=np.uint8)
        self.count = 0
        self._used = 0

    @property
    def strings(self) -> KnownStrings:
        """For compiled code, until something is added."""
        return KnownStrings(self.slots, self.entries, self.arena, self._secret)

    def forget(self) -> None:
        """Know nothing any more: codes have changed, or there is no room."""
        self.slots[:] = 0
        self.count = self._used = 0

    def add(self, kind: int, raw: bytes, code: int) -> None:
        """Know ``raw`` from now on."""
        if self.count == _MOST or self._used + len(raw) > _ARENA:
            self.forget()
        while self._used + len(raw) > len(self.arena):
            self.arena = np.concatenate((self.arena, np.zeros_like(self.arena)))
        self.arena[self._used : self._used + len(raw)] = np.frombuffer(raw, dtype=np.uint8)
        if _insert(self.strings, self.count, self._used, self._used + len(raw), kind, code):
            self.count += 1
            self._used += len(raw)


@compiled
def _insert(known: KnownStrings, count: Int, begin: Int, end: Int, kind: Int, code: Int) -> Bool:
    slots, entries, arena = known.slots, known.entries, known.arena
    hashed = keyed_hash(arena, begin, end, kind, known.secret)
    found = find(slots, entries, arena, arena, begin, end, kind, hashed)
    if found >= 0:
        return False
    put(slots, entries, count, -1 - found, hashed, begin, end - begin, kind, code)
    return True


@inlined
def put(
    slots: Slots,
    entries: Entries,
    number: Int,
    slot: Int,
    hashed: Int,
    begin: Int,
    size: Int,
    kind: Int,
    code: Int,
) -> None:
    """Make entry ``number`` and let ``slot`` point to it."""
    entry = entries[number]
    entry["hash"] = hashed
    entry["begin"] = begin
    entry["size"] = size
    entry["kind"] = kind
    entry["code"] = code
    slots[slot] = number + 1


class Fresh:
    """What a batch has that is not known: entries whose bytes lie in the batch, or in ``side`` where they were made."""

    def __init__(self, most: int) -> None:
        """Take up to ``most`` strings."""
        self.slots: Slots = np.zeros(4 * most, dtype=np.int32)
        self.entries: Entries = np.zeros(most, dtype=ENTRY)
        self.side: Bytes = np.zeros(64 * most, dtype=np.uint8)
        self.counts: NDArray[np.int64] = np.zeros(COUNTS, dtype=np.int64)

    @property
    def strings(self) -> FreshStrings:
        """For compiled code."""
        return FreshStrings(self.slots, self.entries, self.side, self.counts)

    def clear(self) -> None:
        """Ready for the next batch."""
        if self.counts[ENTRIES]:
            self.slots[:] = 0
        self.counts[:] = 0

    def found(self) -> list[Any]:
        """(kind, begin, size) of every entry, in order."""
        count = int(self.counts[ENTRIES])
        part = self.entries[:count]
        return list(zip(part["kind"].tolist(), part["begin"].tolist(), part["size"].tolist(), strict=True))
