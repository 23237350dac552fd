"""The demo's API gateway: authenticates, throttles, and passes on to the API with one retry. Run by ``fleet``."""

import argparse
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import telemetry
from telemetry.demo import traffic
from telemetry.demo.service import serve

_ATTEMPTS = 2
_WORTH_A_RETRY = 503


class TokenBucket:
    """Lets ``rate`` requests a second through on average, ``burst`` at once."""

    def __init__(self, rate: float, burst: float, monotonic: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._monotonic = monotonic
        self._tokens = burst
        self._filled = monotonic()

    def take(self) -> bool:
        """Whether one more request may pass now."""
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Gateway:
    """Checks a request's key and limit, then asks the API, twice if it must."""

    def __init__(self, api: httpx.AsyncClient, tight: TokenBucket) -> None:
        self._api = api
        self._tight = tight

    async def handle(self, request: Request) -> Response:
        """Answer a request, or pass it on and its answer back."""
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not key:
            return JSONResponse({"error": "no API key"}, status_code=401)
        if key == traffic.REVOKED_KEY:
            return JSONResponse({"error": "this API key was revoked"}, status_code=403)
        if key == traffic.TIGHT_KEY and not self._tight.take():
            return JSONResponse({"error": "too many requests"}, status_code=429, headers={"retry-after": "1"})
        return await self._pass_on(request, await request.body())

    async def _pass_on(self, request: Request, body: bytes) -> Response:
        target = str(self._api.base_url.join(request.url.path))
        for number in range(_ATTEMPTS):
            last = number == _ATTEMPTS - 1
            try:
                with telemetry.attempt(request.method, target, resend_count=number) as attempt:
                    answer = await self._api.request(
                        request.method, request.url.path, content=body, headers=dict(attempt.headers())
                    )
                    attempt.status(answer.status_code)
            except httpx.ConnectError:
                if last:
                    return JSONResponse({"error": "the API does not answer"}, status_code=502)
                continue
            except httpx.TimeoutException:
                return JSONResponse({"error": "the API took too long"}, status_code=504)
            if last or answer.status_code != _WORTH_A_RETRY:
                break
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))


def application(api: str, rate: float) -> Starlette:
    """The gateway in front of ``api`` (its base URL), for ``rate`` requests a second in all."""
    client = httpx.AsyncClient(base_url=api, timeout=8.0, trust_env=False)
    gateway = Gateway(client, TokenBucket(rate * traffic.TIGHT_ALLOWED, burst=2, monotonic=time.monotonic))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    routes = [Route(one.template, gateway.handle, methods=[one.method]) for one in traffic.ENDPOINTS]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pop", required=True)
    parser.add_argument("--api", required=True)
    parser.add_argument("--rate", type=float, required=True)
    arguments = parser.parse_args()
    serve(
        application(arguments.api, arguments.rate),
        component="api-gateway",
        tier="gateway",
        pop=arguments.pop,
        port=arguments.port,
    )


if __name__ == "__main__":
    main()
