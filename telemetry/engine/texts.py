"""What is read out of strings by compiled code: numbers, weights, addresses, paths.

Each function does what its counterpart in ``telemetry.domain`` does; tests hold both against each other.
"""

from typing import Final

import numpy as np

from telemetry.compiled import Bool, Float, Int, inlined
from telemetry.domain import normalize, weight
from telemetry.engine.hashing import hash_of
from telemetry.engine.wire import Bytes

UNUSUAL: Final = -1
_LONGEST: Final = 2000
_ROUTE: Final = normalize.ROUTE_LENGTH
_LONG_SEGMENT: Final = 40
_LONG_NUMBER: Final = 13
_CARD_DIGITS: Final = 10
_TENTH: Final = (1 << 63) // 10
_ALL: Final = float(1 << 56)
_MOST: Final = weight.MOST
_ID: Final = np.frombuffer(b"/{id}", dtype=np.uint8)


@inlined
def is_digit(byte: Int) -> Bool:
    """0 to 9."""
    return 0x30 <= byte <= 0x39


@inlined
def integer(data: Bytes, begin: Int, end: Int) -> Int:
    """A decimal number with an optional sign; 0 if it is none, or none of 64 bits."""
    at, sign = begin, 1
    if at < end and (data[at] == 0x2D or data[at] == 0x2B):
        sign = -1 if data[at] == 0x2D else 1
        at += 1
    if at == end:
        return 0
    value = np.int64(0)
    while at < end:
        digit = np.int64(data[at]) - 0x30
        if not is_digit(data[at]) or value > _TENTH or (value == _TENTH and digit > (7 if sign > 0 else 8)):
            return 0
        value = value * 10 + digit
        at += 1
    return sign * value


@inlined
def address_hash(data: Bytes, begin: Int, end: Int) -> Int:
    """A hash of a client's address without its port, never 0; 0 for an empty one."""
    if begin == end:
        return np.uint64(0)
    colons, last = 0, end
    for at in range(begin, end):
        if data[at] == 0x3A:
            colons += 1
            last = at
    found = hash_of(data, begin, last if colons == 1 else end, 7)
    return found if found != 0 else np.uint64(1)


@inlined
def _threshold_at(data: Bytes, at: Int, end: Int) -> Float:
    """The weight that ``th:`` at ``at`` gives; 0 if there is no valid one."""
    if end - at < 4 or data[at] != 0x74 or data[at + 1] != 0x68 or data[at + 2] != 0x3A:
        return 0.0
    at += 3
    value, digits = np.uint64(0), 0
    while at < end and digits <= 14:
        byte = data[at]
        if is_digit(byte):
            nibble = np.uint64(byte - 0x30)
        elif 0x61 <= byte <= 0x66:
            nibble = np.uint64(byte - 0x57)
        else:
            break
        value = (value << np.uint64(4)) | nibble
        digits += 1
        at += 1
    if digits == 0 or digits > 14:
        return 0.0
    if at < end and data[at] != 0x3B and data[at] != 0x20 and data[at] != 0x09:
        return 0.0
    value <<= np.uint64(4 * (14 - digits))
    return min(_ALL / (_ALL - np.float64(value)), _MOST)


@inlined
def weight_of(data: Bytes, begin: Int, end: Int) -> Float:
    """As :func:`telemetry.domain.weight.from_tracestate`."""
    at = begin
    while at < end:
        stop = at
        while stop < end and data[stop] != 0x2C:
            stop += 1
        start = at
        while start < stop and (data[start] == 0x20 or data[start] == 0x09):
            start += 1
        if stop - start >= 3 and data[start] == 0x6F and data[start + 1] == 0x74 and data[start + 2] == 0x3D:
            place = stop - 1
            while place >= start + 3:  # behind the last semicolon first, as the pattern does
                if data[place] == 0x3B:
                    found = _threshold_at(data, place + 1, stop)
                    if found > 0.0:
                        return found
                place -= 1
            found = _threshold_at(data, start + 3, stop)
            if found > 0.0:
                return found
        at = stop + 1
    return 0.0


@inlined
def _after_scheme(data: Bytes, begin: Int, end: Int) -> Int:
    """Behind ``scheme://authority``, or ``begin``."""
    at = begin
    if at == end or not (0x41 <= data[at] & 0xDF <= 0x5A):
        return begin
    while at < end:
        byte = data[at]
        letter = 0x41 <= byte & 0xDF <= 0x5A and byte >= 0x41
        if not (letter or is_digit(byte) or byte == 0x2B or byte == 0x2E or byte == 0x2D):
            break
        at += 1
    if end - at < 3 or data[at] != 0x3A or data[at + 1] != 0x2F or data[at + 2] != 0x2F:
        return begin
    at += 3
    while at < end and data[at] != 0x2F and data[at] != 0x3F and data[at] != 0x23:
        at += 1
    return at


@inlined
def _may_go_on(out: Bytes, begin: Int, end: Int) -> Bool:
    """Whether the text ends within what could be a number."""
    byte = out[end - 1]
    return end > begin and (is_digit(byte) or byte == 0x20 or byte == 0x2D)


@inlined
def path_into(data: Bytes, begin: Int, end: Int, out: Bytes, place: Int) -> Int:
    """Write the normal form of a URL's path to ``out`` from ``place`` on; returns where it ends.

    As :func:`telemetry.domain.normalize.path`. :data:`UNUSUAL` where that must do it: other characters than printable ASCII, or
    what could be a long number. ``out`` needs room for ``normalize.ROUTE_LENGTH`` bytes and five more.
    """
    end = min(end, begin + _LONGEST)
    strange = False
    for at in range(begin, end):  # without a way out: many bytes are looked at together then
        strange |= (data[at] < 0x20) | (data[at] >= 0x7F)
    if strange:
        return UNUSUAL
    at = _after_scheme(data, begin, end)
    first, limit = place, place + _ROUTE
    run, longest = 0, 0  # of digits and what may stand between them
    while at < end and not _ends_path(data[at]):
        slash = data[at] == 0x2F
        segment, longest_before = place, longest
        begin, digits = at, 0
        while True:  # the slash, or the first byte of what stands before the first slash, and all before the next one
            byte = data[at]
            digits += 1 if is_digit(byte) else 0
            if place < limit:
                out[place] = byte
                place += 1
                run = run + 1 if is_digit(byte) or byte == 0x20 or byte == 0x2D else 0
                longest = max(longest, run)
            at += 1
            if at == end or data[at] == 0x2F or _ends_path(data[at]):
                break
        size = at - begin - 1
        if not slash and digits >= _CARD_DIGITS:
            return UNUSUAL  # what stands before the first slash is kept as it is: it must be looked through for card numbers
        if slash and (digits >= 3 or size >= _LONG_SEGMENT or (digits > 0 and digits == size)):
            place, run, longest = segment, 0, longest_before
            for i in range(5):
                out[place] = _ID[i]
                place += 1
        if place >= limit:
            place = limit
            # What comes behind could only matter to a number that goes over the edge.
            if _may_go_on(out, first, place):
                return UNUSUAL
            break
    return UNUSUAL if longest >= _LONG_NUMBER else place


@inlined
def _ends_path(byte: Int) -> Bool:
    """Whether a query or a fragment begins."""
    return byte == 0x3F or byte == 0x23
