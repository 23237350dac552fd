"""Turns the strings of the outside into the closed forms that are stored. Pure; linear in the length of its input."""

import re
from typing import Final

ROUTE_LENGTH: Final = 200
NAME_LENGTH: Final = 100
FLAGS_LENGTH: Final = 32

# Patterns in RE2's syntax too: the engine applies the same ones inside ClickHouse.
LONG_NUMBER: Final = r"[0-9][0-9 -]{11,30}[0-9]"  # could be a card number, is never part of a template
ID_SEGMENT: Final = r"/[^/]*[0-9][^/]*[0-9][^/]*[0-9][^/]*"
NUMBER_SEGMENT: Final = r"/[0-9]+(/|$)"
LONG_SEGMENT: Final = r"/[^/]{40,}"
URL_PREFIX: Final = r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*"
QUERY: Final = r"(?s)[?#].*"

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY"})

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER_SEGMENT = re.compile(NUMBER_SEGMENT.replace("$", r"\Z"))  # RE2's $ is Python's \Z
_LONG_NUMBER = re.compile(LONG_NUMBER)


def text(value: str, length: int = NAME_LENGTH) -> str:
    """A name fit for a table: no control characters, no long numbers, at most ``length`` characters."""
    return _LONG_NUMBER.sub("{number}", _CONTROL.sub("", value[: 4 * length]))[:length]


def route(value: str) -> str:
    """A route template, bounded."""
    return text(value, ROUTE_LENGTH)


def method(value: str) -> str:
    """An HTTP method, ``_OTHER`` if it is none that is known (semantic conventions for HTTP spans), empty if empty."""
    upper = value[:16].upper()
    return upper if upper in METHODS else ("_OTHER" if value else "")


def flags(value: str) -> str:
    """Envoy response flags; ``-`` is Envoy's word for none."""
    return "" if value in ("", "-") else text(value, FLAGS_LENGTH)


def error(error_type: str, span_status: int, http_status: int) -> str:
    """``error.type`` if given; ``error`` where the span status (2) alone says that there was one."""
    if error_type:
        return text(error_type)
    return "error" if span_status == 2 and http_status == 0 else ""


def path(value: str) -> str:
    """The path of a URL or target, without query, with segments that look like identifiers replaced by ``{id}``."""
    short = re.sub(QUERY, "", re.sub(URL_PREFIX, "", value[:2000]))
    short = re.sub(LONG_SEGMENT, "/{id}", re.sub(ID_SEGMENT, "/{id}", short))
    # Twice: neighbours share the slash between them.
    short = _NUMBER_SEGMENT.sub(r"/{id}\1", _NUMBER_SEGMENT.sub(r"/{id}\1", short))
    return route(short)
