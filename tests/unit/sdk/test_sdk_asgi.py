"""The ASGI middleware, driven by hand and under Starlette."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

import telemetry
from telemetry.sdk.asgi import ASGIApp, Message, Receive, Scope, Send
from telemetry.sdk.testing import Recorder, recording

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b"x"}
CHUNK: Message = {"type": "http.response.body", "body": b"x", "more_body": True}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(tier="api") as one:
        yield one


def scope(**changes: Any) -> Scope:
    """A good HTTP scope with some keys changed."""
    return {
        "type": "http",
        "method": "GET",
        "path": "/v1/x",
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
        "headers": [(b"host", b"api.example.com:8443"), (b"user-agent", b"test/1")],
        "client": ("198.51.100.7", 5555),
        **changes,
    }


def drive(app: ASGIApp, given: Scope | None = None, inbound: list[Message] | None = None) -> list[Message]:
    """Run one request through the middleware; the messages it sent."""
    sent: list[Message] = []
    messages = iter(inbound or [])

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(telemetry.ASGIMiddleware(app)(given or scope(), receive, send))
    return sent


def answering(*messages: Message) -> ASGIApp:
    """An application that sends ``messages``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        for message in messages:
            await send(message)

    return app


def get(app: ASGIApp, path: str, **options: Any) -> httpx.Response:
    """One GET through httpx."""

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app=telemetry.ASGIMiddleware(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get(path, **options)

    return asyncio.run(main())


async def hello(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    return PlainTextResponse("hello")


def test_a_request_is_a_server_span_under_its_caller(recorder: Recorder) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    given = scope(path="/v1/x")
    given["headers"].append((b"traceparent", f"00-{trace_id}-00f067aa0ba902b7-01".encode()))
    assert drive(answering(START, END), given) == [START, END]
    (hop,) = recorder.spans
    assert (hop.name, hop.kind, hop.trace_id, hop.parent_id) == ("GET", SpanKind.SERVER, trace_id, "00f067aa0ba902b7")
    assert hop.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/v1/x",
        "network.protocol.version": "1.1",
        "client.address": "198.51.100.7",
        "server.address": "api.example.com",
        "server.port": 8443,
        "user_agent.original": "test/1",
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/v1/customers/7?card=4111", 200, "/v1/customers/{id}"),
        ("/acme/admin/users/bob", 200, "/{tenant}/admin/users/{name}"),
        ("/v1/none", 404, None),
        ("/fail", 500, "/fail"),
    ],
)
def test_the_route_is_starlettes_template(recorder: Recorder, path: str, status: int, route: str | None) -> None:
    async def fail(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        raise LookupError("no such card 4111111111111111")

    admin = Mount("/{tenant}/admin", routes=[Route("/users/{name}", hello)])
    app = Starlette(routes=[Route("/v1/customers/{id:int}", hello), Route("/fail", fail), admin])
    assert get(app, path).status_code == status
    (hop,) = recorder.spans
    assert hop.name == (f"GET {route}" if route else "GET")
    assert hop.attributes.get("http.route") == route
    assert hop.attributes["http.response.status_code"] == status
    assert hop.failed is (status == 500)
    assert hop.attributes.get("error.type") == ("LookupError" if status == 500 else None)
    assert "4111" not in str(hop)


def test_the_path_of_a_mount_that_serves_by_itself(recorder: Recorder) -> None:
    app = Starlette(routes=[Mount("/static", app=answering(START, END))])
    assert get(app, "/static/logo.svg").status_code == 200
    assert recorder.spans[0].attributes["http.route"] == "/static/{path}"


def test_the_span_ends_with_the_body_not_with_the_background_task(recorder: Recorder) -> None:
    seen: list[int] = []

    async def after() -> None:
        seen.append(len(recorder.spans))

    async def endpoint(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
        return PlainTextResponse("x", background=BackgroundTask(after))

    get(Starlette(routes=[Route("/", endpoint)]), "/")
    assert seen == [1]


def test_a_streamed_answer_ends_at_its_last_chunk(recorder: Recorder) -> None:
    open_spans: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        await send(START)
        for message in (CHUNK, CHUNK, END):
            open_spans.append(len(recorder.spans))
            await send(message)

    drive(app)
    assert open_spans == [0, 0, 0]
    assert not recorder.spans[0].failed


def test_trailers_belong_to_the_answer(recorder: Recorder) -> None:
    trailers: Message = {"type": "http.response.trailers", "headers": []}
    drive(answering({**START, "trailers": True}, END, trailers))
    assert not recorder.spans[0].failed


def test_a_caller_that_leaves_before_the_end_is_cancelled(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        await send(START)
        await send(CHUNK)
        assert (await receive())["type"] == "http.disconnect"

    drive(app, inbound=[{"type": "http.disconnect"}])
    assert recorder.spans[0].attributes["error.type"] == "cancelled"
    assert recorder.spans[0].failed


def test_a_disconnect_after_the_answer_is_the_usual_end(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        await send(START)
        await send(END)
        await receive()

    drive(app, inbound=[{"type": "http.disconnect"}])
    assert not recorder.spans[0].failed


def test_a_disconnect_while_the_last_chunk_is_on_its_way_is_the_usual_end(recorder: Recorder) -> None:
    """Some servers wake the waiting ``receive`` before ``send`` of the last chunk returns."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        listener = asyncio.create_task(_consume(receive))
        await asyncio.sleep(0)
        await send(START)
        await send(END)
        await listener

    async def main() -> None:
        gone = asyncio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message is END:
                gone.set()
                for _ in range(3):
                    await asyncio.sleep(0)

        await telemetry.ASGIMiddleware(app)(scope(), receive, send)

    asyncio.run(main())
    assert not recorder.spans[0].failed


async def _consume(receive: Callable[[], Awaitable[Message]]) -> None:
    await receive()


def test_a_send_that_fails_because_the_caller_left_is_cancelled(recorder: Recorder) -> None:
    async def send(message: Message) -> None:  # noqa: ARG001 - ASGI's signature
        raise BrokenPipeError

    async def receive() -> Message:
        return {}

    with pytest.raises(BrokenPipeError):
        asyncio.run(telemetry.ASGIMiddleware(answering(START))(scope(), receive, send))
    assert recorder.spans[0].attributes["error.type"] == "cancelled"


def test_a_cancelled_request_is_cancelled_and_stays_so(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(telemetry.ASGIMiddleware(app)(scope(), _never, _ignore))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert recorder.spans[0].attributes["error.type"] == "cancelled"


async def _never() -> Message:
    return await asyncio.Future()


async def _ignore(message: Message) -> None:
    """Take ``message``."""


def test_a_500_that_is_only_an_answer_is_named_after_its_status(recorder: Recorder) -> None:
    drive(answering({**START, "status": 503}, END))
    assert recorder.spans[0].attributes["error.type"] == "503"


def test_exceptions_pass_unchanged(recorder: Recorder) -> None:
    raised = ValueError("boom")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        raise raised

    with pytest.raises(ValueError, match="boom") as caught:
        drive(app)
    assert caught.value is raised
    assert recorder.spans[0].attributes["error.type"] == "ValueError"


@pytest.mark.parametrize("messages", [(), (START,), (START, CHUNK)])
def test_half_an_answer_is_a_failure(recorder: Recorder, messages: tuple[Message, ...]) -> None:
    drive(answering(*messages))
    assert recorder.spans[0].attributes["error.type"] == "incomplete_response"


def test_the_end_of_a_lifespan_sends_what_waits(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the server hears of it: uvicorn does not run exit handlers. Other messages pass at once."""
    said: list[object] = []
    monkeypatch.setattr("telemetry.sdk.setup.flush", lambda: said.append("flush"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def send(message: Message) -> None:
        said.append(message["type"])

    asyncio.run(telemetry.ASGIMiddleware(app)({"type": "lifespan"}, _never, send))
    assert said == ["lifespan.startup.complete", "flush", "lifespan.shutdown.complete"]
    assert recorder.spans == []


@pytest.mark.parametrize("key", ["fastapi.telemetry", "starlette.opentelemetry"])
def test_what_a_framework_has_made_a_span_of_gets_no_second_one(recorder: Recorder, key: str) -> None:
    """FastAPI and Starlette can do it themselves; below this middleware they see that it is done."""
    inner: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        inner.append(scope)
        await send(START)
        await send(END)

    drive(app, scope(**{key: True}))
    assert recorder.spans == []
    drive(app, scope())
    assert len(recorder.spans) == 1
    assert key in inner[1]


@pytest.mark.parametrize("kind", ["websocket"])
def test_other_scopes_pass_untouched(recorder: Recorder, kind: str) -> None:
    seen: list[object] = []

    async def app(*arguments: object) -> None:
        seen.extend(arguments)

    given: Scope = {"type": kind}
    asyncio.run(telemetry.ASGIMiddleware(app)(given, _never, _ignore))
    assert seen == [given, _never, _ignore]
    assert given == {"type": kind}
    assert recorder.spans == []


def test_an_application_wrapped_twice_makes_one_hop(recorder: Recorder) -> None:
    drive(telemetry.ASGIMiddleware(answering(START, END)))
    assert len(recorder.spans) == 1


def test_calls_inside_belong_to_the_hop_and_nothing_leaks_out(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        with telemetry.attempt("GET", "api"):
            pass
        await send(START)
        await send(END)

    async def main() -> None:
        await telemetry.ASGIMiddleware(app)(scope(), _never, _ignore)
        assert trace.get_current_span() is trace.INVALID_SPAN

    asyncio.run(main())
    assert recorder.attempts[0].parent_id == recorder.hops[0].span_id


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": []},
        {"headers": [(b"traceparent", b"\xff\xfe"), (b"baggage", b"=;,\x00" * 500), (b"tracestate", b"," * 5000)]},
        {"headers": [(b"host", b"[::1]:x"), (b"user-agent", b"\xff" * 100_000)]},
        {"headers": [(b"host", b"[2001:db8::1]")], "client": None, "http_version": ""},
        {"path": "/" + "x" * 1_000_000},
        {"method": "\udcff\n"},
        {"headers": None, "scheme": None},
        {"method": None},
        {"route": object()},
    ],
)
def test_hostile_scopes_never_reach_the_application(recorder: Recorder, changes: dict[str, Any]) -> None:
    """The answer is the same as without the middleware, and what is kept is bounded."""
    assert drive(answering(START, END), scope(**changes)) == [START, END]
    assert all(len(str(span)) < 4000 for span in recorder.spans)


def test_headers_that_can_be_read_once_are_still_there_for_the_application(recorder: Recorder) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        assert list(scope["headers"]) == [(b"host", b"h")]
        await send(START)
        await send(END)

    drive(app, scope(headers=iter([(b"host", b"h")])))
    assert recorder.spans[0].attributes["server.address"] == "h"


def test_request_metrics(recorder: Recorder) -> None:
    get(Starlette(routes=[Route("/v1/{id}", hello)]), "/v1/9")
    ((labels, seconds),) = recorder.points("http.server.request.duration")
    assert labels == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/v1/{id}",
        "http.response.status_code": 200,
        "edgepath.outcome": "ok",
    }
    assert 0 < seconds < 5
    assert [value for _, value in recorder.points("http.server.active_requests")] == [0]
