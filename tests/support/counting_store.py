"""A store that counts what it is asked."""

from collections.abc import Mapping

import pyarrow as pa

from telemetry.store.base import Parameter, Result, Store
from tests.support.unused_store import UnusedStore


class CountingStore(UnusedStore):
    """Reads and statements go to another store; ``statements`` has the SQL of all of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.statements: list[str] = []

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As the other store's."""
        self.statements.append(sql)
        return self._store.query(sql, parameters)

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """As the other store's."""
        self.statements.append(sql)
        return self._store.arrow(sql, parameters)

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As the other store's."""
        self.statements.append(sql)
        self._store.execute(sql, parameters)
