"""A small OTLP/gRPC collector for tests: keeps what it gets and shows it span by span."""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.demo.envoy import Address
from telemetry.demo.processes import LOOPBACK
from telemetry.vocabulary import POP, TIER, SpanKind


@dataclass(frozen=True)
class SentSpan:
    """A span with the resource that it came with."""

    from_resource: Any
    span: Any

    @property
    def resource(self) -> dict[str, str]:
        """The resource's attributes that are text."""
        return {item.key: item.value.string_value for item in self.from_resource.attributes}

    @property
    def attributes(self) -> dict[str, str]:
        """The span's attributes, as text."""
        return {item.key: item.value.string_value or str(item.value.int_value or "") for item in self.span.attributes}

    @property
    def place(self) -> tuple[str, SpanKind]:
        """Tier and kind."""
        return self.resource.get(TIER, ""), SpanKind(self.span.kind)

    @property
    def pop(self) -> str:
        """The PoP, empty if none."""
        return self.resource.get(POP, "")


class Collector:
    """An OTLP/gRPC collector that keeps the raw requests it gets: ``bodies`` of traces, and ``metrics``."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.metrics: list[bytes] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        for signal, keep in (("trace.v1.Trace", self._keep), ("metrics.v1.Metrics", self._keep_metrics)):
            handler = grpc.method_handlers_generic_handler(
                f"opentelemetry.proto.collector.{signal}Service",
                {"Export": grpc.unary_unary_rpc_method_handler(keep)},
            )
            self._server.add_generic_rpc_handlers((handler,))
        self.address = Address(LOOPBACK, self._server.add_insecure_port(f"{LOOPBACK}:0"))
        self._server.start()

    def _keep(self, body: bytes, _context: grpc.ServicerContext) -> bytes:
        self.bodies.append(body)
        return b""

    def _keep_metrics(self, body: bytes, _context: grpc.ServicerContext) -> bytes:
        self.metrics.append(body)
        return b""

    def traces(self) -> dict[str, list[SentSpan]]:
        """What has come so far: trace id in hex to its spans, by start time."""
        found: dict[str, list[SentSpan]] = defaultdict(list)
        for body in list(self.bodies):
            for resource_span in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope_span in resource_span.scope_spans:
                    for span in scope_span.spans:
                        found[span.trace_id.hex()].append(SentSpan(resource_span.resource, span))
        for spans in found.values():
            spans.sort(key=lambda one: one.span.start_time_unix_nano)
        return found

    def wait_for(self, trace: str, count: int) -> list[SentSpan]:
        """The spans of a trace, once there are ``count`` of them."""
        deadline = time.monotonic() + 10
        while len(found := self.traces()[trace]) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def close(self) -> None:
        """Stop."""
        self._server.stop(0).wait()
