"""What reads metrics beside paths: whatever goes wrong with it is told and tried again, and stops nobody else."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from telemetry.app.consumer_view import ConsumerView
from telemetry.app.metrics_consumer import MetricsConsumer
from telemetry.errors import UnavailableError
from telemetry.feeds.kafka.keying import Keying
from telemetry.observe.model import Lag
from telemetry.pipeline.metrics import MetricPipeline
from telemetry.pipeline.settings import MetricPipelineSettings
from telemetry.store.embedded import EmbeddedStore
from tests.support.fake_feed import FakeFeed, Topic
from tests.support.metric_messages import point, request
from tests.support.waiting import wait_until

SETTINGS = MetricPipelineSettings(flush_seconds=0.01, poll_seconds=0, senders=0)


class Feed(FakeFeed):
    """One that has to be opened, and may not be there."""

    missing = ""

    def open(self) -> None:
        """As ``KafkaFeed.open``."""
        if self.missing:
            raise UnavailableError(self.missing)


class Lasting:
    """A store that outlives who opened it."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def close(self) -> None:
        """Nothing."""


class Rig:
    """A consumer in its thread."""

    def __init__(self, store: EmbeddedStore) -> None:
        self.store = store
        self.topic = Topic()
        self.missing = ""
        self.opened = 0
        self.stop = threading.Event()
        self.consumer = MetricsConsumer(
            "m", self._feed, lambda: cast(Any, Lasting(store)), SETTINGS, drain_seconds=5, again_seconds=0.05
        )

    def _feed(self) -> Any:
        self.opened += 1
        feed = Feed(self.topic)
        feed.missing = self.missing
        return feed

    def send(self, value: float) -> None:
        """A record with a gauge."""
        message, metrics = request()
        point(metrics, "g", "gauge", as_double=value, time=time.time_ns())
        self.topic.put(message.SerializeToString(), at=time.time_ns() // 1_000_000)

    def stored(self) -> list[float]:
        """The values."""
        return [value for (value,) in self.store.query("SELECT value FROM metric_points ORDER BY value").rows]


class Paths(FakeFeed):
    """A feed of spans."""

    keying = Keying()


class Status:
    """Of a loop of paths: all is well, and nothing came."""

    troubles, split_example = (), ""

    def __getattr__(self, _: str) -> int:
        return 0


class Loop:
    """A loop of paths."""

    def status(self) -> Any:
        """As ``Pipeline.status``."""
        return Status()


@pytest.fixture
def rig(embedded_store: EmbeddedStore) -> Rig:
    """Not started."""
    return Rig(embedded_store)


@pytest.fixture
def running(rig: Rig) -> Iterator[Callable[[], None]]:
    """Starts it when called; it is stopped in order at the end."""
    threads: list[threading.Thread] = []

    def start() -> None:
        threads.append(threading.Thread(target=rig.consumer.run, args=(rig.stop,)))
        threads[0].start()

    yield start
    rig.stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_missing_topic_is_told_once_and_waited_for(
    rig: Rig, running: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """No failure, and no line in the log for each time that it was looked for."""
    rig.missing = "Kafka has no topic m"
    running()
    wait_until(lambda: rig.opened > 3)
    assert (rig.consumer.look().notice, rig.consumer.look().status.points) == ("Kafka has no topic m", 0)
    assert caplog.text.count("no metrics are read") == 1
    assert "--no-metrics" in caplog.text
    rig.missing = ""
    rig.send(1)
    wait_until(lambda: rig.stored() == [1.0])
    assert rig.consumer.look().notice == ""


def test_an_error_that_nobody_thought_of(
    rig: Rig, running: Callable[[], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop begins anew; its counts go on; what it quotes is clean."""
    rig.send(1)
    running()
    wait_until(lambda: bool(rig.topic.committed))
    steps: list[int] = []
    real = MetricPipeline.step

    def breaks(self: MetricPipeline) -> int:
        steps.append(1)
        if len(steps) == 1:
            raise ZeroDivisionError("4111111111111111")
        return real(self)

    monkeypatch.setattr(MetricPipeline, "step", breaks)
    rig.send(2)
    wait_until(lambda: rig.stored() == [1.0, 2.0])
    # What was polled when it broke is polled again, and counted again.
    assert rig.consumer.look().status.records >= 2
    assert rig.consumer.look().status.points >= 2
    assert "ZeroDivisionError: [card]" in caplog.text
    assert "4111111111111111" not in caplog.text


def test_at_the_end_what_came_in_is_stored(rig: Rig) -> None:
    """And committed; :meth:`beside` waits for it."""
    with rig.consumer.beside(rig.stop):
        rig.send(3)
        wait_until(lambda: rig.consumer.look().status.records == 1)
        rig.stop.set()
    assert (rig.stored(), rig.topic.committed) == ([3.0], {0: 1})


def test_the_view_of_a_consumer_has_both(rig: Rig, running: Callable[[], None]) -> None:
    """Lags by topic, counts apart; trouble with metrics is a warning, for paths go on."""

    clock = [0.0]
    view = ConsumerView("spans", cast(Any, Loop()), cast(Any, Paths(Topic())), rig.consumer, lambda: clock[0])
    assert view.look().warnings == ("metrics are not stored: it is starting",)
    running()
    rig.send(1)
    wait_until(lambda: rig.consumer.look().status.landed_blocks == 1)
    seen = view.look()
    assert (seen.metric_records, seen.metric_points, seen.metric_blocks, seen.warnings) == (1, 1, 1, ())
    assert seen.lag == (Lag("spans", 0, 0), Lag("m", 0, 0))
    rig.stop.set()
    wait_until(lambda: rig.consumer.look().lags == {})
    view.look()
    clock[0] = 125.0
    (warning,) = view.look().warnings
    assert warning == "metrics are not stored: their loop has not begun a round for 125 s"
    assert view.look().troubles == ()


def test_a_consumer_without_metrics_has_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """``--no-metrics`` is nothing to be warned of."""
    caplog.set_level(logging.WARNING)

    clock = [0.0]
    view = ConsumerView("spans", cast(Any, Loop()), cast(Any, Paths(Topic())), None, lambda: clock[0])
    clock[0] = 1000.0
    assert view.look().warnings == ()
    assert caplog.text == ""
