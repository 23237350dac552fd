"""A glance at a serialized OTLP message: does it certainly hold nothing that has to be redacted?

Looking through every text of a message costs more than all else that a receiver does with it, and nearly all messages
hold nothing. So whole messages are looked at as arrays of bytes first, at a few nanoseconds a byte: nothing is decoded,
and whatever looks like the beginning of a finding makes the glance say "perhaps". A ``False`` is certain for all that
:mod:`telemetry.redaction` finds; ``tests/unit/feeds/test_otlp_redaction.py`` holds one against the other.
"""

import re
import struct
import unicodedata
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from telemetry.redaction.cards import is_card
from telemetry.redaction.names import Kind, kind
from telemetry.redaction.payload import suspicious
from telemetry.redaction.text import redact_text

_URL: Final = re.compile(rb"%(?:25)*([0-9A-Fa-f]{2})")
# What hides digits in letters: character references and escapes.
_ENCODED: Final = re.compile(rb"&(?:#[0-9xX]|(?:nbsp|shy|ensp|emsp|thinsp|zwnj|zwj|minus|ndash|mdash|quot|amp);)")
_ESCAPED: Final = re.compile(rb"\\(?:[uU][0-9A-Fa-f{]{2}|x[0-9A-Fa-f]{2}|[ntr\"'/\\]+[0-9])")
_USER: Final = re.compile(rb"://[^/\s?#@\"']{1,256}@")
_HEX: Final = re.compile(rb"3[0-9]3[0-9]3[0-9](?:3[0-9]|2[0dD]){10}")

# Base64 of digits (see telemetry.redaction.views): one bit for each of the four characters of a group.
_GROUP: Final = (b"ILMNO", b"CDSTijyz", b"AEIMQUYcgk04", b"wxyz012345gtu")
_BASE64: Final = bytes(sum(1 << nth for nth in range(4) if code in _GROUP[nth]) for code in range(256))

# Three letters in a row, "." for what is no letter: each word that telemetry.redaction knows has one of these, few others do.
_TRIGRAMS: Final = (  # noqa: SIM905 - forty literals are no better to read
    "riz oki ey. ssw sph pwd ecr oke ede ssi jwt bea gna cvv cvc cvn csc cav rit rif ard pin pan ccn ack mag emv icc nec "
    "cco c.n s.w otp bas eyj liv .te .ak .as .gh git glp xox aiz"
).split()


def _letters(text: str) -> int:
    low, mid, high = (ord(c) - 96 if c.isalpha() else 0 for c in text)
    return low << 10 | mid << 5 | high


_LETTERS: Final = bytes(code & 31 if 65 <= code <= 90 or 97 <= code <= 122 else 0 for code in range(256))
_WANTED: Final[npt.NDArray[np.bool_]] = np.zeros(1 << 15, dtype=np.bool_)
_WANTED[[_letters(each) for each in _TRIGRAMS]] = True
_WORD: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.-")
# What makes a word a finding that is none by itself: "cvv 123", "security code 123", "Bearer abc".
_FOLLOWING: Final = (" 1234", " code 1234", " abcdefgh1234")

_INTEGER: Final = 0x18
"""Tag of ``AnyValue.int_value``: a varint follows, of six bytes or more from 10^12 on."""
_DOUBLE: Final = 0x21
"""Tag of ``AnyValue.double_value``: eight bytes, the last of which is 0x42 or 0x43 from 10^12 to 10^19."""

_harmless: set[bytes] = set()
_ROOM: Final = 4096


def may_hold_something(payload: bytes) -> bool:
    """Whether ``payload``, serialized OTLP, may hold a card number or a secret; ``False`` is certain."""
    masked = _without_ids(payload)
    return _numeric(masked) or _foreign_digits(masked) or _plainly(masked) or (b"%" in masked and _url_encoded(masked))


def _plainly(payload: bytes) -> bool:
    return (
        suspicious(payload)
        or _named(payload)
        or _wrapped(payload)
        or _USER.search(payload) is not None
        or b"PRIVATE KEY" in payload
        or b"whsec_" in payload
        or _ENCODED.search(payload) is not None
        or _ESCAPED.search(payload) is not None
    )


def _url_encoded(payload: bytes) -> bool:
    decoded = _URL.sub(lambda match: bytes((int(match[1], 16),)), payload)
    return decoded != payload and (_foreign_digits(decoded) or _plainly(decoded))


