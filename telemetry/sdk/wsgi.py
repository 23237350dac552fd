"""The inbound hop of a WSGI service, as middleware. No framework is imported.

Source: PEP 3333; semantic conventions, HTTP server spans.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from opentelemetry import context as otel_context

from telemetry import vocabulary as v
from telemetry.sdk import django, http, log
from telemetry.sdk.inbound import MARK, ROUTE, TENANT, Inbound

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_WERKZEUG: Final = "werkzeug.request"


class WSGIMiddleware:
    """Makes every request of ``app`` a hop.

    ::

        app.wsgi_app = telemetry.WSGIMiddleware(app.wsgi_app)               # Flask
        application = telemetry.WSGIMiddleware(get_wsgi_application())      # Django

    The span goes from the call until the server has taken the last chunk of the answer; of an answer that is a list, until
    it is returned. An answer that the server closes before its end was ``cancelled``. The route is the one that Flask or
    Django matched, or that the application put under ``edgepath.route`` into the environ. Exceptions pass unchanged.
    """

    def __init__(self, app: WSGIApp) -> None:
        django.watch(app)
        self.app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        if MARK in environ:
            return self.app(environ, start_response)
        try:
            exchange = _Exchange(environ, start_response)
        except Exception as failure:  # noqa: BLE001 - the request goes on without its telemetry
            log.internal("starting a span", failure)
            return self.app(environ, start_response)
        try:
            body = self.app(environ, exchange.start_response)
        except BaseException as error:
            exchange.finish(error)
            raise
        finally:
            exchange.detach()
        if isinstance(body, (list, tuple)) or _is_file(body, environ):
            # Nothing of the application runs any more, and servers treat these in ways of their own.
            exchange.complete()
            return body
        return _Body(body, exchange)


def _is_file(body: object, environ: Environ) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


class _Headers(Mapping[str, str]):
    """The request's headers in an environ."""

    def __init__(self, environ: Environ) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        value = self._environ["HTTP_" + name.upper().replace("-", "_")]
        return str(value)

    def __iter__(self) -> Iterator[str]:
        return (name[5:].replace("_", "-").lower() for name in self._environ if name.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Exchange(Inbound):
    """One request on its way through the application."""

    __slots__ = ("_environ", "_rule", "_start_response")

    def __init__(self, environ: Environ, start_response: StartResponse) -> None:
        self._environ, self._start_response = environ, start_response
        self._rule: str | None = None
        attributes: http.Attributes = {}
        _describe(environ, attributes)
        method, scheme = environ.get("REQUEST_METHOD", ""), environ.get("wsgi.url_scheme", "http")
        self._begin(method, scheme, attributes, _Headers(environ))
        environ[MARK] = True

    def start_response(self, status: str, *rest: Any) -> Callable[[bytes], object]:
        """Note the status and pass it on. It may come again, with ``exc_info``: the last one counts."""
        code = status[:3]
        self._status = int(code) if code.isascii() and code.isdigit() else 0
        # Now: Flask takes its request out of the environ when it is done.
        rule = getattr(getattr(self._environ.get(_WERKZEUG), "url_rule", None), "rule", None)
        self._rule = rule if isinstance(rule, str) else None
        return self._start_response(status, *rest)

    def complete(self) -> None:
        """The server has all of the answer."""
        self._stop()
        self.finish(None)

    def leave(self) -> None:
        """The server closed the answer before its end."""
        self._disconnected = True
        self.finish(None)

    @property
    def context(self) -> otel_context.Context:
        """The span's."""
        return self._context

    def _tenant(self) -> str | None:
        left = self._environ.get(TENANT)
        return left if isinstance(left, str) else None

    def _route(self) -> str | None:
        if isinstance(left := self._environ.get(ROUTE), str):
            return left
        # A Flask application mounted below another one does not know the path before its own.
        return None if self._rule is None else str(self._environ.get("SCRIPT_NAME", "")) + self._rule


class _Body:
    """An answer that the application makes while the server takes it. The span is current while the application runs."""

    def __init__(self, body: Iterable[bytes], exchange: _Exchange) -> None:
        self._body = body
        self._chunks: Iterator[bytes] | None = None
        self._exchange = exchange
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = otel_context.attach(self._exchange.context)
        try:
            if self._chunks is None:
                self._chunks = iter(self._body)
            return next(self._chunks)
        except StopIteration:
            self._over = True
            self._exchange.complete()
            raise
        except BaseException as error:
            self._over = True
            self._exchange.finish(error)
            raise
        finally:
            otel_context.detach(token)

    def close(self) -> None:
        """Called by the server at the end, whatever happened."""
        token = otel_context.attach(self._exchange.context)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            otel_context.detach(token)
            if not self._over:
                self._exchange.leave()


def _describe(environ: Environ, attributes: http.Attributes) -> None:
    """Write what the environ says about path, protocol, caller, and the Host and User-Agent headers."""
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    if path:
        # PEP 3333: bytes, decoded as Latin-1.
        attributes[v.URL_PATH[0]] = path[: http.PATH_LIMIT].encode("latin-1", "replace").decode("utf-8", "replace")
    protocol = environ.get("SERVER_PROTOCOL", "")
    if protocol.startswith("HTTP/"):
        attributes[v.PROTOCOL_VERSION] = protocol[5:]
    client = environ.get("REMOTE_ADDR")
    if client:
        attributes[v.CLIENT_ADDRESS[0]] = client
    agent = environ.get("HTTP_USER_AGENT")
    if agent:
        attributes[v.USER_AGENT] = agent[: http.USER_AGENT_LIMIT]
    host = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME', '')}:{environ.get('SERVER_PORT', '')}"
    if host != ":":
        http.put_host(attributes, host[:300])
