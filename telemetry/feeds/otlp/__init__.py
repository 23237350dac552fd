"""The OTLP receiver: gRPC and HTTP in front, a sink behind.

OTLP 1.x specification: https://opentelemetry.io/docs/specs/otlp/
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.feeds.otlp.counters import Counters, Snapshot
    from telemetry.feeds.otlp.grpc_receiver import GrpcReceiver
    from telemetry.feeds.otlp.http_receiver import HttpReceiver
    from telemetry.feeds.otlp.limits import Limits

__all__ = ["Counters", "GrpcReceiver", "HttpReceiver", "Limits", "Snapshot"]

# Looked up on first use: the consumer wants the encodings, and no web server.
_PLACES = {
    "Counters": "counters",
    "GrpcReceiver": "grpc_receiver",
    "HttpReceiver": "http_receiver",
    "Limits": "limits",
    "Snapshot": "counters",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
