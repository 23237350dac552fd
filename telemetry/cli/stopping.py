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
    """While inside, the first of SIGINT and SIGTERM sets the event; a further one ends the process as if nobody handled it.

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
        if os.read(came, 1):
            stopping.set()

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
