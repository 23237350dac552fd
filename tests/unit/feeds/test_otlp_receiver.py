"""The receiver, with the real OpenTelemetry SDK's exporters as clients and raw clients for what they would never send."""

import base64
import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
import zstandard
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from telemetry.errors import ConfigurationError, MalformedError, OverloadedError, UnavailableError
from telemetry.feeds.otlp import Counters, GrpcReceiver, HttpReceiver, Limits
from telemetry.feeds.sink import MemorySink

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MakeRequest = Callable[..., bytes]


class FaultySink(MemorySink):
    """Raises what it is given, once each, then keeps payloads."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Exception] = []

    def accept(self, payload: bytes) -> None:
        if self.faults:
            raise self.faults.pop(0)
        super().accept(payload)


class SlowSink(MemorySink):
    """Holds every request until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.entered = threading.Semaphore(0)

    def accept(self, payload: bytes) -> None:
        self.entered.release()
        assert self.go_on.wait(10)
        super().accept(payload)


@pytest.fixture
def start() -> Iterator[Callable[..., SimpleNamespace]]:
    """``start(sink, limits, metrics=None)``: both receivers on free ports."""
    running: list[Any] = []

    def make(sink: Any, limits: Limits | None = None, metrics: Any = None) -> SimpleNamespace:
        counters = Counters()
        over_grpc = GrpcReceiver(sink, "127.0.0.1", 0, limits, counters, metrics=metrics)
        over_http = HttpReceiver(sink, "127.0.0.1", 0, limits, counters, metrics=metrics)
        for receiver in (over_grpc, over_http):
            receiver.start()
            running.append(receiver)
        url = f"http://127.0.0.1:{over_http.port}"
        return SimpleNamespace(
            counters=counters,
            grpc=f"127.0.0.1:{over_grpc.port}",
            url=url,
            post=lambda path="/v1/traces", **given: httpx.post(url + path, timeout=20, **given),
            stop=lambda: [receiver.stop(1) for receiver in running],
        )

    yield make
    for receiver in running:
        receiver.stop(0)


def call(target: str, payload: bytes, method: str = EXPORT, compression: Any = None) -> bytes:
    """One raw gRPC call."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(target, options=options, compression=compression) as channel:
        return bytes(channel.unary_unary(method)(payload, timeout=20))


def spans_of(sink: MemorySink) -> list[Any]:
    """All spans that the sink has."""
    requests = [ExportTraceServiceRequest.FromString(payload) for payload in sink.payloads]
    return [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def send_span(exporter: Any, name: str = "hello") -> None:
    """Let the SDK end and export one span."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span(name) as span:
        span.set_attribute("http.route", "/v1/charges")
    provider.shutdown()


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_sdk_exporter_over_grpc(start: Any, compression: Any) -> None:
    """The SDK's gRPC exporter is understood, compressed or not."""
    sink = MemorySink()
    receiver = start(sink)
    send_span(GrpcSpanExporter(endpoint=receiver.grpc, insecure=True, compression=compression))
    assert [span.name for span in spans_of(sink)] == ["hello"]
    assert receiver.counters.snapshot().spans == 1


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_sdk_exporter_over_http(start: Any, compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's HTTP exporter is understood, compressed or not."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    sink = MemorySink()
    receiver = start(sink)
    send_span(HttpSpanExporter(endpoint=f"{receiver.url}/v1/traces"))
    assert [span.name for span in spans_of(sink)] == ["hello"]
    snapshot = receiver.counters.snapshot()
    assert (snapshot.requests, snapshot.spans, snapshot.bytes) == (1, 1, len(sink.payloads[0]))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("kept", [True, False])
def test_sdk_metrics(start: Any, protocol: str, kept: bool) -> None:
    """Metrics are taken and counted; with a sink they are kept."""
    metrics = MemorySink() if kept else None
    receiver = start(MemorySink(), metrics=metrics)
    exporter = (
        GrpcMetricExporter(endpoint=receiver.grpc, insecure=True)
        if protocol == "grpc"
        else HttpMetricExporter(endpoint=f"{receiver.url}/v1/metrics")
    )
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))])
    provider.get_meter("test").create_counter("requests").add(3)
    provider.force_flush()
    provider.shutdown()
    assert receiver.counters.snapshot().data_points == 1
    if metrics is not None:
        request = ExportMetricsServiceRequest.FromString(metrics.payloads[0])
        assert request.resource_metrics[0].scope_metrics[0].metrics[0].name == "requests"


