"""How a command that runs on is ended: the first signal stops it in order, the second at once."""

import contextlib
import logging
import os
import select
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_log: Final = logging.getLogger(__name__)


@contextlib.contextmanager
def stopped_by_signals(limit_seconds: float | None = None, left: str = "") -> Iterator[threading.Event]:
    """While inside, the first of SIGINT and SIGTERM sets the event; a further one ends the process as if nobody handled it.

    Args:
        limit_seconds: if it is still inside so long after the first one, it is said so and the process ends with status 1:
            who waits for an answer that never comes cannot come out. Only for what may be killed at any time.
        left: what becomes of that which was not done in time, for the log.

    A handler runs in the main thread between any two of its steps, perhaps while it holds the event's own lock: setting the
    event there would wait for ever. So the handler only writes into a pipe, and a thread at its other end sets the event.
    """
    stopping = threading.Event()
    came, sent = os.pipe()
    seen: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        if seen:  # two at once: this one came before the first one's handler had run
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        seen.append(number)
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        os.write(sent, b"!")

    def listen() -> None:
        if not os.read(came, 1):
            return
        stopping.set()
        # What ends the wait before its time is the pipe's end: we are out.
        if limit_seconds is not None and not select.select([came], [], [], limit_seconds)[0]:
            _log.error(
                "not stopped within %g s, something does not answer: ended%s", limit_seconds, left and f"; {left}"
            )
            os._exit(1)

    listener = threading.Thread(target=listen, name="edgepath-signals", daemon=True)
    listener.start()
    previous = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(sent)  # the end of what can be read
        listener.join()
        os.close(came)
