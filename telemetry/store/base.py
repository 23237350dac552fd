"""What the rest of Edgepath asks of a store: one small interface, two backends (``embedded``, ``server``).

SQL parameters are ClickHouse's own server-side ones, ``{name:Type}``; no caller pastes values into SQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

Parameter = str | int | float | Sequence[str] | Sequence[int]
ArrowFile = bytes | memoryview
"""An Arrow IPC file in memory; a view is of memory that nobody changes."""


@dataclass(frozen=True)
class Result:
    """Rows of a query.

    Values are plain Python: ``int``, ``float``, ``str``, ``bool``, ``bytes`` (FixedString), ``list``, ``tuple``,
    ``dict``, and timezone-aware UTC ``datetime`` for DateTime and DateTime64 (cut to microseconds).
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        """The rows, each as a map of column name to value."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def scalar(self) -> Any:
        """The one value of a one-row, one-column result.

        Raises:
            ValueError: the result has another shape.
        """
        if len(self.rows) != 1 or len(self.rows[0]) != 1:
            raise ValueError(f"expected one value, got {len(self.rows)} rows of {len(self.columns)} columns")
        return self.rows[0][0]


class Store(Protocol):
    """A ClickHouse database with Edgepath's tables. Safe to use from several threads.

    What is inserted is one block whatever the server's defaults, and carries a deduplication token: of several inserts into
    one table partition with one token the first counts, in the table and in the targets of its views, as long as the
    table's deduplication window remembers it (docs/exactly-once.md).
    """

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """Run a SELECT.

        Raises:
            StoreError: ClickHouse refused it.
            UnavailableError: ClickHouse does not answer.
        """
        ...

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> "pa.Table":
        """Run a SELECT; its rows as Arrow, nothing rounded: strings as binary, DateTime64 in its own precision.

        Raises as :meth:`query` does.
        """
        ...

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """Run a statement without a result. Raises as :meth:`query` does."""
        ...

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
        """Insert rows that come as an Arrow IPC file.

        Args:
            table: the table.
            columns: those that ``arrow`` has.
            arrow: the rows.
            token: deduplication token; the same rows always carry the same one.
            where: an SQL condition that ClickHouse evaluates when the statement starts: a guard. Where it does not hold,
                nothing is inserted and nothing is raised.
            parameters: of ``where``.

        Raises:
            StoreError: ClickHouse refused it; nothing was inserted.
            UnavailableError: ClickHouse does not answer or cannot take it now. The rows may have landed all the same, or may
                still land within the time that a statement may take.
        """
        ...

    def insert_select(
        self,
        table: str,
        columns: Sequence[str],
        select: str,
        *,
        token: str,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """Insert what ``select`` gives, in the order of ``columns``. As :meth:`insert` else."""
        ...

    def close(self) -> None:
        """Let go of the connection. Does nothing the second time."""
        ...
