"""The load generator's own record of what it sent: the truth that stored paths are compared with.

One JSON object a line: ``trace_id`` (32 hex digits), ``pop``, ``sent`` (seconds since the epoch).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Sent:
    """One request that was sent.

    Attributes:
        trace_id: 32 lower-case hex digits.
        pop: the edge PoP that it was sent to.
        sent: when, in seconds since the epoch.
    """

    trace_id: str
    pop: str
    sent: float


class LedgerWriter:
    """Appends to a ledger; a context manager. Every entry is in the file before :meth:`add` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "LedgerWriter":
        self._file = self._path.open("a", buffering=1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, entry: Sent) -> None:
        """Write one entry."""
        record = {"trace_id": entry.trace_id, "pop": entry.pop, "sent": round(entry.sent, 6)}
        self._file.write(json.dumps(record) + "\n")


def read_ledger(path: Path) -> Iterator[Sent]:
    """The entries of a ledger; none if there is no such file. A line that is still being written is left out."""
    if not path.exists():
        return
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield Sent(**json.loads(line))
