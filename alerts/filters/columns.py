"""The columns that a filter may look at: those of the schema, and a few that are computed from the hops of a path."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from telemetry.store.tables import REQUEST_PATH_COLUMNS
from telemetry.vocabulary import DEFAULT_TIERS, Outcome

Kind = Literal["text", "integer", "duration", "boolean"]

_INTEGER = re.compile(r"(U?)Int(8|16|32|64)")
_TEXTS = ("String", "LowCardinality(String)")
_CLOSED: Final[Mapping[str, tuple[str, ...]]] = {"outcome": tuple(o.value for o in Outcome)}
# Identity, and how the store keeps its books: no SLO is about these.
_HIDDEN = frozenset(
    {"trace_hex", "topic", "partition", "block", "writer", "last_offset", "client_hash", "sign", "version"}
)


@dataclass(frozen=True)
class Column:
    """A column of ``request_paths``.

    Attributes:
        name: its name, an SQL identifier.
        kind: what its values are; ``duration`` is an integer of nanoseconds (``*_ns``).
        low, high: the range of the integer type, both included; 0 for other kinds.
        choices: the only values that a closed vocabulary allows; empty if any text goes.
        hop: of a column computed from the hops of a tier: the tier, and which of :data:`HOP_FIELDS`; empty for others.
    """

    name: str
    kind: Kind
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()
    hop: tuple[str, str] = ("", "")


def filterable(schema: Mapping[str, str]) -> dict[str, Column]:
    """The columns of ``schema`` (name to ClickHouse type) that filters may use: texts, integers, booleans."""
    found = {}
    for name, kind in schema.items():
        if name in _HIDDEN or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            continue
        integer = _INTEGER.fullmatch(kind)
        if kind in _TEXTS:
            found[name] = Column(name, "text", choices=_CLOSED.get(name, ()))
        elif kind == "Bool":
            found[name] = Column(name, "boolean")
        elif integer:
            bits = int(integer[2])
            low, high = (0, 2**bits - 1) if integer[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            found[name] = Column(name, "duration" if name.endswith("_ns") else "integer", low, high)
    return found


_WIDE: Final = 2**64 - 1
ARRIVAL: Final = Column("api_arrival_ns", "duration", 0, _WIDE)
"""From the start of the path to the arrival at the first API hop, skew-corrected. A path that never arrived has the longest
time there is, so that no threshold calls it good."""

COLUMNS: Final[Mapping[str, Column]] = {**filterable(REQUEST_PATH_COLUMNS), ARRIVAL.name: ARRIVAL}

HOP_FIELDS: Final[Mapping[str, Column]] = {
    "self_ns": Column("self_ns", "duration", 0, _WIDE),
    "retry_ns": Column("retry_ns", "duration", 0, _WIDE),
    "network_ns": Column("network_ns", "duration", 0, _WIDE),
    "duration_ns": Column("duration_ns", "duration", 0, _WIDE),
    "attempts": Column("attempts", "integer", 0, 2**32 - 1),
    "status": Column("status", "integer", 0, 2**16 - 1),
    "failed": Column("failed", "boolean"),
    "present": Column("present", "boolean"),
}
"""What ``TIER.FIELD`` can ask of the hops of a tier: sums of their times and attempts, the largest status, whether one
failed, whether there is one. Of a tier without a hop, times and numbers are 0."""


def hop_column(name: str) -> Column | str:
    """The column for ``TIER.FIELD``, e.g. ``gateway.self_ns``, or what is wrong with it."""
    tier, _, field = name.partition(".")
    if field not in HOP_FIELDS:
        return f"{field} is nothing that a hop has; there are {', '.join(HOP_FIELDS)}"
    if tier not in DEFAULT_TIERS and (near := difflib.get_close_matches(tier, DEFAULT_TIERS, 1, 0.75)):
        return f"{tier} is no tier; did you mean {near[0]}?"
    inner = HOP_FIELDS[field]
    return Column(name, inner.kind, inner.low, inner.high, hop=(tier, field))


# Not outcome and blame: a group of requests that share an outcome has no ratio of outcomes.
GROUPABLE: Final[tuple[str, ...]] = tuple(
    name
    for name, kind in REQUEST_PATH_COLUMNS.items()
    if kind in _TEXTS and name in COLUMNS and name not in ("environment", "outcome") and not name.startswith("blame")
)
"""Columns that an SLO may be split by (``groupBy``). Every SLO is split by environment anyhow."""
