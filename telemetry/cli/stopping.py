"""How a command that runs on is ended: the first signal stops it in order, the second at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """While inside, the first of SIGINT and SIGTERM sets the event; a further one ends the process as if nobody handled it."""
    stopping = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():  # another signal than the first one's came before the line below was reached
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stopping.set()
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    previous = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
