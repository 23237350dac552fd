"""A TCP proxy that breaks connections in every way they break, on purpose and for a bounded time.

One :class:`Proxy` stands before one port of a server. It tells *requests* apart (bytes from the client after bytes from the
server), so that a fault can hit the statement it is meant for: before it is passed on, on the way, or when its answer comes.
"""

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeVar

LOOPBACK: Final = "127.0.0.1"
_CHUNK: Final = 1 << 16
_QUIET_SECONDS: Final = 0.3
_HELD_SECONDS: Final = 180.0
_HELD_ANSWER_SECONDS: Final = 10.0
_HTTP: Final = (b"POST ", b"GET ")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_T = TypeVar("_T")


class Moment(Enum):
    """When a trap springs, seen from the request that it waits for."""

    BEFORE = "before it is passed on"
    SENT = "passed on, not answered"
    ANSWERED = "answered, the answer not passed on"


@dataclass
class Trap:
    """Waits for requests and does something at one moment of the next of them.

    Attributes:
        pattern: bytes in the request's first chunk.
        moment: when.
        action: what; called in the proxy's thread, must not wait.
        skip: how many requests pass before.
        times: how many it gets.
        sprung: set when it has sprung for the last time.
    """

    pattern: bytes
    moment: Moment
    action: Callable[["Connection"], None]
    skip: int = 0
    times: int = 1
    sprung: threading.Event = field(default_factory=threading.Event)

    def takes(self, chunk: bytes) -> bool:
        """Whether this request is one of its own; counts."""
        if self.times <= 0 or self.pattern not in chunk:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Connection:
    """One connection through the proxy. What the traps' actions may do with it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self.asking = True  # the next bytes of the client begin a request
        self.missing = 0  # bytes of the request that are yet to come, as far as its HTTP header tells
        self.traps: list[Trap] = []
        self.swallowing = False
        self.tear = False
        self.held: threading.Event | None = None

    def swallow(self) -> None:
        """Take the answer away and cut the connection: the server has done the work, and nobody is told."""
        self.swallowing = True

    def tear_request(self) -> None:
        """Pass on half of the request's bytes, then cut (only at :attr:`Moment.BEFORE`)."""
        self.tear = True

    def hold(self, released: threading.Event) -> None:
        """Keep the request until ``released``, even if its sender dies; then pass it on (only at :attr:`Moment.BEFORE`)."""
        self.held = released

    def cut(self) -> None:
        """Reset both sides."""
        for writer in (self._client, self._server):
            if writer is not None:
                writer.transport.abort()

    def cut_client(self) -> None:
        """Reset the client's side only."""
        self._client.transport.abort()


