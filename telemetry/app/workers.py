"""Threads that run until they are told to stop, and report the error that ended them."""

import logging
import threading
import time
from collections.abc import Callable

from alerts.page import PageEvent
from alerts.watch import Watcher
from telemetry.errors import EdgepathError

_log = logging.getLogger(__name__)


class Worker:
    """A thread around ``work(stop)``."""

    def __init__(self, name: str, work: Callable[[threading.Event], object]) -> None:
        """Make it; :meth:`start` runs it."""
        self._stop = threading.Event()
        self._work = work
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"edgepath-{name}", daemon=True)
        self.name = name

    def start(self) -> "Worker":
        """Run it."""
        self._thread.start()
        return self

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Tell it to stop and wait. Does nothing the second time."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def check(self) -> None:
        """Raise what ended it, if something did."""
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self.error = error


class WatchLoop:
    """Evaluates the SLOs at the policy's interval; keeps what was paged."""

    def __init__(self, watcher: Watcher, interval_seconds: float, wall: Callable[[], float] = time.time) -> None:
        """Evaluate ``watcher`` every ``interval_seconds``."""
        self._watcher = watcher
        self._interval = interval_seconds
        self._wall = wall
        self.trouble = ""

    def open_pages(self) -> list[PageEvent]:
        """The alerts that are open now."""
        return self._watcher.open_events()

    def step(self) -> None:
        """Evaluate once; trouble is kept for the screen and said once, the alerts stay as they are."""
        try:
            self._watcher.evaluate(self._wall())
        except EdgepathError as error:
            if not self.trouble:
                _log.error("the SLOs cannot be evaluated: %s", error)
            self.trouble = str(error)
        else:
            self.trouble = ""

    def run(self, stop: threading.Event) -> None:
        """Evaluate until ``stop`` is set."""
        while not stop.wait(self._interval):
            self.step()
