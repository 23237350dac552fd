"""The Collector's recipe in deploy/collector, with a real Collector and a real Kafka."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from kafka import KafkaConsumer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.feeds.kafka import ensure_topic
from telemetry.feeds.kafka.partitions import key_of, partitions_of
from tests.real.parts.otel_collector import OtelCollector
from tests.unit.sdk.sdk_support import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]  # a build, once

PARTITIONS = 4


@pytest.fixture
def topic(kafka_broker: KafkaBroker) -> str:
    """A topic of its own, with several partitions."""
    name = f"otelcol-{uuid.uuid4().hex[:8]}"
    ensure_topic(kafka_broker.bootstrap, name, PARTITIONS)
    return name


@pytest.fixture
def otel_collector(kafka_broker: KafkaBroker, topic: str, tmp_path: Path) -> Iterator[OtelCollector]:
    """A running Collector that writes to the topic."""
    one = OtelCollector(tmp_path, kafka_broker.bootstrap, topic)
    one.start()
    try:
        yield one
    finally:
        one.stop()


def request(trace_ids: list[bytes], note: str = "x") -> bytes:
    """One request with two spans of each trace."""
    made = ExportTraceServiceRequest()
    for copy in range(2):
        resource = made.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = f"service-{copy}"
        spans = resource.scope_spans.add().spans
        for trace_id in trace_ids:
            span = spans.add(trace_id=trace_id, span_id=uuid.uuid4().bytes[:8], name="GET /v1/x", kind=2)
            span.attributes.add(key="note").value.string_value = note
    return made.SerializeToString()


def post(to: OtelCollector, body: bytes) -> int:
    """Send a request and give the status of the answer."""
    return httpx.post(
        f"{to.http}/v1/traces", content=body, headers={"content-type": "application/x-protobuf"}, timeout=30
    ).status_code


def read(broker: KafkaBroker, topic: str, spans: int) -> list[tuple[int, bytes, ExportTraceServiceRequest]]:
    """Partition, key and content of the topic's messages, once so many spans are there."""
    consumer = KafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", group_id=None)
    found: list[tuple[int, bytes, ExportTraceServiceRequest]] = []

    def complete() -> bool:
        for records in consumer.poll(timeout_ms=100).values():
            found.extend((r.partition, r.key, ExportTraceServiceRequest.FromString(r.value)) for r in records)
        return sum(len(s.spans) for _, _, r in found for one in r.resource_spans for s in one.scope_spans) >= spans

    try:
        until(complete, 60)
    finally:
        consumer.close()
    return found


def test_spans_of_a_trace_meet_in_the_partition_that_we_would_choose(
    kafka_broker: KafkaBroker, topic: str, otel_collector: OtelCollector
) -> None:
    """Whether `edgepath receive` or this Collector wrote them: key, hash and partition are the same."""
    ids = [uuid.uuid4().bytes for _ in range(40)]
    assert post(otel_collector, request(ids)) == 200
    found = read(kafka_broker, topic, 80)
    wanted = partitions_of(ids, PARTITIONS)
    assert len(set(wanted.values())) == PARTITIONS
    for partition, key, content in found:
        (trace_id,) = {s.trace_id for one in content.resource_spans for scope in one.scope_spans for s in scope.spans}
        assert key == key_of(trace_id)
        assert partition == wanted[trace_id]


def test_what_was_accepted_survives_a_kafka_that_is_away_and_a_crash(
    kafka_broker: KafkaBroker, topic: str, tmp_path: Path
) -> None:
    """The queue is on disk: accepted while there is no Kafka, killed, started again with one, delivered."""
    nowhere = OtelCollector(tmp_path, "127.0.0.1:9", topic)
    nowhere.start()
    ids = [uuid.uuid4().bytes for _ in range(3)]
    try:
        assert post(nowhere, request(ids)) == 200
    finally:
        nowhere.kill()
    later = OtelCollector(tmp_path, kafka_broker.bootstrap, topic)
    later.start()
    try:
        found = read(kafka_broker, topic, 6)
    finally:
        later.stop()
    assert {key for _, key, _ in found} == {key_of(each) for each in ids}


def test_plain_card_numbers_and_secrets_do_not_get_into_kafka(
    kafka_broker: KafkaBroker, topic: str, otel_collector: OtelCollector
) -> None:
    """As far as the Collector's patterns go: the rest is for our own receiver and consumer."""
    numbers = (
        "4111111111111111",
        "4111 1111 1111 1111",
        "378282246310005",
        "5555-5555-5555-4444",
        "4111%201111%201111%201111",
    )
    sent = ExportTraceServiceRequest()
    for number in numbers:
        span = sent.resource_spans.add().scope_spans.add().spans.add(trace_id=uuid.uuid4().bytes, span_id=b"12345678")
        span.attributes.add(key="http.url").value.string_value = f"https://api.example.com/v1/cards/{number}?x=1"
        span.attributes.add(key="card.cvv").value.string_value = "123"
        span.attributes.add(key="http.request.header.authorization").value.string_value = "Bearer hunter2"
        span.attributes.add(key="http.route").value.string_value = "/v1/cards/{number}"
        span.attributes.add(key="order").value.string_value = "2026-10-01 17:43:51.123456"
    assert post(otel_collector, sent.SerializeToString()) == 200
    found = read(kafka_broker, topic, len(numbers))
    kept = b"".join(content.SerializeToString() for _, _, content in found)
    for number in (*numbers, "hunter2"):
        assert number.encode() not in kept
    assert kept.count(b"/v1/cards/{number}") == kept.count(b"17:43:51.123456") == len(numbers)
