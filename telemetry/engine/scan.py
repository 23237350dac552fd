"""From bytes to spans, compiled: OTLP ``TracesData`` (opentelemetry-proto, trace.proto v1) in one pass over the bytes.

A record that is malformed anywhere gives no spans at all. Fields that are not needed are skipped by their length.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Bool, Int, compiled, inlined
from telemetry.domain.spans import MAX_DURATION_NS, MAX_START_NS
from telemetry.engine import attributes as wanted
from telemetry.engine.attributes import Found, key_value, text_of
from telemetry.engine.hashing import keyed_hash
from telemetry.engine.intern import (
    ENTRIES,
    FULL,
    LAST_PATH,
    LAST_PATH_CODE,
    LAST_PATH_SIZE,
    SIDE_BYTES,
    FreshStrings,
    KnownStrings,
    find,
    put,
)
from telemetry.engine.spans import SpanArray
from telemetry.engine.texts import UNUSUAL, address_hash, integer, path_into, weight_of
from telemetry.engine.wire import (
    BAD,
    FIXED64,
    LENGTH,
    VARINT,
    Bytes,
    big_endian,
    fixed64,
    length,
    same_bytes,
    skip,
    varint,
)

# How a raw string is cleaned.
NAME: Final = 0
FLAGS: Final = 1
ROUTE: Final = 2
METHOD: Final = 3
PATH: Final = 4
CLEAN_PATH: Final = 5  # made by ``path_into``; its bytes are in ``side``

LOOKED_AT: Final = 4 * 4 * 200
"""Bytes of a string that are looked at: cleaning looks at 4 times 200 characters of up to 4 bytes."""
PATH_LOOKED_AT: Final = 4 * 2000
"""The same for a path."""
_NO_FLAGS: Final = 0x2D
_MOST_START: Final = np.uint64(MAX_START_NS)
_MOST_DURATION: Final = np.uint64(MAX_DURATION_NS)

GOOD: Final = 0
MALFORMED: Final = 1
_ROOM_FOR_PATH: Final = 256


SMALLEST_SPAN: Final = 30
"""Bytes that a span takes at least if its ids are valid: two tags and lengths, 16 and 8 bytes, and its own tag and length."""

# What is read of a span's own attributes, and of its resource's: the names' numbers, and how the text is cleaned.
_OWN: Final = np.array(
    [
        (*wanted.FLAGS, FLAGS),
        (*wanted.ERROR, NAME),
        (*wanted.METHOD, METHOD),
        (*wanted.ROUTE, ROUTE),
        (*wanted.ZONE, NAME),
        (*wanted.TENANT, NAME),
    ],
    dtype=np.int64,
)
_OF_RESOURCE: Final = np.array(
    [
        (*wanted.COMPONENT, NAME),
        (*wanted.TIER, NAME),
        (wanted.POP[0], wanted.ZONE[1], NAME),  # the zone where no PoP is named
        (*wanted.REGION, NAME),
        (*wanted.ENVIRONMENT, NAME),
    ],
    dtype=np.int64,
)
_OWN_ROUTE: Final = 3
FIELDS: Final = len(_OWN)
"""Strings of a span; a resource has fewer."""


@compiled
def scan(
    data: Bytes,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    offsets: NDArray[np.int64],
    table: NDArray[np.uint8],
    numbers: NDArray[np.int16],
    own: Found,
    resource: Found,
    of_span: NDArray[np.int64],
    of_resource: NDArray[np.int64],
    known: KnownStrings,
    fresh: FreshStrings,
    spans: SpanArray,
    span_ends: NDArray[np.int64],
    state: NDArray[np.int8],
    invalid: NDArray[np.int64],
) -> Int:
    """Read all records into ``spans``; how many spans there are, or ``FULL`` if the fresh strings had no room.

    Args:
        data: bytes, among them the records.
        begins, ends: where each record lies.
        arrivals, offsets: of each record.
        table, numbers: of :func:`telemetry.engine.attributes.name_table`.
        own, resource: room for the attributes of a span and of a resource.
        of_span, of_resource: room for ``FIELDS`` codes each.
        known: strings that are known.
        fresh: room for those that are not; their codes in ``spans`` are -1 - entry.
        spans: room for one span each ``SMALLEST_SPAN`` bytes, and one more.
        span_ends: for each record, where its spans end.
        state: for each record ``GOOD`` or ``MALFORMED``.
        invalid: for each record, how many spans were left out because they have no valid trace id or span id.
    """
    count = 0
    lists = 0
    for record in range(len(ends)):
        first = count
        good = True
        at, end = begins[record], ends[record]
        while good and at < end:
            tag, at = varint(data, at, end)
            if at == BAD or tag < 8:
                good = False
                break
            if tag != (1 << 3 | LENGTH):
                at = skip(data, at, end, np.int64(tag & np.uint64(7)))
                good = at != BAD
                continue
            group, group_end = length(data, at, end)
            if group_end == BAD:
                good = False
                break
            at = group_end
            # The resource may stand behind its spans: read it first.
            lists += 1
            mine = lists
            good = _resource(data, group, group_end, table, numbers, resource, mine)
            if not good:
                break
            if not _codes(
                data,
                resource,
                mine,
                _OF_RESOURCE,
                known,
                fresh,
                of_resource,
            ):
                return FULL
            place = group
            while good and place < group_end:
                tag, place = varint(data, place, group_end)
                if tag != (2 << 3 | LENGTH):
                    place = skip(data, place, group_end, np.int64(tag & np.uint64(7)))
                    continue
                scope, scope_end = length(data, place, group_end)
                if scope_end == BAD:
                    good = False
                    break
                place = scope_end
                while scope < scope_end:
                    tag, scope = varint(data, scope, scope_end)
                    if scope == BAD or tag < 8:
                        good = False
                        break
                    if tag != (2 << 3 | LENGTH):
                        scope = skip(data, scope, scope_end, np.int64(tag & np.uint64(7)))
                        if scope == BAD:
                            good = False
                            break
                        continue
                    span_begin, span_end = length(data, scope, scope_end)
                    if span_end == BAD:
                        good = False
                        break
                    scope = span_end
                    lists += 1
                    span = spans[count]
                    valid = _span(data, span_begin, span_end, table, numbers, own, lists, span)
                    if valid == BAD:
                        good = False
                        break
                    if valid == 0:
                        invalid[record] += 1
                        continue
                    span["component"] = of_resource[0]
                    span["tier"] = of_resource[1]
                    span["region"] = of_resource[3]
                    span["environment"] = of_resource[4]
                    span["arrival_ms"] = arrivals[record]
                    span["offset"] = offsets[record]
                    if not _codes(
                        data,
                        own,
                        lists,
                        _OWN,
                        known,
                        fresh,
                        of_span,
                    ):
                        return FULL
                    span["flags"] = of_span[0]
                    span["error"] = of_span[1]
                    span["method"] = of_span[2]
                    span["route"] = of_span[_OWN_ROUTE]
                    span["pop"] = of_resource[2] if of_resource[2] != 0 else of_span[4]
                    span["tenant"] = of_span[5]
                    _own_numbers(data, own, lists, span)
                    span["path"] = 0
                    if text_of(own, wanted.ROUTE, lists)[1] == 0:
                        fine, span["path"] = _path_code(
                            data,
                            own,
                            lists,
                            known,
                            fresh,
                        )
                        if not fine:
                            return FULL
                    count += 1
        if not good:
            count = first
            invalid[record] = 0
        state[record] = GOOD if good else MALFORMED
        span_ends[record] = count
    return count


@inlined
def _resource(
    data: Bytes,
    at: Int,
    end: Int,
    table: NDArray[np.uint8],
    numbers: NDArray[np.int16],
    found: Found,
    lists: Int,
) -> Bool:
    """Note the attributes of a ``ResourceSpans``'s resource; False if it is malformed."""
    while at < end:
        tag, at = varint(data, at, end)
        if at == BAD or tag < 8:
            return False
        if tag != (1 << 3 | LENGTH):
            at = skip(data, at, end, np.int64(tag & np.uint64(7)))
            if at == BAD:
                return False
            continue
        place, stop = length(data, at, end)
        if stop == BAD:
            return False
        at = stop
        while place < stop:
            tag, place = varint(data, place, stop)
            if place == BAD or tag < 8:
                return False
            if tag == (1 << 3 | LENGTH):
                begin, close = length(data, place, stop)
                if close == BAD or not key_value(data, begin, close, table, numbers, found, lists):
                    return False
                place = close
            else:
                place = skip(data, place, stop, np.int64(tag & np.uint64(7)))
                if place == BAD:
                    return False
    return True


