"""The demo's load generator: clients that send a steady mix of requests to every PoP. Run by ``fleet``.

Open loop: a request is sent when its time has come, however slow the answers are, so that an incident cannot hide by
slowing the load. On SIGTERM it stops sending, waits for the answers, and flushes its spans.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Final

import httpx
from opentelemetry.trace import format_trace_id

import telemetry
from telemetry.demo import traffic
from telemetry.demo.ledger import LedgerWriter, Sent

_TIMEOUT_SECONDS: Final = 10.0
_CLIENTS: Final = 6
_JITTER: Final = 0.4


def schedule(rate: float, random: Random) -> Iterator[float]:
    """Seconds from the start at which requests are due: evenly spaced, each moved by up to 40 % of the space."""
    number = 0
    while True:
        yield (number + _JITTER * random.random()) / rate
        number += 1


class Load:
    """Sends requests to the PoPs in turn until told to stop."""

    def __init__(self, edges: dict[str, str], ledger: LedgerWriter, rate: float, random: Random) -> None:
        self._edges = edges
        self._ledger = ledger
        self._rate = rate
        self._random = random
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Send no more."""
        self._stopping.set()

    async def run(self) -> None:
        """Send until :meth:`stop`, then wait for what is under way."""
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(_client(number)) for number in range(_CLIENTS)]
            under_way: set[asyncio.Task[None]] = set()
            started = time.monotonic()
            pops = cycle(self._edges)
            for due in schedule(self._rate, self._random):
                await self._wait_until(started + due)
                if self._stopping.is_set():
                    break
                client = self._random.choice(clients)
                task = asyncio.create_task(self._send(client, next(pops), traffic.draw_request(self._random)))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _wait_until(self, due: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), max(0.0, due - time.monotonic()))
        except TimeoutError:
            return

    async def _send(self, client: httpx.AsyncClient, pop: str, request: traffic.Request) -> None:
        url = self._edges[pop] + request.path
        with telemetry.hop(method=request.endpoint.method, target=url, route=request.endpoint.template) as hop:
            self._ledger.add(Sent(format_trace_id(hop.span.get_span_context().trace_id), pop, time.time()))
            try:
                with telemetry.attempt(request.endpoint.method, url) as attempt:
                    headers = {**request.headers, **attempt.headers()}
                    answer = await client.request(request.endpoint.method, url, content=request.body, headers=headers)
                    attempt.status(answer.status_code)
                hop.status(answer.status_code)
            except httpx.HTTPError as error:
                hop.error(error)


def _client(number: int) -> httpx.AsyncClient:
    # On Linux all of 127.0.0.0/8 is the loopback interface: the edges see several client addresses.
    address = f"127.0.1.{number + 1}" if sys.platform == "linux" else None
    transport = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(transport=transport, timeout=_TIMEOUT_SECONDS, trust_env=False)


async def _run(arguments: argparse.Namespace) -> None:
    edges = dict(edge.split("=", 1) for edge in arguments.edge)
    with LedgerWriter(arguments.ledger) as ledger:
        load = Load(edges, ledger, arguments.rate, Random(arguments.seed))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, load.stop)
        await load.run()


def main() -> None:
    """Send until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", action="append", required=True, metavar="POP=URL")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    handle = telemetry.configure(component="payments-client", tier="client")
    asyncio.run(_run(arguments))
    handle.shutdown()


if __name__ == "__main__":
    main()
