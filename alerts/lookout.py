"""Notices that ClickHouse keeps an evaluation waiting, in a thread of its own: whoever waits for an answer cannot page.

A ClickHouse that refuses fails every evaluation at once, and the page of blindness goes out with the first one that fails
``blind-after`` later. One that takes a statement and never answers (a stopped process, a dead link, a proxy that swallows)
would hold it back for as long as a statement is waited for. So that is looked at by the clock: by what is not answered, not by
how long an evaluation takes. A ClickHouse that is slow answers one statement after the other, and is not away.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

_MOST_SECONDS: Final = 1.0
_SHARE: Final = 0.25


@contextlib.contextmanager
def lookout(
    unanswered_seconds: Callable[[], float],
    waiting: Callable[[float, float], None],
    blind_seconds: float,
    interval_seconds: float,
    clock: Callable[[], float] = time.time,
) -> Iterator[None]:
    """While inside, look whether ClickHouse has been silent too long.

    Args:
        unanswered_seconds: for how long nothing has been answered, of a :class:`telemetry.store.later.LaterStore`.
        waiting: is told so, and when that is (:meth:`alerts.watch.Watcher.waiting`); may be told again and again.
        blind_seconds: so long is too long.
        interval_seconds: between evaluations. So long is waited besides: what was refused once is asked again after it, and may
            be back.
        clock: seconds since the epoch.
    """
    stopping = threading.Event()
    pause = min(_MOST_SECONDS, interval_seconds * _SHARE)
    longest = blind_seconds + interval_seconds - pause  # by then, or a look later

    def look() -> None:
        while not stopping.wait(pause):
            silent = unanswered_seconds()
            if silent >= longest:
                waiting(clock(), silent)

    thread = threading.Thread(target=look, name="edgepath-lookout", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
