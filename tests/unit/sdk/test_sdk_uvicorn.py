"""The middleware under a real server: streams, callers that leave, concurrent requests."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import telemetry
from telemetry.sdk.testing import Recorder, recording
from tests.unit.sdk.sdk_support import until


async def stream(request: Request) -> Response:
    """Chunks: ``count`` of them, or without end."""
    count = int(request.query_params.get("count", "1000000"))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1000
            await asyncio.sleep(0.001)

    return StreamingResponse(chunks())


async def customer(request: Request) -> Response:
    """Echo the id, after one call of its own."""
    async with telemetry.attempt("GET", "ledger"):
        await asyncio.sleep(0)
    return PlainTextResponse(request.path_params["id"])


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording(tier="api") as one:
        yield one


@pytest.fixture
def url(recorder: Recorder) -> Iterator[str]:  # noqa: ARG001 - records before the server starts
    app = telemetry.ASGIMiddleware(Starlette(routes=[Route("/stream", stream), Route("/customers/{id}", customer)]))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_a_stream_that_is_read_to_its_end(recorder: Recorder, url: str) -> None:
    assert len(httpx.get(f"{url}/stream?count=5").content) == 5000
    until(lambda: len(recorder.hops) == 1)
    (hop,) = recorder.hops
    assert (hop.name, hop.failed) == ("GET /stream", False)
    assert hop.duration_ns > 4_000_000
    assert hop.attributes["client.address"] == "127.0.0.1"


def test_a_caller_that_leaves_in_the_middle_of_a_stream(recorder: Recorder, url: str) -> None:
    with httpx.stream("GET", f"{url}/stream") as response:
        next(response.iter_bytes())
    until(lambda: len(recorder.hops) == 1)
    (hop,) = recorder.hops
    assert hop.attributes["error.type"] == "cancelled"
    assert hop.attributes["http.response.status_code"] == 200


def test_concurrent_requests_keep_their_own_traces(recorder: Recorder, url: str) -> None:
    async def main() -> list[str]:
        async with httpx.AsyncClient(base_url=url) as client:
            return [r.text for r in await asyncio.gather(*(client.get(f"/customers/{n}") for n in range(30)))]

    assert asyncio.run(main()) == [str(number) for number in range(30)]
    until(lambda: len(recorder.hops) == 30)
    parents = {hop.span_id: hop.trace_id for hop in recorder.hops}
    assert len(set(parents.values())) == 30
    assert [parents[call.parent_id or ""] for call in recorder.attempts] == [c.trace_id for c in recorder.attempts]
    assert not any(hop.failed for hop in recorder.hops)
