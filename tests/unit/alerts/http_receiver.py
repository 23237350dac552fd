"""A real HTTP server on a free port that takes pages, fails, hangs or says 429, as told."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What came, and what to answer.

    Attributes:
        url: of the server.
        answers: (status, headers) of the next requests; then 200. Status 0 hangs until the server stops.
        bodies, paths, headers: of every request, in order.
        taken: bodies of the requests that were answered 2xx.
    """

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    taken: list[Any] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition that another thread brings about."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come about in time"
        time.sleep(0.005)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for as long as the block lasts."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.paths.append(self.path)
            receiver.headers.append(dict(self.headers))
            receiver.bodies.append(body)
            status, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
            if status == 0:
                receiver.stopping.wait(30)
                return
            if 200 <= status < 300:
                receiver.taken.append(body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
