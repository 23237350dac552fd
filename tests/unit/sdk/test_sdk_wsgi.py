"""The WSGI middleware: plain PEP 3333, and under a real server (wsgiref), streams and callers that leave included."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import FileWrapper, setup_testing_defaults

import httpx
import pytest
from opentelemetry import trace

import telemetry
from telemetry.sdk.testing import Recorder, recording
from telemetry.sdk.wsgi import Environ, StartResponse, WSGIApp


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """What is recorded in tier ``api``."""
    with recording(tier="api") as one:
        yield one


def answering(*chunks: bytes, status: str = "200 OK") -> WSGIApp:
    """An application that answers with a list."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001 - WSGI's signature
        start_response(status, [("content-type", "text/plain")])
        return list(chunks)

    return app


def call(app: WSGIApp, **environ: Any) -> bytes:
    """The body of one answer, taken as a server takes it."""
    given: Environ = {}
    setup_testing_defaults(given)

    def start_response(*_: object) -> Callable[[bytes], object]:
        return lambda _: None

    body = telemetry.WSGIMiddleware(app)({**given, **environ}, start_response)
    try:
        return b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def test_a_request_is_a_hop(recorder: Recorder) -> None:
    """Attributes by the conventions, the caller's trace as parent."""
    call(
        answering(b"x"),
        REQUEST_METHOD="POST",
        SCRIPT_NAME="/api",
        PATH_INFO="/v1/gr\xc3\xb6\xc3\x9fe",
        QUERY_STRING="secret=1",
        SERVER_PROTOCOL="HTTP/1.1",
        REMOTE_ADDR="203.0.113.9",
        HTTP_HOST="api.example.com:8443",
        HTTP_USER_AGENT="t/1",
        HTTP_TRACEPARENT="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    (hop,) = recorder.hops
    assert (hop.trace_id, hop.parent_id) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert hop.name == "POST"
    assert hop.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "url.path": "/api/v1/größe",
        "network.protocol.version": "1.1",
        "client.address": "203.0.113.9",
        "server.address": "api.example.com",
        "server.port": 8443,
        "user_agent.original": "t/1",
        "http.response.status_code": 200,
    }


def test_request_metrics(recorder: Recorder) -> None:
    """Duration with outcome, and nobody is left active."""
    call(answering(b"", status="503 Oh"))
    ((labels, seconds),) = recorder.points("http.server.request.duration")
    assert labels == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.response.status_code": 503,
        "error.type": "503",
        "edgepath.outcome": "api_error",
    }
    assert 0 < seconds < 5
    assert [value for _, value in recorder.points("http.server.active_requests")] == [0]


def test_lists_and_files_reach_the_server_as_they_are(recorder: Recorder) -> None:
    """Servers count a list's items and send files by themselves."""
    given: Environ = {"wsgi.file_wrapper": FileWrapper}
    setup_testing_defaults(given)
    one = [b"x"]
    assert telemetry.WSGIMiddleware(lambda *_: one)(dict(given), lambda *_: print) is one
    file = FileWrapper(open(__file__, "rb"))  # noqa: SIM115, PTH123 - the wrapper closes it
    assert telemetry.WSGIMiddleware(lambda *_: file)(dict(given), lambda *_: print) is file
    file.close()
    assert len(recorder.hops) == 2