class Proxy:
    """Passes connections on to a port of this machine, until told to do worse. Its methods may be called from any thread.

    Attributes:
        port: where it listens; stays the same.
    """

    def __init__(self, loop: "LoopThread", target: int) -> None:
        self._loop = loop
        self._target = target
        self._connections: set[Connection] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._delay = 0.0
        self._rate = 0.0
        self._traps: list[Trap] = []
        self._server: asyncio.Server | None = None
        self.port = 0
        loop.run(self._listen())

    def close(self) -> None:
        """Cut everything and listen no more."""
        self._loop.run(self._close())

    def cut(self) -> None:
        """Reset all connections; new ones are taken."""
        self._loop.call(self._cut)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """All connections are reset and no new one is taken, meanwhile."""
        self._loop.run(self._close())
        try:
            yield
        finally:
            self._loop.run(self._listen())

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Connections stay open and new ones are taken, but no byte passes, meanwhile. What was held back passes afterwards."""
        self._loop.call(self._open.clear)
        try:
            yield
        finally:
            self._loop.call(self._open.set)

    @contextlib.contextmanager
    def slow(self, delay_seconds: float = 0.0, bytes_per_second: float = 0.0) -> Iterator[None]:
        """Every chunk is late by ``delay_seconds``, and passes at ``bytes_per_second`` (0: at once), meanwhile."""
        self._delay, self._rate = delay_seconds, bytes_per_second
        try:
            yield
        finally:
            self._delay = self._rate = 0.0

    def set_trap(self, trap: Trap) -> Trap:
        """Wait for a request."""
        self._loop.call(lambda: self._traps.append(trap))
        return trap

    def forget_traps(self) -> None:
        """Take away traps that have not sprung."""
        self._loop.call(self._traps.clear)

    # --- in the loop's thread -------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()

    def _cut(self) -> None:
        for connection in tuple(self._connections):
            connection.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(writer)
        self._connections.add(connection)
        try:
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._target)
            connection._server = server_writer
            for each in (writer, server_writer):
                each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            there = asyncio.ensure_future(self._requests(connection, reader, server_writer))
            back = asyncio.ensure_future(self._answers(connection, server_reader, writer))
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if connection.held is not None:
                await there
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
        except OSError:
            pass  # the server is away: the client's connection ends, as it would without us
        finally:
            connection.cut()
            self._connections.discard(connection)

    async def _requests(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if connection.asking:
                    connection.asking = False
                    connection.missing = _length(chunk)
                    connection.traps = [trap for trap in self._traps if trap.takes(chunk)]
                    self._spring(connection, Moment.BEFORE)
                if connection.held is not None:
                    await self._hold(connection.held, chunk, reader, writer)
                    return
                if connection.tear:
                    await self._pass(chunk[: len(chunk) // 2], writer)
                    connection.cut()
                    return
                await self._pass(chunk, writer)
                connection.missing -= len(chunk)
                if connection.missing <= 0:
                    self._spring(connection, Moment.SENT)

    async def _answers(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                self._spring(connection, Moment.ANSWERED)
                if connection.swallowing:
                    with contextlib.suppress(TimeoutError):
                        while await asyncio.wait_for(reader.read(_CHUNK), _QUIET_SECONDS):
                            pass
                    return
                connection.asking = connection.missing <= 0
                await self._pass(chunk, writer)

    async def _pass(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        if self._delay:
            await asyncio.sleep(self._delay)
        if self._rate:
            step = max(1, int(self._rate / 10))
            for at in range(0, len(chunk), step):
                writer.write(chunk[at : at + step])
                await writer.drain()
                await asyncio.sleep(0.1 if self._rate else 0)
        else:
            writer.write(chunk)
            await writer.drain()

    async def _hold(
        self, released: threading.Event, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Gather the whole request, wait, pass it on. What the server answers is read and dropped."""
        chunks = [first]
        loop = asyncio.get_running_loop()
        latest = loop.time() + _HELD_SECONDS
        while not released.is_set() and loop.time() < latest:
            with contextlib.suppress(TimeoutError, OSError):
                if more := await asyncio.wait_for(reader.read(_CHUNK), 0.05):
                    chunks.append(more)
                    continue
            await asyncio.sleep(0.05)
        if first.startswith(_HTTP):  # the server has closed the old connection, if it waited for long
            answers, writer = await asyncio.open_connection(LOOPBACK, self._target)
            writer.write(b"".join(chunks))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(answers.read(_CHUNK), _HELD_ANSWER_SECONDS)
            writer.transport.abort()
        else:
            writer.write(b"".join(chunks))
            await asyncio.sleep(_QUIET_SECONDS)

    def _spring(self, connection: Connection, moment: Moment) -> None:
        for trap in [trap for trap in connection.traps if trap.moment is moment]:
            connection.traps.remove(trap)
            trap.action(connection)
            if trap.times <= 0:
                trap.sprung.set()


def _length(chunk: bytes) -> int:
    """How long the request is that begins with this chunk; 0 where no HTTP header says so."""
    head, end, _ = chunk.partition(b"\r\n\r\n")
    told = _LENGTH.search(head)
    return len(head) + len(end) + int(told[1]) if chunk.startswith(_HTTP) and told else 0


class LoopThread:
    """An asyncio loop in a thread, for the proxies of a run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do ``work`` there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def call(self, function: Callable[[], object]) -> None:
        """Call a function there, and wait until it has returned."""
        done: Future[None] = Future()

        def run() -> None:
            function()
            done.set_result(None)

        self._loop.call_soon_threadsafe(run)
        done.result(10)

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Call a function there after a while."""
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, function)

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
