"""What the receiver writes to Kafka: each span once, in its trace's partition, in messages that the topic takes."""

import gzip
import threading
import time
import uuid

import grpc
import httpx
import pytest
from kafka import KafkaProducer
from kafka.partitioner.default import murmur2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.errors import UnavailableError
from telemetry.feeds.kafka import KafkaSink, Kind
from telemetry.feeds.otlp import GrpcReceiver, HttpReceiver
from telemetry.feeds.sink import PartialError
from tests.real.kafka_feed.topics import PARTITIONS, OpenFeed, raw, read, request, spans_in, until


def test_spans_in_equal_spans_out(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """Every span comes out once, with its resource and scope, and all of a trace in the partition of its hex id."""
    payloads = [request(range(n * 50 + 1, n * 50 + 51), spans=3, service=f"s{n}") for n in range(10)]
    payloads += [request(range(1, 501), spans=2, service="other")]
    writers = [threading.Thread(target=sink.accept, args=(payload,)) for payload in payloads]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)
    feed = open_feed()
    now_ms = time.time() * 1000
    records = read(feed, len(payloads) * PARTITIONS)
    assert spans_in([record.value for record in records]) == spans_in(payloads)
    homes: dict[bytes, set[int]] = {}
    for record in records:
        assert abs(record.arrival_ms - now_ms) < 60_000
        for trace, *_ in spans_in([record.value]):
            homes.setdefault(trace, set()).add(record.partition)
    for trace, partitions in homes.items():
        assert partitions == {(murmur2(trace.hex().encode()) & 0x7FFFFFFF) % PARTITIONS}
    for partition in range(PARTITIONS):
        assert [r.offset for r in records if r.partition == partition] == list(range(len(payloads)))
    assert feed.lag() == 0


def test_a_partition_as_the_standard_partitioner_chooses(
    sink: KafkaSink, kafka_broker: KafkaBroker, topic: str
) -> None:
    """A producer that keys by hex trace id with Kafka's default partitioner meets ours; lone traces carry that key."""
    producer = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
    for trace in range(1, 21):
        producer.send(topic, key=trace.to_bytes(16).hex().encode(), value=request([trace])).get(10)
        sink.accept(request([trace]))
    producer.close()
    places: dict[bytes, list[int]] = {}
    for message in raw(kafka_broker.bootstrap, topic):
        places.setdefault(message.key, []).append(message.partition)
    assert len(places) == 20
    assert all(len(found) == 2 and found[0] == found[1] for found in places.values())


def test_messages_stay_under_the_limit(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """A request of 6 MB for one partition is cut; a span that is larger than a message alone is told, the rest is kept."""
    big = request([7], spans=60, pad=100_000)
    sink.accept(big)
    feed = open_feed()
    records = read(feed, 8)  # the halves of halves of halves
    assert all(len(record.value) <= 1_000_000 for record in records)
    assert spans_in([record.value for record in records]) == spans_in([big])
    good, bad = request([8]), request([9], pad=1_000_001)
    with pytest.raises(
        PartialError, match="1 spans larger than a Kafka message of 1000000 bytes were dropped"
    ) as caught:
        sink.accept(good + bad)
    assert caught.value.rejected == 1
    assert spans_in([record.value for record in read(feed, 1)]) == spans_in([good])


def test_partial_success_reaches_the_client(sink: KafkaSink) -> None:
    """OTLP's partial_success over both protocols."""
    payload = request([8]) + request([9], pad=1_000_001)
    over_http = HttpReceiver(sink, port=0)
    over_grpc = GrpcReceiver(sink, port=0)
    for receiver in (over_http, over_grpc):
        receiver.start()
    try:
        answer = httpx.post(
            f"http://127.0.0.1:{over_http.port}/v1/traces",
            content=gzip.compress(payload),
            headers={"content-type": "application/x-protobuf", "content-encoding": "gzip"},
            timeout=60,  # a megabyte of text to look through, while others use the processor
        )
        assert answer.status_code == 200
        with grpc.insecure_channel(f"127.0.0.1:{over_grpc.port}") as channel:
            call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            replies = [answer.content, call(payload, timeout=60)]
    finally:
        over_http.stop(0)
        over_grpc.stop(0)
    for reply in replies:
        partial = ExportTraceServiceResponse.FromString(reply).partial_success
        assert (partial.rejected_spans, "larger than a Kafka message" in partial.error_message) == (1, True)


def test_sdk_to_feed(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """The real SDK's spans, through the real receiver and the real Kafka."""
    receiver = GrpcReceiver(sink, port=0)
    receiver.start()
    provider = TracerProvider()
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"127.0.0.1:{receiver.port}", insecure=True))
    )
    tracer = provider.get_tracer("test")
    for number in range(100):
        with tracer.start_as_current_span(f"parent {number}"), tracer.start_as_current_span(f"child {number}"):
            pass
    provider.shutdown()
    receiver.stop(1)
    feed = open_feed()
    names: list[str] = []
    homes: dict[bytes, set[int]] = {}

    def all_there() -> bool:
        for record in feed.poll(0.1, 1 << 20):
            for resource in ExportTraceServiceRequest.FromString(record.value).resource_spans:
                for span in resource.scope_spans[0].spans:
                    names.append(span.name)
                    homes.setdefault(span.trace_id, set()).add(record.partition)
        return len(names) >= 200

    until(all_there)
    assert sorted(names) == sorted(f"{kind} {n}" for kind in ("parent", "child") for n in range(100))
    assert {len(partitions) for partitions in homes.values()} == {1}
    assert len(homes) == 100


def test_metrics_go_to_their_topic(kafka_broker: KafkaBroker, topic: str) -> None:
    """Metrics are cut by size only."""
    message = ExportMetricsServiceRequest()
    metrics = message.resource_metrics.add().scope_metrics.add().metrics
    for number in range(30):
        metrics.add(name=f"m{number}", description="x" * 100_000).gauge.data_points.add(as_int=number)
    sink = KafkaSink(kafka_broker.bootstrap, topic, Kind.METRICS)
    sink.open()
    sink.accept(message.SerializeToString())
    sink.accept(b"")
    sink.close()
    names = [
        metric.name
        for got in raw(kafka_broker.bootstrap, topic)
        for resource in ExportMetricsServiceRequest.FromString(got.value).resource_metrics
        for metric in resource.scope_metrics[0].metrics
    ]
    assert sorted(names) == sorted(f"m{number}" for number in range(30))


def test_topic_with_small_messages(kafka_broker: KafkaBroker) -> None:
    """A topic that takes less than the limit: the sink cuts smaller and the sender's next tries succeed."""
    name = f"small-{uuid.uuid4().hex[:8]}"
    kafka_broker.create_topic(name, 1, {"max.message.bytes": "300000"})
    sink = KafkaSink(kafka_broker.bootstrap, name)
    sink.open()
    payload = request([1], spans=9, pad=100_000)

    def taken() -> bool:
        try:
            sink.accept(payload)
        except UnavailableError:
            return False
        return True

    until(taken)
    sink.close()
    found = {place for message in raw(kafka_broker.bootstrap, name) for place in spans_in([message.value])}
    assert sorted(found) == spans_in([payload])
