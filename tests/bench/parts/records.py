"""Workload files as records, and as a feed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from telemetry.feeds.base import Record, RecordBatch, batches_of
from tests.bench import workload

SPANS_A_SECOND: Final = 20_000
"""How fast the spans are said to have arrived: what is read is a backlog, and traces close by arrival time."""


def records(folder: Path, shape: workload.Shape) -> Iterator[Record]:
    """The messages of one shape, as if they had arrived over the last seconds. Each partition's offsets count from 0."""
    begun = time.time_ns() // 1_000_000
    total = sum(1 for _ in workload.read(folder / shape.name))
    length_ms = shape.spans / SPANS_A_SECOND * 1000
    offsets = [0] * shape.partitions
    for nth, (partition, value) in enumerate(workload.read(folder / shape.name)):
        yield Record(partition, offsets[partition], begun + int(nth / total * length_ms), value)
        offsets[partition] += 1


class FileFeed:
    """A :class:`telemetry.feeds.base.Feed` that reads a workload file; at its end it has nothing more, for ever.

    Polls give what one of Kafka's fetches would: the file is not in memory as a whole.
    """

    fetch_bytes = 1_000_000

    def __init__(self, folder: Path, shape: workload.Shape) -> None:
        self._records = records(folder, shape)
        self._partitions = shape.partitions
        self._next: Record | None = None
        self.ended = False
        self.committed: dict[int, int] = {}

    def poll(self, timeout_seconds: float, max_bytes: int) -> Sequence[Record]:
        """As :meth:`telemetry.feeds.base.Feed.poll`."""
        got: list[Record] = []
        room = min(max_bytes, self.fetch_bytes)
        if self.ended:
            time.sleep(timeout_seconds)  # as Kafka's client waits: polling in circles would be measured with the rest
        while room > 0 and not self.ended:
            record = self._next or next(self._records, None)
            self._next = None
            if record is None:
                self.ended = True
            elif got and len(record.value) > room:
                self._next = record
                break
            else:
                got.append(record)
                room -= len(record.value)
        return got

    def poll_batches(self, timeout_seconds: float, max_bytes: int) -> Sequence[RecordBatch]:
        """As :meth:`telemetry.feeds.base.Feed.poll_batches`."""
        return batches_of(self.poll(timeout_seconds, max_bytes))

    def assigned(self) -> Mapping[int, int]:
        """As :meth:`telemetry.feeds.base.Feed.assigned`."""
        return {number: self.committed.get(number, 0) for number in range(self._partitions)}

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Remember it."""
        self.committed.update(offsets)

    def reject(self, record: Record, reason: str) -> None:
        """Nothing of ours is malformed.

        Raises:
            AssertionError: always.
        """
        raise AssertionError(f"record {record.offset}: {reason}")

    def reread(self, partition: int) -> None:
        """Nobody else writes.

        Raises:
            AssertionError: always.
        """
        raise AssertionError(f"partition {partition} was taken over")

    def lag(self) -> int:
        """At least one until the end: nobody counts them."""
        return 0 if self.ended else 1

    def lags(self) -> Mapping[int, int]:
        """As :meth:`lag`."""
        return {0: self.lag()}

    @property
    def joined(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Let go of the file."""
        self._records = iter(())
