"""What the consumer reads of a topic: every message once, however it was written."""

import base64
import json
import random
import uuid
from collections.abc import Callable

import pytest
from google.protobuf import json_format
from kafka import KafkaProducer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.feeds.kafka import KafkaFeed, KafkaSink
from telemetry.feeds.kafka.keying import HASHERS, MURMUR2, Verdict
from telemetry.feeds.otlp.encodings import json_places, to_protobuf
from telemetry.feeds.otlp.intake import Signal
from tests.real.kafka_feed.topics import PARTITIONS, OpenFeed, join, read, request, spans_in, until


def test_poll_is_bounded_in_bytes(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """No poll gives more than was asked for, one lone record excepted; 0 gives nothing and loses nothing."""
    for trace in range(1, 31):
        sink.accept(request([trace], pad=10_000))
    feed = open_feed()
    join(feed)
    seen: list[tuple[int, int]] = []

    def all_seen() -> bool:
        for bound in (0, 25_000, 100):
            records = feed.poll(0.1, bound)
            assert sum(len(record.value) for record in records) <= bound or len(records) == 1
            assert bound or not records
            seen.extend((record.partition, record.offset) for record in records)
        return len(seen) >= 30

    until(all_seen)
    assert len(set(seen)) == len(seen) == 30


@pytest.mark.parametrize("how", ["columns", "records"])
def test_batches_are_the_same_records(
    open_feed: OpenFeed, kafka_broker: KafkaBroker, topic: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As kafka-python gives them by itself: keyed, in every compression, with and without its own decoder."""
    sent: list[tuple[int, int, int, bytes]] = []
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        producer = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap, compression_type=codec, linger_ms=50)
        values = [random.Random(n).randbytes(n) for n in range(300)]
        futures = [
            (producer.send(topic, value, key=b"%d" % n, timestamp_ms=1_700_000_000_000 + n, partition=n % 2), value)
            for n, value in enumerate(values)
        ]
        for future, value in futures:
            place = future.get(10)
            sent.append((place.partition, place.offset, place.timestamp, value))
        producer.close()
    if how == "records":
        monkeypatch.setattr("telemetry.feeds.kafka.source.install", lambda *_: False)
    feed = open_feed()
    assert feed._by_batches == (how == "columns")
    got: list[tuple[int, int, int, bytes]] = []

    def enough() -> bool:
        batches = feed.poll_batches(0.1, 20_000)
        assert sum(batch.size for batch in batches) <= 20_000
        got.extend((r.partition, r.offset, r.arrival_ms, r.value) for batch in batches for r in batch.records())
        return len(got) >= len(sent)

    until(enough)
    for partition in range(PARTITIONS):
        assert [place for place in got if place[0] == partition] == [place for place in sent if place[0] == partition]
    assert feed.lag() == 0


@pytest.mark.parametrize("how", ["columns", "records"])
def test_how_the_topic_is_keyed(
    open_feed: OpenFeed, kafka_broker: KafkaBroker, topic: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen from a few keys: by trace id with Kafka's hasher; then with Sarama's, as a Collector does that nobody has told."""
    if how == "records":
        monkeypatch.setattr("telemetry.feeds.kafka.source.install", lambda *_: False)
    monkeypatch.setattr("telemetry.feeds.kafka.source._SAMPLE_SECONDS", 0.0)
    producer = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap, compression_type="lz4", linger_ms=50)

    def write(first: int, place: Callable[[bytes, int], int] | None) -> None:
        for trace in range(first, first + 100):
            key = random.Random(trace).randbytes(16).hex().encode()
            producer.send(topic, b"x", key=key, partition=place(key, PARTITIONS) if place else None)
        producer.flush()

    write(0, None)
    feed = open_feed()
    read(feed, 100)
    report = feed.keying.report()
    assert (report.verdict, report.hashers[0]) == (Verdict.FINE, (MURMUR2, report.keyed))
    assert report.keyed == report.sampled >= 8
    for number in range(1, 4):
        write(number * 1000, HASHERS["Sarama's FNV-1a"])
        read(feed, 100)
    producer.close()
    feed.keying.saw_split(9, b"x" * 16)
    assert feed.keying.report().verdict is Verdict.MIXED


@pytest.mark.parametrize("by", ["producer", "broker"])
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_topics_as_a_collector_writes_them(kafka_broker: KafkaBroker, codec: str, by: str) -> None:
    """A request of one trace a message, keyed by its hex id, otlp_proto and otlp_json; compressed by the client, or by Java."""
    name = f"{codec}-{uuid.uuid4().hex[:8]}"
    kafka_broker.create_topic(name, 2, {"compression.type": codec} if by == "broker" else {})
    producer = KafkaProducer(
        bootstrap_servers=kafka_broker.bootstrap, compression_type=codec if by == "producer" else None, linger_ms=100
    )
    payloads = [request([trace], spans=3) for trace in range(1, 201)]
    for trace, payload in enumerate(payloads, 1):
        producer.send(name, as_json(payload) if trace % 2 else payload, key=trace.to_bytes(16).hex().encode())
    producer.close()
    feed = KafkaFeed(kafka_broker.bootstrap, name, name)
    feed.open()
    values = [record.value for record in read(feed, len(payloads))]
    feed.close()
    assert len(json_places(values)) == 100
    assert spans_in([to_protobuf(value, Signal.TRACES) for value in values]) == spans_in(payloads)


def as_json(payload: bytes) -> bytes:
    """A request in OTLP/JSON: ids in hex, in one line, as the Collector's marshaler writes it."""
    document = json_format.MessageToDict(ExportTraceServiceRequest.FromString(payload))
    for resource in document["resourceSpans"]:
        for span in resource["scopeSpans"][0]["spans"]:
            for name in ("traceId", "spanId"):
                span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(document, separators=(",", ":")).encode()
