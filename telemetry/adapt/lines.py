"""One line of an access log, as the recipes in ``deploy/`` have proxies write it: JSON after a syslog header (RFC 3164, 5424).

All values may be text, as proxies that build JSON from templates write it. ``-`` and nothing are the same.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from telemetry.errors import MalformedError

_SECOND: Final = 1_000_000_000
_ID: Final = {"trace": 32, "parent": 16, "span": 16, "attempt": 16}
_HEX: Final = re.compile(r"[0-9a-f]+")
_LISTED: Final = re.compile(r", | : ")  # NGINX: tries, and tries after an internal redirect
_LONGEST: Final = 64 * 1024
OWN: Final = frozenset({*_ID, "sampled", "end", "took", "status", "retries", "ended_by", "state"})
"""Fields with a meaning of their own; so have those that begin with ``try_``. The rest is text."""


@dataclass(frozen=True, slots=True)
class Try:
    """One outbound attempt.

    Attributes:
        address: ``host:port``, empty if not known.
        status: 0 if there was no answer.
        took_ns: its duration; ``None`` if not known.
    """

    address: str
    status: int
    took_ns: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """One request.

    Attributes:
        trace: trace id, 16 bytes.
        parent: the caller's span id; empty if it sent none.
        span: id of the inbound span.
        attempt: id of the outbound span that the next hop has as its parent.
        sampled: whether the caller's trace context says that it is kept.
        end_ns: when it ended, nanoseconds since the epoch.
        took_ns: its duration.
        tries: outbound attempts in order; the last one answered, or nobody did.
        retries: outbound attempts before these of which nothing is known.
        ended_by: who ended it early, in the proxy's own words (HAProxy's termination state); empty if nobody did.
        fields: the rest, as text, without empty ones: ``method``, ``path``, ``route``, ``client`` and so on.
        status: 0 if none was sent.
    """

    trace: bytes
    parent: bytes
    span: bytes
    attempt: bytes
    sampled: bool
    end_ns: int
    took_ns: int
    status: int
    tries: tuple[Try, ...]
    retries: int
    ended_by: str
    fields: Mapping[str, str]
    state: str


def parse(datagram: bytes) -> Line:
    """The request that a syslog message tells of.

    Raises:
        MalformedError: it tells of none; names the field, never the value.
    """
    begin = datagram.find(b"{")
    if begin < 0 or len(datagram) > _LONGEST:
        raise MalformedError("no JSON object in the message" if begin < 0 else "the message is too long")
    try:
        document = json.loads(datagram[begin:].rstrip(b"\n\0 ").decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise MalformedError("what follows the syslog header is not JSON; was the message cut?") from error
    if not isinstance(document, dict):
        raise MalformedError("what follows the syslog header is not a JSON object")
    said = {key: _said(value) for key, value in document.items()}
    ids = {name: _id(said, name, size) for name, size in _ID.items()}
    if not (ids["trace"] and ids["span"] and ids["attempt"]):
        raise MalformedError("trace, span and attempt are needed: see deploy/ for how the proxy makes them")
    return Line(
        **ids,
        sampled=not said.get("sampled") or int(said["sampled"][-2:], 16) & 1 == 1
        if _is_hex(said.get("sampled"))
        else True,
        end_ns=max(0, _nanoseconds(said, "end")),
        took_ns=max(0, _nanoseconds(said, "took")),
        status=_whole(said.get("status", "")),
        tries=_tries(said),
        retries=min(_whole(said.get("retries", "").lstrip("+")), 100),
        ended_by=said.get("ended_by", "").strip("-"),
        fields={key: value for key, value in said.items() if value and key not in OWN and not key.startswith("try_")},
        state=said.get("state", ""),
    )


def _said(value: Any) -> str:
    text = "" if value is None or isinstance(value, (dict, list)) else str(value)
    return "" if text == "-" else text


def _is_hex(text: str | None) -> bool:
    return bool(text) and _HEX.fullmatch(text or "") is not None


def _id(said: Mapping[str, str], name: str, size: int) -> bytes:
    text = said.get(name, "").lower()
    if not text or set(text) == {"0"}:
        return b""
    if len(text) != size or not _HEX.fullmatch(text):
        raise MalformedError(f"{name} is not {size} hex digits")
    return bytes.fromhex(text)


def _nanoseconds(said: Mapping[str, str], name: str) -> int:
    """Seconds with a fraction, or ``_ms``: milliseconds. Whole numbers all the way: a double is too coarse for now."""
    if text := said.get(f"{name}_ms"):
        whole, _, fraction = text.partition(".")
        unit, digits = 1_000_000, 6
    else:
        whole, _, fraction = said.get(name, "").partition(".")
        unit, digits = _SECOND, 9
    if not whole.lstrip("-").isdigit() or (fraction and not fraction.isdigit()) or len(whole) > 15:
        raise MalformedError(f"{name} is not a number of seconds")
    found = int(whole) * unit + int(fraction[:digits].ljust(digits, "0") or 0)
    if found >= 1 << 63:
        raise MalformedError(f"{name} is not a number of seconds")
    return found


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _tries(said: Mapping[str, str]) -> tuple[Try, ...]:
    addresses = _LISTED.split(said.get("try_address", "")) if said.get("try_address") else []
    statuses = _LISTED.split(said.get("try_status", ""))
    durations = _LISTED.split(said.get("try_took", ""))
    made = []
    for nth, address in enumerate(addresses):
        status = _whole(statuses[nth]) if nth < len(statuses) else 0
        took = None
        if nth < len(durations) and durations[nth] not in ("", "-"):
            took = max(0, _nanoseconds({"try_took": durations[nth]}, "try_took"))
        elif nth == 0 and said.get("before_ms"):
            # HAProxy: of the whole, what came before the connection to the server: reading the request, and the queue.
            before = max(0, _nanoseconds(said, "before")) + max(0, _nanoseconds(said, "queue"))
            took = max(0, _nanoseconds(said, "took") - before)
        made.append(Try("" if address == "-" else address, status, took))
    return tuple(made)
