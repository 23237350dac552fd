"""The OTLP receiver: gRPC and HTTP in front, a sink behind.

OTLP 1.x specification: https://opentelemetry.io/docs/specs/otlp/
"""

from telemetry.feeds.otlp.counters import Counters, Snapshot
from telemetry.feeds.otlp.grpc_receiver import GrpcReceiver
from telemetry.feeds.otlp.http_receiver import HttpReceiver
from telemetry.feeds.otlp.limits import Limits

__all__ = ["Counters", "GrpcReceiver", "HttpReceiver", "Limits", "Snapshot"]
