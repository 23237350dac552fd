"""Which attributes are looked for, and finding them in a list of OTLP ``KeyValue``.

Every name of the vocabulary that the engine reads has a number. Of an attribute that stands twice the first one counts.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry import vocabulary as names
from telemetry.compiled import Bool, Int, compiled, inlined
from telemetry.engine.wire import BAD, LENGTH, VARINT, Bytes, length, same_bytes, skip, varint

_GROUPS: Final[tuple[tuple[str, ...], ...]] = (
    (names.SERVICE_NAME,),
    (names.TIER,),
    (names.POP,),
    names.ZONE,
    names.REGION,
    names.ENVIRONMENT,
    names.RESPONSE_FLAGS,
    names.ERROR_TYPE,
    names.ROUTE,
    (*names.URL_PATH, *names.URL_FULL),
    names.METHOD,
    names.STATUS,
    names.CLIENT_ADDRESS,
    names.SIDE_CALL,
    names.TENANT,
)
_ALL: Final = tuple(name for group in _GROUPS for name in group)
_STARTS: Final = tuple(int(n) for n in np.cumsum([0, *(len(group) for group in _GROUPS)]))

# Numbers of the names of one meaning: (first, behind the last), the name that is preferred first.
COMPONENT: Final = (_STARTS[0], _STARTS[1])
TIER: Final = (_STARTS[1], _STARTS[2])
POP: Final = (_STARTS[2], _STARTS[3])
ZONE: Final = (_STARTS[3], _STARTS[4])
REGION: Final = (_STARTS[4], _STARTS[5])
ENVIRONMENT: Final = (_STARTS[5], _STARTS[6])
FLAGS: Final = (_STARTS[6], _STARTS[7])
ERROR: Final = (_STARTS[7], _STARTS[8])
ROUTE: Final = (_STARTS[8], _STARTS[9])
URL: Final = (_STARTS[9], _STARTS[10])
METHOD: Final = (_STARTS[10], _STARTS[11])
STATUS: Final = (_STARTS[11], _STARTS[12])
ADDRESS: Final = (_STARTS[12], _STARTS[13])
SIDE_CALL: Final = (_STARTS[13], _STARTS[14])
TENANT: Final = (_STARTS[14], _STARTS[15])
COUNT: Final = len(_ALL)

FOUND: Final = np.dtype([("seen", np.int64), ("begin", np.int64), ("end", np.int64), ("integer", np.int64)], align=True)
"""An attribute: in which list it was ``seen``, where its text stands, and its number (0 if it is none)."""

Found = NDArray[np.void]

_SLOTS: Final = 256
_WIDTH: Final = 48


@inlined
def _slot(data: Bytes, begin: Int, end: Int) -> Int:
    """Where a name stands in the table: made of its length and a few of its bytes, which tell the names apart well."""
    size = end - begin
    middle = np.int64(data[begin + size // 2])
    return (size * 7 + np.int64(data[begin]) * 31 + np.int64(data[end - 1]) * 17 + middle * 59) & (_SLOTS - 1)


@compiled
def _fill(text: Bytes, sizes: NDArray[np.int64], table: NDArray[np.uint8], numbers: NDArray[np.int16]) -> None:
    at = 0
    for number in range(len(sizes)):
        end = at + sizes[number]
        slot = _slot(text, at, end)
        while numbers[slot] >= 0:
            slot = (slot + 1) & (_SLOTS - 1)
        numbers[slot] = number
        table[slot, 0] = sizes[number]
        for i in range(sizes[number]):
            table[slot, 1 + i] = text[at + i]
        at = end


def name_table() -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """The table of names for :func:`scan`: (length and bytes, number or -1) of every slot."""
    encoded = [name.encode() for name in _ALL]
    table = np.zeros((_SLOTS, _WIDTH), dtype=np.uint8)
    numbers = np.full(_SLOTS, -1, dtype=np.int16)
    sizes = np.array([len(name) for name in encoded], dtype=np.int64)
    _fill(np.frombuffer(b"".join(encoded), dtype=np.uint8), sizes, table, numbers)
    return table, numbers


@inlined
def _number_of(data: Bytes, begin: Int, end: Int, table: NDArray[np.uint8], numbers: NDArray[np.int16]) -> Int:
    size = end - begin
    if size == 0 or size >= _WIDTH:
        return -1
    slot = _slot(data, begin, end)
    while numbers[slot] >= 0:
        if table[slot, 0] == size and same_bytes(table[slot], 1, data, begin, size):
            return np.int64(numbers[slot])
        slot = (slot + 1) & (_SLOTS - 1)
    return -1


@inlined
def _is_short_text(data: Bytes, at: Int, end: Int) -> Bool:
    """Whether a ``KeyValue`` is what most are: a name and a text, each shorter than 128 bytes, and nothing more."""
    if end - at < 6 or data[at] != (1 << 3 | LENGTH) or data[at + 1] >= 0x80:
        return False
    value = at + 2 + np.int64(data[at + 1])
    if end - value < 4 or end - value >= 0x80:
        return False
    return (
        data[value] == (2 << 3 | LENGTH)
        and data[value + 1] == end - value - 2
        and data[value + 2] == (1 << 3 | LENGTH)
        and data[value + 3] == end - value - 4
    )


@inlined
def key_value(
    data: Bytes,
    at: Int,
    end: Int,
    table: NDArray[np.uint8],
    numbers: NDArray[np.int16],
    found: Found,
    lists: Int,
) -> Bool:
    """Read one ``KeyValue``; note it in ``found`` if it is looked for and the first in list ``lists``. False if malformed."""
    key_begin, key_end = 0, 0
    text_begin, text_end, value = 0, 0, np.int64(0)
    if _is_short_text(data, at, end):
        key_begin = at + 2
        key_end = key_begin + np.int64(data[at + 1])
        text_begin, text_end = key_end + 4, end
        at = end
    while at < end:
        tag, at = varint(data, at, end)
        if at == BAD or tag < 8:
            return False
        if tag == (1 << 3 | LENGTH):
            key_begin, key_end = length(data, at, end)
            at = key_end
        elif tag == (2 << 3 | LENGTH):
            begin, stop = length(data, at, end)
            at = stop
            while stop != BAD and begin < stop:  # AnyValue: the last of its alternatives counts
                inner, begin = varint(data, begin, stop)
                if begin == BAD or inner < 8:
                    return False
                if inner == (1 << 3 | LENGTH):
                    text_begin, text_end = length(data, begin, stop)
                    value = np.int64(0)
                    begin = text_end
                elif inner == (3 << 3 | VARINT):
                    number, begin = varint(data, begin, stop)
                    value = np.int64(number)
                    text_begin, text_end = 0, 0
                else:
                    begin = skip(data, begin, stop, np.int64(inner & np.uint64(7)))
                    if 1 <= inner >> np.uint64(3) <= 7:
                        text_begin, text_end, value = 0, 0, np.int64(0)
                if begin == BAD:
                    return False
        else:
            at = skip(data, at, end, np.int64(tag & np.uint64(7)))
        if at == BAD:
            return False
    number = _number_of(data, key_begin, key_end, table, numbers)
    if number >= 0 and found[number]["seen"] != lists:
        one = found[number]
        one["seen"] = lists
        one["begin"] = text_begin
        one["end"] = text_end
        one["integer"] = value
    return True


@inlined
def text_of(found: Found, wanted: tuple[Int, Int], lists: Int) -> tuple[Int, Int]:
    """(begin, end) of the first text of ``wanted`` that is not empty; (0, 0) if there is none."""
    for number in range(wanted[0], wanted[1]):
        one = found[number]
        if one["seen"] == lists and one["end"] > one["begin"]:
            return one["begin"], one["end"]
    return 0, 0


def new_found() -> Any:
    """Room for :func:`key_value` to note in."""
    return np.zeros(COUNT, dtype=FOUND)
