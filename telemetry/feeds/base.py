"""What a feed hands to the engine: raw OTLP bytes with a place (partition, offset) and an arrival time.

Two feeds, one engine: ``journal`` (the in-process receiver's own log on disk) and ``kafka``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


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

    def lag(self) -> int:
        """Records that wait to be polled, as far as the feed knows."""
        ...

    def close(self) -> None:
        """Leave: commit nothing more, give back what is held."""
        ...
