"""Where the values of Kafka's records lie, compiled: the one loop over all records of a batch.

Format: Apache Kafka, "Message Format": length, attributes (1 byte), timestamp delta, offset delta, key length and key, value
length and value, headers; all numbers are zigzag varints. A length of -1 says that there is none.
"""

from typing import Final

import numpy as np

from telemetry.compiled import Int, compiled, inlined
from telemetry.feeds.base import Bytes, Numbers

FINE: Final = 0
TOO_SHORT: Final = 1
TOO_LONG: Final = 2
UNFIT: Final = 3
_MOST: Final = (1 << 31) - 1


@inlined
def _zigzag(data: Bytes, at: Int, end: Int) -> tuple[Int, Int]:
    """(number, position behind it); the position is behind ``end`` if it does not fit."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < 70:
        byte = np.uint64(data[at])
        at += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < 0x80:
            return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), at
        shift += np.uint64(7)
    return np.int64(0), end + 1


@compiled
def parse_records(
    data: Bytes,
    starts: Numbers,
    sizes: Numbers,
    counts: Numbers,
    first: Numbers,
    behind: Numbers,
    begins: Numbers,
    ends: Numbers,
    offsets: Numbers,
    delta_ms: Numbers,
) -> Int:
    """Find every record's value; says what is wrong, or ``FINE``.

    Args:
        data: bytes, among them the records of several batches.
        starts, sizes, counts: where each batch's records begin; how many bytes they have, and how many they are.
        first, behind: of each batch, its base offset and the one after its last.
        begins, ends: filled in: where each value lies.
        offsets: filled in.
        delta_ms: filled in: each record's timestamp less its batch's.
    """
    number = 0
    for batch in range(len(sizes)):
        place, stop = starts[batch], starts[batch] + sizes[batch]
        for _ in range(counts[batch]):
            if place >= stop:
                return TOO_SHORT
            length, at = _zigzag(data, place, stop)
            if at > stop or length < 0 or length > stop - at:
                return TOO_SHORT
            end = place = at + length
            delta_ms[number], at = _zigzag(data, at + 1, end)
            delta, at = _zigzag(data, at, end)
            key, at = _zigzag(data, at, end)
            if at > end or delta < 0 or delta > _MOST or key < -1 or key > end - at:
                return UNFIT
            size, at = _zigzag(data, at + max(key, 0), end)
            # Behind the value there is at least the number of headers.
            if at > end or size < -1 or size >= end - at:
                return UNFIT
            begins[number] = at
            ends[number] = at + max(size, 0)
            offsets[number] = first[batch] + delta
            if offsets[number] >= behind[batch]:
                return UNFIT
            number += 1
        if place != stop:
            return TOO_LONG
    return FINE
