"""Protocol Buffers' wire format, read with every bound checked (https://protobuf.dev/programming-guides/encoding/).

Positions are indexes into one array of bytes. A function that finds the bytes to be wrong returns :data:`BAD` as the position.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Bool, Int, inlined

Bytes = NDArray[np.uint8]

BAD: Final = -1
VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
GROUP: Final = 3
GROUP_END: Final = 4
FIXED32: Final = 5
_DEEPEST: Final = 100


@inlined
def varint(data: Bytes, at: Int, end: Int) -> tuple[Int, Int]:
    """(value, position behind it)."""
    if at < end and data[at] < 0x80:
        return np.uint64(data[at]), at + 1
    value = np.uint64(0)
    shift = np.uint64(0)
    while at < end and shift < 70:
        byte = np.uint64(data[at])
        at += 1
        if shift == 63 and byte > 1:
            return np.uint64(0), BAD  # more than 64 bits
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < 0x80:
            return value, at
        shift += np.uint64(7)
    return np.uint64(0), BAD


@inlined
def length(data: Bytes, at: Int, end: Int) -> tuple[Int, Int]:
    """(where the content begins, where it ends) of a length-delimited field; the end is BAD if it does not fit."""
    value, at = varint(data, at, end)
    if at == BAD or value > np.uint64(end - at):
        return 0, BAD
    return at, at + np.int64(value)


@inlined
def fixed64(data: Bytes, at: Int) -> Int:
    """Eight bytes, the least significant first; the caller has checked that they are there."""
    value = np.uint64(0)
    for place in range(8):
        value |= np.uint64(data[at + place]) << np.uint64(8 * place)
    return value


@inlined
def big_endian(data: Bytes, at: Int) -> Int:
    """Eight bytes, the most significant first; the caller has checked that they are there."""
    value = np.uint64(0)
    for place in range(8):
        value = (value << np.uint64(8)) | np.uint64(data[at + place])
    return value


@inlined
def same_bytes(one: Bytes, at: Int, other: Bytes, place: Int, size: Int) -> Bool:
    """Whether ``size`` bytes are the same; eight at a time."""
    done = 0
    while size - done >= 8:
        if fixed64(one, at + done) != fixed64(other, place + done):
            return False
        done += 8
    while done < size:
        if one[at + done] != other[place + done]:
            return False
        done += 1
    return True


@inlined
def _group(data: Bytes, at: Int, end: Int) -> Int:
    """The position behind a group (and those within it); no sender of OTLP makes one, and the format allows it."""
    depth = 1
    while depth > 0 and depth < _DEEPEST:
        tag, at = varint(data, at, end)
        kind = np.int64(tag & np.uint64(7))
        if at == BAD or tag < 8:
            return BAD
        if kind == GROUP:
            depth += 1
        elif kind == GROUP_END:
            depth -= 1
        elif kind == LENGTH:
            at = length(data, at, end)[1]
        elif kind == VARINT:
            at = varint(data, at, end)[1]
        elif kind == FIXED64:
            at = at + 8 if end - at >= 8 else BAD
        elif kind == FIXED32:
            at = at + 4 if end - at >= 4 else BAD
        else:
            return BAD
        if at == BAD:
            return BAD
    return at if depth == 0 else BAD


@inlined
def skip(data: Bytes, at: Int, end: Int, kind: Int) -> Int:
    """The position behind a field's content of wire type ``kind``; BAD if it does not fit."""
    if kind == LENGTH:
        return length(data, at, end)[1]
    if kind == VARINT:
        return varint(data, at, end)[1]
    if kind == FIXED64:
        return at + 8 if end - at >= 8 else BAD
    if kind == FIXED32:
        return at + 4 if end - at >= 4 else BAD
    return _group(data, at, end) if kind == GROUP else BAD
