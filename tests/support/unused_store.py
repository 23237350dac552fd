"""A store of which nothing is used: fakes say what they answer, and the rest fails."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from telemetry.store.base import ArrowFile, Parameter, Result


class UnusedStore:
    """Base of the fakes of :class:`telemetry.store.base.Store`."""

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """Not expected."""
        raise AssertionError((sql, parameters))

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """Not expected."""
        raise AssertionError((sql, parameters))

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """Not expected."""
        raise AssertionError((sql, parameters))

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
        """Not expected."""
        raise AssertionError((table, columns, len(arrow), token, where, parameters))

    def insert_select(
        self,
        table: str,
        columns: Sequence[str],
        select: str,
        *,
        token: str,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """Not expected."""
        raise AssertionError((table, columns, select, token, parameters))

    def close(self) -> None:
        """Nothing to close."""
