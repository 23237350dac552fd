"""A feed in memory, with partitions that come and go, under the same contract as the real ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from telemetry.errors import UnavailableError
from telemetry.feeds.base import Record, RecordBatch, batches_of


@dataclass
class Topic:
    """What outlives a consumer: the records and committed offsets by partition, and what was rejected."""

    records: dict[int, list[Record]] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    rejected: list[tuple[Record, str]] = field(default_factory=list)

    def put(self, value: bytes, *, partition: int = 0, at: int = 0) -> Record:
        """Append a record; offsets grow by two, for in Kafka they have gaps."""
        log = self.records.setdefault(partition, [])
        log.append(Record(partition, log[-1].offset + 2 if log else 0, at, value))
        return log[-1]


class FakeFeed:
    """A consumer of a :class:`Topic`; a new one on the same topic is a restart."""

    def __init__(self, topic: Topic, partitions: Sequence[int] = (0,)) -> None:
        self.topic = topic
        self.asked: list[int] = []
        """``max_bytes`` of every poll."""
        self.refuse_rejects = False
        self.refuse_commits = False
        self._wanted = set(partitions)
        self._assigned: dict[int, int] = {}
        self._place: dict[int, int] = {}
        self._again: set[int] = set()
        self._take_over()

    def want(self, *partitions: int) -> None:
        """A rebalance: from the next poll on, these are assigned."""
        self._wanted = set(partitions)

    def poll(self, timeout_seconds: float, max_bytes: int) -> Sequence[Record]:  # noqa: ARG002 - never waits
        """As ``Feed.poll``."""
        self.asked.append(max_bytes)
        if self._take_over() or max_bytes <= 0:
            return ()
        given: list[Record] = []
        for partition in sorted(self._assigned):
            for record in self._waiting(partition):
                if given and len(record.value) > max_bytes:
                    return given
                max_bytes -= len(record.value)
                given.append(record)
                self._place[partition] = record.offset + 1
        return given

    def poll_batches(self, timeout_seconds: float, max_bytes: int) -> Sequence[RecordBatch]:
        """As ``Feed.poll_batches``."""
        return batches_of(self.poll(timeout_seconds, max_bytes))

    def assigned(self) -> Mapping[int, int]:
        """As ``Feed.assigned``."""
        return dict(self._assigned)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """As ``Feed.commit``; never ahead of what was read, never back; a partition that has gone is passed over."""
        if self.refuse_commits:
            raise UnavailableError("the fake feed takes no commits")
        for partition, offset in offsets.items():
            if partition not in self._assigned:
                continue
            assert offset <= max(self._place[partition], self._assigned[partition]), "ahead of what was read"
            if offset > self._assigned[partition]:
                self._assigned[partition] = self.topic.committed[partition] = offset

    def reject(self, record: Record, reason: str) -> None:
        """As ``Feed.reject``."""
        if self.refuse_rejects:
            raise UnavailableError("the fake feed takes no bad records")
        self.topic.rejected.append((record, reason))

    def reread(self, partition: int) -> None:
        """As ``Feed.reread``."""
        self._again.add(partition)

    def lag(self) -> int:
        """As ``Feed.lag``."""
        return sum(len(self._waiting(partition)) for partition in self._assigned)

    def lags(self) -> Mapping[int, int]:
        """As ``Feed.lags``."""
        return {partition: len(self._waiting(partition)) for partition in self._assigned}

    @property
    def joined(self) -> bool:
        """As ``Feed.joined``."""
        return True

    def close(self) -> None:
        """As ``Feed.close``."""
        self._assigned.clear()

    def _waiting(self, partition: int) -> list[Record]:
        return [r for r in self.topic.records.get(partition, []) if r.offset >= self._place[partition]]

    def _take_over(self) -> bool:
        gone, came = set(self._assigned) - self._wanted, self._wanted - set(self._assigned)
        if not gone and not came:
            gone, self._again = self._again & set(self._assigned), set()
        for partition in gone:
            del self._assigned[partition]
        for partition in came:
            self._place[partition] = self._assigned[partition] = self.topic.committed.get(partition, 0)
        return bool(gone or came)
