"""The store inside this process: ClickHouse's own engine on a data directory, no server."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from telemetry.errors import StoreError
from telemetry.store.base import ArrowFile, Parameter, Result
from telemetry.store.chdb import ChdbEngine, memory_file
from telemetry.store.inserts import (
    COLUMNS_QUERY,
    PINNED,
    SETTINGS_QUERY,
    insert_select_statement,
    insert_statement,
    literal,
    pinned,
    quoted,
    structure,
    with_settings,
)

if TYPE_CHECKING:
    import pyarrow as pa


class EmbeddedStore:
    """A :class:`telemetry.store.base.Store` on chDB."""

    def __init__(self, engine: ChdbEngine, *, owns_engine: bool = True) -> None:
        """Use ``engine`` and its database; with ``owns_engine``, :meth:`close` closes it too."""
        self._engine = engine
        self._owns = owns_engine
        self._types: dict[str, dict[str, str]] = {}

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As :meth:`telemetry.store.base.Store.query`."""
        return self._engine.query(sql, parameters)

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> "pa.Table":
        """As :meth:`telemetry.store.base.Store.arrow`."""
        return self._engine.arrow(sql, parameters)

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As :meth:`telemetry.store.base.Store.execute`."""
        self._engine.run(sql, parameters=parameters)

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        arrow: ArrowFile,
        *,
        token: str,
        where: str = "1",
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """As :meth:`telemetry.store.base.Store.insert`."""
        if table not in self._types:
            self._types[table] = dict(self.query(COLUMNS_QUERY, {"table": table}).rows)
        try:
            columns_of = structure(table, columns, self._types[table])
            with memory_file(arrow) as path:
                source = f"file({literal(path)}, 'Arrow', {literal(columns_of)})"
                self._run(insert_statement(self._target(table), columns, source, where), token, parameters)
        except StoreError:
            self._types.pop(table, None)  # the table may have changed: ask again
            raise

    def insert_select(
        self,
        table: str,
        columns: Sequence[str],
        select: str,
        *,
        token: str,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """As :meth:`telemetry.store.base.Store.insert_select`."""
        self._run(insert_select_statement(self._target(table), columns, select), token, parameters)

    def close(self) -> None:
        """Close the engine, if it is ours."""
        if self._owns:
            self._engine.close()

    def _target(self, table: str) -> str:
        return f"{quoted(self._engine.database)}.{quoted(table)}"

    def _run(self, sql: str, token: str, parameters: Mapping[str, Parameter] | None) -> None:
        settings = {**self._pinned, "insert_deduplication_token": token}
        self._engine.run(with_settings(sql, settings), parameters=parameters)

    @cached_property
    def _pinned(self) -> dict[str, str]:
        return pinned({row[0] for row in self.query(SETTINGS_QUERY, {"names": list(PINNED)}).rows})
