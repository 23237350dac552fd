"""Sees through encodings: text as its reader would decode it, with the way back to where each character came from.

What is seen through: URL encoding (also of UTF-8, also encoded many times), HTML character references, backslash escapes of
programming languages and JSON, digits, dashes and spaces of every script of Unicode, characters without width, base64 (both
alphabets) and hex of ASCII digits. Each pass reads the text once; there are at most a handful of passes.
"""

import base64
import binascii
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from telemetry.redaction.cards import Span

PASSES: Final = 5
"""Most decodings on top of each other (URL encoding of URL encoding counts as one)."""

_ENCODED: Final = re.compile(
    r"(?P<url>(?:%(?:25)*[0-9A-Fa-f]{2})+)"
    r"|(?P<html>&#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});?|&(?:nbsp|shy|ensp|emsp|thinsp|zwnj|zwj|minus|ndash|mdash|quot|amp);)"
    r"|(?P<escape>\\(?:u\{[0-9A-Fa-f]{1,6}\}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|[\\\"'/ntr]))"
    r"|(?P<other>[^\x00-\x7f])"
)
_URL_BYTE: Final = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})")
_HTML: Final = {
    "nbsp": " ", "shy": "", "ensp": " ", "emsp": " ", "thinsp": " ", "zwnj": "", "zwj": "", "minus": "-", "ndash": "-",
    "mdash": "-", "quot": '"', "amp": "&",
}  # fmt: skip
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
# Three digits (0x30 to 0x39) share bits that fix most of the four base64 characters that stand for them; space, dash and dot
# (0x20, 0x2D, 0x2E) widen that a little. Thirteen digits hold three such whole groups at least, wherever they begin.
_BASE64_DIGITS: Final = re.compile(r"(?:[ILMNO][CDSTijyz][AEIMQUYcgk04][w-z0-5gtu]){3}")
_BASE64: Final = re.compile(r"[0-9A-Za-z+/_-]++={0,2}")
_HEX_DIGITS: Final = re.compile(r"(?<![0-9A-Za-z])(?:0[xX])?+(?:3[0-9](?:2[0d])?+){13,19}(?![0-9A-Za-z])")


class View:
    """Decoded text and where it came from.

    Attributes:
        text: as decoded.
    """

    def __init__(self, pieces: list[tuple[str, int, int]], before: "View | None") -> None:
        self.text = "".join(piece for piece, _, _ in pieces)
        self._before = before
        self._pieces = pieces
        self._at: list[int] = []
        at = 0
        for piece, _, _ in pieces:
            self._at.append(at)
            at += len(piece)

    def origin(self, span: Span) -> Span:
        """Where in the first text the characters of ``span`` stand."""
        first, last = bisect_right(self._at, span[0]) - 1, bisect_right(self._at, span[1] - 1) - 1
        begin, end = self._one(first, span[0])[0], self._one(last, span[1] - 1)[1]
        return self._before.origin((begin, end)) if self._before else (begin, end)

    def _one(self, nth: int, at: int) -> Span:
        piece, begin, end = self._pieces[nth]
        # A piece is text that was copied, or what some characters stood for as a whole.
        if len(piece) == end - begin:
            here = begin + at - self._at[nth]
            return here, here + 1
        return begin, end


def views(text: str) -> Iterator[View]:
    """What ``text`` says when it is decoded once, twice, and so on; nothing if there is nothing to decode."""
    before: View | None = None
    for _ in range(PASSES):
        pieces = list(_pieces(text))
        if not any(end - begin != len(piece) or piece != text[begin:end] for piece, begin, end in pieces):
            return
        before = View(pieces, before)
        yield before
        text = before.text


def _pieces(text: str) -> Iterator[tuple[str, int, int]]:
    at = 0
    for match in _ENCODED.finditer(text):
        begin, end = match.span()
        if at < begin:
            yield text[at:begin], at, begin
        at = end
        kind = match.lastgroup
        if kind == "url":
            yield from _from_url(text, begin, end)
        elif kind == "html":
            yield _from_html(match[0]), begin, end
        elif kind == "escape":
            yield _from_escape(match[0]), begin, end
        else:
            yield _plain(match[0]), begin, end
    if at < len(text):
        yield text[at:], at, len(text)


def _from_url(text: str, begin: int, end: int) -> Iterator[tuple[str, int, int]]:
    octets = [(int(match[1], 16), match.start(), match.end()) for match in _URL_BYTE.finditer(text, begin, end)]
    nth = 0
    while nth < len(octets):
        first = octets[nth][0]
        length = 1 if first < 0xC2 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        taken = octets[nth : nth + length]
        try:
            character = bytes(octet for octet, _, _ in taken).decode()
        except UnicodeDecodeError:
            taken = taken[:1]
            character = chr(first)  # Latin-1, as old clients send
        yield _plain(character), taken[0][1], taken[-1][2]
        nth += len(taken)


def _from_html(word: str) -> str:
    if not word.startswith("&#"):
        return _HTML[word[1:-1]]
    number = word[2:].rstrip(";")
    return _character(int(number[1:], 16) if number[0] in "xX" else int(number))


def _from_escape(word: str) -> str:
    kind, rest = word[1], word[2:]
    if kind in "uUx" and rest:
        return _character(int(rest.strip("{}"), 16))
    return _ESCAPES.get(kind, kind)


def _character(code: int) -> str:
    return _plain(chr(code)) if code <= 0x10FFFF else " "


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    """The ASCII digit, space or dash that ``character`` shows; nothing if it has no width; else itself."""
    if character.isascii():
        return character
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category in ("Cf", "Mn", "Me"):
        return ""
    if category in ("Zs", "Zl", "Zp", "Cc"):
        return " "
    if category == "Pd":
        return "-"
    folded = unicodedata.normalize("NFKC", character)
    return folded if folded.isascii() and len(folded) == 1 else character


def wrapped(text: str) -> Iterator[tuple[str, Span]]:
    """What base64 and hex words of ``text`` say that have digits in them, each with where the word stands."""
    at = 0
    while match := _BASE64_DIGITS.search(text, at):
        word = _BASE64.match(text, match.end())
        at = word.end() if word else match.end()
        begin = match.start()
        yield _unwrapped(text[begin:at]), (begin, at)
        if begin >= 4:
            # The first digits may share a group of characters with what stands before them.
            yield _unwrapped(text[begin - 4 : at]), (begin - 4, at)
    for match in _HEX_DIGITS.finditer(text):
        yield bytes.fromhex(match[0].lower().removeprefix("0x")).decode("ascii"), match.span()


def _unwrapped(word: str) -> str:
    body = word.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4)).decode("latin-1")
    except binascii.Error:
        return ""
