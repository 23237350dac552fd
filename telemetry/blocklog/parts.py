"""The parts of a block in the tables that follow from the log: where each is looked for, and what puts it there alone."""

# ruff: noqa: S608 - the parts of these statements are names of ours, and SELECTs of ours

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from telemetry.blocklog.model import Derived, Log, RollUp
from telemetry.store.base import Store

HERE = "topic = {topic:String} AND partition = {partition:UInt32}"
BLOCK = f"{HERE} AND block = {{number:UInt64}}"
OURS = f"{BLOCK} AND writer = {{writer:String}}"
_MARK = "cityHash64({topic:String}, {partition:UInt32}, {number:UInt64}, {writer:String})"
"""As the views make it of the columns ``topic``, ``partition``, ``block`` and ``writer``."""
_MARKS_KEPT_DAYS = 9
"""A mark lives a day longer than this (the migrations say so, too)."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a block comes to in one table.

    Statements have the parameters ``topic``, ``partition``, ``number`` and ``writer``.

    Attributes:
        name: unique among the parts of a log.
        table: where it lies.
        columns: what is inserted.
        select: SELECT of them, in this order, from the log.
        absent: SQL condition: it should be there and is not.
    """

    name: str
    table: str
    columns: Sequence[str]
    select: str
    absent: str


def rows_of(log: Log, derived: Derived, guard: str = "1") -> str:
    """SELECT of a block's rows for a table, if a condition holds."""
    grouped = f" GROUP BY {derived.group} HAVING {derived.having}" if derived.group else ""
    return (
        f"SELECT {', '.join(derived.values)} FROM {log.table} "
        f"WHERE {OURS} AND ({derived.rows or derived.has}) AND {guard}{grouped}"
    )


def present(log: Log, derived: Derived) -> str:
    """The condition that a table, or a roll-up that it is fed together with, has something of a block."""
    conditions = [_has_rows(derived)]
    starts = f"FROM {log.table} WHERE {OURS} AND ({derived.has})"
    for roll_up in derived.roll_ups:
        # Wide enough for buckets of any width; the mark alone decides.
        near = (
            f"{roll_up.key[-1]} >= (SELECT toDateTime(min(start)) - INTERVAL 1 DAY {starts}) "
            f"AND {roll_up.key[-1]} <= (SELECT toDateTime(max(start)) + INTERVAL 1 DAY {starts})"
        )
        conditions.append(f"(SELECT count() FROM {roll_up.table} WHERE {near} AND has(blocks, {_MARK})) > 0")
    return f"({' OR '.join(conditions)})"


def parts_of(store: Store, log: Log, fed: Sequence[Derived]) -> Iterator[Part]:
    """The parts of a block that feeds these tables.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    for derived in fed:
        wanted = f"(SELECT count() FROM {log.table} WHERE {OURS} AND ({derived.has}) AND ({log.lasting})) > 0"
        absent = f"{wanted} AND NOT {_has_rows(derived)}"
        yield Part(derived.table, derived.table, derived.columns, rows_of(log, derived), absent)
        if derived.feed:
            yield from _roll_ups(store, log, derived)


def _has_rows(derived: Derived) -> str:
    return f"((SELECT count() FROM {derived.table} WHERE {OURS}) > 0)"


def _roll_ups(store: Store, log: Log, derived: Derived) -> Iterator[Part]:
    """Those that the views on a feed fill: whichever there are, for each SLO has one."""
    views = store.query(
        "SELECT name, as_select, extract(create_table_query, ' TO (?:\\\\S+\\\\.)?`?(\\\\w+)`?') AS target, "
        "database FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView' ORDER BY name"
    ).rows
    names = store.query(
        "SELECT table, groupArray(name) FROM (SELECT table, name FROM system.columns WHERE database = currentDatabase() "
        "AND table IN {views:Array(String)} ORDER BY table, position) GROUP BY table",
        {"views": [str(view) for view, *_ in views]},
    ).rows
    columns = {str(view): tuple(map(str, found)) for view, found in names}
    by_table = {each.table: each for each in derived.roll_ups}
    for view, select, target, database in views:
        roll_up = by_table.get(str(target))
        made = from_other_rows(str(select), str(database), derived.feed, f"({rows_of(log, derived)})")
        if roll_up and made:
            yield _marked(str(view), roll_up, columns[str(view)], made, log.lasting)


def from_other_rows(select: str, database: str, table: str, rows: str) -> str:
    """A view's SELECT, as ClickHouse writes it, from other rows than those of a table; empty if it is not from that one."""
    source = rf"\bFROM (`?){re.escape(database)}\1\.{re.escape(table)}(?=[\s)]|$)"
    made, found = re.subn(source, lambda _: f"FROM {rows}", select)
    return made if found == 1 else ""


def _marked(view: str, roll_up: RollUp, columns: Sequence[str], select: str, lasting: str) -> Part:
    """A part whose rows cannot be told from others' but for the mark in one of them."""
    key = ", ".join(roll_up.key)
    place = f"SELECT {key} FROM ({select}) WHERE notEmpty(blocks)"
    young = f"{roll_up.key[-1]} > now() - INTERVAL {_MARKS_KEPT_DAYS} DAY"
    wanted = f"(SELECT count() FROM ({place} AND ({lasting}) AND {young})) > 0"
    there = f"(SELECT count() FROM {roll_up.table} WHERE ({key}) IN ({place}) AND has(blocks, {_MARK})) > 0"
    return Part(view, roll_up.table, columns, select, f"{wanted} AND NOT {there}")
