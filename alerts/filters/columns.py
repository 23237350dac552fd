"""The columns that a filter may look at, taken from the schema."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from telemetry.store.tables import REQUEST_PATH_COLUMNS
from telemetry.vocabulary import Outcome

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
    """

    name: str
    kind: Kind
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()


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


COLUMNS: Final[Mapping[str, Column]] = filterable(REQUEST_PATH_COLUMNS)

# Not outcome and blame: a group of requests that share an outcome has no ratio of outcomes.
GROUPABLE: Final[tuple[str, ...]] = tuple(
    name
    for name, kind in REQUEST_PATH_COLUMNS.items()
    if kind == "LowCardinality(String)"
    and name in COLUMNS
    and name not in ("environment", "outcome")
    and not name.startswith("blame")
)
"""Columns that an SLO may be split by (``groupBy``). Every SLO is split by environment anyhow."""
