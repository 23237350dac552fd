"""What the SDK's tests share: a collector in memory, hostile endpoints, and services in processes of their own."""

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What an OTLP/HTTP endpoint received."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.bodies: list[tuple[str, bytes, dict[str, str]]] = []

    def traces(self) -> list[ExportTraceServiceRequest]:
        """The trace requests."""
        return [ExportTraceServiceRequest.FromString(body) for path, body, _ in self.bodies if path == "/v1/traces"]

    def spans(self, kind: "Span.SpanKind.ValueType | None" = None) -> list[Span]:
        """All spans, or those of a kind, in the order of arrival."""
        all_ = (span for one in self.traces() for r in one.resource_spans for s in r.scope_spans for span in s.spans)
        return [span for span in all_ if kind is None or span.kind == kind]

    def resources(self) -> list[dict[str, str]]:
        """The resource attributes of every resource that sent spans."""
        return [texts(r.resource.attributes) for one in self.traces() for r in one.resource_spans]

    def metrics(self, name: str = "") -> list[Metric]:
        """All metrics received, or those of one name."""
        requests = [
            ExportMetricsServiceRequest.FromString(body) for path, body, _ in self.bodies if path == "/v1/metrics"
        ]
        all_ = (m for one in requests for r in one.resource_metrics for s in r.scope_metrics for m in s.metrics)
        return [metric for metric in all_ if not name or metric.name == name]

    def metric_names(self) -> set[str]:
        """Names of all metrics received."""
        return {metric.name for metric in self.metrics()}


def texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """OTLP attributes with string values, as a map."""
    return {pair.key: pair.value.string_value for pair in attributes}


@contextmanager
def collector() -> Iterator[Collector]:
    """An OTLP/HTTP endpoint on a free port that takes everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            here.bodies.append((self.path, body, {k.lower(): v for k, v in self.headers.items()}))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    here = Collector(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def grpc_collector() -> Iterator[Collector]:
    """An OTLP/gRPC endpoint on a free port that takes traces."""

    def export(request: bytes, _: Any) -> bytes:
        here.bodies.append(("/v1/traces", request, {}))
        return b""

    server = grpc.server(futures.ThreadPoolExecutor(2))
    method = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, method),))
    here = Collector(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    try:
        yield here
    finally:
        server.stop(0)


@contextmanager
def endpoint(answer: bytes | None) -> Iterator[int]:
    """A port that accepts connections and answers ``answer`` to whatever comes, or never answers (``None``)."""
    server = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            held.append(connection)
            if answer is not None:
                try:
                    connection.recv(1024)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)
        for connection in held:
            connection.close()


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def run(code: str, /, **environment: str) -> str:
    """Run ``code`` in a fresh interpreter under ``-W error`` with only ``environment``'s ``OTEL_*`` variables; its output.

    Raises:
        AssertionError: it failed; the message holds what it wrote.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until the callable ``condition`` holds.

    Raises:
        AssertionError: it did not within ``seconds``.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.01)
