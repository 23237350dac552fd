"""What was emitted, asked of the log of blocks."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.sql import emitted, originals, whereabouts
from telemetry.store.base import Store

_AT_ONCE: Final = 500
"""Traces a statement: they stand in its URL, which takes 64 KiB at most; and no statement takes long."""


class StoredPast:
    """:class:`telemetry.engine.past.Past` of one topic, on a store."""

    def __init__(self, store: Store, topic: str) -> None:
        """Ask ``store``, which has the schema."""
        self._store = store
        self._topic = topic

    def emitted(self, partition: int, committed: int, since_ms: int) -> list[tuple[bytes, int, int]]:
        """(trace id, last offset that contributed, block) of what may come again."""
        found = emitted(
            self._store, PATHS, topic=self._topic, partition=partition, committed=committed, since_ms=since_ms
        )
        ids, offsets, blocks = (found.column(name).to_pylist() for name in ("trace_id", "last_offset", "block"))
        return list(zip(ids, offsets, blocks, strict=True))

    def find(self, partition: int, traces: Sequence[bytes]) -> Mapping[bytes, tuple[int, int]]:
        """As :meth:`telemetry.engine.past.Past.find`."""
        places: dict[bytes, tuple[int, int]] = {}
        for some in _parts(traces):
            found = whereabouts(self._store, PATHS, topic=self._topic, partition=partition, trace_ids=some)
            columns = (found.column(name).to_pylist() for name in ("trace_id", "last_offset", "block"))
            places |= {trace: (offset, block) for trace, offset, block in zip(*columns, strict=True)}
        return places

    def originals(self, partition: int, blocks: Mapping[bytes, int]) -> Any:
        """As :meth:`telemetry.engine.past.Past.originals`."""
        # Neighbours in the log are asked for together: each statement reads few blocks.
        return pa.concat_tables(
            originals(
                self._store,
                PATHS,
                topic=self._topic,
                partition=partition,
                blocks=[blocks[trace] for trace in some],
                trace_ids=some,
            )
            for some in _parts(sorted(blocks, key=blocks.__getitem__)) or [()]
        )


def _parts(traces: Sequence[bytes]) -> list[Sequence[bytes]]:
    """So many that one statement can ask for them."""
    return [traces[begin : begin + _AT_ONCE] for begin in range(0, len(traces), _AT_ONCE)]
