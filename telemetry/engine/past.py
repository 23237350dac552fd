"""What the engine asks of what was emitted before: where a trace was, and what its path was made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray


class Past(Protocol):
    """The log of what a feed's partitions emitted. Both raise StoreError, UnavailableError if it cannot be asked."""

    def find(self, partition: int, traces: Sequence[bytes], /) -> Mapping[bytes, tuple[int, int]]:
        """Of these traces those that were emitted: the last offset that contributed, and the block of the newest version."""
        ...

    def originals(self, partition: int, blocks: Mapping[bytes, int], /) -> Any:
        """The newest version of each trace as an Arrow table with the columns of ``path_log``, one row a trace.

        Each is in the block that is named; a trace that is not there any more has no row.
        """
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a partition emitted lately, one entry a trace.

    Attributes:
        traces: pairs of the trace id's halves.
        offsets: of the last record that contributed to each.
        blocks: the block of each one's newest version.
        arrived_ms: when the newest of their spans arrived.
        forgotten_ms: of what had arrived by then some may not be among them; 0 if there was nothing before.
    """

    traces: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    blocks: NDArray[np.int64]
    arrived_ms: int = 0
    forgotten_ms: int = 0

    @classmethod
    def of(cls, traces: Iterable[tuple[bytes, int, int]]) -> Self:
        """Of (trace id, offset of the last record that contributed, its block)."""
        ids, offsets, blocks = zip(*traces, strict=True)
        return cls(halves_of(b"".join(ids)), np.array(offsets, dtype=np.int64), np.array(blocks, dtype=np.int64))


def halves_of(ids: Any) -> NDArray[np.uint64]:
    """Trace ids that lie one after the other, as pairs of numbers."""
    return np.frombuffer(ids, dtype=">u8").reshape(-1, 2).astype(np.uint64)
