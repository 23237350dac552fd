"""Real frameworks, each instrumented with three lines: routes, statuses, errors, and what the service calls meanwhile."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import django
import flask
import httpx
import pytest
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path
from fastapi import APIRouter, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

import telemetry
from telemetry.sdk.testing import Recorder, recording

Get = Callable[[str], httpx.Response]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """What is recorded in tier ``api``."""
    with recording(tier="api") as one:
        yield one


def asgi(app: Any) -> Get:
    """A client of an ASGI application."""

    def get(url: str) -> httpx.Response:
        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(telemetry.ASGIMiddleware(app), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.get(url)

        return asyncio.run(main())

    return get


def wsgi(app: Any) -> Get:
    """A client of a WSGI application."""
    client = httpx.Client(transport=httpx.WSGITransport(app, raise_app_exceptions=False), base_url="http://service")
    return client.get


def starlette_app() -> Get:
    async def customer(request: Request) -> Response:
        async with telemetry.attempt("GET", "ledger"):
            await asyncio.sleep(0)
        return PlainTextResponse(request.path_params["id"])

    async def broken(_: Request) -> Response:
        raise RuntimeError("oh")

    routes = [Route("/customers/{id}", customer), Route("/broken", broken), Route("/stream/{id}", customer)]
    return asgi(Starlette(routes=[Mount("/v1", routes=routes)]))


def fastapi_app() -> Get:
    router = APIRouter(prefix="/v1")

    @router.get("/customers/{id}")
    async def customer(id: str) -> str:  # noqa: A002 - the route's parameter
        async with telemetry.attempt("GET", "ledger"):
            await asyncio.sleep(0)
        return id

    @router.get("/stream/{id}")
    def in_a_thread(id: str) -> str:  # noqa: A002 - the route's parameter
        with telemetry.attempt("GET", "ledger"):
            return id

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError("oh")

    @router.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418)

    app = FastAPI()
    app.include_router(router)
    return asgi(app)


def flask_app() -> Get:
    app = flask.Flask("service")
    blueprint = flask.Blueprint("v1", "v1", url_prefix="/v1")

    @blueprint.get("/customers/<id>")
    def customer(id: str) -> str:  # noqa: A002 - the route's parameter
        with telemetry.attempt("GET", "ledger"):
            return id

    @blueprint.get("/stream/<id>")
    def stream(id: str) -> flask.Response:  # noqa: A002 - the route's parameter
        def chunks() -> Iterator[str]:
            with telemetry.attempt("GET", "ledger"):
                yield id

        return flask.Response(chunks())

    @blueprint.get("/broken")
    def broken() -> str:
        raise RuntimeError("oh")

    app.register_blueprint(blueprint)
    app.wsgi_app = telemetry.WSGIMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # as Flask documents
    return wsgi(app)


def _django() -> None:
    """Django's settings and views, once a process."""
    if django_settings.configured:
        return
    urls: Any = ModuleType("edgepath_test_urls")

    def customer(_: HttpRequest, id: str) -> HttpResponse:  # noqa: A002 - the route's parameter
        with telemetry.attempt("GET", "ledger"):
            return HttpResponse(id)

    def stream(_: HttpRequest, id: str) -> StreamingHttpResponse:  # noqa: A002 - the route's parameter
        with telemetry.attempt("GET", "ledger"):
            return StreamingHttpResponse(iter([id]))

    def broken(_: HttpRequest) -> HttpResponse:
        raise RuntimeError("oh")

    inner = [path("customers/<str:id>", customer), path("broken", broken), re_path(r"stream/(?P<id>\w+)", stream)]
    urls.urlpatterns = [path("v1/", include(inner))]
    sys.modules["edgepath_test_urls"] = urls
    django_settings.configure(
        ROOT_URLCONF="edgepath_test_urls", ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None, MIDDLEWARE=[]
    )
    django.setup()


def django_wsgi_app() -> Get:
    _django()
    return wsgi(telemetry.WSGIMiddleware(get_wsgi_application()))


def django_asgi_app() -> Get:
    _django()
    return asgi(get_asgi_application())


APPS = {
    "starlette": (starlette_app, "/v1/customers/{id}"),
    "fastapi": (fastapi_app, "/v1/customers/{id}"),
    "flask": (flask_app, "/v1/customers/<id>"),
    "django, WSGI": (django_wsgi_app, "/v1/customers/<str:id>"),
    "django, ASGI": (django_asgi_app, "/v1/customers/<str:id>"),
}


@pytest.fixture(params=APPS)
def service(request: pytest.FixtureRequest) -> tuple[Get, str]:
    """A client of a service, and the route of its customers."""
    make, route = APPS[request.param]
    return make(), route


def test_a_request_has_its_route_and_its_attempt(recorder: Recorder, service: tuple[Get, str]) -> None:
    """The template, mounts and prefixes included; the call that the handler makes is its child."""
    get, route = service
    assert "7" in get("/v1/customers/7?a=b").text
    (hop,), (attempt,) = recorder.hops, recorder.attempts
    assert hop.name == f"GET {route}"
    assert hop.attributes["http.route"] == route
    assert hop.attributes["http.response.status_code"] == 200
    assert hop.attributes["url.path"] == "/v1/customers/7"
    assert not hop.failed
    assert (attempt.trace_id, attempt.parent_id) == (hop.trace_id, hop.span_id)


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_streams_and_threads(recorder: Recorder, service: tuple[Get, str]) -> None:
    """What the framework runs in a thread, or while the answer is sent, belongs to the same hop."""
    get, _ = service
    assert "7" in get("/v1/stream/7").text
    (hop,), (attempt,) = recorder.hops, recorder.attempts
    assert hop.attributes["http.response.status_code"] == 200
    assert (attempt.trace_id, attempt.parent_id) == (hop.trace_id, hop.span_id)


def test_what_nobody_handles(recorder: Recorder, service: tuple[Get, str]) -> None:
    """A 404 has no route of its own and is no failure of a server."""
    get, _ = service
    assert get("/v1/nothing").status_code == 404
    (hop,) = recorder.hops
    assert hop.attributes["http.response.status_code"] == 404
    assert hop.attributes.get("http.route") in (None, "/v1/{path}")  # Starlette's mount did match
    assert not hop.failed


def test_what_raises(recorder: Recorder, service: tuple[Get, str]) -> None:
    """The framework answers 500; the hop has failed, and says with which route."""
    get, _ = service
    assert get("/v1/broken").status_code == 500
    (hop,) = recorder.hops
    assert hop.failed
    assert hop.attributes["http.response.status_code"] == 500
    assert hop.attributes["http.route"] == "/v1/broken"
    ((labels, _),) = recorder.points("http.server.request.duration")
    assert labels["edgepath.outcome"] == "api_error"