@inlined
def _span(
    data: Bytes,
    at: Int,
    end: Int,
    table: NDArray[np.uint8],
    numbers: NDArray[np.int16],
    found: Found,
    lists: Int,
    span: SpanArray,
) -> Int:
    """Read a ``Span`` but for its strings; 1, or 0 if its ids are not valid, or BAD if it is malformed."""
    trace, trace_size, own, own_size, parent, parent_size = 0, 0, 0, 0, 0, 0
    state, state_end = 0, 0
    kind, code = np.uint64(0), np.uint64(0)
    start, stop = np.uint64(0), np.uint64(0)
    while at < end:
        tag, at = varint(data, at, end)
        if at == BAD or tag < 8:
            return BAD
        if tag == (9 << 3 | LENGTH):
            begin, close = length(data, at, end)
            if close == BAD or not key_value(data, begin, close, table, numbers, found, lists):
                return BAD
            at = close
        elif tag == (1 << 3 | LENGTH):
            trace, at = length(data, at, end)
            trace_size = at - trace
        elif tag == (2 << 3 | LENGTH):
            own, at = length(data, at, end)
            own_size = at - own
        elif tag == (4 << 3 | LENGTH):
            parent, at = length(data, at, end)
            parent_size = at - parent
        elif tag == (7 << 3 | FIXED64):
            if end - at < 8:
                return BAD
            start = fixed64(data, at)
            at += 8
        elif tag == (8 << 3 | FIXED64):
            if end - at < 8:
                return BAD
            stop = fixed64(data, at)
            at += 8
        elif tag == (6 << 3 | VARINT):
            kind, at = varint(data, at, end)
        elif tag == (3 << 3 | LENGTH):
            state, state_end = length(data, at, end)
            at = state_end
        elif tag == (15 << 3 | LENGTH):
            begin, close = length(data, at, end)
            at = close
            while close != BAD and begin < close:
                inner, begin = varint(data, begin, close)
                if begin == BAD or inner < 8:
                    return BAD
                if inner == (3 << 3 | VARINT):
                    code, begin = varint(data, begin, close)
                else:
                    begin = skip(data, begin, close, np.int64(inner & np.uint64(7)))
                if begin == BAD:
                    return BAD
        else:
            at = skip(data, at, end, np.int64(tag & np.uint64(7)))
        if at == BAD:
            return BAD
    if trace_size != 16 or own_size != 8:
        return 0
    span["trace_high"] = big_endian(data, trace)
    span["trace_low"] = big_endian(data, trace + 8)
    span["span_id"] = big_endian(data, own)
    if span["span_id"] == 0 or (span["trace_high"] == 0 and span["trace_low"] == 0):
        return 0
    above = np.uint64(0)
    for i in range(max(0, parent_size - 8), parent_size):
        above = (above << np.uint64(8)) | np.uint64(data[parent + i])
    span["parent_id"] = above
    span["kind"] = np.int32(kind & np.uint64(0x7FFFFFFF))
    span["weight"] = weight_of(data, state, state_end) if state_end > state else 0.0
    if start > 0 and start <= stop < _MOST_START and stop - start <= _MOST_DURATION:
        span["start"] = np.int64(start)
        span["duration"] = np.int64(stop - start)
    else:  # as telemetry.domain.spans.sane_times
        usable = start if start > 0 and start < _MOST_START else stop
        span["start"] = np.int64(usable) if usable > 0 and usable < _MOST_START else 0
        span["duration"] = 0
    span["bad"] = 1 if code == 2 else 0  # for now: what the span's status says
    return 1


