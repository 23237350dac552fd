"""kafka-python's way from a fetch to records, replaced by one that makes columns.

kafka-python 3 asks ``Fetcher.PartitionRecords`` for the records of one partition of one fetch, and takes what its ``take``
returns to be records. :class:`FetchedPartition` stands in its place and returns whole :class:`RecordBatch` es: all else (fetch
sessions, positions, pauses, rebalances) stays kafka-python's. A release that does it in another way is noticed by
:func:`install`; the feed then makes do with records, at a third of the speed.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from itertools import groupby
from typing import Any, Final

from kafka.errors import KafkaError
from kafka.record.legacy_records import LegacyRecordBatch

from telemetry.errors import MalformedError
from telemetry.feeds.base import Record, RecordBatch, batches_of
from telemetry.feeds.kafka.record_sets import MAGIC, RawBatch, batches, records_of

GROUP_BYTES: Final = 4 * 1024 * 1024
"""About so many bytes are decoded at once: enough that numpy's price for a statement does not count."""

_LARGE: Final = 128 * 1024
_NEEDED: Final = {"fetch_offset", "tp", "records", "metric_aggregator", "on_drain"}


class BadBatchError(KafkaError):  # type: ignore[misc] # kafka-python has no types
    """A batch that cannot be decoded.

    Attributes:
        record: the batch as it came, as if it were one message.
        next_offset: where to go on without it; -1 if it does not say.
        codec: what it is compressed with; empty where its messages can be read in its bytes.
        checksum: the one that it states.
    """

    def __init__(self, record: Record, next_offset: int, reason: str, codec: str = "", checksum: int = 0) -> None:
        super().__init__(f"the batch at offset {record.offset} of partition {record.partition}: {reason}")
        self.record = record
        self.next_offset = next_offset
        self.reason = reason
        self.codec = codec
        self.checksum = checksum


Look = Callable[[int, bytes | memoryview], None]
"""Shown a partition and the records of one batch now and then, for samples."""


def install(consumer: Any, now_ms: Callable[[], int], look: Look) -> bool:
    """Let ``consumer.poll`` return record batches instead of records; False if this kafka-python cannot.

    Args:
        consumer: a ``KafkaConsumer``.
        now_ms: the wall clock, in milliseconds since the epoch.
        look: shown one batch of every few megabytes.
    """
    fetcher: Any = getattr(consumer, "_fetcher", None)
    original = getattr(fetcher, "PartitionRecords", None)
    if original is None or not inspect.signature(original).parameters.keys() >= _NEEDED:
        return False
    fetcher.PartitionRecords = partial(FetchedPartition, now_ms=now_ms, look=look)
    return True


@dataclass(frozen=True, slots=True)
class _Opened:
    """A batch, and its records decompressed."""

    batch: RawBatch
    payload: bytes | memoryview


