"""The tables and columns by name, read once from the migrations: the one place that dashboards and alerts ask."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

REQUEST_PATHS: Final = "request_paths"
PATH_FEED: Final = "path_feed"
"""Has the columns of ``request_paths`` and keeps nothing: its views fill ``request_paths`` and the roll-ups with what comes."""
PATH_1M: Final = "path_1m"
HOP_1M: Final = "hop_1m"
SLI_1M: Final = "sli_1m"
SLI_VIEWS: Final = "sli_views"
LATE_SPANS: Final = "late_spans"
CORRECTIONS: Final = "corrections"
PATH_LOG: Final = "path_log"
METRIC_POINTS: Final = "metric_points"
METRIC_LOG: Final = "metric_log"

DRILL_ENVIRONMENT: Final = "edgepath-drill"
"""Of synthetic incidents, whose rows are taken away again; stands in the migrations as well."""
DEDUPLICATION_WINDOW: Final = 50_000
"""How many blocks each table remembers the tokens of; stands in the migrations as well."""

_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\s*\n\((.*?)\n\)\nENGINE", re.DOTALL)
_ADDED = re.compile(
    r"\bADD COLUMN IF NOT EXISTS (\w+)\s+(.+?)(?:\s+(?:COMMENT|CODEC|DEFAULT|TTL|AFTER)\b[^\n]*)?$", re.MULTILINE
)
_COLUMN = re.compile(r"^ {4}(\w+)\s+(.+?)(?:\s+(?:COMMENT|CODEC|DEFAULT|ALIAS|TTL)\b.*)?,?$")
_ALIAS = re.compile(r"^ {4}(\w+)\s.*\bALIAS\b", re.MULTILINE)
_NESTED = re.compile(r"^ {4}(\w+) Nested\n {4}\((.*?)\n {4}\),?$", re.DOTALL | re.MULTILINE)
_NESTED_COLUMN = re.compile(r"^ {8}(\w+)\s+(.+?),?$", re.MULTILINE)


def migrations() -> list[tuple[int, str, str]]:
    """Every migration as (number, name, SQL), in order. Statements end with ``;`` at the end of a line."""
    found = []
    for entry in (resources.files("telemetry.store") / "migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", entry.name)
        if match:
            found.append((int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    return sorted(found)


def statements(sql: str) -> list[str]:
    """The statements of a migration, without its comments."""
    bare = "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    return [s.strip() for s in re.split(r";\s*(?:\n|$)", bare) if s.strip()]


@cache
def view_select(table: str) -> str:
    """The SELECT of the view that fills a table from ``path_feed``.

    Raises:
        KeyError: no migration creates such a view.
    """
    view = f"{PATH_FEED}_to_{table}"
    for _, _, sql in migrations():
        for statement in statements(sql):
            match = re.match(rf"CREATE MATERIALIZED VIEW IF NOT EXISTS {view} TO \w+ AS\n(.*)", statement, re.DOTALL)
            if match:
                return match[1]
    raise KeyError(view)


@cache
def columns(table: str) -> Mapping[str, str]:
    """Column name to ClickHouse type. Nested columns appear as ``hops.tier`` with ``Array(...)`` types.

    Raises:
        KeyError: no migration creates that table.
    """
    found: dict[str, str] = {}
    for _, _, sql in migrations():
        for name, body in _TABLE.findall(sql):
            if name == table:
                found |= _columns(body)
        for statement in statements(sql):
            if statement.startswith(f"ALTER TABLE {table}\n"):
                found |= {name: kind.removesuffix(",") for name, kind in _ADDED.findall(statement)}
    if not found:
        raise KeyError(table)
    return found


@cache
def stored_columns(table: str) -> tuple[str, ...]:
    """The columns that rows of a table are made of: all but aliases. Raises as :func:`columns` does."""
    aliases = {name for _, _, sql in migrations() for name in _ALIAS.findall(sql)}
    return tuple(name for name in columns(table) if name not in aliases)


def _columns(body: str) -> dict[str, str]:
    found: dict[str, str] = {}
    nested = {m[1]: m[2] for m in _NESTED.finditer(body)}
    for line in _NESTED.sub(lambda m: f"    {m[1]} Nested", body).splitlines():
        match = _COLUMN.match(line)
        if not match or match[1] == "INDEX":
            continue
        if match[1] in nested:
            for inner, kind in _NESTED_COLUMN.findall(nested[match[1]]):
                found[f"{match[1]}.{inner}"] = f"Array({kind})"
        else:
            found[match[1]] = match[2]
    return found


def holds(within: str, alias: str = "") -> str:
    """The condition for rows of ``request_paths`` that no later row takes back: for lists of requests.

    Sums need no such condition, they multiply by ``sign``; a look-up by trace id takes ``FINAL``. This reads fewer columns than
    ``FINAL`` and no row twice, for few rows are ever taken back.

    Args:
        within: a condition on ``start`` (and nothing else) that all rows asked for meet; a row that takes another back has
            the same start.
        alias: of the table in the query.
    """
    of = f"{alias}." if alias else ""
    taken_back = f"SELECT trace_id, version FROM {REQUEST_PATHS} WHERE sign = -1 AND {within}"  # noqa: S608 - names are ours
    return f"{of}sign = 1 AND ({of}trace_id, {of}version) NOT IN ({taken_back})"


REQUEST_PATH_COLUMNS: Final[Mapping[str, str]] = columns(REQUEST_PATHS)
"""Columns of ``request_paths``: name to ClickHouse type."""
