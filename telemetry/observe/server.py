"""``/metrics``, ``/healthz`` and ``/readyz`` over HTTP, from a thread of their own."""

import json
import socket
import threading
from collections.abc import Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from telemetry.errors import ConfigurationError
from telemetry.observe.health import Health, Judgement
from telemetry.observe.model import Look

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_IDLE_SECONDS: Final = 10.0  # a client that says nothing is let go
_FLAG: Final = "--observe"


class ObserveServer:
    """Answers probes and scrapes. Anybody who can connect may read: it tells no secrets, and takes nothing in.

    Args:
        host, port: where; port 0 takes a free one.
        look: gives the snapshot.
        health: judges it.
        registry: what ``/metrics`` shows.
    """

    def __init__(self, host: str, port: int, look: Look, health: Health, registry: CollectorRegistry) -> None:
        self._host = host
        self._port = port
        self._look = look
        self._health = health
        self._metrics = make_wsgi_app(registry)
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        kind = _SixServer if ":" in self._host else _Server
        try:
            self._server = make_server(self._host, self._port, self._answer, kind, _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"cannot listen on {self._host}:{self._port} for metrics and probes: {error}; "
                f"choose another address with {_FLAG} HOST:PORT, or {_FLAG} off"
            ) from error
        self._port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="edgepath-observe", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Listen no more. Does nothing the second time."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            server.server_close()
            self._thread.join(5)

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET":
            return _say(start_response, "405 Method Not Allowed", {"error": "only GET"})
        match environ["PATH_INFO"]:
            case "/metrics":
                return self._metrics(environ, start_response)  # type: ignore[no-any-return]
            case "/healthz":
                return _judged(start_response, self._health.alive(self._look()), {})
            case "/readyz":
                now = self._look()
                more = {
                    "partitions": len(now.lag),
                    "lag": sum(lag.records for lag in now.lag),
                    "paused": now.paused,
                    "warnings": list(now.warnings),
                }
                return _judged(start_response, self._health.ready(now), more)
            case _:
                return _say(start_response, "404 Not Found", {"error": "here are /metrics, /healthz and /readyz"})


def _judged(start_response: "StartResponse", judgement: Judgement, more: dict[str, Any]) -> Iterable[bytes]:
    status = "200 OK" if judgement.well else "503 Service Unavailable"
    return _say(start_response, status, {"ok": judgement.well, "reasons": list(judgement.reasons), **more})


def _say(start_response: "StartResponse", status: str, body: dict[str, Any]) -> Iterable[bytes]:
    text = (json.dumps(body) + "\n").encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
    return [text]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is no event."""

    def server_bind(self) -> None:
        """Bind, and do not ask DNS for our own name as the base class does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _SixServer(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: a scrape every few seconds is no event."""
