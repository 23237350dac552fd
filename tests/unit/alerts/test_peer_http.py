"""What is asked of another watcher, where something else answers."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest

from alerts.peer_http import asking
from telemetry.errors import ConfigurationError
from tests.unit.alerts.http_receiver import receiving, until


def test_what_is_no_watcher_does_not_count(caplog: pytest.LogCaptureFixture) -> None:
    """Another server, a closed port, something that is no URL: the outage is ours to tell."""
    with receiving() as other:
        assert asking(f"{other.url}/?token=secret")() is None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert asking(f"http://user:secret@127.0.0.1:{port}")() is None
    assert f"http://127.0.0.1:{port}/..." in caplog.text
    assert "secret" not in caplog.text
    with pytest.raises(ConfigurationError, match="is not the address of another watcher; write http://HOST:PORT"):
        asking("watch-2:9465")


class _Answers(socketserver.BaseRequestHandler):
    """Sends what it is made to, piece by piece."""

    pieces: ClassVar[list[bytes]] = []
    pause_seconds = 0.0

    def handle(self) -> None:
        """Once it was asked."""
        self.request.recv(4096)
        with contextlib.suppress(OSError):
            for piece in self.pieces:
                self.request.sendall(piece)
                time.sleep(self.pause_seconds)


@contextlib.contextmanager
def answering(pieces: list[bytes], pause_seconds: float = 0) -> Iterator[tuple[str, list[float]]]:
    """Whatever listens under a peer's URL; gives that, and when it was asked."""
    asked: list[float] = []

    class Handler(_Answers):
        def setup(self) -> None:
            asked.append(time.monotonic())

    Handler.pieces, Handler.pause_seconds = pieces, pause_seconds
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


def test_who_answers_byte_by_byte_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Each byte comes in time, the whole never does; asked again meanwhile, it is not asked beside that."""
    drip = [b"x"] * 100
    with answering([b"HTTP/1.1 200 OK\r\nX-Long: ", *drip, b"\r\n\r\n"], 0.1) as (url, asked):
        ask = asking(url, 0.4)
        begun = time.monotonic()
        assert ask() is None
        assert ask() is None
        assert time.monotonic() - begun < 6  # all of it takes ten
        assert len(asked) == 1
    assert "does not answer (not within 0.4 s)" in caplog.text
    assert "does not answer (it has not yet answered what it was asked before)" in caplog.text


@pytest.mark.parametrize(
    "body",
    [b"[" * 10_000, b"x" * 1_000_000, b'{"instance": "a", "outage": "perhaps", "evaluated_seconds_ago": 1}', b"[]"],
)
def test_an_answer_that_makes_no_sense(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It counts as none, is told once, and the next question is asked."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    with answering([head, body]) as (url, asked):
        ask = asking(url)
        assert ask() is None
        assert len(caplog.records) == 1
        until(lambda: ask() is None and len(asked) == 2)
