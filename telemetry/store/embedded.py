"""The store inside this process: ClickHouse's own engine on a data directory, no server."""

from collections.abc import Mapping

from telemetry.store.base import Block, Parameter, Result
from telemetry.store.chdb import ChdbEngine, memory_file
from telemetry.store.inserts import insert_statement


class EmbeddedStore:
    """A :class:`telemetry.store.base.Store` on chDB."""

    def __init__(self, engine: ChdbEngine, *, owns_engine: bool = True) -> None:
        """Use ``engine`` and its database; with ``owns_engine``, :meth:`close` closes it too."""
        self._engine = engine
        self._owns = owns_engine

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As :meth:`telemetry.store.base.Store.query`."""
        return self._engine.query(sql, parameters)

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As :meth:`telemetry.store.base.Store.execute`."""
        self._engine.run(sql, parameters=parameters)

    def append(self, block: Block) -> None:
        """As :meth:`telemetry.store.base.Store.append`."""
        with memory_file(block.arrow) as path:
            self._engine.run(insert_statement(f"`{self._engine.database}`.`{block.table}`", block, path))

    def close(self) -> None:
        """Close the engine, if it is ours."""
        if self._owns:
            self._engine.close()
