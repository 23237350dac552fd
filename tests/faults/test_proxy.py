"""The proxy breaks what it says, when it says, and nothing else."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import LOOPBACK, Connection, LoopThread, Moment, Proxy, Trap


class Echo(socketserver.ThreadingTCPServer):
    """Answers ``ok N`` to every request, a line; N counts the requests of all connections. Keeps what it got."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[bytes] = []
        super().__init__((LOOPBACK, 0), Answer)


class Answer(socketserver.StreamRequestHandler):
    """One connection."""

    server: Echo

    def handle(self) -> None:
        """Until it is closed."""
        with contextlib.suppress(OSError):
            while line := self.rfile.readline():
                self.server.got.append(line)
                self.wfile.write(b"ok %d\n" % len(self.server.got))


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server."""
    with Echo() as server:
        threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """A proxy before it."""
    loop = LoopThread()
    made = Proxy(loop, echo.server_address[1])
    yield made
    made.close()
    loop.close()


class Client:
    """Asks by way of the proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._socket = socket.create_connection((LOOPBACK, proxy.port), timeout=5)
        self._file = self._socket.makefile("rb")

    def send(self, line: bytes) -> None:
        """A request."""
        self._socket.sendall(line + b"\n")

    def answer(self) -> bytes:
        """Its answer; empty if the connection ended."""
        try:
            return self._file.readline()
        except ConnectionError:
            return b""

    def ask(self, line: bytes) -> bytes:
        """Both."""
        self.send(line)
        return self.answer()

    def close(self) -> None:
        """End the connection."""
        self._file.close()
        self._socket.close()


def wait_for(what: str, got: list[bytes], count: int) -> None:
    """Until the server has so many requests."""
    deadline = time.monotonic() + 5
    while len(got) < count:
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_it_passes_on(echo: Echo, proxy: Proxy) -> None:
    """Requests and answers, in order, over several connections."""
    one, two = Client(proxy), Client(proxy)
    assert [one.ask(b"a"), two.ask(b"b"), one.ask(b"c")] == [b"ok 1\n", b"ok 2\n", b"ok 3\n"]
    assert echo.got == [b"a\n", b"b\n", b"c\n"]


def test_a_lost_answer_is_of_work_that_was_done(echo: Echo, proxy: Proxy) -> None:
    """Only of the statement it is meant for: the ones before and after it are answered."""
    client = Client(proxy)
    trap = proxy.set_trap(Trap(b"INSERT", Moment.ANSWERED, Connection.swallow, skip=1))
    assert client.ask(b"SELECT") == b"ok 1\n"
    assert client.ask(b"INSERT 1") == b"ok 2\n"
    assert client.ask(b"INSERT 2") == b""
    assert trap.sprung.is_set()
    assert echo.got[-1] == b"INSERT 2\n"
    assert Client(proxy).ask(b"INSERT 3") == b"ok 4\n"


def test_traps_spring_at_their_moment(echo: Echo, proxy: Proxy) -> None:
    """Before the server has the request, when it has it, and when it has answered."""
    seen: list[tuple[Moment, int]] = []
    for moment in Moment:
        proxy.set_trap(Trap(b"INSERT", moment, lambda _, m=moment: seen.append((m, len(echo.got)))))  # type: ignore[misc]
    assert Client(proxy).ask(b"INSERT") == b"ok 1\n"
    assert [moment for moment, _ in seen] == list(Moment)
    assert seen[0][1] == 0
    assert seen[2][1] == 1


def test_an_http_request_is_sent_when_its_body_is(proxy: Proxy) -> None:
    """Header and body come in pieces."""
    seen: list[str] = []
    proxy.set_trap(Trap(b"INSERT", Moment.SENT, lambda _: seen.append("sent")))
    client = Client(proxy)
    client.send(b"POST /?query=INSERT HTTP/1.1\r\nContent-Length: 10\r\n\r")
    assert [client.answer() for _ in range(3)] == [b"ok 1\n", b"ok 2\n", b"ok 3\n"]  # a line each
    assert not seen
    assert client.ask(b"123456789") == b"ok 4\n"
    assert seen == ["sent"]


def test_a_torn_request_arrives_in_half(echo: Echo, proxy: Proxy) -> None:
    """And its connection is reset."""
    proxy.set_trap(Trap(b"INSERT", Moment.BEFORE, Connection.tear_request))
    assert Client(proxy).ask(b"INSERT a long line of data") == b""
    wait_for("the half", echo.got, 1)
    assert echo.got == [b"INSERT a long"]


def test_a_held_request_outlives_its_sender(echo: Echo, proxy: Proxy) -> None:
    """It lands when it is released, though nobody waits for it any more."""
    released = threading.Event()
    trap = proxy.set_trap(Trap(b"INSERT", Moment.BEFORE, lambda connection: connection.hold(released)))
    client = Client(proxy)
    client.send(b"INSERT late")
    assert trap.sprung.wait(5)
    client.close()
    assert Client(proxy).ask(b"INSERT soon") == b"ok 1\n"
    released.set()
    wait_for("the held request", echo.got, 2)
    assert echo.got == [b"INSERT soon\n", b"INSERT late\n"]


def test_a_cut_resets_what_is_open(proxy: Proxy) -> None:
    """New connections are taken."""
    client = Client(proxy)
    assert client.ask(b"a") == b"ok 1\n"
    proxy.cut()
    assert client.answer() == b""
    assert Client(proxy).ask(b"b") == b"ok 2\n"


def test_refused_connections_come_again_on_the_same_port(proxy: Proxy) -> None:
    """While it refuses, nothing listens."""
    port = proxy.port
    with proxy.refusing(), pytest.raises(ConnectionRefusedError):
        Client(proxy)
    assert proxy.port == port
    assert Client(proxy).ask(b"a") == b"ok 1\n"


def test_a_hanging_connection_stays_open_and_goes_on(echo: Echo, proxy: Proxy) -> None:
    """Not a byte passes meanwhile."""
    client = Client(proxy)
    assert client.ask(b"a") == b"ok 1\n"
    with proxy.hanging():
        client.send(b"b")
        assert Client(proxy)  # taken
        assert echo.got == [b"a\n"]
    assert client.answer() == b"ok 2\n"


def test_a_slow_connection_is_slow(proxy: Proxy) -> None:
    """Request and answer are late by the delay each."""
    client = Client(proxy)
    with proxy.slow(delay_seconds=0.1):
        begun = time.monotonic()
        assert client.ask(b"a") == b"ok 1\n"
        assert time.monotonic() - begun >= 0.2
    with proxy.slow(bytes_per_second=1000):
        assert client.ask(b"x" * 300) == b"ok 2\n"
