"""Serves the page from a thread of this process."""

import errno
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from telemetry.errors import ConfigurationError


class WebServer:
    """uvicorn in a thread.

    Attributes:
        host: address that it listens on.
        port: port that it listens on, known after :meth:`start` when 0 was asked for.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 8080) -> None:
        self.host = host
        self.port = port
        self._app = app
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The page's address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def start(self) -> None:
        """Bind the port and serve; returns when requests are answered.

        Raises:
            ConfigurationError: the port is in use or may not be bound.
        """
        listener = _bind(self.host, self.port)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        ended = threading.Event()

        def serve() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                ended.set()
                listener.close()

        self._server = server
        self._thread = threading.Thread(target=serve, name="edgepath-web", daemon=True)
        self._thread.start()
        while not server.started and not ended.wait(0.01):
            pass
        if not server.started:
            raise ConfigurationError(f"the web page did not start on {self.host}:{self.port}; see the log above")

    def stop(self) -> None:
        """Stop serving and give back the port; does nothing the second time."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.should_exit = True
            thread.join(timeout=10)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigurationError(_why(host, port, error)) from error
    return listener


def _why(host: str, port: int, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another program; choose another with --web-port"
    if code == errno.EACCES:
        return f"port {port} on {host} may not be bound by this user; choose one above 1023 with --web-port"
    return f"cannot listen on {host}:{port}: {error}; choose another with --web-port"
