"""What a fetch brings, as columns: Kafka's record batches (message format 2) without an object a message.

Format: Apache Kafka, "Message Format" (https://kafka.apache.org/documentation/#messageformat). A batch has a header of fixed
width, then its records one after another, each with its length in front and its numbers as zigzag varints.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from crc32c import crc32c

from telemetry.errors import MalformedError
from telemetry.feeds.base import Bytes, Numbers, RecordBatch
from telemetry.feeds.kafka.compression import decompress
from telemetry.feeds.kafka.parse_records import TOO_LONG, TOO_SHORT, UNFIT, parse_records

MAGIC: Final = 2
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_LENGTH: Final = struct.Struct(">qi")  # base offset and length: the same in every format
_CHECKED_FROM: Final = 21  # the checksum covers what comes after it
_CODEC: Final = 0x07
_CODECS: Final = ("", "gzip", "snappy", "lz4", "zstd")
_OLD_ATTRIBUTES: Final = 17  # where they are in formats 0 and 1
_LOG_APPEND_TIME: Final = 0x08
_CONTROL: Final = 0x20
_LEAST_RECORD: Final = 6  # bytes that even an empty record has after its length


@dataclass(frozen=True, slots=True)
class RawBatch:
    """One record batch as it came, still compressed.

    Attributes:
        raw: all of it.
        place: where it stands in what was fetched.
        base_offset, next_offset: the offset of its first record, and the one after its last.
        leader_epoch: of the partition's leader that took it.
        magic: the message format; the fields below count for format 2 only.
        attributes: compression and kind.
        base_ms, max_ms: timestamps that those of the records count from, or are.
        count: of records.
    """

    raw: memoryview
    place: int
    base_offset: int
    next_offset: int
    leader_epoch: int
    magic: int
    attributes: int
    base_ms: int
    max_ms: int
    count: int

    @property
    def is_compressed(self) -> bool:
        """Whether its records have to be made of its bytes; else they lie among them."""
        return bool(self.attributes & _CODEC)

    @property
    def is_control(self) -> bool:
        """Whether it is a mark of a transaction, and holds no messages."""
        return bool(self.attributes & _CONTROL)

    @property
    def codec(self) -> str:
        """What it is compressed with, in a word; empty where its messages can be read in its bytes."""
        if self.magic > MAGIC:
            return f"an unknown format {self.magic}"
        number = (self.attributes if self.magic == MAGIC else self.raw[_OLD_ATTRIBUTES]) & _CODEC
        return _CODECS[number] if number < len(_CODECS) else f"an unknown codec {number}"

    @property
    def checksum(self) -> int:
        """What it says of itself: as the broker's own tools show it."""
        place = _CHECKED_FROM - 4 if self.magic == MAGIC else _LENGTH.size
        return int.from_bytes(self.raw[place : place + 4])

    def payload(self) -> bytes | memoryview:
        """The records, decompressed.

        Raises:
            MalformedError: the checksum or the compression is wrong.
        """
        if crc32c(self.raw[_CHECKED_FROM:]) != _HEADER.unpack_from(self.raw)[4]:
            raise MalformedError("its checksum is wrong")
        return decompress(self.attributes & _CODEC, self.raw[_HEADER.size :])


def batches(data: bytes | memoryview) -> Iterator[RawBatch]:
    """The whole batches in what a fetch brought for one partition. Brokers cut the last one off where the room ends.

    Raises:
        MalformedError: what stands there is no batch.
    """
    view = memoryview(data)
    place = 0
    while len(view) - place >= _LENGTH.size:
        _, length = _LENGTH.unpack_from(view, place)
        end = place + _LENGTH.size + length
        if length < 0:
            raise MalformedError(f"a batch of {length} bytes")
        if end > len(view):
            return
        yield _raw(view[place:end], place)
        place = end


def _raw(view: memoryview, place: int) -> RawBatch:
    if len(view) <= _OLD_ATTRIBUTES:
        raise MalformedError(f"a batch of {len(view)} bytes")
    magic = view[_LENGTH.size + 4]
    if magic != MAGIC:
        return RawBatch(view, place, _LENGTH.unpack_from(view)[0], -1, -1, magic, 0, -1, -1, 0)
    if len(view) < _HEADER.size:
        raise MalformedError(f"a batch of {len(view)} bytes")
    base, _, epoch, _, _, attributes, last_delta, base_ms, max_ms, _, _, _, count = _HEADER.unpack_from(view)
    return RawBatch(view, place, base, base + last_delta + 1, epoch, magic, attributes, base_ms, max_ms, count)


