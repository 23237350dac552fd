"""Which traces were emitted lately, and the last record that contributed to each."""

import numpy as np

from telemetry.engine.columns import I64, U64

_ODD = np.uint64(0x9E3779B97F4A7C15)


def trace_keys(high: U64, low: U64) -> U64:
    """A 64-bit key of a 128-bit trace id; two of a billion random traces share one with probability 0.03."""
    return (high * _ODD) ^ low


class Emitted:
    """Remembers emitted traces for a while: sorted arrays, one generation a minute."""

    def __init__(self, remember_ms: int) -> None:
        """Remember each trace for at least ``remember_ms``."""
        self._remember_ms = remember_ms
        self._generations: list[tuple[int, U64, I64]] = []

    def __len__(self) -> int:
        return sum(len(keys) for _, keys, _ in self._generations)

    def add(self, keys: U64, last_offset: I64, now_ms: int) -> None:
        """Remember traces by key, with the offset of the last record that contributed."""
        minute = now_ms // 60_000
        if self._generations and self._generations[-1][0] == minute:
            _, old_keys, old_offsets = self._generations.pop()
            keys, last_offset = np.concatenate((old_keys, keys)), np.concatenate((old_offsets, last_offset))
        order = np.argsort(keys)
        self._generations.append((minute, keys[order], last_offset[order]))
        oldest = minute - self._remember_ms // 60_000 - 1
        self._generations = [g for g in self._generations if g[0] >= oldest]

    def last_offset(self, keys: U64) -> I64:
        """The last contributing offset of each trace; -1 where the trace was not emitted lately."""
        found = np.full(len(keys), -1, dtype=np.int64)
        for _, known, offsets in self._generations:
            if len(known):
                place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
                found = np.where(known[place] == keys, np.maximum(found, offsets[place]), found)
        return found