def test_a_stream_is_timed_to_its_end_and_its_span_is_current_meanwhile(recorder: Recorder) -> None:
    """An attempt that the generator makes is a child, and nothing stays current between chunks."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:  # noqa: ARG001 - WSGI's signature
        start_response("200 OK", [])
        with telemetry.attempt("GET", "ledger"):
            yield b"a"
        yield b"b"

    environ: Environ = {}
    setup_testing_defaults(environ)
    body = telemetry.WSGIMiddleware(app)(environ, lambda *_: print)
    chunks = iter(body)
    next(chunks)
    assert recorder.hops == []
    assert list(chunks) == [b"b"]
    assert not trace.get_current_span().get_span_context().is_valid
    (hop,), (attempt,) = recorder.hops, recorder.attempts
    assert (attempt.parent_id, attempt.trace_id) == (hop.span_id, hop.trace_id)
    assert not hop.failed


def test_exceptions_pass_unchanged(recorder: Recorder) -> None:
    """Before the answer and in the middle of it."""

    def early(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001 - WSGI's signature
        raise KeyError("early")

    def late(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:  # noqa: ARG001 - WSGI's signature
        start_response("200 OK", [])
        yield b"a"
        raise ValueError("late")

    with pytest.raises(KeyError, match="early"):
        call(early)
    with pytest.raises(ValueError, match="late"):
        call(late)
    assert [hop.attributes["error.type"] for hop in recorder.hops] == ["KeyError", "ValueError"]
    assert all(hop.failed for hop in recorder.hops)


def test_an_answer_that_is_closed_before_its_end_was_cancelled(recorder: Recorder) -> None:
    """The server calls ``close()`` when the caller has gone; the application's own ``close`` is called, too."""
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x"

        def close(self) -> None:
            closed.append(True)

    environ: Environ = {}
    setup_testing_defaults(environ)
    body = telemetry.WSGIMiddleware(lambda *_: Body())(environ, lambda *_: print)
    next(iter(body))
    body.close()  # type: ignore[attr-defined]  # PEP 3333: if it is there
    assert closed == [True]
    assert recorder.hops[0].attributes["error.type"] == "cancelled"


def test_the_last_status_counts(recorder: Recorder) -> None:
    """``start_response`` may come again with ``exc_info``; a nonsense status is none."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:  # noqa: ARG001 - WSGI's signature
        start_response("200 OK", [])
        start_response("500 Oh", [], (None, None, None))
        return [b""]

    call(app)
    call(answering(status="nonsense"))
    assert [hop.attributes.get("http.response.status_code") for hop in recorder.hops] == [500, None]


def test_wrapped_twice_makes_one_hop(recorder: Recorder) -> None:
    """As when a framework and a server configuration both wrap."""
    call(telemetry.WSGIMiddleware(answering(b"x")))
    assert len(recorder.hops) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"REQUEST_METHOD": None},
        {"PATH_INFO": "/" + "\xff" * 1_000_000},
        {"HTTP_HOST": "[::1"},
        {"HTTP_TRACEPARENT": "\x00\xff", "HTTP_BAGGAGE": "=;," * 500},
        {"SERVER_PROTOCOL": "", "REMOTE_ADDR": ""},
        {"HTTP_USER_AGENT": "\udcff" * 9999},
    ],
)
def test_hostile_environs_never_reach_the_application(recorder: Recorder, changes: dict[str, Any]) -> None:
    """The answer is the same as without the middleware, and what is kept is bounded."""
    assert call(answering(b"x"), **changes) == b"x"
    assert all(len(str(span)) < 4000 for span in recorder.spans)


def test_under_a_real_server(recorder: Recorder) -> None:
    """wsgiref, over a socket."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with make_server("127.0.0.1", 0, telemetry.WSGIMiddleware(answering(b"hello")), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        response = httpx.get(f"http://127.0.0.1:{server.server_port}/v1/x")
        thread.join(10)
    assert response.content == b"hello"
    assert response.headers["content-length"] == "5"
    assert recorder.hops[0].attributes["url.path"] == "/v1/x"


def test_the_application_may_leave_for_whom_a_request_came(recorder: Recorder) -> None:
    """Under a key of the environ, as its route; it does not get into the metrics, which it would burst."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["edgepath.tenant"] = "acct_1"
        return answering(b"x")(environ, start_response)

    call(telemetry.WSGIMiddleware(app))
    (hop,) = recorder.hops
    assert hop.attributes["edgepath.tenant"] == "acct_1"
    ((labels, _),) = recorder.points("http.server.request.duration")
    assert "edgepath.tenant" not in labels
