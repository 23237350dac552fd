"""A ClickHouse that takes statements and never answers: the page does not wait for it."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from alerts.lookout import lookout
from alerts.notify import CallbackNotifier
from alerts.page import PageEvent
from alerts.watch import Watcher
from telemetry.errors import UnavailableError
from telemetry.store.base import Parameter, Result
from telemetry.store.later import LaterStore
from tests.unit.alerts.alerts_support import T0, FakeStore, make_policy, make_slo
from tests.unit.alerts.http_receiver import until


class Hanging(FakeStore):
    """Answers, until it is told to hang; counts the statements that wait."""

    waiting = 0

    def hang(self) -> threading.Event:
        """From now on, statements wait for what is returned."""
        self.release = threading.Event()
        return self.release

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As FakeStore, late."""
        release: threading.Event | None = getattr(self, "release", None)
        if release is not None:
            self.waiting += 1
            release.wait(30)
            self.waiting -= 1
        return super().query(sql, parameters)


class Watched:
    """A watcher of a store that may hang; its clock stands still, and is set."""

    def __init__(self, state_file: Path | None = None) -> None:
        self.told: list[PageEvent] = []
        self.now = T0
        self.clickhouse = Hanging()
        self.looks = 0
        self.store = LaterStore(lambda: self.clickhouse, lambda: self.now)
        self.watcher = Watcher(
            self.store, [make_slo()], make_policy(), [CallbackNotifier(self.told.append)],
            sync_views=False, blindness=True, state_file=state_file,
        )  # fmt: skip

    def silent(self, patience: float) -> float:
        """As the store says; counts who asks."""
        self.looks += 1
        return self.store.silent_seconds(patience)

    def looked(self) -> None:
        """Wait until the lookout has looked again, with what is so now."""
        before = self.looks
        until(lambda: self.looks > before + 1)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """(kind, cause) of what was told."""
        return [(e.kind, e.cause) for e in self.told]


def test_the_page_does_not_wait_for_the_answer(tmp_path: Path) -> None:
    """It goes out while the one thread that evaluates waits, once; when the answer comes, that thread goes on and resolves."""
    watched = Watched(tmp_path / "watch.json")
    watched.watcher.evaluate(T0)
    release = watched.clickhouse.hang()
    evaluating = threading.Thread(target=watched.watcher.evaluate, args=(T0,))
    threads = threading.active_count()
    with lookout(watched.silent, watched.watcher.waiting, 60, 0.04, lambda: watched.now):
        evaluating.start()
        until(lambda: watched.clickhouse.waiting == 1)
        watched.now = T0 + 59
        watched.looked()
        assert watched.told == []
        watched.now = T0 + 61
        until(lambda: watched.told != [])
        assert watched.clickhouse.waiting == 1
        watched.now = T0 + 300
        watched.looked()
        assert watched.kinds == [("trigger", "unreachable")]
        assert threading.active_count() == threads + 2, "who evaluates, and who looks"
        release.set()
        evaluating.join(10)
    assert threading.active_count() == threads
    assert watched.kinds == [("trigger", "unreachable"), ("resolve", "unreachable")]
    page, resolve = watched.told
    assert (
        page.summary == "PAGE edgepath: blind for 1m 1s, no SLO is evaluated: ClickHouse is asked, and does not answer"
    )
    assert (page.at, page.dedup_key) == (T0 + 61, resolve.dedup_key)
    assert resolve.at >= page.at, "it began before the page; Alertmanager refuses an end before the beginning"


def test_what_was_refused_once_is_asked_again_before_a_page() -> None:
    """Evaluations may be further apart than ``--blind-after``: what waits now gets its time, though much went by before."""
    asked: list[float] = []
    told: list[float] = []
    silent = iter([0.0, 0.01, 0.02, 0.07])

    def silent_seconds(patience: float) -> float:
        asked.append(patience)
        return next(silent, 0.0)

    for blind, interval in ((0.02, 0.04), (0.04, 0.02)):
        with lookout(silent_seconds, lambda _, seconds: told.append(seconds), blind, interval):
            until(lambda: len(asked) > 5)
        assert set(asked) == {0.02}
        asked.clear()
    assert told == [0.02, 0.07]


def test_an_evaluation_that_fails_after_the_page_pages_no_second_time() -> None:
    watched = Watched()
    watched.watcher.evaluate(T0)
    watched.watcher.waiting(T0 + 70, 66)
    watched.clickhouse.broken = UnavailableError("timed out")
    for at in (T0 + 70, T0 + 200):
        with pytest.raises(UnavailableError):
            watched.watcher.evaluate(at)
    watched.clickhouse.broken = None
    watched.watcher.evaluate(T0 + 260)
    assert watched.kinds == [("trigger", "unreachable"), ("resolve", "unreachable")]


def test_a_slow_clickhouse_is_not_away() -> None:
    """Every statement takes 50 s of 60: an evaluation takes minutes, and each answer says that it is there."""
    watched = Watched()

    def slowly(sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        for _ in range(10):
            watched.now += 5
            look()
        return FakeStore.query(watched.clickhouse, sql, parameters)

    def look() -> None:
        if watched.store.silent_seconds(15) >= 60:
            watched.watcher.waiting(watched.now, watched.store.silent_seconds(15))

    watched.clickhouse.query = slowly  # type: ignore[method-assign] # of this one object
    for _ in range(3):
        before = watched.now
        watched.watcher.evaluate(watched.now)
        assert watched.now - before >= 100, "more than one statement, or this shows nothing"
    assert watched.told == []


def test_a_defect_does_not_end_the_looking() -> None:
    silences, told = iter([70.0, 71.0]), list[float]()

    def waiting(_: float, silent: float) -> None:
        told.append(silent)
        if len(told) == 1:
            raise ZeroDivisionError

    with lookout(lambda _: next(silences, 0.0), waiting, 60, 0.01):
        until(lambda: told == [70.0, 71.0])
