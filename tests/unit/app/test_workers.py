"""The watcher's thread of ``edgepath up``: nothing ends it, and whatever keeps it from evaluating is seen."""

import logging
import threading
import time
from collections.abc import Callable

import pytest

from alerts.watch import Watcher
from telemetry.app import workers
from telemetry.app.workers import WatchLoop, Worker
from telemetry.errors import UnavailableError
from tests.unit.alerts.alerts_support import T0, FakeStore, make_policy, make_slo


class Driven:
    """A loop over a watcher whose store breaks when it is told to; time passes when it is told to."""

    def __init__(self, interval: float = 2.0) -> None:
        self.store, self.now = FakeStore(), T0
        self.loop = WatchLoop(
            Watcher(self.store, [make_slo()], make_policy(), sync_views=False),
            interval,
            lambda: self.now,
            lambda: self.now,
        )

    def step(self, broken: Exception | None = None, seconds: float = 1.0) -> float:
        """One evaluation; the rest after it."""
        self.now += seconds
        self.store.broken = broken
        self.loop.step()
        return self.loop.rest_seconds


def defect() -> Exception:
    """Nobody thought of it, and it quotes what was sent."""
    return ZeroDivisionError("of 4111111111111111")


def wait_for(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_a_defect_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    """The SLOs are evaluated again as soon as they can be; what the log quotes of it is clean, and says where it happened."""
    driven = Driven(0.01)
    driven.store.broken = defect()
    worker = Worker("watch", driven.loop.run).start()
    try:
        wait_for(lambda: "ZeroDivisionError" in driven.loop.trouble)
        driven.store.broken = None
        wait_for(lambda: driven.loop._watcher.work.evaluated is not None)
        worker.check()
    finally:
        worker.stop()
    assert not worker._thread.is_alive()
    assert driven.loop.trouble == "ZeroDivisionError: of [card]"
    assert "in evaluate" in caplog.text
    assert "4111111111111111" not in caplog.text


def test_after_one_defect_after_another_the_rest_grows() -> None:
    """Not for ever; a store that is away is asked as often as ever."""
    driven = Driven()
    assert driven.step() == 2
    assert [driven.step(defect()) for _ in range(6)] == [2, 4, 8, 16, 30, 30]
    assert driven.step(UnavailableError("away")) == 2
    for _ in range(1100):
        driven.step(defect())
    assert driven.step(defect()) == 30
    assert driven.step() == 2
    assert Driven(interval=45).step(defect()) == 45


def test_a_defect_that_comes_and_goes_is_told_until_it_has_stayed_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read once a minute fails once a minute: between, all looks well."""
    monkeypatch.setattr(workers, "_CALM_SECONDS", 60.0)
    driven = Driven()
    driven.step(defect())
    driven.step(seconds=59)
    assert driven.loop.trouble == "ZeroDivisionError: of [card]"
    driven.step(seconds=2)
    assert driven.loop.trouble == ""
    assert driven.step(defect()) == 2, "it begins anew"


def test_a_store_that_is_away_is_told_once_and_is_over_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    driven = Driven()
    for _ in range(3):
        driven.step(UnavailableError("ClickHouse at db:9000 does not answer"))
    assert driven.loop.trouble == "ClickHouse at db:9000 does not answer"
    assert caplog.text.count("the SLOs cannot be evaluated") == 1
    driven.step()
    assert driven.loop.trouble == ""


def test_what_ended_another_thread_is_raised_where_it_is_looked_for() -> None:
    """By whoever started it: a part that has died is no secret."""

    def work(_: threading.Event) -> None:
        raise defect()

    worker = Worker("any", work).start()
    worker.stop()
    with pytest.raises(ZeroDivisionError):
        worker.check()
