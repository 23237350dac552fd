"""The inbound hop of an ASGI service, as middleware. Pure ASGI 3: no framework is imported.

Source: ASGI specification 3.0, HTTP & WebSocket message format 2.4; semantic conventions, HTTP server spans.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from telemetry import vocabulary as v
from telemetry.sdk import django, http, log, setup
from telemetry.sdk.inbound import MARK, ROUTE, TENANT, Inbound

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


# FastAPI and Starlette can make SERVER spans themselves, and know by these keys that somebody did: one hop a request.
_FASTAPI: Final = "fastapi.telemetry"
_STARLETTE: Final = "starlette.opentelemetry"
_UNTOUCHED: Final = frozenset({MARK, _FASTAPI, _STARLETTE})


class ASGIMiddleware:
    """Makes every ``http`` request of ``app`` a hop. ``websocket`` passes through; the end of ``lifespan`` sends what waits.

    ::

        app = telemetry.ASGIMiddleware(app)

    The span goes from the call to the last chunk of the answer's body: background tasks that run after it do not count.
    The route is the one that the framework left in the scope (Starlette, FastAPI), that Django resolved, or that the
    application put under ``edgepath.route``. A caller that goes away before the
    answer is complete gives ``error.type`` ``cancelled``, if the application asked (``receive``) or was cancelled.
    Exceptions of the application pass unchanged.
    """

    def __init__(self, app: ASGIApp) -> None:
        django.watch(app)
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _UNTOUCHED.isdisjoint(scope):
            await self.app(scope, receive, _flushing(send) if scope["type"] == "lifespan" else send)
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


def _flushing(send: Send) -> Send:
    """``send`` of a lifespan: what waits is sent before the server hears that the application has shut down.

    uvicorn ends by the signal that asked it to, and so without the interpreter's exit handlers.
    """

    async def flushed(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            setup.flush()
        await send(message)

    return flushed


class _Exchange(Inbound):
    """One request on its way through the application."""

    __slots__ = ("_last", "_receive", "_root_path", "_scope", "_send", "_trailers")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._root_path: str = scope.get("root_path", "")
        self._last = self._trailers = False
        headers = scope.get("headers") or ()
        if not isinstance(headers, (list, tuple)):
            # The specification allows any iterable; the application must still find it full.
            scope["headers"] = headers = list(headers)
        attributes: http.Attributes = {}
        _describe(scope, headers, attributes)
        self._begin(scope["method"], scope.get("scheme", "http"), attributes, headers)
        scope[MARK] = True
        scope[_FASTAPI], scope[_STARLETTE] = None, True

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
            self._stop()
            # A framework answers 500 and then raises on what it was: that comes last, and says more.
            if self._status < 500:
                self.finish(None)

    def _is_last(self, kind: str, message: Message) -> bool:
        if kind == "http.response.body":
            return not message.get("more_body", False) and not self._trailers
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        return kind == "http.response.pathsend" and not self._trailers

    def _tenant(self) -> str | None:
        left = self._scope.get(TENANT)
        return left if isinstance(left, str) else None

    def _route(self) -> str | None:
        return _route(self._scope, self._root_path)


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
            http.put_host(attributes, value[:300].decode("latin-1"))


def _route(scope: Scope, root_path: str) -> str | None:
    """The template of the route that the framework matched, mounts before it included; ``None`` if it left none."""
    if isinstance(left := scope.get(ROUTE), str):
        return left
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
