"""OTLP over HTTP: protobuf and JSON, compressed or not. Starlette on uvicorn, in a thread of its own."""

import math
import socket
import threading
from typing import Final

import uvicorn

from telemetry.errors import UnavailableError
from telemetry.feeds.otlp.counters import Counters
from telemetry.feeds.otlp.http_app import application
from telemetry.feeds.otlp.intake import Intake
from telemetry.feeds.otlp.limits import Limits
from telemetry.feeds.otlp.ports import listen
from telemetry.feeds.sink import Sink

DEFAULT_PORT: Final = 4318
_START_SECONDS: Final = 10.0


class HttpReceiver:
    """Listens for OTLP/HTTP in a thread of its own.

    Args:
        sink: takes the trace requests.
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        limits: bounds on what clients may send.
        counters: what is counted where.
        metrics: takes the metric requests; without it they are counted and let go.
        flag: the command's option that sets the port, for messages.
    """

    def __init__(
        self,
        sink: Sink,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        limits: Limits | None = None,
        counters: Counters | None = None,
        *,
        metrics: Sink | None = None,
        flag: str = "--http-port",
    ) -> None:
        self._limits = limits or Limits()
        self.counters = counters or Counters()
        self.host = host
        self.port = port
        self._flag = flag
        self._intake = Intake(sink, metrics, self.counters, self._limits.retry_after_seconds)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; ``port`` is the real one afterwards.

        Raises:
            ConfigurationError: the port cannot be taken.
            UnavailableError: the server did not start in time.
        """
        bound = listen(self.host, self.port, self._flag)
        self.port = bound.getsockname()[1]
        config = uvicorn.Config(
            application(self._intake, self._limits),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([bound],), name="otlp-http", daemon=True)
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS):
            self.stop(0)
            raise UnavailableError(f"the OTLP/HTTP receiver on port {self.port} did not start")

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Take no more requests, finish those in work within ``grace_seconds``. Does nothing the second time."""
        if self._server is None or self._thread is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, math.ceil(grace_seconds))
        self._server.should_exit = True
        self._thread.join(grace_seconds + _START_SECONDS)
        self._server = self._thread = None


class _Server(uvicorn.Server):
    """Tells when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self.ready.set()
