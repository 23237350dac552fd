"""How the demo's ASGI services run: under the SDK's middleware, until SIGTERM, with every span flushed at the end."""

import signal
from typing import Final

import uvicorn
from starlette.types import ASGIApp

import telemetry

_KEEP_ALIVE_SECONDS: Final = 300
"""Longer than any proxy before us keeps a connection idle, so that we never close one that is about to be used."""


def serve(app: ASGIApp, *, component: str, tier: str, pop: str, port: int) -> None:
    """Serve ``app`` on a loopback port until SIGTERM, then flush its spans."""
    handle = telemetry.configure(component=component, tier=tier, pop=pop)
    # uvicorn raises the signal again once it has stopped; without this that would end us before the flush.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.run(
        telemetry.ASGIMiddleware(app),
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,
    )
    handle.shutdown()
