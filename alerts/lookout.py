"""Notices that ClickHouse keeps an evaluation waiting, in a thread of its own: whoever waits for an answer cannot page.

A ClickHouse that refuses fails every evaluation at once, and the page of blindness goes out with the first one that fails
``blind-after`` later. One that takes a statement and never answers (a stopped process, a dead link, a proxy that swallows)
would hold it back for as long as a statement is waited for. So that is looked at by the clock: by what is not answered, not by
how long an evaluation takes. A ClickHouse that is slow answers one statement after the other, and is not away.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 0.25
_LOOK_SHARE: Final = 0.25
_PATIENCE_SECONDS: Final = 10.0
"""So long at most the statement that waits now must have waited, however long others were not answered before."""


@contextlib.contextmanager
def lookout(
    silent_seconds: Callable[[float], float],
    waiting: Callable[[float, float], None],
    blind_seconds: float,
    interval_seconds: float,
    clock: Callable[[], float] = time.time,
) -> Iterator[None]:
    """While inside, look whether ClickHouse has been silent too long.

    Args:
        silent_seconds: for how long ClickHouse has not answered, if it is asked now and has been for as long as is given: the
            method of a :class:`telemetry.store.later.LaterStore`.
        waiting: is told so, and when that is (:meth:`alerts.watch.Watcher.waiting`); may be told again and again.
        blind_seconds: so long is too long.
        interval_seconds: between evaluations. What was refused at the last one may be back, and gets its time at this one.
        clock: seconds since the epoch.
    """
    stopping = threading.Event()
    pause = min(_LOOK_SECONDS, interval_seconds * _LOOK_SHARE)
    patience = min(_PATIENCE_SECONDS, interval_seconds, blind_seconds)

    def look() -> None:
        while not stopping.wait(pause):
            try:
                if (silent := silent_seconds(patience)) >= blind_seconds:
                    waiting(clock(), silent)
            except Exception:  # noqa: BLE001 - a defect must not leave nobody to look
                _log.exception("not looked whether ClickHouse answers; this is a defect of Edgepath, please report it")
                stopping.wait(interval_seconds)

    thread = threading.Thread(target=look, name="edgepath-lookout", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
