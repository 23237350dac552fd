"""The inbound hop of an ASGI service, as middleware. Pure ASGI 3: no framework is imported.

Source: ASGI specification 3.0, HTTP & WebSocket message format 2.4; semantic conventions, HTTP server spans.
"""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from time import perf_counter_ns, time_ns
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from telemetry import vocabulary as v
from telemetry.sdk import http, log, propagation, runtime

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_ERROR: Final = trace.Status(StatusCode.ERROR)
_MARK: Final = "edgepath.hop"
"""Key in a scope that has its hop already: an application wrapped twice makes one hop."""


class ASGIMiddleware:
    """Makes every ``http`` request of ``app`` a hop; ``websocket`` and ``lifespan`` pass through untouched.

    ::

        app = telemetry.ASGIMiddleware(app)

    The span goes from the call to the last chunk of the answer's body: background tasks that run after it do not count.
    The route is the one that the framework left in the scope (Starlette, FastAPI). A caller that goes away before the
    answer is complete gives ``error.type`` ``cancelled``, if the application asked (``receive``) or was cancelled.
    Exceptions of the application pass unchanged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _MARK in scope:
            await self.app(scope, receive, send)
            return
        try:
            exchange = _Exchange(scope, receive, send)
        except Exception as failure:  # noqa: BLE001 - the request goes on without its telemetry
            log.internal("starting a span", failure)
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.finish(error)
            raise
        else:
            exchange.finish(None)
        finally:
            exchange.detach()


class _Exchange:
    """One request on its way through the application."""

    __slots__ = (
        "_active", "_begun", "_context", "_disconnected", "_done", "_labels", "_last", "_receive",
        "_root_path", "_scope", "_send", "_span", "_started", "_status", "_token", "_took", "_trailers", "_word",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._active = active = runtime.current()
        self._root_path: str = scope.get("root_path", "")
        self._status = self._took = 0
        self._done = self._disconnected = self._last = self._trailers = False
        attributes: http.Attributes = {v.URL_SCHEME: scope.get("scheme", "http")}
        self._word = http.put_method(attributes, scope["method"])
        self._labels: http.Attributes = {v.METHOD[0]: attributes[v.METHOD[0]], v.URL_SCHEME: attributes[v.URL_SCHEME]}
        headers = scope.get("headers") or ()
        if not isinstance(headers, (list, tuple)):
            # The specification allows any iterable; the application must still find it full.
            scope["headers"] = headers = list(headers)
        _describe(scope, headers, attributes)
        parent = propagation.extract(headers)
        # Durations come from the monotonic clock: a step of the wall clock must not change them.
        self._begun = begun = time_ns()
        self._started = perf_counter_ns()
        self._span = active.tracer.start_span(
            self._word, parent, SpanKind.SERVER, attributes, start_time=begun, record_exception=False
        )
        self._context = trace.set_span_in_context(self._span, parent)
        active.active_requests.add(1, self._labels)
        self._token = otel_context.attach(self._context)
        scope[_MARK] = True

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._last:
            self._disconnected = True
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message.get("status", 0)
            self._trailers = message.get("trailers", False)
        # Servers report a disconnect after every complete answer, too: from here on it says nothing.
        self._last = last = self._is_last(kind, message)
        try:
            await self._send(message)
        except OSError:
            # ASGI 2.4: the caller has gone.
            self._disconnected = True
            raise
        if last and not self._done:
            self._took = perf_counter_ns() - self._started
            # A framework answers 500 and then raises on what it was: that comes last, and says more.
            if self._status < 500:
                self.finish(None)

    def _is_last(self, kind: str, message: Message) -> bool:
        if kind == "http.response.body":
            return not message.get("more_body", False) and not self._trailers
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        return kind == "http.response.pathsend" and not self._trailers

    def finish(self, raised: BaseException | None) -> None:
        """End the span, once, as of the last chunk of the answer if it was sent. Never raises."""
        if self._done:
            return
        self._done = True
        try:
            self._finish(raised)
        except Exception as failure:  # noqa: BLE001 - never reaches the host
            log.internal("ending a span", failure)

    def _finish(self, raised: BaseException | None) -> None:
        took = self._took or perf_counter_ns() - self._started
        span, status, labels = self._span, self._status, self._labels
        error: str | None = None
        if self._disconnected or isinstance(raised, CancelledError):
            error = v.CANCELLED
        elif raised is not None:
            error = http.error_name(raised)
        elif not self._took:
            error = v.INCOMPLETE
        elif status >= 500:
            error = str(status)
        self._active.active_requests.add(-1, labels)
        late: http.Attributes = {}
        route = _route(self._scope, self._root_path)
        if route is not None:
            late[v.ROUTE[0]] = route
        if status:
            late[v.STATUS[0]] = status
        if error is not None:
            late[v.ERROR_TYPE[0]] = error
        if span.is_recording():
            span.set_attributes(late)
            if route is not None:
                span.update_name(f"{self._word} {route}")
            if error is not None:
                span.set_status(_ERROR)
        span.end(self._begun + took)
        self._active.server_duration.record(took / 1e9, labels | late, self._context)

    def detach(self) -> None:
        otel_context.detach(self._token)


def _describe(scope: Scope, headers: Sequence[tuple[bytes, bytes]], attributes: http.Attributes) -> None:
    """Write what the scope says about path, protocol, caller, and the Host and User-Agent headers."""
    path = scope.get("path")
    if path:
        attributes[v.URL_PATH[0]] = path[: http.PATH_LIMIT]
    version = scope.get("http_version")
    if version:
        attributes[v.PROTOCOL_VERSION] = version
    client = scope.get("client")
    if client and client[0]:
        attributes[v.CLIENT_ADDRESS[0]] = client[0]
    for name, value in headers:
        if name == b"user-agent":
            attributes[v.USER_AGENT] = value[: http.USER_AGENT_LIMIT].decode("latin-1")
        elif name == b"host":
            _put_host(attributes, value[:300].decode("latin-1"))


def _put_host(attributes: http.Attributes, host: str) -> None:
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host, ""
    attributes[v.SERVER_ADDRESS] = name.strip("[]")[:255]
    if port.isascii() and port.isdigit():
        attributes[v.SERVER_PORT] = int(port)


def _route(scope: Scope, root_path: str) -> str | None:
    """The template of the route that the framework matched, mounts before it included; ``None`` if it left none."""
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    if not isinstance(path, str):
        return None
    here: str = scope.get("root_path", "")
    if len(here) <= len(root_path):
        return path
    # Under a mount. What the mount's own parameters matched must not get into the template.
    names = {str(value): f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    prefix = "/".join(names.get(part, part) for part in here[len(root_path) :].split("/"))
    return prefix + (path if hasattr(route, "endpoint") else "/{path}")
