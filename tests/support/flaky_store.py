"""A store that fails when it is told to, and remembers what it was asked to append."""

from collections.abc import Mapping

from telemetry.errors import UnavailableError
from telemetry.store.base import Block, Parameter, Result, Store


class Crash(BaseException):
    """The process ends here: nothing may catch it."""


class FlakyStore:
    """Hands on to ``store``.

    Attributes:
        away: nothing works.
        answers_lost: what is appended lands, and then the connection breaks.
        crash_in: at which append from now on the process ends; 0 for never.
        crash_after_landing: whether it ends after that append has landed, or before.
        appended: every block it was asked to append, whether it landed or not.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False
        self.answers_lost = False
        self.crash_in = 0
        self.crash_after_landing = False
        self.appended: list[Block] = []

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As ``Store.query``."""
        self._reach()
        return self._store.query(sql, parameters)

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As ``Store.execute``."""
        self._reach()
        self._store.execute(sql, parameters)

    def append(self, block: Block) -> None:
        """As ``Store.append``."""
        self.appended.append(block)
        self._reach()
        self.crash_in -= 1
        if self.crash_in == 0 and not self.crash_after_landing:
            raise Crash
        self._store.append(block)
        if self.crash_in == 0:
            raise Crash
        if self.answers_lost:
            raise UnavailableError("the answer was lost")

    def close(self) -> None:
        """The store outlives this."""

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("the store is away")