def records_of(
    partition: int,
    group: Sequence[RawBatch],
    payloads: Sequence[bytes | memoryview],
    *,
    now_ms: int,
    within: bytes | memoryview | None = None,
) -> RecordBatch:
    """The records of batches that follow each other.

    Args:
        partition: theirs.
        group: the batches, of format 2.
        payloads: what :meth:`RawBatch.payload` gave for each.
        now_ms: the arrival of records without a timestamp, in milliseconds since the epoch.
        within: what was fetched, if no batch is compressed: the records stay where they lie in it.

    Raises:
        MalformedError: a record does not fit its batch.
    """
    counts = np.array([batch.count for batch in group], dtype=np.int64)
    sizes = np.array([len(payload) for payload in payloads], dtype=np.int64)
    if within is not None:
        data = _array(within)
        starts = np.array([batch.place + _HEADER.size for batch in group], dtype=np.int64)
    else:
        data = _array(payloads[0] if len(payloads) == 1 else b"".join(payloads))
        starts = np.cumsum(sizes) - sizes
    if (counts < 0).any() or (counts > sizes // _LEAST_RECORD).any():
        raise MalformedError(f"{int(counts.max())} records in {int(sizes.sum())} bytes")
    columns = np.empty((4, int(counts.sum())), dtype=np.int64)
    begins, ends, offsets, delta_ms = columns
    first = np.array([batch.base_offset for batch in group], dtype=np.int64)
    behind = np.array([batch.next_offset for batch in group], dtype=np.int64)
    fault = parse_records(data, starts, sizes, counts, first, behind, begins, ends, offsets, delta_ms)
    if fault == TOO_SHORT:
        raise MalformedError("its records end too early")
    if fault == TOO_LONG:
        raise MalformedError("its records do not end where it ends")
    if fault == UNFIT or (np.diff(offsets) <= 0).any():
        raise MalformedError("a record does not fit into its batch")
    arrival_ms = _arrival(group, counts, delta_ms, now_ms)
    return RecordBatch(partition, data, begins, ends, offsets, arrival_ms, int((ends - begins).sum()))


def keys_of(payload: bytes | memoryview, count: int) -> list[bytes | None]:
    """The keys of the first ``count`` records of a batch whose records were read without an error."""
    keys: list[bytes | None] = []
    place = 0
    while len(keys) < count and place < len(payload):
        length, place = _varint(payload, place)
        end = place + length
        _, place = _varint(payload, place + 1)
        _, place = _varint(payload, place)
        size, place = _varint(payload, place)
        keys.append(bytes(payload[place : place + size]) if size >= 0 else None)
        place = end
    return keys


def _varint(data: bytes | memoryview, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), place


def _array(data: bytes | memoryview) -> Bytes:
    """Bytes as an array that is always read-only: what can be written to would be another type to compile for."""
    found = np.frombuffer(data, dtype=np.uint8)
    found.setflags(write=False)
    return found


def _arrival(group: Sequence[RawBatch], counts: Numbers, delta_ms: Numbers, now_ms: int) -> Numbers:
    """The broker's time where it stamps messages, else the producer's."""
    by_broker = [bool(batch.attributes & _LOG_APPEND_TIME) for batch in group]
    if any(by_broker):
        delta_ms = np.where(np.repeat(by_broker, counts), 0, delta_ms)
    base = [batch.max_ms if stamped else batch.base_ms for batch, stamped in zip(group, by_broker, strict=True)]
    arrival_ms = _spread(base, counts) + delta_ms
    if min(base) < 0 or (arrival_ms < 0).any():
        arrival_ms = np.where(arrival_ms < 0, now_ms, arrival_ms)
    return arrival_ms


def _spread(numbers: Sequence[int], counts: Numbers) -> Numbers:
    """Each number as often as its batch has records."""
    return np.repeat(np.array(numbers, dtype=np.int64), counts)


def warm() -> None:
    """Compile what reads records, if it is not compiled yet."""
    none = np.zeros(0, dtype=np.int64)
    parse_records(_array(b""), none, none, none, none, none, none, none, none, none)
