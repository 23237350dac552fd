"""OTLP over gRPC: bytes in, the sink's word out. Requests are not parsed by gRPC."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from telemetry.errors import ConfigurationError, OverloadedError
from telemetry.feeds.otlp.counters import Counters
from telemetry.feeds.otlp.intake import Intake, Refusal, Signal, UnsupportedError
from telemetry.feeds.otlp.limits import Gate, Limits
from telemetry.feeds.otlp.ports import listen
from telemetry.feeds.sink import Sink

DEFAULT_PORT: Final = 4317
_METHODS: Final = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": Signal.TRACES,
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": Signal.METRICS,
}
_LOGS: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_Behavior = Callable[[Iterator[bytes], Any], bytes]


class GrpcReceiver:
    """Listens for OTLP/gRPC in threads of its own.

    Args:
        sink: takes the trace requests.
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        limits: bounds on what clients may send.
        counters: what is counted where.
        metrics: takes the metric requests; without it they are counted and let go.
        flag: the command's option that sets the port, for messages.
    """

    def __init__(
        self,
        sink: Sink,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        limits: Limits | None = None,
        counters: Counters | None = None,
        *,
        metrics: Sink | None = None,
        flag: str = "--grpc-port",
    ) -> None:
        self._limits = limits or Limits()
        self.counters = counters or Counters()
        self.host = host
        self.port = port
        self._flag = flag
        self._service = _Service(
            Intake(sink, metrics, self.counters, self._limits.retry_after_seconds), Gate(self._limits)
        )
        self._server: Any = None

    def start(self) -> None:
        """Listen; ``port`` is the real one afterwards.

        Raises:
            ConfigurationError: the port cannot be taken.
        """
        # gRPC's own message does not say why: the socket tells first whether the port can be had.
        probe = listen(self.host, self.port, self._flag)
        port = probe.getsockname()[1]
        probe.close()
        server = grpc.server(
            ThreadPoolExecutor(self._limits.requests, thread_name_prefix="otlp-grpc"),
            handlers=[self._service],
            options=[
                ("grpc.max_receive_message_length", self._limits.body_bytes),
                ("grpc.so_reuseport", 0),  # two processes on one port would share its requests without a word
            ],
        )
        host = f"[{self.host}]" if ":" in self.host else self.host
        try:
            server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise ConfigurationError(
                f"port {port} on {self.host} was taken just now: choose another with {self._flag}"
            ) from error
        server.start()
        self.port = port
        self._server = server

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Take no more requests, finish those in work within ``grace_seconds``. Does nothing the second time."""
        if self._server is not None:
            self._server.stop(grace_seconds).wait()
            self._server = None


class _Service:
    """Finds the handler of a method. Called as soon as a call arrives, before its message is read."""

    def __init__(self, intake: Intake, gate: Gate) -> None:
        self._intake = intake
        self._gate = gate
        self._refusers = ThreadPoolExecutor(1, thread_name_prefix="otlp-grpc-refuse")

    def service(self, call: Any) -> Any:
        """The handler for ``call``, or None for a method that nobody knows."""
        if call.method == _LOGS:
            return self._refusing(UnsupportedError("logs are not taken here: send traces and metrics"))
        signal = _METHODS.get(call.method)
        if signal is None:
            return None
        try:
            self._gate.enter()
        except OverloadedError as error:
            return self._refusing(error)
        return _handler(self._exporting(signal))

    def _exporting(self, signal: Signal) -> _Behavior:
        def export(requests: Iterator[bytes], context: Any) -> bytes:
            size = 0
            try:
                # As a stream of one: a handler of that kind is called even when the client has gone, and so the gate
                # is left in every case. gRPC's wire format does not tell the two apart.
                payload = next(requests)
                self._gate.hold(len(payload))
                size = len(payload)
                return bytes(self._intake.take(signal, payload).SerializeToString())
            except (grpc.RpcError, StopIteration):
                context.abort(grpc.StatusCode.CANCELLED, "the client went away before its request was complete")
            except Exception as error:  # noqa: BLE001 - each is turned into an answer, and logged when not ours
                _abort(context, self._intake.refuse(error))
            finally:
                self._gate.release(size)
                self._gate.leave()
            return b""  # never: abort raises

        return export

    def _refusing(self, error: Exception) -> Any:
        def refuse(_: Iterator[bytes], context: Any) -> bytes:
            _abort(context, self._intake.refuse(error))
            return b""

        # The threads that work may all be busy: a refusal must not wait for them.
        refuse.experimental_thread_pool = self._refusers  # type: ignore[attr-defined] # gRPC reads it from the function
        return _handler(refuse)


def _handler(behavior: _Behavior) -> Any:
    return grpc.stream_unary_rpc_method_handler(behavior)  # no (de)serializers: bytes as they are


def _abort(context: Any, refusal: Refusal) -> None:
    """End the call with ``google.rpc.Status`` in the trailers (OTLP 1.x, "OTLP/gRPC Throttling")."""
    status = Status(code=refusal.grpc, message=refusal.message)
    if refusal.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(round(refusal.retry_after * 1e9))
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=delay))
        status.details.append(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(_CODES[refusal.grpc], refusal.message)