@pytest.mark.parametrize("fault", [OverloadedError("full", 0.2), UnavailableError("no Kafka"), RuntimeError("a bug")])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_sdk_exporter_comes_again_after_overload(start: Any, protocol: str, fault: Exception) -> None:
    """The real exporters take our answer as retryable, and the span arrives once."""
    sink = FaultySink()
    sink.faults.append(fault)
    receiver = start(sink, Limits(retry_after_seconds=0.2))
    exporter = (
        GrpcSpanExporter(endpoint=receiver.grpc, insecure=True)
        if protocol == "grpc"
        else HttpSpanExporter(endpoint=f"{receiver.url}/v1/traces")
    )
    send_span(exporter)
    assert [span.name for span in spans_of(sink)] == ["hello"]
    assert sum(receiver.counters.snapshot().rejected.values()) == 1


def test_grpc_overload_carries_retry_info(start: Any, make_request: MakeRequest) -> None:
    """UNAVAILABLE with google.rpc.RetryInfo in the trailers (OTLP/gRPC Throttling)."""
    sink = FaultySink()
    sink.faults.append(OverloadedError("the journal is full", 2.5))
    with pytest.raises(grpc.RpcError) as caught:
        call(start(sink).grpc, make_request())
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAVAILABLE, "the journal is full")
    trailers = dict(caught.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    retry = RetryInfo()
    assert status.code == 14
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 2500


@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
def test_http_overload_carries_retry_after(start: Any, headers: dict[str, str], make_request: MakeRequest) -> None:
    """503 with whole seconds in Retry-After, never 0, and a google.rpc.Status in the request's content type."""
    sink = FaultySink()
    sink.faults.append(OverloadedError("the journal is full", 0.2))
    body = make_request() if headers is PROTOBUF else b'{"resourceSpans":[{}]}'
    answer = start(sink).post(headers=headers, content=body)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == headers["content-type"]
    if headers is JSON:
        assert answer.json()["message"] == "the journal is full"
    else:
        assert status_pb2.Status.FromString(answer.content).message == "the journal is full"


def test_malformed_grpc_is_invalid_argument(start: Any) -> None:
    """A body that is not a request, and one that the sink calls malformed."""
    sink = FaultySink()
    sink.faults.append(MalformedError("a span is larger than a message"))
    receiver = start(sink)
    for payload, said in ((b"\x0a\xff\xff", "is not a protobuf ExportTraceServiceRequest"), (b"\x0a\x00", "a span is")):
        with pytest.raises(grpc.RpcError) as caught:
            call(receiver.grpc, payload)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert said in caught.value.details()
    assert receiver.counters.snapshot().rejected == {"malformed": 2}
    assert sink.payloads == []


def test_malformed_request_takes_nothing_with_it(start: Any, make_request: MakeRequest) -> None:
    """Good requests beside bad ones on the same connection are all taken."""
    sink = MemorySink()
    receiver = start(sink)
    with httpx.Client(base_url=receiver.url, headers=PROTOBUF) as client:
        for number in range(5):
            assert client.post("/v1/traces", content=make_request(seed=number)).status_code == 200
            assert client.post("/v1/traces", content=b"\x0a\xff\xff").status_code == 400
    assert len(spans_of(sink)) == 5


@pytest.mark.parametrize(
    ("headers", "body", "code", "said"),
    [
        (PROTOBUF, b"not protobuf", 400, "is not a protobuf ExportTraceServiceRequest"),
        (JSON, b"{", 400, "is not JSON"),
        (JSON, b"\xff\xfe", 400, "is not JSON"),
        (JSON, b"[]", 400, "is a JSON list, not an object"),
        (JSON, b"[" * 100_000, 400, "is not JSON"),
        (
            JSON,
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}',
            400,
            "resourceSpans[0].scopeSpans[0].spans[0].traceId: 'xyz' is not a string of hex digits",
        ),
        (
            JSON,
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":5}]}]}]}',
            400,
            "resourceSpans[0].scopeSpans[0].spans[0].traceId: an id is a string",
        ),
        (
            JSON,
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"flags":"x"}]}]}]}',
            400,
            "resourceSpans.scopeSpans.spans.flags: ",
        ),
        (JSON, b'{"resourceSpans":7}', 400, "resourceSpans"),
        ({**PROTOBUF, "content-encoding": "gzip"}, b"not gzip", 400, "is not gzip"),
        ({**PROTOBUF, "content-encoding": "gzip"}, gzip.compress(b"x" * 1000)[:-12], 400, "ends too early"),
        ({**PROTOBUF, "content-encoding": "zstd"}, b"not zstd", 400, "is not zstd"),
        ({**PROTOBUF, "content-encoding": "br"}, b"x", 415, "content encoding 'br' is not known"),
        ({"content-type": "text/plain"}, b"x", 415, "content type 'text/plain' is not known"),
        ({}, b"x", 415, "content type '' is not known"),
    ],
)
def test_bad_http_bodies(start: Any, headers: dict[str, str], body: bytes, code: int, said: str) -> None:
    """Each is refused with its reason as a google.rpc.Status, and none reaches the sink."""
    sink = MemorySink()
    answer = start(sink).post(headers=headers, content=body)
    message = answer.json()["message"] if headers == JSON else status_pb2.Status.FromString(answer.content).message
    assert (answer.status_code, sink.payloads) == (code, [])
    assert said in message


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress)]
)
def test_encodings(start: Any, encoding: str, pack: Callable[[bytes], bytes], make_request: MakeRequest) -> None:
    """Each encoding is undone; two members or frames in a row are one body."""
    sink = MemorySink()
    payload = make_request(traces=50)
    body = pack(payload) if encoding == "deflate" else pack(payload[:100]) + pack(payload[100:])
    answer = start(sink).post(headers={**PROTOBUF, "content-encoding": encoding}, content=body)
    assert (answer.status_code, sink.payloads) == (200, [payload])


