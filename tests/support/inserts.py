"""A frozen insert: to send the same rows with the same token again."""

from dataclasses import dataclass

from telemetry.store.base import ArrowFile, Store


@dataclass(frozen=True)
class Insert:
    """Rows for one table, and their token."""

    table: str
    columns: tuple[str, ...]
    arrow: ArrowFile
    rows: int
    token: str

    def into(self, store: Store, where: str = "1") -> None:
        """Insert it."""
        store.insert(self.table, self.columns, self.arrow, token=self.token, where=where)
