"""Redaction of attributes: by name and by content."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from telemetry.redaction import cards, names
from telemetry.redaction.brands import SHORTEST
from telemetry.redaction.marks import CARD, SECRET
from telemetry.redaction.names import Kind
from telemetry.redaction.text import CLEAN, redact_text

# W3C trace and span ids, UUIDs and Datadog's decimal ids.
_TRACE_ID: Final = re.compile(r"[0-9A-Fa-f]{16}(?:[0-9A-Fa-f]{16})?|[0-9]{17,20}")
_REQUEST_ID: Final = re.compile(
    r"(?=[0-9-]*[A-Fa-f])(?:[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
)
_SMALL: Final = 10 ** (SHORTEST - 1)
_DEEPEST: Final = 16
_plain: set[str] = set()
"""Names that say nothing special and hold nothing themselves."""
_ROOM: Final = 4096
_MARKS: Final = {Kind.SECRET: SECRET, Kind.CODE: SECRET, Kind.CARD: CARD}


def redact_attribute(name: str, value: Any) -> Any:
    """``value`` of the attribute ``name`` as it may be kept: the same object if nothing in it has to go.

    Numbers, sequences, mappings and bytes are looked through, too; one that holds something becomes text, or has text in it.
    """
    kind = names.kind(name)
    if kind is Kind.TEXT:
        return _redacted(value, 0)
    if kind is Kind.IDENTIFIER:
        return value if isinstance(value, str) and _is_identifier(name, value) else _redacted(value, 0)
    if isinstance(value, bool) or value is None or value in ("", _MARKS[kind]):
        return value
    return _MARKS[kind]


def redact_attributes(attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The attributes that had to change, with their new values and names; ``None`` if none had to.

    A name that holds something itself (a card number as a name) is changed as well: the old name then has ``None``.
    """
    changed: dict[str, Any] | None = None
    for name, value in attributes.items():
        if name in _plain:
            # By far most: a name that was seen before, with a value that was or is a small number.
            if type(value) is str:
                if value in CLEAN:
                    continue
            elif type(value) is int and -_SMALL < value < _SMALL:
                continue
            safe = name
        else:
            safe = redact_text(name)
            if safe is name and names.kind(name) is Kind.TEXT:
                if len(_plain) >= _ROOM:
                    _plain.clear()
                _plain.add(name)
        kept = redact_attribute(name, value)
        if kept is value and safe is name:
            continue
        changed = {} if changed is None else changed
        if safe is not name:
            changed[name] = None
        changed[safe] = kept
    return changed


def _is_identifier(name: str, value: str) -> bool:
    if name.lower().endswith(("traceid", "trace_id", "spanid", "span_id", "parentid", "parent_id")):
        return _TRACE_ID.fullmatch(value) is not None
    return _REQUEST_ID.fullmatch(value) is not None


def _redacted(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one for each type
    if type(value) is str:
        return redact_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_SMALL < value < _SMALL else _number(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str):
        return redact_text(str(value))
    if isinstance(value, (bytes, bytearray)):
        said = bytes(value).decode("utf-8", "replace")
        kept = redact_text(said)
        return value if kept is said else kept
    if depth >= _DEEPEST:
        return SECRET  # nothing that deep is looked through, so nothing that deep is kept
    if isinstance(value, Mapping):
        changed = _mapping(value, depth)
        return value if changed is None else changed
    if isinstance(value, Sequence):
        return _sequence(value, depth)
    return value


def _number(value: float) -> Any:
    said = f"{value:.0f}" if isinstance(value, float) and abs(value) < 1e20 else str(value)
    return CARD if cards.find(said) else value


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[Any, Any] | None:
    made: dict[Any, Any] = {}
    same = True
    for key, item in value.items():
        name = key if isinstance(key, str) else str(key)
        kind = names.kind(name)
        kept = _redacted(item, depth + 1) if kind in (Kind.TEXT, Kind.IDENTIFIER) else redact_attribute(name, item)
        safe = redact_text(name)
        same = same and kept is item and safe is name
        made[safe if safe is not name else key] = kept
    return None if same else made


def _sequence(value: Sequence[Any], depth: int) -> Any:
    kept = [_redacted(item, depth + 1) for item in value]
    if any(new is not old for new, old in zip(kept, value, strict=True)):
        # One type a sequence: what was a number is text now.
        return tuple(item if isinstance(item, str) or item is None else str(item) for item in kept)
    if len(value) > 1 and all(isinstance(item, (str, int)) for item in value):
        # A number in pieces.
        joined = " ".join(str(item) for item in value)
        if redact_text(joined) is not joined and cards.find(joined):
            return tuple(CARD for _ in value)
    return value
