"""``/metrics`` and pages of JSON (``/healthz``, ``/readyz``) over HTTP, from a thread of their own."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_IDLE_SECONDS: Final = 10.0  # a client that says nothing is let go
_FLAG: Final = "--observe"


Page = Callable[[], tuple[bool, Mapping[str, Any]]]
"""Whether all is well (else the status is 503), and what is told."""


class ObserveServer:
    """Answers probes and scrapes. Anybody who can connect may read: it tells no secrets, and takes nothing in.

    Args:
        host, port: where; port 0 takes a free one.
        registry: what ``/metrics`` shows.
        pages: what else there is, by its path.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, pages: Mapping[str, Page]) -> None:
        self._host = host
        self._port = port
        self._metrics = make_wsgi_app(registry)
        self._pages = dict(pages)
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
        if environ["PATH_INFO"] == "/metrics":
            return self._metrics(environ, start_response)  # type: ignore[no-any-return]
        page = self._pages.get(environ["PATH_INFO"])
        if page is None:
            here = ["/metrics", *self._pages]
            return _say(start_response, "404 Not Found", {"error": f"here are {', '.join(here[:-1])} and {here[-1]}"})
        well, told = page()
        return _say(start_response, "200 OK" if well else "503 Service Unavailable", {"ok": well, **told})


def _say(start_response: "StartResponse", status: str, body: Mapping[str, Any]) -> Iterable[bytes]:
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