@inlined
def _own_numbers(data: Bytes, found: Found, lists: Int, span: SpanArray) -> None:
    """Fill in what a span's own attributes say that is no string."""
    status = np.int64(0)
    for number in range(wanted.STATUS[0], wanted.STATUS[1]):
        one = found[number]
        if one["seen"] == lists and status == 0:
            status = one["integer"]
            if status == 0 and one["end"] > one["begin"]:
                status = integer(data, one["begin"], one["end"])
    span["status"] = status if 0 <= status <= 999 else 0
    side_call = 0
    for number in range(wanted.SIDE_CALL[0], wanted.SIDE_CALL[1]):
        if found[number]["seen"] == lists:
            side_call = 1
    span["side_call"] = side_call
    begin, end = text_of(found, wanted.ADDRESS, lists)
    span["client_hash"] = address_hash(data, begin, end)


@inlined
def _codes(
    data: Bytes,
    found: Found,
    lists: Int,
    fields: NDArray[np.int64],
    known: KnownStrings,
    fresh: FreshStrings,
    out: NDArray[np.int64],
) -> Bool:
    """The code, or -1 - entry, of each of ``fields``; False if the fresh strings have no room."""
    for field in range(len(fields)):
        out[field] = 0
        begin, end = text_of(found, (fields[field, 0], fields[field, 1]), lists)
        kind = fields[field, 2]
        if begin == end or (kind == FLAGS and end - begin == 1 and data[begin] == _NO_FLAGS):
            continue
        end = min(end, begin + LOOKED_AT)
        hashed = keyed_hash(data, begin, end, kind, known.secret)
        entry = find(known.slots, known.entries, known.arena, data, begin, end, kind, hashed)
        if entry >= 0:
            out[field] = known.entries[entry]["code"]
            continue
        entry = find(fresh.slots, fresh.entries, data, data, begin, end, kind, hashed)
        if entry < 0:
            number = fresh.counts[ENTRIES]
            if number == len(fresh.entries):
                return False
            put(fresh.slots, fresh.entries, number, -1 - entry, hashed, begin, end - begin, kind, 0)
            fresh.counts[ENTRIES] += 1
            entry = number
        out[field] = -1 - entry
    return True


