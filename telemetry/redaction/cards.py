"""Finds card numbers among the digits of plain text, in time that grows with the text's length and no faster.

A card number is 13 to 19 digits with a prefix and a length that some brand issues and a right check digit. Its digits may
stand in groups with up to four characters that are neither letters nor digits between them. It begins where a group begins
and ends where one ends: the inside of a longer run of digits is no card number, except after leading zeros. Between its groups
stand spaces and dashes, and no more than one other kind of separator: addresses with ports, coordinates and versions mix them.
"""

import re
from bisect import bisect_right
from itertools import accumulate
from typing import Final

from telemetry.redaction.brands import LONGEST, SHORTEST, lengths

Span = tuple[int, int]
"""Begin and end of a finding, as of a slice."""

# Possessive throughout: every character is looked at once. Matches short ones as well, so that it never tries again.
_SEQUENCE: Final = re.compile(r"[0-9]++(?:[^0-9A-Za-z]{1,4}+[0-9]++)*+")
_COMMON: Final = " \t\r\n-\"'"
_GROUP: Final = re.compile(r"[0-9]++")
# Identifiers of random digits and letters: a W3C traceparent, a UUID, and the hex of 128 to 512 bits (trace ids, digests)
# that is not all digits. In lower or in upper case, not mixed.
_HEX: Final = (
    r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|(?![0-9]++(?![0-9A-Fa-f]))(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})"
)
_IDENTIFIER: Final = re.compile(
    rf"(?<![0-9A-Za-z])(?:{_HEX}|{_HEX.replace('a-f', 'A-F').replace('89ab', '89AB').replace('A-FA-F', 'A-Fa-f')})"
    r"(?![0-9A-Za-z])"
)
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """Whether the last of ``digits`` is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = sum(int(digit) for digit in digits[-1::-2]) + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])
    return total % 10 == 0


def is_card(digits: str) -> bool:
    """Whether ``digits``, digits only, is a card number."""
    return SHORTEST <= len(digits) <= LONGEST and bool(lengths()[int(digits[:4])] >> len(digits) & 1) and luhn(digits)


def find(text: str) -> list[Span]:
    """Where in ``text`` card numbers stand, in order, none touching another. Digits are 0 to 9 only, see ``views``."""
    found: list[Span] = []
    identifiers: list[Span] | None = None
    for sequence in _SEQUENCE.finditer(text):
        begin, end = sequence.span()
        if end - begin < SHORTEST:
            continue
        for span in _windows(text, begin, end):
            if identifiers is None:
                identifiers = [match.span() for match in _IDENTIFIER.finditer(text)]
            nth = bisect_right(identifiers, (span[0], len(text))) - 1
            if nth < 0 or span[1] > identifiers[nth][1]:
                found.append(span)
    return merged(found)


def _windows(text: str, begin: int, end: int) -> list[Span]:
    groups = [match.span() for match in _GROUP.finditer(text, begin, end)]
    digits = "".join(text[low:high] for low, high in groups)
    if len(digits) < SHORTEST:
        return []
    values = [ord(digit) - 48 for digit in digits]
    doubled = [_DOUBLED[value] for value in values]
    # Luhn sums of all prefixes, once with the digits at even places as they are, once with those at odd places: the sum of
    # any window is a difference, so that a window costs the same however long it is.
    plain_even = [0, *accumulate(d if i % 2 else v for i, (v, d) in enumerate(zip(values, doubled, strict=True)))]
    plain_odd = [0, *accumulate(v if i % 2 else d for i, (v, d) in enumerate(zip(values, doubled, strict=True)))]
    issued = lengths()
    ends: list[int] = []  # of the groups, counted in digits
    at = 0
    for low, high in groups:
        at += high - low
        ends.append(at)
    found: list[Span] = []
    start = 0
    for nth, (low, high) in enumerate(groups):
        # Zeros before it are padding: no brand's number begins with one.
        zeros = (high - low) - len(text[low:high].lstrip("0"))
        first = start + zeros
        start = ends[nth]
        mask = issued[int(digits[first : first + 4])] if first + SHORTEST <= len(digits) and zeros < high - low else 0
        if not mask:
            continue
        for last in range(nth, len(groups)):
            stop = ends[last]
            size = stop - first
            if size > LONGEST:
                break
            sums = plain_odd if stop % 2 == 0 else plain_even
            if mask >> size & 1 and (sums[stop] - sums[first]) % 10 == 0:
                gaps = {text[groups[at][1] : groups[at + 1][0]].strip(_COMMON) for at in range(nth, last)}
                if len(gaps - {""}) <= 1:
                    found.append((low + zeros, groups[last][1]))
    return found


def merged(spans: list[Span]) -> list[Span]:
    """``spans`` in order, those that overlap made one."""
    made: list[Span] = []
    for begin, end in sorted(spans):
        if made and begin < made[-1][1]:
            made[-1] = (made[-1][0], max(end, made[-1][1]))
        else:
            made.append((begin, end))
    return made