def _wrapped(payload: bytes) -> bool:
    """Base64 of digits, or their ASCII codes in hex."""
    if len(payload) < 16:
        return False
    flags = np.frombuffer(payload.translate(_BASE64), dtype=np.uint8)
    groups = flags[:-3] & (flags[1:-2] >> 1) & (flags[2:-1] >> 2) & (flags[3:] >> 3) & 1
    if (groups[:-8] & groups[4:-4] & groups[8:]).any():
        return True
    return _HEX.search(payload) is not None


def _without_ids(payload: bytes) -> bytes:
    """``payload`` with zeros where spans have their ids and times: random bytes look like anything."""
    if len(payload) <= 40:
        return payload
    octets = np.frombuffer(payload, dtype=np.uint8).copy()
    # Span.trace_id (1) of 16 bytes and span_id (2) of 8; parent_span_id (4); start and end time (7, 8).
    ids = (octets[:-27] == 0x0A) & (octets[1:-26] == 0x10) & (octets[18:-9] == 0x12) & (octets[19:-8] == 0x08)
    octets[np.flatnonzero(ids)[:, None] + _ID_BYTES] = 0
    parents = (octets[:-9] == 0x22) & (octets[1:-8] == 0x08)
    octets[np.flatnonzero(parents)[:, None] + _PARENT_BYTES] = 0
    times = (octets[:-17] == 0x39) & (octets[9:-8] == 0x41)
    octets[np.flatnonzero(times)[:, None] + _TIME_BYTES] = 0
    return octets.tobytes()


@cache
def _digit_pairs() -> npt.NDArray[np.bool_]:
    """Which pairs of bytes begin the UTF-8 of a digit outside ASCII."""
    table: npt.NDArray[np.bool_] = np.zeros(1 << 16, dtype=np.bool_)
    for code in range(0x80, 0x20000):  # there are none beyond
        if unicodedata.digit(chr(code), None) is not None:
            table[int.from_bytes(chr(code).encode("utf-8", "surrogatepass")[:2])] = True
    return table


def _foreign_digits(payload: bytes) -> bool:
    """Digits of other scripts."""
    octets = np.frombuffer(payload, dtype=np.uint8).astype(np.uint16)
    return bool(_digit_pairs()[octets[:-1] << 8 | octets[1:]].any())


_ID_BYTES: Final = np.array([*range(2, 18), *range(20, 28)])
_PARENT_BYTES: Final = np.arange(2, 10)
_TIME_BYTES: Final = np.array([*range(1, 9), *range(10, 18)])


def _numeric(payload: bytes) -> bool:
    """Card numbers as integers or doubles."""
    octets = np.frombuffer(payload, dtype=np.uint8)
    if len(octets) < 9:
        return False
    high = octets >= 0x80
    varints = (octets[:-6] == _INTEGER) & high[1:-5] & high[2:-4] & high[3:-3] & high[4:-2] & high[5:-1]
    for at in np.flatnonzero(varints):
        if is_card(str(_varint(payload, int(at) + 1))):
            return True
    doubles = (octets[:-8] == _DOUBLE) & (octets[8:] >> 1 == 0x21)
    for at in np.flatnonzero(doubles):
        (value,) = struct.unpack_from("<d", payload, int(at) + 1)
        if is_card(f"{abs(value):.0f}"):
            return True
    return False


def _varint(payload: bytes, at: int) -> int:
    value = 0
    for shift, octet in enumerate(payload[at : at + 10]):
        value |= (octet & 0x7F) << 7 * shift
        if octet < 0x80:
            break
    return value if value < 1 << 63 else (1 << 64) - value


def _named(payload: bytes) -> bool:
    """Names of secrets and codes, and what secrets look like."""
    letters = np.frombuffer(payload.translate(_LETTERS), dtype=np.uint8).astype(np.uint16)
    if len(letters) < 3:
        return False
    rows = _WANTED[(letters[:-2] << 10) | (letters[1:-1] << 5) | letters[2:]]
    seen = 0
    for at in np.flatnonzero(rows):
        if at < seen:
            continue
        begin, end = _word(payload, int(at) + 1)
        word = payload[begin:end]
        seen = end
        if word in _harmless:
            continue
        if not _is_harmless(word.decode("ascii")):
            return True
        if len(_harmless) >= _ROOM:
            _harmless.clear()
        _harmless.add(word)
    return False


def _is_harmless(word: str) -> bool:
    if kind(word) in (Kind.SECRET, Kind.CODE, Kind.CARD):
        return False
    return all(redact_text(text) is text for text in (word + following for following in _FOLLOWING))


def _word(payload: bytes, at: int) -> tuple[int, int]:
    begin = end = at
    while begin > 0 and payload[begin - 1] in _WORD:
        begin -= 1
    while end < len(payload) and payload[end] in _WORD:
        end += 1
    return begin, end
