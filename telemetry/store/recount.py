"""Recounts a roll-up from the rows that it was made of, and tells where the two differ.

Whole numbers must be equal, quantiles too (their states are deterministic); sums of floats may differ by what adding in another
order makes of them. ``clients`` is not compared: a sketch cannot subtract (docs/exactly-once.md).
"""

# ruff: noqa: S608 - the parts of these statements are names of ours, and SELECTs of ours

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from telemetry.store.base import Store
from telemetry.store.tables import HOP_1M, PATH_1M, PATH_FEED, REQUEST_PATHS, columns, view_select

HOUR: Final = 3_600
_STATE: Final = re.compile(r"AggregateFunction\((quantiles\w+)(\(.*?\)),")
_RELATIVE: Final = 1e-9


@dataclass(frozen=True)
class Difference:
    """Where a table is not what it was made of.

    Attributes:
        check: what was compared with what.
        place: the group or block: column to value.
        column: the column that differs.
        stored: what the table has.
        wanted: what the recount gives.
    """

    check: str
    place: Mapping[str, Any]
    column: str
    stored: Any
    wanted: Any

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self) | {"place": {name: str(value) for name, value in self.place.items()}}


@dataclass(frozen=True)
class Recount:
    """What a comparison came to.

    Attributes:
        check: what was compared with what.
        compared: groups or blocks.
        differing: how many of them differ.
        differences: of the first of these.
    """

    check: str
    compared: int
    differing: int
    differences: tuple[Difference, ...] = ()


def roll_up(store: Store, table: str, start: int, end: int, *, limit: int, where: str = "1") -> Recount:
    """Compare ``path_1m`` or ``hop_1m`` with ``request_paths``.

    Args:
        store: with the schema.
        table: one of the two.
        start, end: seconds since the epoch, on whole minutes; ``end`` is not included. No more than some hours.
        limit: how many differing groups are told of.
        where: a condition on the roll-up's key: which groups.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    # Not by table name: what stands after FROM may have an alias.
    within = f"(SELECT * FROM {REQUEST_PATHS} WHERE start >= toDateTime({start}, 'UTC') AND start < toDateTime({end}, 'UTC'))"
    source = view_select(table).replace(f"FROM {PATH_FEED}", f"FROM {within}")
    bucket = f"minute >= toDateTime({start}, 'UTC') AND minute < toDateTime({end}, 'UTC') AND {where}"
    return compare(store, table, source, bucket, limit=limit)


def compare(store: Store, table: str, source: str, where: str, *, limit: int, check: str = "") -> Recount:
    """Compare the rows of a roll-up with those that ``source``, a SELECT of the same columns, gives anew.

    Args:
        store: with the schema.
        table: an AggregatingMergeTree; its columns that are no aggregates are its key.
        source: what fills it.
        where: a condition on the key: which groups.
        limit: how many differing groups are told of.
        check: how to call the comparison.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    check = check or f"{table} from {REQUEST_PATHS}"
    keys = [name for name, kind in columns(table).items() if "AggregateFunction" not in kind]
    merged = _merged(table)
    values = ", ".join(f"{expression} AS v_{name}" for name, expression in merged.items())
    sides = " UNION ALL ".join(
        f"SELECT {side} AS side, {', '.join(keys)}, {values} FROM {rows} WHERE {where} GROUP BY {', '.join(keys)}"
        for side, rows in ((0, table), (1, f"({source})"))
    )
    both = ", ".join(f"anyIf(v_{name}, side = {side}) AS {name}_{side}" for name in merged for side in (0, 1))
    differs = {name: _differs(table, name) for name in merged}
    groups = f"SELECT {', '.join(keys)}, {both} FROM ({sides}) GROUP BY {', '.join(keys)}"
    any_differs = " OR ".join(f"({condition})" for condition in differs.values())
    ((compared, differing),) = store.query(f"SELECT count(), countIf({any_differs}) FROM ({groups})").rows
    found: list[Difference] = []
    if differing:
        flags = ", ".join(f"({condition}) AS differs_{name}" for name, condition in differs.items())
        rows = store.query(
            f"SELECT *, {flags} FROM ({groups}) WHERE {any_differs} ORDER BY {', '.join(keys)} LIMIT {int(limit)}"
        ).dicts()
        for row in rows:
            place = {name: row[name] for name in keys}
            found += [
                Difference(check, place, name, row[f"{name}_0"], row[f"{name}_1"])
                for name in merged
                if row[f"differs_{name}"]
            ]
    return Recount(check, int(compared), int(differing), tuple(found))


def hours(start: int, end: int) -> list[tuple[int, int]]:
    """The hours between two times, cut at both ends: a recount of one fits in memory."""
    firsts = [start, *range((start // HOUR + 1) * HOUR, end, HOUR)]
    return [(first, min((first // HOUR + 1) * HOUR, end)) for first in firsts if first < end]


def _merged(table: str) -> dict[str, str]:
    """The aggregate columns, and the expression that gives the value of each for a group."""
    found = {}
    for name, kind in columns(table).items():
        state = _STATE.match(kind)
        if "SimpleAggregateFunction(sum" in kind:
            found[name] = f"sum({name})"
        elif state:
            found[name] = f"{state[1]}Merge{state[2]}({name})"
    return found


def _differs(table: str, name: str) -> str:
    """The condition that the two values of a column cannot both be right."""
    kind = columns(table)[name]
    paths = "total_paths" if "total_paths" in columns(table) else "paths"
    if "Int64)" in kind and "SimpleAggregateFunction" in kind:
        return f"{name}_0 != {name}_1"
    if "SimpleAggregateFunction" in kind:
        # Nanoseconds are large numbers, and what cancels leaves the rounding of what was there.
        absolute = 1e4 if name.endswith("_ns") else 1e-6
        return f"abs({name}_0 - {name}_1) > {_RELATIVE} * greatest(abs({name}_0), abs({name}_1)) + {absolute}"
    return f"{paths}_1 > 0 AND toString({name}_0) != toString({name}_1)"


ROLL_UPS: Final = (PATH_1M, HOP_1M)
