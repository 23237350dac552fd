"""What the engine asks of what was emitted before: where a trace was, and what its path was made of."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Past(Protocol):
    """The log of what a feed's partitions emitted. Both raise StoreError, UnavailableError if it cannot be asked."""

    def find(self, partition: int, traces: Sequence[bytes]) -> Mapping[bytes, tuple[int, int]]:
        """Of these traces those that were emitted: the last offset that contributed, and the block of the newest version."""
        ...

    def originals(self, partition: int, blocks: Mapping[bytes, int]) -> Any:
        """The newest version of each trace as an Arrow table with the columns of ``path_log``, one row a trace.

        Each is in the block that is named; a trace that is not there any more has no row.
        """
        ...
