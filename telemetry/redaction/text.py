"""Takes cards and secrets out of a text. The time is proportional to the text's length, whatever it holds."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from telemetry.redaction import cards, names, views
from telemetry.redaction.brands import SHORTEST
from telemetry.redaction.cards import Span
from telemetry.redaction.marks import CARD, SECRET
from telemetry.redaction.names import Kind

# --- what certainly holds nothing ---------------------------------------------------------------------------------------

_DIGITS: Final = "0" * SHORTEST
# Digits become 0, letters stay, what may stand between digits goes; other characters than ASCII are looked at in full.
_SQUEEZE: Final = {
    code: "0" if chr(code).isdigit() else chr(code) if chr(code).isalpha() else None for code in range(128)
}
_SHORTEST: Final = 7
"""``cvv=123``: a shorter text holds nothing that is looked for."""

# --- secrets in text ----------------------------------------------------------------------------------------------------

# A name, a separator and a value. The lookbehind makes every name start once, so that long words cost what they are long.
_NAMED: Final = re.compile(
    r"(?<![0-9A-Za-z_.-])([0-9A-Za-z_][0-9A-Za-z_.-]++)(?:\[\])?+[\"']{0,2}+\s{0,4}+(?:[=:]|=>|\bis\b)\s{0,4}+"
)
_VALUE: Final = re.compile(
    r"\"(?:[^\"\\]|\\.)*+\"?+|'(?:[^'\\]|\\.)*+'?+"
    r"|(?:(?:bearer|basic|digest|token|negotiate|apikey|hmac)\s++)?+[^\s&,;\"'<>(){}\[\]]++",
    re.IGNORECASE,
)
_LINE: Final = re.compile(r"[^\r\n\"'}]*+")
_CODE: Final = re.compile(r"[\"'\[]{0,2}+([0-9](?:[ -]?[0-9]){2,11}+|[0-9A-Fa-f]{16}+)(?![0-9A-Za-z])")
# Spoken: "cvv 123", "security code was 1234".
_SPOKEN: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:cvv2?|cvc2?|cvn|csc|security code|card code|pin(?: code| block)?)"
    r"(?:[\s:=#(*\"'-]{1,4}(?:code|number|no|is|was|of|value|entered)?){1,4}?[\s:=#(*\"'-]{0,3}([0-9]{3,12})(?![0-9A-Za-z.])",
    re.IGNORECASE,
)
# Credentials that are known by their look.
_TOKENS: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"(?:sk|rk|pk|whsec)_(?:live|test)_[0-9A-Za-z]{8,}+|whsec_[0-9A-Za-z+/=]{16,}+"  # payment processors' API keys
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])|gh[pousr]_[0-9A-Za-z]{20,}+|github_pat_[0-9A-Za-z_]{20,}+"
    r"|glpat-[0-9A-Za-z_-]{16,}+|xox[abeoprs]-[0-9A-Za-z-]{10,}+|AIza[0-9A-Za-z_-]{30,}+"
    r"|eyJ[0-9A-Za-z_-]{6,}+\.[0-9A-Za-z_-]{6,}+(?:\.[0-9A-Za-z_-]*+)?+"  # JSON Web Tokens, RFC 7519
    r")|(?<![0-9A-Za-z])(?i:bearer|basic)\s++([0-9A-Za-z._~+/-]{8,}+=*+)"
    r"|://([^/\s?#@\"']{0,256}+)@"  # user and password of a URL
    r"|-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[^-]*+(?:-----END [A-Z ]{0,32}PRIVATE KEY-----)?+"
)
# Track 1: %B, number, ^, name, ^, expiry and the rest; track 2: number, = or D, expiry, service code, discretionary data
# (ISO/IEC 7813). Found by what follows a card number.
_TRACK: Final = re.compile(r"\^[^\^\r\n?]{0,40}+\^[0-9][0-9=]{3,80}+\??+|[=D][0-9]{7,24}+\??+", re.IGNORECASE)
# What each of them needs, in lower case: looking for a few words is much cheaper than looking for a pattern.
_NAMED_HINTS: Final = ("=", ":", " is ")
_TOKEN_HINTS: Final = (
    "eyj", "_live_", "_test_", "whsec_", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat-",
    "xox", "aiza", "bearer", "basic", "-----begin", "@",
)  # fmt: skip
_SPOKEN_HINTS: Final = ("cvv", "cvc", "cvn", "csc", "security code", "card code", "pin")

Finding = tuple[int, int, str]
"""Begin, end, and what stands there instead."""

CLEAN: Final[set[str]] = set()
"""Texts that were found to hold nothing: bounded, and emptied when full."""
_ROOM: Final = 4096
_LONGEST_KEPT: Final = 160


def redact_text(text: str) -> str:
    """``text`` without card numbers and secrets; itself if there are none. Never raises.

    What was found clean is remembered (never what was not), because most values of attributes come again and again.
    """
    if text in CLEAN:
        return text
    findings = _findings(text) if len(text) >= _SHORTEST else ()
    if findings:
        return _replaced(text, findings)
    if len(text) <= _LONGEST_KEPT:
        if len(CLEAN) >= _ROOM:
            CLEAN.clear()
        CLEAN.add(text)
    return text


def _findings(text: str) -> list[Finding]:
    is_ascii = text.isascii()
    found: list[Finding] = []
    if not is_ascii or _DIGITS in text.translate(_SQUEEZE):
        found += [(begin, end, CARD) for begin, end in _with_tracks(text, cards.find(text))]
    found += _secrets(text)
    if not is_ascii or "%" in text or "&" in text or "\\" in text:
        for view in views.views(text):
            hidden = [(begin, end, CARD) for begin, end in _with_tracks(view.text, cards.find(view.text))]
            for begin, end, mark in hidden + _secrets(view.text):
                found.append((*view.origin((begin, end)), mark))
            found += [(*view.origin(span), CARD) for span in _wrapped(view.text)]
    found += [(begin, end, CARD) for begin, end in _wrapped(text)]
    return found


def _wrapped(text: str) -> Iterator[Span]:
    if len(text) >= 18:
        for said, span in views.wrapped(text):
            if cards.find(said):
                yield span


def _with_tracks(text: str, spans: list[Span]) -> Iterator[Span]:
    for begin, end in spans:
        track = _TRACK.match(text, end)
        yield begin, track.end() if track else end


def _secrets(text: str) -> list[Finding]:
    lower = text.lower()
    found: list[Finding] = []
    for hint in _TOKEN_HINTS:
        if hint in lower:
            for match in _TOKENS.finditer(text):
                begin, end = match.span(match.lastindex or 0)
                if begin < end:
                    found.append((begin, end, SECRET))
            break
    for hint in _NAMED_HINTS:
        if hint in lower:
            found += _named(text)
            break
    for hint in _SPOKEN_HINTS:
        if hint in lower:
            found += [(*match.span(1), SECRET) for match in _SPOKEN.finditer(text)]
            break
    return found


def _named(text: str) -> Iterator[Finding]:
    at = 0
    while match := _NAMED.search(text, at):
        at = match.end()
        kind = names.kind(match[1])
        if kind is Kind.TEXT or kind is Kind.IDENTIFIER:
            continue
        value = _value(text, at, match[1], kind)
        if value is not None and value[0] < value[1]:
            at = value[1]
            yield (*value, CARD if kind is Kind.CARD else SECRET)


def _value(text: str, at: int, name: str, kind: Kind) -> Span | None:
    if kind is Kind.CODE:
        code = _CODE.match(text, at)
        return code.span(1) if code else None
    if name.lower().endswith(("cookie", "cookies")):
        line = _LINE.match(text, at)
        return line.span() if line else None
    value = _VALUE.match(text, at)
    if value is None:
        return None
    begin, end = value.span()
    if text[begin] in "\"'":
        begin, end = begin + 1, end - (end - begin > 1 and text[end - 1] == text[begin])
    if kind is Kind.CARD and not any(character.isdigit() for character in text[begin:end]):
        return None
    return begin, end


def _replaced(text: str, findings: Sequence[Finding]) -> str:
    parts: list[str] = []
    at = 0
    for begin, end, mark in sorted(findings, key=lambda one: (one[0], -one[1])):
        if begin >= at:
            parts += (text[at:begin], mark)
        at = max(at, end)
    parts.append(text[at:])
    return "".join(parts)
