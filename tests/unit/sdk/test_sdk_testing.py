"""The recorder as a service's own tests use it: hops, attempts and paths."""

import asyncio

import httpx
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import telemetry
from telemetry.sdk import runtime
from telemetry.sdk.testing import recording


def charges() -> telemetry.ASGIMiddleware:
    """An API that is busy the first time."""
    seen: list[str] = []

    async def charge(request: Request) -> Response:
        seen.append(request.url.path)
        return PlainTextResponse("", 503 if len(seen) == 1 else 201)

    return telemetry.ASGIMiddleware(Starlette(routes=[Route("/v1/charges", charge, methods=["POST"])]))


def checkout(api: telemetry.ASGIMiddleware) -> telemetry.ASGIMiddleware:
    """A gateway that tries again."""

    async def buy(_: Request) -> Response:
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(transport=transport, base_url="http://charges") as client:
            for number in range(3):
                with telemetry.attempt("POST", "http://charges/v1/charges", resend_count=number) as attempt:
                    answer = await client.post("/v1/charges", headers=attempt.headers())
                    attempt.status(answer.status_code)
                if answer.status_code != 503:
                    break
        return PlainTextResponse("", answer.status_code)

    return telemetry.ASGIMiddleware(Starlette(routes=[Route("/checkout", buy)]))


def test_two_services_in_one_process_make_one_path() -> None:
    """With its retry, hop by hop; nothing is left over from one test to the next."""

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(checkout(charges()))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.get("/checkout")

    for _ in range(2):
        with recording() as recorder:
            assert asyncio.run(main()).status_code == 201
        (path,) = recorder.paths
        assert path.names == ["GET /checkout", "POST /v1/charges", "POST /v1/charges"]
        assert path.statuses == [503, 201]
        assert [attempt.attributes.get("http.request.resend_count") for attempt in path.attempts] == [None, 1]
        assert [step.hop.attributes["http.response.status_code"] for step in path.next] == [503, 201]
        assert all(
            step.hop.parent_id == attempt.span_id for step, attempt in zip(path.next, path.attempts, strict=True)
        )


def test_spans_between_do_not_hide_what_is_below() -> None:
    """An inner function's span is no hop, and its calls are the hop's attempts."""
    with recording() as recorder:
        tracer = runtime.current().tracer
        with telemetry.hop("outer"), tracer.start_as_current_span("inner"), telemetry.attempt("GET", "api"):
            pass
    (path,) = recorder.paths
    assert path.names == ["outer"]
    assert [attempt.name for attempt in path.attempts] == ["GET"]


def test_a_clients_path_begins_with_its_root() -> None:
    """In tier ``client`` the hop itself is of kind CLIENT."""
    with recording(tier="client") as recorder, telemetry.hop("buy", method="POST"):
        for status in (503, 200):
            with telemetry.attempt("POST", "api") as attempt:
                attempt.status(status)
    (path,) = recorder.paths
    assert (path.hop.name, path.statuses) == ("buy", [503, 200])


def test_requests_that_have_nothing_to_do_with_each_other() -> None:
    """One path each, in order; a caller that was not recorded does not matter."""
    inbound = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
    with recording() as recorder:
        for name in ("a", "b"):
            with telemetry.hop(name, headers=inbound):
                pass
    assert [path.names for path in recorder.paths] == [["a"], ["b"]]
    assert not trace.get_current_span().get_span_context().is_valid
