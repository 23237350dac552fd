"""What both protocols do with a request: check it, hand it to the sink, count it, and say what to answer."""

import logging
import traceback
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from google.protobuf.message import DecodeError
from google.rpc import code_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from telemetry.errors import EdgepathError, MalformedError, OverloadedError, UnavailableError
from telemetry.feeds.otlp.counters import Counters, Rejection
from telemetry.feeds.otlp.redaction import redacted
from telemetry.feeds.sink import PartialError, Sink
from telemetry.redaction import redact_text

_log: Final = logging.getLogger(__name__)


class Signal(Enum):
    """The signals that are taken, each with its protobuf messages."""

    TRACES = (
        "traces",
        trace_service_pb2.ExportTraceServiceRequest,
        trace_service_pb2.ExportTraceServiceResponse,
    )
    METRICS = (
        "metrics",
        metrics_service_pb2.ExportMetricsServiceRequest,
        metrics_service_pb2.ExportMetricsServiceResponse,
    )

    def __init__(self, label: str, request: Any, response: Any) -> None:
        self.label = label
        self.request = request
        self.response = response


class TooLargeError(MalformedError):
    """A body over the limit: no retry will mend it."""


class UnsupportedError(MalformedError):
    """An encoding, content type or signal that is not taken."""


class BodyTimeoutError(UnavailableError):
    """A body that did not arrive in time."""


@dataclass(frozen=True)
class Refusal:
    """What to answer when a request was not taken.

    Attributes:
        reason: for the counters.
        http: HTTP status code.
        grpc: ``google.rpc.Code``; the gRPC status code of the same number.
        message: for the client's log.
        retry_after: seconds, for what the OTLP specification calls retryable; None for what it does not.
    """

    reason: Rejection
    http: int
    grpc: int
    message: str
    retry_after: float | None = None


class Intake:
    """The way of a request from a protocol to the sinks. Used by many threads at once.

    Args:
        spans: takes the trace requests.
        metrics: takes the metric requests; without it they are counted and let go.
        counters: what is counted where.
        retry_after_seconds: when to come again if a sink does not say.
    """

    def __init__(self, spans: Sink, metrics: Sink | None, counters: Counters, retry_after_seconds: float) -> None:
        self._sinks = {Signal.TRACES: spans, Signal.METRICS: metrics}
        self._counters = counters
        self._retry_after_seconds = retry_after_seconds

    def take(self, signal: Signal, payload: bytes) -> Any:
        """Check one serialized request, redact it and hand it on; on return it is durable.

        Returns:
            The response message: empty for full success, with ``partial_success`` when the sink had to leave items out.

        Raises:
            MalformedError: it is not such a message.
            OverloadedError, UnavailableError: the sink cannot take it now.
        """
        message = decode(signal, payload)
        # Kafka and the journal are storage: what may not be stored goes before it gets there.
        payload = redacted(message, payload, spans=signal is Signal.TRACES)
        sink = self._sinks[signal]
        response = signal.response()
        # A request without data is fine (OTLP 1.x, "Full Success"), and there is nothing to keep.
        if sink is not None and payload:
            try:
                sink.accept(payload)
            except PartialError as error:
                _note(response.partial_success, signal, error)
                self._counters.rejected(Rejection.PARTIAL)
        if signal is Signal.TRACES:
            self._counters.taken(len(payload), spans=_spans(message))
        else:
            self._counters.taken(len(payload), data_points=_data_points(message))
        return response

    def refuse(self, error: Exception) -> Refusal:
        """Count a request that was not taken, and choose the answer. An error of ours or not: nothing else escapes."""
        refusal = self._refusal(error)
        self._counters.rejected(refusal.reason)
        if not isinstance(error, EdgepathError):
            said = redact_text("".join(traceback.format_exception(error)))  # it may quote what was sent
            _log.error("the receiver met an error that it does not know: %s", said)
        return refusal

    def _refusal(self, error: Exception) -> Refusal:
        message = redact_text(str(error))  # it may quote what was sent
        retry_after = error.retry_after if isinstance(error, OverloadedError) else self._retry_after_seconds
        if not isinstance(error, EdgepathError):
            # Our own fault, perhaps gone the next time: the client keeps its spans and comes again.
            message = "the receiver met an error of its own; its log has more"
        for final, reason, http, grpc in _FINAL:
            if isinstance(error, final):
                return Refusal(reason, http, grpc, message)
        for retryable, reason in _RETRYABLE:
            if isinstance(error, retryable):
                return Refusal(reason, 503, code_pb2.UNAVAILABLE, message, retry_after)
        return Refusal(Rejection.UNAVAILABLE, 503, code_pb2.UNAVAILABLE, message, retry_after)


# OTLP 1.x, "Failures" of both protocols: what a client gives up, and what it sends again. The nearest class comes first.
_FINAL: Final[tuple[tuple[type[EdgepathError], Rejection, int, int], ...]] = (
    (TooLargeError, Rejection.TOO_LARGE, 413, code_pb2.RESOURCE_EXHAUSTED),  # without RetryInfo: not retryable
    (UnsupportedError, Rejection.UNSUPPORTED, 415, code_pb2.UNIMPLEMENTED),
    (MalformedError, Rejection.MALFORMED, 400, code_pb2.INVALID_ARGUMENT),
)
_RETRYABLE: Final[tuple[tuple[type[EdgepathError], Rejection], ...]] = (
    (OverloadedError, Rejection.OVERLOADED),
    (BodyTimeoutError, Rejection.TIMEOUT),  # not 408: exporters give up on it
)


def decode(signal: Signal, payload: bytes) -> Any:
    """The protobuf message in ``payload``.

    Raises:
        MalformedError: it is not one.
    """
    try:
        return signal.request.FromString(payload)
    except DecodeError as error:
        name = signal.request.DESCRIPTOR.name
        raise MalformedError(f"the body ({len(payload)} bytes) is not a protobuf {name}: {error}") from error


def _note(partial_success: Any, signal: Signal, error: PartialError) -> None:
    if signal is Signal.TRACES:
        partial_success.rejected_spans = error.rejected
    else:
        partial_success.rejected_data_points = error.rejected
    partial_success.error_message = str(error)


def _spans(request: Any) -> int:
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


def _data_points(request: Any) -> int:
    count = 0
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                count += len(getattr(metric, kind).data_points) if kind else 0
    return count