def test_success_mirrors_the_content_type(start: Any, make_request: MakeRequest) -> None:
    """Full success is an empty ExportTraceServiceResponse in the request's content type; so is an empty request's."""
    sink = MemorySink()
    receiver = start(sink)
    for body in (make_request(), b""):
        answer = receiver.post(headers=PROTOBUF, content=body)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
        assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
    answer = receiver.post(headers={"content-type": "application/json; charset=utf-8"}, content=b"{}")
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, "application/json", {})
    assert call(receiver.grpc, b"") == b""
    assert len(sink.payloads) == 1


def test_json_becomes_the_same_protobuf(start: Any) -> None:
    """Hex ids in either case, 64-bit integers as strings, base64 bytes, enums as numbers, unknown fields ignored."""
    sink = MemorySink()
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "",
        "name": "charge",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        "someday": {"traceId": "aa"},
        "attributes": [
            {"key": "traceId", "value": {"stringValue": "not hex"}},
            {"key": "n", "value": {"intValue": "9007199254740993"}},
            {"key": "b", "value": {"bytesValue": base64.b64encode(b"\x00\x01").decode()}},
            {"key": "l", "value": {"arrayValue": {"values": [{"doubleValue": 0.5}, {"boolValue": True}]}}},
        ],
        "links": [{"traceId": "0102", "spanId": "03"}],
        "status": {"code": 2},
    }
    document = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "s"}, "spans": [span]}]}]}
    answer = start(sink).post(headers=JSON, content=json.dumps(document))
    assert answer.status_code == 200, answer.text
    (got,) = spans_of(sink)
    assert (got.trace_id.hex(), got.span_id.hex()) == ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174")
    assert (got.parent_span_id, got.kind, got.status.code) == (b"", 2, 2)
    assert (got.start_time_unix_nano, got.end_time_unix_nano) == (1544712660000000000, 1544712661000000000)
    values = {attribute.key: attribute.value for attribute in got.attributes}
    assert (values["traceId"].string_value, values["n"].int_value) == ("not hex", 9007199254740993)
    assert (values["b"].bytes_value, values["l"].array_value.values[0].double_value) == (b"\x00\x01", 0.5)
    assert (got.links[0].trace_id, got.links[0].span_id) == (b"\x01\x02", b"\x03")