@inlined
def _path_code(
    data: Bytes,
    found: Found,
    lists: Int,
    known: KnownStrings,
    fresh: FreshStrings,
) -> tuple[Bool, Int]:
    """(whether there was room, code or -1 - entry) of the path. The two spans of a proxy have the same, one after the other."""
    begin, end = text_of(found, wanted.URL, lists)
    if begin == end:
        return True, np.int64(0)
    size = end - begin
    if fresh.counts[LAST_PATH_SIZE] == size and same_bytes(data, fresh.counts[LAST_PATH], data, begin, size):
        return True, fresh.counts[LAST_PATH_CODE]
    fine, code = _code_of_path(data, begin, end, known, fresh)
    if fine:
        fresh.counts[LAST_PATH] = begin
        fresh.counts[LAST_PATH_SIZE] = size
        fresh.counts[LAST_PATH_CODE] = code
    return fine, code


@inlined
def _code_of_path(
    data: Bytes,
    begin: Int,
    end: Int,
    known: KnownStrings,
    fresh: FreshStrings,
) -> tuple[Bool, Int]:
    """The same for a path that is there; it is cleaned here unless it is unusual, for most differ."""
    used = fresh.counts[SIDE_BYTES]
    if used + _ROOM_FOR_PATH > len(fresh.side):
        return False, np.int64(0)
    arena, kind = fresh.side, CLEAN_PATH
    stop = path_into(data, begin, end, fresh.side, used)
    if stop == used:
        return True, np.int64(0)
    if stop == UNUSUAL:
        arena, kind, stop = data, PATH, used
        end = min(end, begin + PATH_LOOKED_AT)
    else:
        begin, end = used, stop
    hashed = keyed_hash(arena, begin, end, kind, known.secret)
    entry = find(known.slots, known.entries, known.arena, arena, begin, end, kind, hashed)
    if entry >= 0:
        return True, np.int64(known.entries[entry]["code"])
    entry = find(fresh.slots, fresh.entries, arena, arena, begin, end, kind, hashed)
    if entry >= 0:
        return True, -1 - entry
    number = fresh.counts[ENTRIES]
    if number == len(fresh.entries):
        return False, np.int64(0)
    put(fresh.slots, fresh.entries, number, -1 - entry, hashed, begin, end - begin, kind, 0)
    fresh.counts[ENTRIES] += 1
    fresh.counts[SIDE_BYTES] = stop
    return True, -1 - number
