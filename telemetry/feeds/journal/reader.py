"""Reading the journal's files from a place on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from telemetry.feeds.base import Record
from telemetry.feeds.journal.frames import MAGIC, next_length, unpack
from telemetry.feeds.journal.segments import Segment

_LEAST: Final = 64 * 1024


@dataclass(frozen=True)
class Extent:
    """The part of a segment that counted when somebody looked.

    Attributes:
        segment: the file.
        size: how many bytes of it counted.
        following: the offset after its last record.
    """

    segment: Segment
    size: int
    following: int

    def read(self, place: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``place``."""
        return self.segment.read(place, min(size, self.size - place))


class Reader:
    """A place in the journal. Used by one thread.

    Attributes:
        offset: the record that is read next.
    """

    def __init__(self, partition: int) -> None:
        self.offset = 0
        self._partition = partition
        self._base = 0  # of the segment that is read
        self._place = len(MAGIC)  # in it

    def seek(self, segments: Sequence[Segment], offset: int) -> None:
        """Go to the segment that ``offset`` lies in; what lies before it there is skipped by :meth:`read`."""
        self.offset = offset
        self._base = max((segment.base for segment in segments if segment.base <= offset), default=segments[0].base)
        self._place = len(MAGIC)

    def read(self, extents: Sequence[Extent], max_bytes: int) -> tuple[list[Record], list[Record]]:
        """The next records: at least one, and else no more than ``max_bytes`` of payload.

        Returns:
            The records, and damaged parts of the files as records of which only the bytes mean anything.

        Raises:
            OSError: a file cannot be read.
        """
        records: list[Record] = []
        damaged: list[Record] = []
        for extent in extents:
            if extent.segment.base < self._base:
                continue
            if extent.segment.base > self._base:
                self._base, self._place = extent.segment.base, len(MAGIC)
            if not self._read(extent, max_bytes, records):
                rest = extent.read(self._place, extent.size)
                damaged.append(Record(self._partition, self.offset, 0, rest))
                self._place = extent.size
            if self._place < extent.size:
                break  # the room is used up
            self.offset = max(self.offset, extent.following)
        return records, damaged

    def _read(self, extent: Extent, max_bytes: int, records: list[Record]) -> bool:
        """Read on in one segment until its end or until ``records`` are as many as may be; False: it is damaged here."""
        room = max_bytes - sum(len(record.value) for record in records)
        while self._place < extent.size and (room > 0 or not records):
            start = self._place
            data = extent.read(start, max(room, _LEAST))
            needed = next_length(data, 0)
            if needed is not None and needed > len(data):
                if records:
                    break  # it is larger than the room that is left
                data = extent.read(start, needed)
            for record, end in unpack(data, self._partition):
                if record.offset >= extent.following:  # never acknowledged: a later segment has this offset
                    self._place = extent.size
                    return True
                if record.offset >= self.offset:
                    if records and len(record.value) > room:
                        return True
                    records.append(record)
                    room -= len(record.value)
                    self.offset = record.offset + 1
                self._place = start + end
            if self._place == start:
                return False
        return True
