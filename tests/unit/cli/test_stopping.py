"""Signals: the first one stops in order, the second at once, with its own status."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from telemetry.cli.stopping import SIGNALS, stopped_by_signals

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys, time
from telemetry.cli.stopping import stopped_by_signals
limit = 0.3 if "limited" in sys.argv else None
with stopped_by_signals(limit, "it is written down") as stopping:
    print("ready", flush=True)
    stopping.wait()
    print("stopping", flush=True)
    if "slow" in sys.argv:
        time.sleep(60)
if limit:
    time.sleep(2 * limit)
print("stopped", flush=True)
"""


@contextlib.contextmanager
def start(*arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """A process that has said that it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_stops_in_order(number: signal.Signals) -> None:
    """Status 0."""
    with start() as process:
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("stopping\nstopped\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize(("first", "second"), list(product(SIGNALS, SIGNALS)))
def test_the_second_ends_at_once(first: signal.Signals, second: signal.Signals) -> None:
    """Whichever of the two it is; the status is the signal's."""
    with start("slow") as process:
        assert process.stdout is not None
        process.send_signal(first)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(second)
        assert process.wait(30) == -second


def test_who_waits_for_what_never_comes_is_ended() -> None:
    """With status 1, and a word about it."""
    with start("slow", "limited") as process:
        process.send_signal(signal.SIGTERM)
        told = "not stopped within 0.3 s, something does not answer: ended; it is written down\n"
        assert process.communicate(timeout=30) == ("stopping\n", told)
    assert process.returncode == 1


def test_a_limit_is_for_what_is_inside() -> None:
    """Who has come out in time may go on for as long as it likes."""
    with start("limited") as process:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30) == ("stopping\nstopped\n", "")
    assert process.returncode == 0


def test_a_signal_that_comes_while_the_events_own_lock_is_held() -> None:
    """As it is for a moment whenever somebody waits: the handler must not wait for it, for it runs in the same thread."""
    with stopped_by_signals() as stopping:
        with stopping._cond:  # type: ignore[attr-defined] # threading.Event's lock, which its stubs leave out
            os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(10)


def test_threads_and_files_are_as_before_at_the_end() -> None:
    """With a signal and without."""
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for number in (None, signal.SIGINT):
        with stopped_by_signals() as stopping:
            if number is not None:
                os.kill(os.getpid(), number)
                assert stopping.wait(10)
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == (threads, files)


def test_handlers_are_as_before_at_the_end() -> None:
    """Whoever runs a command within another program has its own."""
    before = [signal.getsignal(number) for number in SIGNALS]
    with stopped_by_signals() as stopping:
        assert [signal.getsignal(number) for number in SIGNALS] != before
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(10)
        assert [signal.getsignal(number) for number in SIGNALS] == [signal.SIG_DFL] * 2
    assert [signal.getsignal(number) for number in SIGNALS] == before
