"""What was emitted, asked of the log of blocks."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.sql import emitted, originals, recent, whereabouts
from telemetry.engine.past import Remembered, halves_of
from telemetry.store.base import Store

_AT_ONCE: Final = 500
"""Traces a statement: they stand in its URL, which takes 64 KiB at most; and no statement takes long."""


class StoredPast:
    """:class:`telemetry.engine.past.Past` of one topic, on a store."""

    def __init__(self, store: Store, topic: str) -> None:
        """Ask ``store``, which has the schema."""
        self._store = store
        self._topic = topic

    def emitted(self, partition: int, committed: int, *, remember_ms: int, most: int) -> Remembered:
        """What may come again: what records at or past ``committed`` contributed to, and the newest else, ``most`` of it."""
        store, topic = self._store, self._topic
        last = recent(store, PATHS, topic=topic, partition=partition, remember_ms=remember_ms, most=most)
        found = emitted(
            store, PATHS, topic=topic, partition=partition, committed=committed, first_block=last.first_block
        )
        arrived = found.column("arrived_ms").to_numpy()
        return Remembered(
            _halves(found.column("trace_id")),
            found.column("last_offset").to_numpy().astype(np.int64),
            found.column("block").to_numpy().astype(np.int64),
            int(arrived.max()) if len(arrived) else 0,
            last.before_ms,
        )

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


def _halves(ids: Any) -> NDArray[np.uint64]:
    """The halves of trace ids in a column of Arrow."""
    return np.concatenate([np.zeros((0, 2), dtype=np.uint64), *map(_halves_of_chunk, ids.chunks)])


def _halves_of_chunk(ids: Any) -> NDArray[np.uint64]:
    begin = 16 * ids.offset
    return halves_of(memoryview(ids.buffers()[1])[begin : begin + 16 * len(ids)])
