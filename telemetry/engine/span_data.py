"""The spans that made a path, packed into bytes: kept beside the path, so that late spans can restate it.

Format 2: the byte 2; the number of strings and each string (length, UTF-8); the number of spans and each span: flags (1
byte), kind, span id (8 bytes), parent (its number among the spans, or 8 bytes), start less the first span's, duration,
arrival less the first's, status, weight (8 bytes, if any), client hash (8 bytes, if any), and eleven numbers of strings. Before
the spans stand the first span's start and arrival. All other numbers are variable-length, as in Protocol Buffers, signed ones
zigzag. Eight bytes are little-endian. Format 1 has ten numbers of strings: it knows no tenant. It is still read.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Bool, Int, compiled, inlined
from telemetry.engine.spans import SPAN, STRING_FIELDS, SpanArray
from telemetry.engine.strings import Strings
from telemetry.engine.tree import Places
from telemetry.errors import MalformedError

Bytes = NDArray[np.uint8]

FORMAT: Final = 2
_BEFORE_TENANTS: Final = 1
MOST_SPANS: Final = 2_000
"""Of a trace with more spans nothing is kept: its path cannot be restated."""
_SPAN_BYTES: Final = 8 + 8 + 8 + 8 + 10 * 5 + 5 * 11  # more than any span takes
_HEAD_BYTES: Final = 1 + 4 * 10  # the same of what stands before a trace's spans, without its strings
_LENGTH_BYTES: Final = 5
_STRINGS: Final = len(STRING_FIELDS)
_STRINGS_BEFORE: Final = STRING_FIELDS.index("tenant")
_FIRST_STRING: Final = SPAN.fields[STRING_FIELDS[0]][1] // 4  # type: ignore[index] # it has fields
_HAS_PARENT: Final = 1
_PARENT_HERE: Final = 2
_HAS_WEIGHT: Final = 4
_HAS_CLIENT: Final = 8
_SIDE_CALL: Final = 16


def pack(spans: SpanArray, ends: Places, strings: Strings, most_bytes: int = 1 << 62) -> tuple[Bytes, Places]:
    """Pack several traces; all their bytes, and where each one's end.

    Of no more traces, but one at least, than come to about ``most_bytes``: there are as many ends.

    Args:
        spans: the spans, one trace after the other.
        ends: where each trace's spans end. One with none, or too many, has no bytes.
        strings: what the codes stand for.
    """
    fields = _strings_of(spans)
    # Room for everything but the strings, of which most traces have few; where that is not enough, it goes on in more.
    out = np.empty(len(spans) * _SPAN_BYTES + 64 * len(ends) + 1024, dtype=np.uint8)
    bounds = np.zeros(len(ends), dtype=np.int64)
    numbers = np.zeros(len(strings), dtype=np.int32)
    seen = np.full(len(strings), -1, dtype=np.int64)
    words = strings.words, strings.begins, strings.sizes
    done = 0
    while True:
        done = _pack(spans, ends, fields, *words, numbers, seen, out, bounds, done, most_bytes)
        size = int(bounds[done - 1]) if done else 0
        if done == len(ends) or size >= most_bytes:
            return out[:size], bounds[:done]
        out = np.concatenate((out, np.empty_like(out)))


def unpack(packed: Sequence[bytes], ids: NDArray[np.uint64], strings: Strings) -> tuple[SpanArray, Places]:
    """The spans of several traces, and where each one's end; their offsets are 0.

    Args:
        packed: what :func:`pack` made.
        ids: both halves of each trace's id.
        strings: where the strings are interned.

    Raises:
        MalformedError: these are no such bytes.
    """
    data = np.frombuffer(b"".join(packed), dtype=np.uint8)
    ends = np.cumsum(np.fromiter(map(len, packed), dtype=np.int64, count=len(packed)))
    sizes = np.zeros(len(packed), dtype=np.int64)
    words: list[int] = []
    word_ends = np.zeros(len(packed), dtype=np.int64)
    places = np.zeros(len(packed), dtype=np.int64)
    given = np.full(len(packed), _STRINGS, dtype=np.int64)
    begin = 0
    for number, end in enumerate(ends.tolist()):
        at = _read_words(data, begin, end, words, strings)
        word_ends[number], places[number] = len(words), at
        if data[begin] == _BEFORE_TENANTS:
            given[number] = _STRINGS_BEFORE
        begin = end
    codes = np.array(words, dtype=np.int32)
    _spans_of(data, places, ends, sizes)
    if (sizes < 0).any():
        raise MalformedError("stored spans cannot be read: their format is not known")
    spans = np.zeros(int(sizes.sum()), dtype=SPAN)
    span_ends = np.cumsum(sizes)
    fields = np.zeros((len(spans), _STRINGS), dtype=np.int32)
    if not _unpack(data, places, ends, span_ends, ids, spans, fields, codes, word_ends, given):
        raise MalformedError("stored spans cannot be read: they are cut short")
    for place, name in enumerate(STRING_FIELDS):
        spans[name] = fields[:, place]
    spans["bad"] = (
        (spans["status"] >= 400) | (spans["error"] != 0) | ((spans["status"] == 0) & (spans["flags"] != 0))
    ).astype(np.int32)
    return spans, span_ends


def _strings_of(spans: SpanArray) -> NDArray[np.int32]:
    """The codes of the strings of each span, where they stand: they are neighbours in it."""
    numbers = np.ascontiguousarray(spans).view(np.int32).reshape(len(spans), SPAN.itemsize // 4)
    strings: NDArray[np.int32] = numbers[:, _FIRST_STRING : _FIRST_STRING + _STRINGS]
    return strings


def _read_words(data: Bytes, at: int, end: int, words: list[int], strings: Strings) -> int:
    """Intern the strings of one trace; where they end."""
    if at >= end or data[at] not in (_BEFORE_TENANTS, FORMAT):
        raise MalformedError("stored spans cannot be read: their format is not known")
    count, at = _get(data, at + 1, end)
    for _ in range(int(count)):
        size, at = _get(data, at, end)
        if at + size > end:
            raise MalformedError("stored spans cannot be read: they are cut short")
        words.append(strings.code(data[at : at + int(size)].tobytes().decode("utf-8", "replace")))
        at += int(size)
    return int(at)


@inlined
def _put(out: Bytes, at: Int, value: Int) -> Int:
    while value > np.uint64(0x7F):
        out[at] = np.uint8(value & np.uint64(0x7F)) | np.uint8(0x80)
        value >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(value)
    return at + 1


@inlined
def _put_signed(out: Bytes, at: Int, value: Int) -> Int:
    wide = np.int64(value)
    return _put(out, at, np.uint64((wide << np.int64(1)) ^ (wide >> np.int64(63))))


@inlined
def _put_eight(out: Bytes, at: Int, value: Int) -> Int:
    for place in range(8):
        out[at + place] = np.uint8((value >> np.uint64(8 * place)) & np.uint64(0xFF))
    return at + 8


@compiled
def _get(data: Bytes, at: Int, end: Int) -> tuple[Int, Int]:
    value, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < 70:
        byte = np.uint64(data[at])
        at += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < 0x80:
            return np.int64(value), at
        shift += np.uint64(7)
    return 0, end + 1


@inlined
def _get_signed(data: Bytes, at: Int, end: Int) -> tuple[Int, Int]:
    value, at = _get(data, at, end)
    wide = np.uint64(value)
    return np.int64(wide >> np.uint64(1)) ^ -np.int64(wide & np.uint64(1)), at


@inlined
def _get_eight(data: Bytes, at: Int) -> Int:
    value = np.uint64(0)
    for place in range(8):
        value |= np.uint64(data[at + place]) << np.uint64(8 * place)
    return value


@compiled
def _pack(
    spans: SpanArray,
    ends: Places,
    fields: Any,
    words: Bytes,
    word_begins: Places,
    word_sizes: Places,
    numbers: NDArray[np.int32],
    seen: Places,
    out: Bytes,
    bounds: Places,
    first: Int,
    most_bytes: Int,
) -> Int:
    """Pack traces from the ``first`` on, as many as there is room for; the first one that is not packed."""
    begin = ends[first - 1] if first > 0 else 0
    at = bounds[first - 1] if first > 0 else 0
    for trace in range(first, len(ends)):
        if at >= most_bytes:
            return trace
        end = ends[trace]
        if not 0 < end - begin <= MOST_SPANS:
            bounds[trace] = at
            begin = end
            continue
        distinct, text = 0, 0
        for number in range(begin, end):
            for place in range(_STRINGS):
                code = fields[number, place]
                if seen[code] != trace:
                    seen[code] = trace
                    numbers[code] = distinct
                    distinct += 1
                    text += word_sizes[code] + _LENGTH_BYTES
        if len(out) - at < (end - begin) * _SPAN_BYTES + text + _HEAD_BYTES:
            for number in range(begin, end):  # so that it is looked at again
                for place in range(_STRINGS):
                    seen[fields[number, place]] = -1
            return trace
        out[at] = FORMAT
        at = _put(out, at + 1, np.uint64(distinct))
        written = 0
        for number in range(begin, end):
            for place in range(_STRINGS):
                code = fields[number, place]
                if numbers[code] == written:
                    size = word_sizes[code]
                    at = _put(out, at, np.uint64(size))
                    for i in range(size):
                        out[at + i] = words[word_begins[code] + i]
                    at += size
                    written += 1
        at = _put(out, at, np.uint64(end - begin))
        start, arrival = spans[begin]["start"], spans[begin]["arrival_ms"]
        at = _put_signed(out, at, start)
        at = _put_signed(out, at, arrival)
        for number in range(begin, end):
            at = _pack_span(spans, begin, end, number, start, arrival, fields, numbers, out, at)
        bounds[trace] = at
        begin = end
    return len(ends)


@inlined
def _pack_span(
    spans: SpanArray,
    begin: Int,
    end: Int,
    number: Int,
    start: Int,
    arrival: Int,
    fields: Any,
    numbers: NDArray[np.int32],
    out: Bytes,
    at: Int,
) -> Int:
    span = spans[number]
    parent, here = span["parent_id"], -1
    if parent != 0 and end - begin <= 64:
        for other in range(begin, end):
            if spans[other]["span_id"] == parent:
                here = other - begin
                break
    flags = _HAS_PARENT if parent != 0 and here < 0 else 0
    flags |= _PARENT_HERE if here >= 0 else 0
    flags |= _HAS_WEIGHT if span["weight"] != 0.0 else 0
    flags |= _HAS_CLIENT if span["client_hash"] != 0 else 0
    flags |= _SIDE_CALL if span["side_call"] != 0 else 0
    out[at] = flags
    at = _put(out, at + 1, np.uint64(span["kind"]))
    at = _put_eight(out, at, span["span_id"])
    if here >= 0:
        at = _put(out, at, np.uint64(here))
    elif parent != 0:
        at = _put_eight(out, at, parent)
    at = _put_signed(out, at, span["start"] - start)
    at = _put(out, at, np.uint64(span["duration"]))
    at = _put_signed(out, at, span["arrival_ms"] - arrival)
    at = _put(out, at, np.uint64(span["status"]))
    if span["weight"] != 0.0:
        at = _put_eight(out, at, np.float64(span["weight"]).view(np.uint64))
    if span["client_hash"] != 0:
        at = _put_eight(out, at, span["client_hash"])
    for place in range(_STRINGS):
        at = _put(out, at, np.uint64(numbers[fields[number, place]]))
    return at


@compiled
def _spans_of(data: Bytes, places: Places, ends: Places, sizes: Places) -> None:
    """How many spans each trace has, -1 if that cannot be; ``places`` moves behind the number."""
    for trace in range(len(places)):
        count, at = _get(data, places[trace], ends[trace])
        good = at <= ends[trace] and 0 <= count <= MOST_SPANS
        sizes[trace] = count if good else -1
        places[trace] = at


@compiled
def _unpack(
    data: Bytes,
    places: Places,
    ends: Places,
    span_ends: Places,
    ids: Any,
    spans: SpanArray,
    fields: Any,
    codes: NDArray[np.int32],
    word_ends: Places,
    given: Places,
) -> Bool:
    number, first_word = 0, 0
    for trace in range(len(ends)):
        end, first = ends[trace], number
        start, at = _get_signed(data, places[trace], end)
        arrival, at = _get_signed(data, at, end)
        while number < span_ends[trace]:
            span = spans[number]
            if at + 10 > end:
                return False
            flags = data[at]
            kind, at = _get(data, at + 1, end)
            if at + 8 > end:
                return False
            span["kind"] = kind
            span["trace_high"], span["trace_low"] = ids[trace, 0], ids[trace, 1]
            span["span_id"] = _get_eight(data, at)
            at += 8
            if flags & _PARENT_HERE:
                here, at = _get(data, at, end)
                if not 0 <= here < span_ends[trace] - first:
                    return False
                span["parent_id"] = np.uint64(here)  # for now: the id may not have been read yet
            elif flags & _HAS_PARENT:
                if at + 8 > end:
                    return False
                span["parent_id"] = _get_eight(data, at)
                at += 8
            since, at = _get_signed(data, at, end)
            span["start"] = start + since
            span["duration"], at = _get(data, at, end)
            since, at = _get_signed(data, at, end)
            span["arrival_ms"] = arrival + since
            span["status"], at = _get(data, at, end)
            if flags & _HAS_WEIGHT:
                if at + 8 > end:
                    return False
                span["weight"] = np.uint64(_get_eight(data, at)).view(np.float64)
                at += 8
            if flags & _HAS_CLIENT:
                if at + 8 > end:
                    return False
                span["client_hash"] = _get_eight(data, at)
                at += 8
            span["side_call"] = 1 if flags & _SIDE_CALL else 0
            span["bad"] = 1 if flags & _PARENT_HERE else 0  # for now: whether the parent must be looked up
            for place in range(given[trace]):
                word, at = _get(data, at, end)
                if at > end or not 0 <= word < word_ends[trace] - first_word:
                    return False
                fields[number, place] = codes[first_word + word]
            number += 1
        for one in range(first, number):
            if spans[one]["bad"] != 0:
                spans[one]["parent_id"] = spans[first + np.int64(spans[one]["parent_id"])]["span_id"]
        first_word = word_ends[trace]
        if at > end:
            return False
    return True
