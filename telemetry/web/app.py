"""The web page: draws the dashboards' JSON files out of a store, and shows open pages."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any, Final

import anyio
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telemetry.errors import EdgepathError, MalformedError, UnavailableError
from telemetry.store.base import Store
from telemetry.web.boards import Board, load_boards
from telemetry.web.runner import Limits, Runner, View
from telemetry.web.timerange import parse_range
from telemetry.web.variables import Variable, choose

HOME: Final = "edgepath-overview"
_STATIC: Final = Path(str(resources.files("telemetry.web"))) / "static"
_QUERIES_AT_ONCE: Final = 4

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

OpenPages = Callable[[], Sequence[Mapping[str, object]]]
Troubles = Callable[[], Sequence[str]]
Status = Callable[[], Mapping[str, object]]


def default_dashboards() -> Path:
    """Where the generated dashboards of this installation lie."""
    return Path(str(resources.files("dashboards"))) / "generated"


def create_app(
    store: Store,
    dashboards: Path | None = None,
    *,
    title: str = "Edgepath",
    status: Status | None = None,
    pages: OpenPages | None = None,
    troubles: Troubles | None = None,
    limits: Limits | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """The page over ``store``.

    Args:
        store: where the panels' queries run, reading only.
        dashboards: directory of dashboard JSON files; the generated ones by default.
        title: the product's name at the head of the page.
        status: short facts for the head of the page and ``/healthz``, label to value; called often, must be quick.
        pages: the pages open now, each ``{"slo", "severity": "page" | "ticket", "summary", "since": ISO 8601}`` and, if there
            is one, ``"link"``, an address on this page that begins with ``/``.
        troubles: why the process behind it does not do its work, a line each, for ``/readyz``; must be quick.
        limits: what one query may cost.
        now: the clock.

    Raises:
        ConfigurationError: the dashboards cannot be used.
    """
    site = _Site(
        boards=load_boards(dashboards or default_dashboards()),
        runner=Runner(store, limits),
        title=title,
        status=status or dict,
        pages=pages or tuple,
        troubles=troubles or tuple,
        now=now,
    )
    return Starlette(
        routes=[
            Route("/", site.home),
            Route("/d/{uid}", site.page),
            Route("/healthz", site.health),
            Route("/readyz", site.ready),
            Route("/api/boards", site.list_boards),
            Route("/api/state", site.state),
            Route("/api/boards/{uid}", site.board),
            Route("/api/boards/{uid}/options", site.options),
            Route("/api/boards/{uid}/panels/{panel:int}", site.panel),
            Route("/vendor/plotly.js", site.plotly),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(_Headers)],
        exception_handlers={EdgepathError: _error, HTTPException: _http_error},
    )


class _Site:
    """The routes and what they share."""

    def __init__(
        self,
        boards: dict[str, Board],
        runner: Runner,
        title: str,
        status: Status,
        pages: OpenPages,
        troubles: Troubles,
        now: Callable[[], datetime],
    ) -> None:
        self._boards = boards
        self._runner = runner
        self._title = title
        self._status = status
        self._pages = pages
        self._troubles = troubles
        self._now = now
        self._slots = anyio.CapacityLimiter(_QUERIES_AT_ONCE)

    async def home(self, _: Request) -> Response:
        return RedirectResponse(f"/d/{HOME if HOME in self._boards else next(iter(self._boards))}", status_code=302)

    async def page(self, request: Request) -> Response:
        known = request.path_params["uid"] in self._boards
        return FileResponse(_STATIC / "index.html", status_code=200 if known else 404)

    async def health(self, _: Request) -> Response:
        try:
            await anyio.to_thread.run_sync(self._runner.ready)
        except EdgepathError as error:
            return JSONResponse({"status": "failing", "error": str(error)}, status_code=503)
        return JSONResponse({"status": "ok", **await anyio.to_thread.run_sync(self._status)})

    async def ready(self, _: Request) -> Response:
        """As a consumer's and a watcher's: for whoever wants to know whether work gets done."""
        reasons = list(await anyio.to_thread.run_sync(self._troubles))
        try:
            await anyio.to_thread.run_sync(self._runner.ready)
        except EdgepathError as error:
            reasons.append(f"the page cannot ask ClickHouse: {error}")
        return JSONResponse({"ok": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)

    async def list_boards(self, _: Request) -> Response:
        boards = [{"uid": board.uid, "title": board.title} for board in self._boards.values()]
        return JSONResponse({"title": self._title, "boards": boards})

    async def state(self, _: Request) -> Response:
        pages = await anyio.to_thread.run_sync(self._pages)
        status = await anyio.to_thread.run_sync(self._status)
        return JSONResponse({"pages": [dict(page) for page in pages], "status": dict(status)})

    async def board(self, request: Request) -> Response:
        board = self._board(request)
        return JSONResponse({**board.layout, "variables": [_described(v) for v in board.variables]})

    async def options(self, request: Request) -> Response:
        board = self._board(request)
        view = self._view(request, board)
        found = {
            v.name: await self._in_thread(partial(self._runner.options, board, v, view))
            for v in board.variables
            if v.kind in {"query", "custom"}
        }
        return JSONResponse(found)

    async def panel(self, request: Request) -> Response:
        board = self._board(request)
        panel = board.panels.get(request.path_params["panel"])
        if panel is None:
            raise HTTPException(404, "no such panel")
        view = self._view(request, board)
        return JSONResponse(await self._in_thread(partial(self._runner.panel, board, panel, view)))

    async def plotly(self, request: Request) -> Response:
        headers = {"cache-control": "public, max-age=86400", "vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            body = await anyio.to_thread.run_sync(partial(_plotly, packed=True))
            headers["content-encoding"] = "gzip"
        else:
            body = await anyio.to_thread.run_sync(partial(_plotly, packed=False))
        return Response(body, media_type="text/javascript", headers=headers)

    def _board(self, request: Request) -> Board:
        board = self._boards.get(request.path_params["uid"])
        if board is None:
            raise HTTPException(404, "no such dashboard")
        return board

    def _view(self, request: Request, board: Board) -> View:
        asked = request.query_params
        default = board.layout["time"]
        range_ = parse_range(asked.get("from", default["from"]), asked.get("to", default["to"]), self._now())
        given = {v.name: asked.getlist(f"var-{v.name}") for v in board.variables}
        return View(range_, choose(board.variables, given))

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await anyio.to_thread.run_sync(work, limiter=self._slots)


def _described(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "kind": variable.kind,
        "multi": variable.multi,
        "includeAll": variable.include_all,
        "hidden": variable.hidden,
        "description": variable.description,
        "default": list(variable.default),
    }


@cache
def _plotly(*, packed: bool) -> bytes:
    """plotly.js as the installed ``plotly`` package brings it."""
    script = (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return gzip.compress(script, 6) if packed else script


async def _error(_: Request, error: Exception) -> Response:
    code = 400 if isinstance(error, MalformedError) else 503 if isinstance(error, UnavailableError) else 500
    return JSONResponse({"error": str(error)}, status_code=code)


async def _http_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


class _Headers:
    """Security headers on every response; answers about data are never cached."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = _CSP
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "no-referrer"
                headers.setdefault("cache-control", "no-cache" if scope["path"].startswith("/static") else "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)