class FetchedPartition:
    """What one fetch brought for one partition. The names are those that kafka-python's fetcher uses."""

    def __init__(
        self,
        fetch_offset: int,
        tp: Any,
        records: Any,
        *,
        now_ms: Callable[[], int],
        look: Look = lambda *_: None,
        metric_aggregator: Any = None,
        on_drain: Callable[[Any], None] = lambda _: None,
        **_: object,  # deserializers, which we have none of, and transactions, which are read as they come
    ) -> None:
        self.topic_partition = tp
        self.next_fetch_offset = fetch_offset
        self.leader_epoch = -1
        self.bytes_read = 0
        self.records_read = 0
        self.metric_aggregator = metric_aggregator
        self.on_drain = on_drain
        self._now_ms = now_ms
        self._look = look
        self._bytes: bytes | memoryview = records._buffer
        self._batches: Iterator[RawBatch] | None = batches(self._bytes)
        self._bad: BadBatchError | None = None

    def __bool__(self) -> bool:
        return self._batches is not None

    def drain(self) -> None:
        """Let go of what was not taken."""
        if self._batches is not None:
            self._batches = None
            if self.metric_aggregator:
                self.metric_aggregator.record(self.topic_partition, self.bytes_read, self.records_read)
            self.on_drain(self)

    def take(self, n: int | None = None) -> list[RecordBatch]:  # noqa: ARG002 - as many records as a group has
        """The next records; none at the end, or where there are none. Some batches may be empty.

        Raises:
            BadBatchError: what comes next cannot be decoded. It is fetched again if nobody moves the position.
        """
        wanted = self.next_fetch_offset
        found: list[RecordBatch] = []
        more = False
        if self._bad is None:
            group, more = self._group()
            found = self._decode(group)
        if not found and self._bad is not None:
            self.drain()
            raise self._bad
        if found and found[0].offsets[0] < wanted:  # brokers send whole batches, also for an offset within one
            found = [later for batch in found if len(later := batch.since(wanted))]
        self.bytes_read += sum(batch.size for batch in found)
        self.records_read += sum(map(len, found))
        if not more and self._bad is None:
            self.drain()
        return [piece for batch in found for piece in _pieces(batch)]

    def _group(self) -> tuple[list[_Opened], bool]:
        """The next batches, decompressed, and whether there may be more. The position goes past those without messages."""
        assert self._batches is not None  # noqa: S101 - kafka-python takes nothing from what is false
        group: list[_Opened] = []
        size = 0
        try:
            for batch in self._batches:
                if batch.magic == MAGIC and (batch.is_control or not batch.count):
                    if not group:
                        self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)
                    continue
                payload = self._open(batch)
                if payload is None:
                    break
                group.append(_Opened(batch, payload))
                size += len(payload)
                if size >= GROUP_BYTES:
                    return group, True
        except MalformedError as error:  # not even where the next batch begins can be told
            place = Record(self.topic_partition.partition, self.next_fetch_offset, self._now_ms(), b"")
            self._bad = BadBatchError(place, -1, str(error))
        return group, False

    def _open(self, batch: RawBatch) -> bytes | memoryview | None:
        try:
            return batch.payload() if batch.magic == MAGIC else batch.raw
        except MalformedError as error:
            self._broken(batch, str(error))
            return None

    def _decode(self, group: list[_Opened]) -> list[RecordBatch]:
        """The records of batches; of those before the first bad one, if there is one."""
        if not group:
            return []
        try:
            found = self._columns(group)
        except MalformedError as error:
            if len(group) > 1:
                good: list[RecordBatch] = []
                for one in group:  # which of them it is, and what is before it
                    if not (more := self._decode([one])):
                        break
                    good += more
                return good
            self._broken(group[0].batch, str(error))
            return []
        self.next_fetch_offset = max(self.next_fetch_offset, found[-1].next_offset, group[-1].batch.next_offset)
        self.leader_epoch = group[-1].batch.leader_epoch
        if group[0].batch.magic == MAGIC:
            self._look(self.topic_partition.partition, group[0].payload)
        return found

    def _columns(self, group: list[_Opened]) -> list[RecordBatch]:
        partition, now_ms = self.topic_partition.partition, self._now_ms()
        found: list[RecordBatch] = []
        for kind, some in groupby(group, key=_kind):
            members = list(some)
            if kind is _Kind.OLD:
                found += [_old(partition, one.batch, now_ms) for one in members]
                continue
            in_place = kind is _Kind.IN_PLACE
            within = self._bytes if in_place else None
            for part in [members] if in_place else _joined(members):
                raw, payloads = [one.batch for one in part], [one.payload for one in part]
                found.append(records_of(partition, raw, payloads, now_ms=now_ms, within=within))
        return found

    def _broken(self, batch: RawBatch, reason: str) -> None:
        record = Record(self.topic_partition.partition, batch.base_offset, self._now_ms(), bytes(batch.raw))
        self._bad = BadBatchError(record, batch.next_offset, reason, batch.codec, batch.checksum)


def _pieces(batch: RecordBatch) -> Iterator[RecordBatch]:
    """A batch that grew large as it was decompressed, cut: kafka-python counts what it is given, and stops at its most.

    Empty ones among them are there to be counted alone.
    """
    rest: RecordBatch | None = batch
    while rest is not None:
        piece, rest = rest.cut(GROUP_BYTES) if rest.size > 2 * GROUP_BYTES else (rest, None)
        yield piece
        for _ in range(piece.size // GROUP_BYTES - 1):  # one large message: it counts for as many
            yield piece.since(piece.next_offset)


class _Kind(Enum):
    """How records are got at: of an old format; where they lie; in bytes of their own."""

    OLD = auto()
    IN_PLACE = auto()
    APART = auto()


def _kind(one: _Opened) -> _Kind:
    if one.batch.magic != MAGIC:
        return _Kind.OLD
    return _Kind.APART if one.batch.is_compressed else _Kind.IN_PLACE


def _joined(members: list[_Opened]) -> Iterator[list[_Opened]]:
    """Neighbours that are decoded together: to join small ones costs less than to decode each alone, of large ones more."""
    part: list[_Opened] = []
    for member in members:
        if len(member.payload) < _LARGE:
            part.append(member)
            continue
        if part:
            yield part
        yield [member]
        part = []
    if part:
        yield part


def _old(partition: int, batch: RawBatch, now_ms: int) -> RecordBatch:
    """A message of format 0 or 1, or several that are compressed together: what brokers stored before 2017."""
    try:
        old = LegacyRecordBatch(batch.raw, batch.magic)
        if not old.validate_crc():
            raise MalformedError("its checksum is wrong")
        records = [
            Record(
                partition,
                record.offset,
                record.timestamp if record.timestamp is not None and record.timestamp >= 0 else now_ms,
                record.value or b"",
            )
            for record in old
        ]
    except MalformedError:
        raise
    except Exception as error:
        raise MalformedError(f"it is not of message format {batch.magic}: {error}") from error
    if not records:
        raise MalformedError("no records")
    return batches_of(records)[0]