def test_too_large_bodies(start: Any, make_request: MakeRequest) -> None:
    """Over the limit in length, in chunks, and after decompression: 413, which exporters do not retry."""
    sink = MemorySink()
    receiver = start(sink, Limits(body_bytes=1000, decompressed_bytes=5000))

    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b"\x0a\x00" * 50

    for content in (b"\x0a\x00" * 600, chunks()):
        answer = receiver.post(headers=PROTOBUF, content=content)
        assert answer.status_code == 413
        assert b"over the limit of 1000 bytes" in answer.content
        assert "retry-after" not in answer.headers
    answer = receiver.post(headers={**PROTOBUF, "content-encoding": "gzip"}, content=gzip.compress(b"\x0a\x00" * 2501))
    assert (answer.status_code, b"over the limit of 5000 bytes after" in answer.content) == (413, True)
    with pytest.raises(grpc.RpcError) as caught:
        call(receiver.grpc, make_request(traces=100))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert sink.payloads == []
    assert receiver.counters.snapshot().rejected == {"too_large": 3}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_decompression_bomb_is_cut_early(start: Any, encoding: str) -> None:
    """512 MiB in a small body is refused without being made."""
    packers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.compressobj(1, zlib.DEFLATED, 31),
        "deflate": lambda: zlib.compressobj(1),
        "zstd": lambda: zstandard.ZstdCompressor().compressobj(),
    }
    pack = packers[encoding]()
    zeros = bytes(1 << 20)
    bomb = b"".join([pack.compress(zeros) for _ in range(512)]) + pack.flush()
    receiver = start(MemorySink(), Limits(decompressed_bytes=4 << 20))
    before = time.process_time()
    answer = receiver.post(headers={**PROTOBUF, "content-encoding": encoding}, content=bomb)
    assert answer.status_code == 413
    assert time.process_time() - before < 0.5


