"""Edgepath: the way a request takes from the client to the first API server.

``import telemetry`` is what services do; it gives the SDK and loads nothing of the pipeline. The names below load what
they need when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.sdk.asgi import ASGIMiddleware
    from telemetry.sdk.handle import Handle
    from telemetry.sdk.hops import Attempt, Hop, attempt, hop
    from telemetry.sdk.propagation import extract, inject
    from telemetry.sdk.setup import configure
    from telemetry.sdk.wsgi import WSGIMiddleware

__all__ = [
    "ASGIMiddleware",
    "Attempt",
    "Handle",
    "Hop",
    "WSGIMiddleware",
    "attempt",
    "configure",
    "extract",
    "hop",
    "inject",
]

_HOMES = {
    "ASGIMiddleware": "telemetry.sdk.asgi",
    "Attempt": "telemetry.sdk.hops",
    "Handle": "telemetry.sdk.handle",
    "Hop": "telemetry.sdk.hops",
    "WSGIMiddleware": "telemetry.sdk.wsgi",
    "attempt": "telemetry.sdk.hops",
    "configure": "telemetry.sdk.setup",
    "extract": "telemetry.sdk.propagation",
    "hop": "telemetry.sdk.hops",
    "inject": "telemetry.sdk.propagation",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
