"""Where a value can stand when it leaves a service, and what of it is then left: by the SDK, and by the receiver alone."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import baggage, trace
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanContext, StatusCode, TraceFlags

from telemetry.feeds.otlp.counters import Counters
from telemetry.feeds.otlp.intake import Intake, Signal
from telemetry.feeds.sink import MemorySink
from telemetry.sdk import propagation, redaction

Send = Callable[[str], bytes]
"""Puts a text somewhere and gives the bytes that would leave the process, or be stored."""


class _Last(SpanProcessor):
    """Keeps the last span, as it would be sent."""

    def __init__(self) -> None:
        self.span: ReadableSpan | None = None

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.span = span


class Service:
    """A service with the SDK: each method records something and gives the OTLP bytes, or the headers, that leave it."""

    def __init__(self) -> None:
        self._last = _Last()
        self._tracers = TracerProvider(shutdown_on_exit=False)
        self._tracers.add_span_processor(redaction.Redacting(self._last, self._lost))
        self._tracer = self._tracers.get_tracer("corpus")

    @staticmethod
    def _lost() -> None:
        raise AssertionError("a span could not be looked through")

    def sent(self) -> bytes:
        """The last span as OTLP."""
        span = self._last.span
        assert span is not None
        made: bytes = encode_spans([span]).SerializeToString()
        return made

    @contextmanager
    def span(self, name: str = "POST /v1/charges", **given: Any) -> Iterator[trace.Span]:
        """A span that is sent at the end."""
        span = self._tracer.start_span(name, **given)
        yield span
        span.end()

    def attribute(self, text: str) -> bytes:
        """As an attribute of a span."""
        with self.span() as span:
            span.set_attribute("order.note", text)
        return self.sent()

    def url(self, text: str) -> bytes:
        """In a URL's path and query."""
        with self.span() as span:
            span.set_attribute(
                "url.full", f"https://api.example.com/v1/cards/{text}/charges?ref=a1&number={text}&limit=10"
            )
        return self.sent()

    def listed(self, text: str) -> bytes:
        """As an item of a list."""
        with self.span() as span:
            span.set_attribute("order.notes", ["first", text, "last"])
        return self.sent()

    def name(self, text: str) -> bytes:
        """In a span's name, and as an attribute's name."""
        with self.span(f"GET /v1/{text}") as span:
            span.set_attribute(f"seen {text}", True)
        return self.sent()

    def exception(self, text: str) -> bytes:
        """In an exception's message, its stack trace, and the status."""
        with self.span() as span:
            try:
                raise ValueError(f"card {text} was declined")
            except ValueError as error:
                span.record_exception(error)
                span.set_status(StatusCode.ERROR, str(error))
        return self.sent()

    def event(self, text: str) -> bytes:
        """In an event and a link."""
        link = trace.Link(SpanContext(1, 2, False, TraceFlags(1)), {"why": text})
        with self.span(links=[link]) as span:
            span.add_event(f"seen {text}", {"body": f'{{"number": "{text}"}}'})
        return self.sent()

    def baggage(self, text: str) -> bytes:
        """In outgoing baggage."""
        headers = propagation.inject({}, baggage.set_baggage("note", text))
        return str(headers).encode()

    def metric(self, text: str) -> bytes:
        """As an attribute of a metric."""
        reader = InMemoryMetricReader()
        meters = MeterProvider([reader], shutdown_on_exit=False)
        meters.get_meter("corpus").create_counter("requests").add(1, {"http.route": f"/v1/{text}"})
        data = reader.get_metrics_data()
        meters.shutdown()
        assert data is not None
        made: bytes = encode_metrics(redaction.metrics(data)).SerializeToString()
        return made

    def places(self) -> Mapping[str, Send]:
        """Every place, by name."""
        return {
            "attribute": self.attribute,
            "URL": self.url,
            "list": self.listed,
            "names": self.name,
            "exception": self.exception,
            "event and link": self.event,
            "baggage": self.baggage,
            "metric": self.metric,
        }


def text(name: str, value: str) -> KeyValue:
    """An attribute."""
    return KeyValue(key=name, value=AnyValue(string_value=value))


def message(value: str) -> ExportTraceServiceRequest:
    """A request of a sender without the SDK, with ``value`` in every place that OTLP has for text."""
    nested = KeyValueList(values=[text("inner", value)])
    span = Span(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        name=f"GET /v1/{value}",
        attributes=[
            text("http.url", f"https://api.example.com/v1/cards/{value}?n={value}"),
            text(f"seen {value}", "yes"),
            KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=value)]))),
            KeyValue(key="map", value=AnyValue(kvlist_value=nested)),
            KeyValue(key="bytes", value=AnyValue(bytes_value=value.encode())),
        ],
        events=[Span.Event(name=f"seen {value}", attributes=[text("exception.message", f"card {value} declined")])],
        links=[Span.Link(trace_id=bytes(16), span_id=bytes(8), attributes=[text("why", value)])],
        status=Status(message=f"card {value} declined"),
    )
    resource = Resource(attributes=[text("service.name", "legacy"), text("note", value)])
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=[span])])]
    )


class Receiver:
    """The receiver in front of a store: gives the bytes that the store gets."""

    def __init__(self) -> None:
        self._sink = MemorySink()
        self._intake = Intake(self._sink, self._sink, Counters(), 1.0)

    def traces(self, value: str) -> bytes:
        """A trace request with ``value`` in every place."""
        self._intake.take(Signal.TRACES, message(value).SerializeToString())
        return self._sink.payloads.pop()

    def metrics(self, value: str) -> bytes:
        """A metric request with ``value`` in a point."""
        request = ExportMetricsServiceRequest()
        metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="requests")
        metric.sum.data_points.add(as_int=1).attributes.append(text("http.route", f"/v1/{value}"))
        self._intake.take(Signal.METRICS, request.SerializeToString())
        return self._sink.payloads.pop()

    def places(self) -> Mapping[str, Send]:
        """Every place, by name."""
        return {"receiver, traces": self.traces, "receiver, metrics": self.metrics}


ALL: Final = ("attribute", "URL", "list", "names", "exception", "event and link", "baggage", "metric")
