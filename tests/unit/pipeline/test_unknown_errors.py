"""Errors that nobody thought of end nothing: what is held is forgotten and read again, as after a restart."""

import threading
from collections import Counter
from typing import Any

import pytest

from telemetry.errors import UnavailableError
from telemetry.pipeline import loop
from telemetry.pipeline.pipeline import Pipeline
from tests.support.waiting import wait_until
from tests.unit.pipeline.pipeline_rig import Rig, trace


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rest after an error."""
    monkeypatch.setattr(loop, "_TROUBLED_SECONDS", 0.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("method", ["_poll", "_take", "_close", "_landed", "_put_aside", "_commit"])
def test_wherever_it_happens_nothing_is_lost_or_doubled(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """Before and after each part of a round, in turn; what the log quotes is clean."""
    stop, calls, real = threading.Event(), [0], getattr(Pipeline, method)

    def breaks(pipeline: Pipeline, *args: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] % 5 == 2:
            raise ZeroDivisionError("4111111111111111")
        answer = real(pipeline, *args, **more)
        if calls[0] % 5 == 4:
            raise ZeroDivisionError("4111111111111111")
        return answer

    def ticking() -> float:
        rig.seconds += 0.5
        if rig.seconds % 2 == 0 and rig.seconds <= 12:
            rig.send(trace(int(rig.seconds), 5), trace(int(rig.seconds) + 100))
            rig.send(trace(int(rig.seconds))[5:])
        if rig.seconds > 40:
            stop.set()
        return rig.seconds

    monkeypatch.setattr(Pipeline, method, breaks)
    rig.pipeline._monotonic = ticking
    rig.pipeline.run(stop)
    monkeypatch.setattr(Pipeline, method, real)
    rig.start()
    rig.pass_time(30)
    assert calls[0] >= 4
    assert rig.stored() == Counter([*range(2, 13, 2), *range(102, 113, 2)])
    assert rig.topic.committed == {0: rig.topic.records[0][-1].offset + 1}
    assert rig.real_store.query("SELECT sum(requests) FROM path_1m").scalar() == 12
    assert "ZeroDivisionError: [card]" in caplog.text
    assert "4111111111111111" not in caplog.text


@pytest.mark.usefixtures("quick")
def test_that_it_happens_again_and_again_is_seen(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """No round counts any more, so that the probe of life fails; it is told for what it is, and passes when it is over."""
    monkeypatch.setattr(loop, "_CALM_SECONDS", 0.05)
    stop = threading.Event()
    real, broken = rig.pipeline._poll, [True]

    def breaks(timeout_seconds: float, room: int) -> int:
        rig.seconds += 0.5
        return 1 // 0 if broken[0] else real(timeout_seconds, room)

    monkeypatch.setattr(rig.pipeline, "_poll", breaks)
    rig.send(trace(1))
    thread = threading.Thread(target=rig.pipeline.run, args=(stop,))
    thread.start()
    wait_until(lambda: rig.pipeline._falls > 5)
    assert (rig.pipeline.status().rounds, rig.pipeline.status().trouble) == (
        1,
        "a defect of Edgepath: ZeroDivisionError: integer division or modulo by zero",
    )
    broken[0] = False
    wait_until(lambda: rig.pipeline.status().rounds > 2 and not rig.pipeline.status().trouble)
    wait_until(lambda: rig.stored() == Counter([1]))
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.usefixtures("quick")
def test_after_a_thousand_of_them_it_still_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rest is a power of their number, for which a float has no room then."""
    stop, tries = threading.Event(), [0]

    def breaks(*_: Any) -> int:
        tries[0] += 1
        if tries[0] == 3:
            stop.set()
        return 1 // 0

    monkeypatch.setattr(rig.pipeline, "_poll", breaks)
    rig.pipeline._falls = 2000
    rig.pipeline.run(stop)
    assert tries[0] == 3


def test_all_that_it_waits_for_is_told_without_what_was_sent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, each with where it is; who looks need not wait until one is mended to see the next."""
    rig.send(trace(1))
    rig.pass_time(1)
    rig.store.away = True
    rig.pass_time(5)
    stop = threading.Event()

    def refused(*_: Any, **__: Any) -> int:
        stop.set()
        raise UnavailableError("Kafka at k:9092 does not answer, of 4111111111111111")

    monkeypatch.setattr(rig.pipeline, "_poll", refused)
    rig.pipeline.run(stop)
    assert rig.pipeline.status().troubles == (
        "blocks cannot be stored: the store is away",
        "Kafka at k:9092 does not answer, of [card]",
    )
