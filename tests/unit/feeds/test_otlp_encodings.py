"""Messages in OTLP/JSON, as the Collector's Kafka exporter writes them with ``encoding: otlp_json``."""

import base64
import json
import subprocess
import sys
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.errors import MalformedError
from telemetry.feeds.otlp.encodings import json_places, to_protobuf
from telemetry.feeds.otlp.intake import Signal

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def document(**span: Any) -> dict[str, Any]:
    """A request of one span, as the Collector's marshaler writes it; with other fields of the span."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "edge"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "envoy"},
                        "spans": [
                            {
                                "traceId": TRACE,
                                "spanId": SPAN,
                                "parentSpanId": "",
                                "name": "ingress",
                                "kind": 2,
                                "startTimeUnixNano": "1700000000000000001",
                                "endTimeUnixNano": "1700000000250000001",
                                "attributes": [{"key": "http.response.status_code", "value": {"intValue": "200"}}],
                                "status": {},
                            }
                            | span
                        ],
                    }
                ],
            }
        ]
    }


def read(value: bytes) -> Any:
    """The one span of a message in protobuf."""
    request = ExportTraceServiceRequest.FromString(value)
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert request.resource_spans[0].resource.attributes[0].value.string_value == "edge"
    return span


def converted(document: object) -> bytes:
    """In protobuf."""
    return to_protobuf(json.dumps(document).encode(), Signal.TRACES)


def test_a_span_as_the_collector_writes_it() -> None:
    """Hex ids, 64-bit integers as strings."""
    span = read(converted(document()))
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id) == (TRACE, SPAN, b"")
    assert (span.start_time_unix_nano, span.kind) == (1700000000000000001, 2)
    assert span.attributes[0].value.int_value == 200


@pytest.mark.parametrize("kind", [2, "SPAN_KIND_SERVER"])
@pytest.mark.parametrize("start", [1700000000000000001, "1700000000000000001"])
@pytest.mark.parametrize("trace", [TRACE, TRACE.upper()])
def test_other_forms_of_the_same(kind: object, start: object, trace: str) -> None:
    """Enums by number and by name, integers as numbers, ids in either case; what is unknown is ignored."""
    span = read(converted(document(kind=kind, startTimeUnixNano=start, traceId=trace, novelty={"deep": [1]})))
    assert (span.trace_id.hex(), span.start_time_unix_nano, span.kind) == (TRACE, 1700000000000000001, 2)


def test_events_links_and_bytes() -> None:
    """A link's ids are hex as well; bytes are base64; an attribute that is called like an id is none."""
    links = [{"traceId": TRACE, "spanId": SPAN}]
    attributes = [
        {"key": "traceId", "value": {"stringValue": "not hex"}},
        {"key": "b", "value": {"bytesValue": base64.b64encode(b"\0\xff").decode()}},
        {"key": "l", "value": {"kvlistValue": {"values": [{"key": "spanId", "value": {"doubleValue": "NaN"}}]}}},
    ]
    span = read(converted(document(links=links, attributes=attributes, events=[{"name": "e", "timeUnixNano": "5"}])))
    assert (span.links[0].trace_id.hex(), span.links[0].span_id.hex()) == (TRACE, SPAN)
    assert [a.value.WhichOneof("value") for a in span.attributes] == ["string_value", "bytes_value", "kvlist_value"]
    assert (span.attributes[1].value.bytes_value, span.events[0].time_unix_nano) == (b"\0\xff", 5)


@settings(deadline=None)
@given(st.binary(max_size=50).filter(lambda value: not value.startswith(b"{")))
def test_protobuf_is_not_looked_at(value: bytes) -> None:
    """It goes through as it is, good or bad: the decoder judges it."""
    assert to_protobuf(value, Signal.TRACES) is value


def test_no_request_in_protobuf_begins_like_json() -> None:
    """Its first byte is the tag of field 1, length-delimited."""
    for request in (ExportTraceServiceRequest(), ExportMetricsServiceRequest()):
        assert [(f.number, f.type) for f in request.DESCRIPTOR.fields] == [
            (1, request.DESCRIPTOR.fields[0].TYPE_MESSAGE)
        ]
        assert json_places([request.SerializeToString(), b"{}", b"", b"\x0a{", b"{"]) == [1, 4]


def test_metrics() -> None:
    """The same for the other topic."""
    message = {
        "resourceMetrics": [
            {
                "scopeMetrics": [
                    {"metrics": [{"name": "m", "sum": {"dataPoints": [{"asInt": "-5"}], "isMonotonic": True}}]}
                ]
            }
        ]
    }
    found = ExportMetricsServiceRequest.FromString(to_protobuf(json.dumps(message).encode(), Signal.METRICS))
    (metric,) = found.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.sum.data_points[0].as_int, metric.sum.is_monotonic) == ("m", -5, True)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "is not JSON"),
        (b'{"resourceSpans": 5}', "resourceSpans"),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}',
            r"traceId: 'xyz' is not a string of hex",
        ),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": {}}]}]}]}', "kind"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}', "startTimeUnixNano"),
        (b'{"resourceLogs": [{}]}', "JSON without resourceSpans, it has 'resourceLogs'"),
        (b'{"resourceSpans": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested|recursion|JSON"),
        (b'{"a": ' * 300 + b"1" + b"}" * 300, "nested more than 200 deep"),
        (b'{"n": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"x": "' + b"y" * 2000 + b'"}', "2009 bytes of JSON are more than 1000; send smaller batches"),
        (b'{"x": "\xff"}', "is not JSON"),
        (rb'{"\ud800": 1}', "not a JSON ExportTraceServiceRequest"),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": 1e400}]}]}]}',
            "not a JSON ExportTraceServiceRequest",
        ),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"status": {"code": Infinity}}]}]}]}', "cannot convert float"),
        (rb'{"\ud800": {"traceId": 1}}', r"\\ud800\.traceId: an id is"),
    ],
)
def test_what_cannot_be_read_says_why(value: bytes, reason: str) -> None:
    """One short line for the dead letter."""
    with pytest.raises(MalformedError, match=reason) as caught:
        to_protobuf(value, Signal.TRACES, 1000 if b"yyy" in value else 1 << 20)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)
    assert str(caught.value).encode()


def test_an_empty_object_is_an_empty_request() -> None:
    """As an empty message is in protobuf."""
    assert to_protobuf(b"{}", Signal.TRACES) == b""
    assert to_protobuf(b'{"resourceSpans": []}', Signal.TRACES) == b""


def test_json_of_protobufs_own_printer() -> None:
    """Base64 ids, as a generic printer writes them, are no OTLP: said, not guessed."""
    request = ExportTraceServiceRequest.FromString(converted(document()))
    with pytest.raises(MalformedError, match="traceId"):
        to_protobuf(json_format.MessageToJson(request).replace("\n", "").strip().encode(), Signal.TRACES)


def test_the_encodings_load_no_web_server() -> None:
    """A consumer imports them."""
    script = (
        "import sys; import telemetry.feeds.otlp.encodings; print([m for m in ('grpc', 'uvicorn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
