"""How both backends insert: one block a statement, deduplicated by its token, whatever the server's defaults."""

from collections.abc import Container, Mapping, Sequence
from typing import Final

from telemetry.errors import StoreError

PINNED: Final[Mapping[str, str]] = {
    # One block a statement: deduplication counts blocks, not statements (docs/exactly-once.md has what was measured).
    "max_insert_threads": "1",
    "max_threads": "1",
    "max_block_size": "4000000",
    "max_insert_block_size": "4000000",
    "min_insert_block_size_rows": "4000000",
    "min_insert_block_size_bytes": "4000000000",
    "preferred_block_size_bytes": "0",
    "input_format_parallel_parsing": "0",
    "async_insert": "0",
    # Views see the block before rows with the same key are put together, and so must the table: what is stored is what came.
    "optimize_on_insert": "0",
    "insert_deduplicate": "1",
    "deduplicate_blocks_in_dependent_materialized_views": "1",
    "materialized_views_ignore_errors": "0",
    "parallel_view_processing": "0",
    # ClickHouse 26 deduplicates INSERT .. SELECT "when possible", by its own lights, unless it is told to do it always.
    "deduplicate_insert": "enable",
    "deduplicate_insert_select": "enable_even_for_bad_queries",
}
"""Settings of every insert, as far as a server knows them."""

SETTINGS_QUERY: Final = "SELECT name FROM system.settings WHERE name IN {names:Array(String)}"
COLUMNS_QUERY: Final = (
    "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
    "AND default_kind NOT IN ('ALIAS', 'MATERIALIZED')"
)
_UNKNOWN_TABLE, _NO_SUCH_COLUMN = 60, 16


def pinned(known: Container[str]) -> dict[str, str]:
    """The settings of :data:`PINNED` that a server knows: an older one refuses a statement that names another."""
    return {name: value for name, value in PINNED.items() if name in known}


def structure(table: str, columns: Sequence[str], types: Mapping[str, str]) -> str:
    """The structure argument of ``input()`` and ``file()`` for columns of a table.

    Raises:
        StoreError: there is no such table (it has no ``types``) or column; with ClickHouse's code for it.
    """
    if not types:
        raise StoreError(f"there is no table {table}; `edgepath schema apply` makes it", _UNKNOWN_TABLE)
    for name in columns:
        if name not in types:
            raise StoreError(f"the table {table} has no column {name}", _NO_SUCH_COLUMN)
    return ", ".join(f"{quoted(name)} {types[name]}" for name in columns)


def insert_statement(target: str, columns: Sequence[str], source: str, where: str) -> str:
    """INSERT of ``columns`` from ``source``, a table function, if ``where`` holds."""
    names = ", ".join(map(quoted, columns))
    return f"INSERT INTO {target} ({names}) SELECT {names} FROM {source} WHERE {where}"  # noqa: S608 - names are ours


def insert_select_statement(target: str, columns: Sequence[str], select: str) -> str:
    """INSERT of what ``select`` gives."""
    return f"INSERT INTO {target} ({', '.join(map(quoted, columns))}) {select}"


def with_settings(sql: str, settings: Mapping[str, str]) -> str:
    """A statement with a SETTINGS clause at its end."""
    return f"{sql} SETTINGS {', '.join(f'{name} = {literal(value)}' for name, value in settings.items())}"


def quoted(name: str) -> str:
    """A name as SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(value: str) -> str:
    """A string as SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
