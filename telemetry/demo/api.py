"""The demo's API server: the first API server of a path, where a request path ends. Run by ``fleet``."""

import argparse
import asyncio
from random import Random

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from telemetry.demo import traffic
from telemetry.demo.service import serve


def application(random: Random) -> Starlette:
    """The API: every endpoint of the mix, with drawn latencies and faults."""
    return Starlette(routes=[_route(endpoint, random) for endpoint in traffic.ENDPOINTS])


def _route(endpoint: traffic.Endpoint, random: Random) -> Route:
    async def answer(request: Request) -> JSONResponse:
        body = await request.body()
        status = traffic.draw_fault(random)
        if status == 503:  # a worker that refuses work does so at once
            return JSONResponse({"error": "busy"}, status_code=503)
        await asyncio.sleep(traffic.latency_seconds(endpoint, random))
        if status is None:
            status = traffic.verdict(endpoint, request.path_params.get("id", ""), body)
        return JSONResponse({"object": endpoint.template, "status": status}, status_code=status)

    return Route(endpoint.template, answer, methods=[endpoint.method])


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pop", required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    serve(
        application(Random(arguments.seed)),
        component="payments-api",
        tier="api",
        pop=arguments.pop,
        port=arguments.port,
    )


if __name__ == "__main__":
    main()
