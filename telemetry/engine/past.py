"""What the engine asks of what was emitted before: where a trace was, and what its path was made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Original:
    """A path as it is stored now.

    Attributes:
        row: every column of ``path_log`` but where it stands; ``start`` in ns, ``arrived`` in ms since the epoch.
        version: its version.
        span_data: the spans that made it (``telemetry.engine.span_data``); empty if they were not kept.
    """

    row: Mapping[str, Any]
    version: int
    span_data: bytes


class Past(Protocol):
    """The log of what a feed's partitions emitted."""

    def find(self, partition: int, traces: Sequence[bytes]) -> Mapping[bytes, tuple[int, int]]:
        """Of these traces those that were emitted: the last offset that contributed, and the block of the last version."""
        ...

    def originals(self, partition: int, blocks: Mapping[bytes, int]) -> Mapping[bytes, Original]:
        """The newest version of each trace, which is in the block that is named or a later one; those that are gone are left out."""
        ...
