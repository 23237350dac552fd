"""What a feed hands to the engine: raw OTLP bytes with a place (partition, offset) and an arrival time.

Two feeds, one engine: ``journal`` (the in-process receiver's own log on disk) and ``kafka``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Record:
    """One message of a feed.

    Attributes:
        partition: Kafka partition, or the journal's number (0).
        offset: its place in the partition; grows by at least one from record to record.
        arrival_ms: when it arrived, in milliseconds since the epoch (Kafka record timestamp; the receiver's clock).
        value: the bytes of an OTLP ``TracesData`` / ``ExportTraceServiceRequest`` (protobuf).
    """

    partition: int
    offset: int
    arrival_ms: int
    value: bytes


@dataclass(frozen=True, slots=True, eq=False)
class RecordBatch:
    """Messages of one partition that came together, as columns: no object a message, and their bytes where they came to lie.

    Attributes:
        partition: as in :class:`Record`.
        data: bytes, among them those of the messages.
        begins, ends: where each message's bytes lie.
        offsets: of each; growing.
        arrival_ms: of each.
        size: how many bytes the messages have together.
    """

    partition: int
    data: Bytes
    begins: Numbers
    ends: Numbers
    offsets: Numbers
    arrival_ms: Numbers
    size: int

    @classmethod
    def of(cls, partition: int, values: Sequence[bytes], offsets: Numbers, arrival_ms: Numbers) -> "RecordBatch":
        """From messages one by one."""
        ends = np.cumsum(np.fromiter(map(len, values), dtype=np.int64, count=len(values)))
        begins = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1]))
        data = np.frombuffer(b"".join(values), dtype=np.uint8)
        return cls(partition, data, begins, ends, offsets, arrival_ms, len(data))

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def next_offset(self) -> int:
        """The offset after the last message."""
        return int(self.offsets[-1]) + 1

    @property
    def first_size(self) -> int:
        """How many bytes the first message has."""
        return int(self.ends[0] - self.begins[0])

    @property
    def values(self) -> list[bytes]:
        """The messages' bytes, copied."""
        return [self.data[a:b].tobytes() for a, b in zip(self.begins.tolist(), self.ends.tolist(), strict=True)]

    def record(self, index: int) -> Record:
        """One message alone."""
        value = self.data[self.begins[index] : self.ends[index]].tobytes()
        return Record(self.partition, int(self.offsets[index]), int(self.arrival_ms[index]), value)

    def records(self) -> Iterator[Record]:
        """All messages, one by one."""
        return (self.record(index) for index in range(len(self)))

    def cut(self, max_bytes: int) -> "tuple[RecordBatch, RecordBatch | None]":
        """The first messages, at least one and else no more than ``max_bytes`` of them; and the rest, if any."""
        if self.size <= max_bytes or len(self) <= 1:
            return self, None
        count = max(1, int(np.searchsorted(np.cumsum(self.ends - self.begins), max_bytes, side="right")))
        return self._part(slice(count)), self._part(slice(count, None)) if count < len(self) else None

    def since(self, offset: int) -> "RecordBatch":
        """The messages at ``offset`` and past it."""
        return self._part(slice(int(np.searchsorted(self.offsets, offset)), None))

    def _part(self, some: slice) -> "RecordBatch":
        begins, ends = self.begins[some], self.ends[some]
        size = int((ends - begins).sum())
        return RecordBatch(self.partition, self.data, begins, ends, self.offsets[some], self.arrival_ms[some], size)


def batches_of(records: Sequence[Record]) -> list[RecordBatch]:
    """Records as batches: neighbours of one partition together, in the order in which they stand."""
    batches = []
    for partition, group in groupby(records, key=lambda record: record.partition):
        members = list(group)
        batches.append(
            RecordBatch.of(
                partition,
                [record.value for record in members],
                np.array([record.offset for record in members], dtype=np.int64),
                np.array([record.arrival_ms for record in members], dtype=np.int64),
            )
        )
    return batches


class Feed(Protocol):
    """Where records come from. Used by one thread, the pipeline's."""

    def poll(self, timeout_seconds: float, max_bytes: int) -> Sequence[Record]:
        """The next records, in order within each partition; empty when none came within the timeout.

        At least one if there is one, however large, and else no more than ``max_bytes`` of values together. With ``max_bytes``
        0 it gives nothing, but keeps the feed alive: a full consumer polls so and keeps its partitions.

        Raises:
            UnavailableError: the feed does not answer. Nothing was lost: poll again.
        """
        ...

    def poll_batches(self, timeout_seconds: float, max_bytes: int) -> Sequence[RecordBatch]:
        """The same as :meth:`poll` and in its place, as columns; no batch is empty, and those of one partition are in order.

        A partition may have several. Who wants speed calls this one; both may be used of one feed in turn.

        Raises:
            UnavailableError: as :meth:`poll`.
        """
        ...

    def assigned(self) -> Mapping[int, int]:
        """The partitions this feed reads now, each with its committed offset (where a restart would resume).

        It changes only within :meth:`poll`, and a poll that changes it gives no records: who looks before each poll gets
        records only of partitions that it has seen, and sees a partition go before it comes back.
        """
        ...

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Everything below ``offsets[partition]`` is stored: a restart resumes there."""
        ...

    def reject(self, record: Record, reason: str) -> None:
        """Put a record that cannot be decoded aside (dead-letter topic or file) with the reason, and go on."""
        ...

    def reread(self, partition: int) -> None:
        """Start a partition anew: the next polls show it going, and coming back at its committed offset, if it is still ours.

        For a caller that found out (by the store's answer) that another one wrote in its place.
        """
        ...

    def lag(self) -> int:
        """Records that wait to be polled, as far as the feed knows."""
        ...

    def lags(self) -> Mapping[int, int]:
        """The same for each assigned partition that something is known of."""
        ...

    @property
    def joined(self) -> bool:
        """Whether it takes part: a member of its group, be it without a partition."""
        ...

    def close(self) -> None:
        """Leave: commit nothing more, give back what is held."""
        ...
