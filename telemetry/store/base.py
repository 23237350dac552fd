"""What the rest of Edgepath asks of a store: one small interface, two backends (``embedded``, ``server``).

SQL parameters are ClickHouse's own server-side ones, ``{name:Type}``; no caller pastes values into SQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Parameter = str | int | float | Sequence[str] | Sequence[int]


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


@dataclass(frozen=True)
class Block:
    """A frozen set of rows for one table, to be inserted exactly as it is, as often as it takes.

    Attributes:
        table: the table's name.
        columns: the columns, in the order of ``arrow``'s schema.
        arrow: the rows, as an Arrow IPC file.
        rows: how many.
        token: deduplication token; the same block always carries the same one.
    """

    table: str
    columns: tuple[str, ...]
    arrow: bytes
    rows: int
    token: str


def block_token(topic: str, partition: int, number: int, table: str) -> str:
    """The deduplication token of a block: its place in the sequence of its partition, so that each number is written once."""
    return f"{topic}/{partition}/{number}/{table}"


class Store(Protocol):
    """A ClickHouse database with Edgepath's tables. Safe to use from several threads."""

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """Run a SELECT.

        Raises:
            StoreError: ClickHouse refused it.
            UnavailableError: ClickHouse does not answer.
        """
        ...

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """Run a statement without a result. Raises as :meth:`query` does."""
        ...

    def append(self, block: Block) -> None:
        """Insert a block; a second time with the same token changes nothing, views included.

        Raises as :meth:`query` does.
        """
        ...

    def close(self) -> None:
        """Let go of the connection. Does nothing the second time."""
        ...
