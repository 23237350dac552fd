"""A store that is opened later: each use tries again, and what is hopeless is told at once."""

import pytest

from telemetry.errors import ConfigurationError, StoreError, UnavailableError
from telemetry.store.base import Result, Store
from telemetry.store.later import LaterStore
from tests.support.unused_store import UnusedStore


class Answering(UnusedStore):
    """Answers every query; counts how often it was closed."""

    closed = 0

    def query(self, sql: str, parameters: object = None) -> Result:
        """The query itself."""
        return Result(("said",), [(sql, parameters)])

    def close(self) -> None:
        """Count it."""
        self.closed += 1


class Opening:
    """Opens :class:`Answering` after ``failures`` were raised, one after the other."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.store = Answering()
        self.tries = 0

    def __call__(self) -> Store:
        """As ``open_store``."""
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.store


def test_it_is_opened_when_it_can_be() -> None:
    opening = Opening(UnavailableError("away"), UnavailableError("still away"), StoreError("no memory", 241))
    store = LaterStore(opening)
    with pytest.raises(UnavailableError, match="still away"):
        store.query("SELECT 1")
    with pytest.raises(StoreError, match="no memory"):
        store.execute("SELECT 1")
    assert store.query("SELECT 1", {"a": 1}).rows == [("SELECT 1", {"a": 1})]
    assert store.query("SELECT 2").rows == [("SELECT 2", None)]
    assert opening.tries == 4
    store.close()
    assert opening.store.closed == 1


def test_one_that_never_came_is_closed_without_it() -> None:
    opening = Opening(UnavailableError("away"))
    LaterStore(opening).close()
    assert (opening.tries, opening.store.closed) == (1, 0)


@pytest.mark.parametrize("failure", [ConfigurationError("a wrong URL"), StoreError("a wrong password", 516)])
def test_what_waiting_does_not_mend_is_raised_at_once(failure: Exception) -> None:
    with pytest.raises(type(failure)):
        LaterStore(Opening(failure))


def test_a_server_that_is_busy_is_waited_for() -> None:
    opening = Opening(StoreError("no memory", 241))
    assert LaterStore(opening).query("SELECT 1").rows == [("SELECT 1", None)]