def test_grpc_bomb_is_refused(start: Any) -> None:
    """gRPC stops at the message limit, also after decompression."""
    receiver = start(MemorySink(), Limits(body_bytes=1 << 20))
    with pytest.raises(grpc.RpcError) as caught:
        call(receiver.grpc, b"\x0a\x00" * (32 << 20), compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_too_many_requests_at_once(start: Any, protocol: str, make_request: MakeRequest) -> None:
    """Beyond the bound the answer is retryable and comes at once, while the others still work; then there is room again."""
    sink = SlowSink()
    receiver = start(sink, Limits(requests=2))

    def send() -> Any:
        if protocol == "grpc":
            return call(receiver.grpc, make_request())
        return receiver.post(headers=PROTOBUF, content=make_request()).status_code

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert all(sink.entered.acquire(timeout=10) for _ in threads)
    if protocol == "grpc":
        with pytest.raises(grpc.RpcError, match="2 requests are in work") as caught:
            send()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    else:
        assert send() == 503
    sink.go_on.set()
    for thread in threads:
        thread.join(10)
    assert send() in (b"", 200)
    assert len(sink.payloads) == 3
    assert receiver.counters.snapshot().rejected == {"overloaded": 1}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_bytes_in_work_are_bounded(start: Any, protocol: str, make_request: MakeRequest) -> None:
    """A second large body waits outside while a first is in work."""
    sink = SlowSink()
    receiver = start(sink, Limits(pending_bytes=15_000))
    payload = make_request(size=10_000)

    def send() -> Any:
        if protocol == "grpc":
            return call(receiver.grpc, payload)
        return receiver.post(headers=PROTOBUF, content=payload).status_code

    first = threading.Thread(target=send)
    first.start()
    assert sink.entered.acquire(timeout=10)
    if protocol == "grpc":
        with pytest.raises(grpc.RpcError, match="bytes of requests are in work"):
            send()
    else:
        assert send() == 503
    sink.go_on.set()
    first.join(10)
    assert send() in (b"", 200)


def test_a_client_that_goes_away_gives_its_place_back(start: Any, make_request: MakeRequest) -> None:
    """Cancelled calls and cut connections do not use up the bound."""
    sink = MemorySink()
    receiver = start(sink, Limits(requests=2))
    for _ in range(4):
        with grpc.insecure_channel(receiver.grpc) as channel:
            stream = channel.stream_unary(EXPORT).future(iter(threading.Event().wait, None))
            time.sleep(0.05)
            stream.cancel()
        with socket.create_connection(("127.0.0.1", int(receiver.url.rpartition(":")[2]))) as cut:
            cut.sendall(
                b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 9\r\n\r\nab"
            )
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and len(sink.payloads) < 2:
        try:
            call(receiver.grpc, make_request())
        except grpc.RpcError:
            time.sleep(0.05)
            continue
        if receiver.post(headers=PROTOBUF, content=make_request()).status_code != 200:
            time.sleep(0.05)
    assert len(sink.payloads) >= 2


def test_slow_body_is_cut(start: Any) -> None:
    """A body that does not arrive is given up, retryable."""
    receiver = start(MemorySink(), Limits(body_seconds=0.2))
    with socket.create_connection(("127.0.0.1", int(receiver.url.rpartition(":")[2])), timeout=5) as slow:
        slow.sendall(
            b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\nab"
        )
        answer = slow.recv(4096)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in answer.lower()
    assert receiver.counters.snapshot().rejected == {"timeout": 1}


def test_logs_are_declined_politely(start: Any) -> None:
    """UNIMPLEMENTED over gRPC, 404 over HTTP; other paths and methods say what is there."""
    receiver = start(MemorySink())
    with pytest.raises(grpc.RpcError, match="logs are not taken here") as caught:
        call(receiver.grpc, b"", "/opentelemetry.proto.collector.logs.v1.LogsService/Export")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as caught:
        call(receiver.grpc, b"", "/x/Y")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    answer = receiver.post("/v1/logs", headers=JSON, content=b"{}")
    assert (answer.status_code, answer.json()["message"]) == (404, "logs are not taken here: send traces and metrics")
    answer = httpx.get(f"{receiver.url}/v1/traces")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(("receiver", "flag"), [(GrpcReceiver, "--grpc-port"), (HttpReceiver, "--http-port")])
def test_port_in_use(receiver: Any, flag: str) -> None:
    """One line that names the port and the flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as caught:
            receiver(MemorySink(), "127.0.0.1", port).start()
    assert (
        str(caught.value)
        == f"port {port} on 127.0.0.1 is in use: stop what listens there, or choose another with {flag}"
    )


@pytest.mark.parametrize("receiver", [GrpcReceiver, HttpReceiver])
def test_host_that_is_not_here(receiver: Any) -> None:
    """An address of another machine, and a name that does not exist."""
    for host in ("192.0.2.1", "nowhere.invalid"):
        with pytest.raises(ConfigurationError, match=rf"cannot listen on {host}: .*; choose another with --host"):
            receiver(MemorySink(), host, 0).start()


def test_stop_finishes_what_is_in_work(start: Any, make_request: MakeRequest) -> None:
    """Requests in work are answered before the receivers are gone; the ports are free afterwards."""
    sink = SlowSink()
    receiver = start(sink)
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(call(receiver.grpc, make_request()))),
        threading.Thread(
            target=lambda: answers.append(receiver.post(headers=PROTOBUF, content=make_request()).content)
        ),
    ]
    for thread in threads:
        thread.start()
    assert all(sink.entered.acquire(timeout=10) for _ in threads)
    threading.Timer(0.2, sink.go_on.set).start()
    receiver.stop()
    for thread in threads:
        thread.join(10)
    assert answers == [b"", b""]
    again = HttpReceiver(sink, "127.0.0.1", int(receiver.url.rpartition(":")[2]))
    again.start()
    again.stop()
