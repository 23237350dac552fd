"""Threads that run until they are told to stop, and report the error that ended them."""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

from alerts.page import PageEvent
from alerts.watch import Watcher
from telemetry.errors import EdgepathError
from telemetry.redaction import redact_text

_log = logging.getLogger(__name__)
_LONGEST_REST: Final = 30.0
_CALM_SECONDS: Final = 60.0
"""So long after the last error that nobody thought of, all is taken to be well again. More than the longest rest."""
_MOST_DOUBLED: Final = 10


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
    """Evaluates the SLOs at the policy's interval; keeps what was paged.

    Attributes:
        trouble: why they are not evaluated, in a line; empty while all is well.
    """

    def __init__(
        self,
        watcher: Watcher,
        interval_seconds: float,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Evaluate ``watcher`` every ``interval_seconds``."""
        self._watcher = watcher
        self._interval = interval_seconds
        self._wall = wall
        self._monotonic = monotonic
        self._falls = 0  # errors that nobody thought of, since all was well
        self._fell_at = 0.0
        self._fell_last = False
        self.trouble = ""

    def open_pages(self) -> list[PageEvent]:
        """The alerts that are open now."""
        return self._watcher.open_events()

    def step(self) -> None:
        """Evaluate once; trouble is kept for the screen and said in the log, the alerts stay as they are. Raises nothing."""
        self._fell_last = False
        try:
            self._watcher.evaluate(self._wall())
        except EdgepathError as error:
            if not self.trouble:
                _log.error("the SLOs cannot be evaluated: %s", error)
            self.trouble = redact_text(str(error))
        except Exception as error:  # noqa: BLE001 - the next evaluation begins anew from what is written down
            self._fell(error)
        else:
            self._well()

    def run(self, stop: threading.Event) -> None:
        """Evaluate until ``stop`` is set; nothing else ends it. After errors that nobody thought of the rest grows."""
        while not stop.wait(self.rest_seconds):
            self.step()

    @property
    def rest_seconds(self) -> float:
        """How long until the next evaluation: the interval; after one defect's error after another, twice as long each."""
        if not self._fell_last:
            return self._interval
        return max(self._interval, min(self._interval * 2.0 ** min(self._falls - 1, _MOST_DOUBLED), _LONGEST_REST))

    def _fell(self, error: Exception) -> None:
        said = redact_text("".join(traceback.format_exception(error)))  # it may quote what was sent
        _log.error(
            "the SLOs are not evaluated, alerts stay as they are; this is a defect of Edgepath, please report it: %s",
            said,
        )
        self.trouble = redact_text(f"{type(error).__name__}: {error}")
        self._falls += 1
        self._fell_at, self._fell_last = self._monotonic(), True

    def _well(self) -> None:
        """An evaluation went well. A defect that comes again and again is told until it has stayed away for a while."""
        if self._falls and self._monotonic() - self._fell_at > _CALM_SECONDS:
            self._falls = 0
        if not self._falls:
            self.trouble = ""
