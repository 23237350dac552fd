"""A store that fails when it is told to, and remembers what it was asked to insert."""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from telemetry.errors import UnavailableError
from telemetry.store.base import ArrowFile, Parameter, Result, Store
from tests.support.inserts import Insert


class Crash(BaseException):
    """The process ends here: nothing may catch it."""


class FlakyStore:
    """Hands on to ``store``.

    Attributes:
        away: nothing works.
        answers_lost: what is inserted lands, and then the connection breaks.
        crash_in: at which insert from now on the process ends; 0 for never.
        crash_after_landing: whether it ends after that insert has landed, or before.
        sent: all rows it was asked to insert, whether they landed or not.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False
        self.answers_lost = False
        self.crash_in = 0
        self.crash_after_landing = False
        self.sent: list[Insert] = []

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As ``Store.query``."""
        self._reach()
        return self._store.query(sql, parameters)

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """As ``Store.arrow``."""
        self._reach()
        return self._store.arrow(sql, parameters)

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As ``Store.execute``."""
        self._reach()
        self._store.execute(sql, parameters)

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
        """As ``Store.insert``."""
        self.sent.append(Insert(table, tuple(columns), arrow, 0, token))
        self._change(lambda: self._store.insert(table, columns, arrow, token=token, where=where, parameters=parameters))

    def insert_select(
        self,
        table: str,
        columns: Sequence[str],
        select: str,
        *,
        token: str,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """As ``Store.insert_select``."""
        self._change(lambda: self._store.insert_select(table, columns, select, token=token, parameters=parameters))

    def close(self) -> None:
        """The store outlives this."""

    def _change(self, insert: Callable[[], None]) -> None:
        self._reach()
        self.crash_in -= 1
        if self.crash_in == 0 and not self.crash_after_landing:
            raise Crash
        insert()
        if self.crash_in == 0:
            raise Crash
        if self.answers_lost:
            raise UnavailableError("the answer was lost")

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("the store is away")
