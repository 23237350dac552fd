"""How records lie in a segment file.

::

    file   = magic, frame*
    frame  = length u32, crc u32, offset u64, arrival_ms u64, payload[length]      (little endian)

``crc`` is the CRC-32 (zlib's) of all that follows it in the frame. A run of zeros is not a frame.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from telemetry.feeds.base import Record

MAGIC: Final = b"EDGEPJ01"
_HEAD: Final = struct.Struct("<IIQQ")
_CHECKED: Final = struct.Struct("<QQ")
OVERHEAD: Final = _HEAD.size
MAX_PAYLOAD: Final = 2**32 - 1


def pack(offset: int, arrival_ms: int, payload: bytes) -> tuple[bytes, bytes]:
    """A frame, as its head and its payload."""
    crc = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(offset, arrival_ms)))
    return _HEAD.pack(len(payload), crc, offset, arrival_ms), payload


def unpack(data: bytes, partition: int, start: int = 0) -> Iterator[tuple[Record, int]]:
    """The whole and undamaged frames at ``start`` of ``data``, each with the place of its end. Stops at the first other."""
    view = memoryview(data)
    place = start
    while place + OVERHEAD <= len(data):
        length, crc, offset, arrival_ms = _HEAD.unpack_from(data, place)
        end = place + OVERHEAD + length
        if end > len(data):
            return
        payload = view[place + OVERHEAD : end]
        if zlib.crc32(payload, zlib.crc32(_CHECKED.pack(offset, arrival_ms))) != crc:
            return
        yield Record(partition, offset, arrival_ms, bytes(payload)), end
        place = end


def next_length(data: bytes, start: int) -> int | None:
    """How long the frame at ``start`` says it is, head included; None when its head is not there."""
    if start + OVERHEAD > len(data):
        return None
    return OVERHEAD + int(_HEAD.unpack_from(data, start)[0])
