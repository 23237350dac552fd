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
    assert opening.tries == 0, "it may hang: whoever makes one says when"
    store.open()
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
    store = LaterStore(opening)
    store.open()
    store.close()
    assert (opening.tries, opening.store.closed) == (1, 0)


@pytest.mark.parametrize("failure", [ConfigurationError("a wrong URL"), StoreError("a wrong password", 516)])
def test_what_waiting_does_not_mend_is_raised_at_once(failure: Exception) -> None:
    with pytest.raises(type(failure)):
        LaterStore(Opening(failure)).open()


def test_a_server_that_is_busy_is_waited_for() -> None:
    opening = Opening(StoreError("no memory", 241))
    store = LaterStore(opening)
    store.open()
    assert store.query("SELECT 1").rows == [("SELECT 1", None)]


class Clocked(Answering):
    """Takes as long to answer as it is told, and can be refused or cut off; looks at what the store knows meanwhile."""

    def __init__(self) -> None:
        self.now = 100.0
        self.takes = 4.0
        self.failure: Exception | None = None
        self.seen: list[tuple[float, float]] = []
        self.store = LaterStore(lambda: self, lambda: self.now)

    def query(self, sql: str, parameters: object = None) -> Result:
        """Wait, look, answer or fail."""
        self.now += self.takes
        self.seen.append((self.store.silent_seconds(4), self.store.silent_seconds(5)))
        if self.failure:
            raise self.failure
        return super().query(sql, parameters)


def test_it_knows_for_how_long_nothing_was_answered() -> None:
    """While a statement waits, and over statements that all were in vain; an answer, also a refusal, ends it."""
    clickhouse = Clocked()
    store = clickhouse.store
    for _ in range(3):
        store.query("SELECT 1")
    assert clickhouse.seen == [(4, 0)] * 3, "slow, and answering"
    clickhouse.failure = UnavailableError("timed out")
    for _ in range(2):
        with pytest.raises(UnavailableError):
            store.query("SELECT 1")
        assert store.silent_seconds(0) == 0, "nothing is asked now"
        clickhouse.now += 10
    assert clickhouse.seen[3:] == [(4, 0), (18, 0)]
    clickhouse.takes = 5
    clickhouse.failure = StoreError("no such table", 60)
    with pytest.raises(StoreError):
        store.query("SELECT 1")
    clickhouse.failure = None
    store.query("SELECT 1")
    assert clickhouse.seen[5:] == [(33, 33), (5, 5)]


def test_opening_is_asking() -> None:
    """A server that is away from the start: nothing was answered since the first try."""
    now, seen = [100.0], list[float]()

    def opening() -> Store:
        now[0] += 5
        seen.append(store.silent_seconds(1))
        raise UnavailableError("away")

    store = LaterStore(opening, lambda: now[0])
    store.open()
    with pytest.raises(UnavailableError):
        store.query("SELECT 1")
    assert seen == [5, 10]
