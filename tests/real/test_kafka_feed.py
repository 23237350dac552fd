"""The Kafka feed and sink with a real Apache Kafka: SDK exporter -> receiver -> Kafka -> feed."""

import base64
import gzip
import json
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import MemberToRemove
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
from telemetry.errors import ConfigurationError, UnavailableError
from telemetry.feeds.base import Record
from telemetry.feeds.kafka import KafkaFeed, KafkaSink, Kind, ensure_topic
from telemetry.feeds.kafka.keying import HASHERS, MURMUR2, Verdict
from telemetry.feeds.otlp import GrpcReceiver, HttpReceiver
from telemetry.feeds.otlp.encodings import json_places, to_protobuf
from telemetry.feeds.otlp.intake import Signal
from telemetry.feeds.sink import PartialError

PARTITIONS = 4
OpenFeed = Callable[..., KafkaFeed]


@pytest.fixture
def topic(kafka_broker: KafkaBroker) -> str:
    """A topic of this test's own, with four partitions."""
    name = f"spans-{uuid.uuid4().hex[:8]}"
    kafka_broker.create_topic(name, PARTITIONS)
    return name


@pytest.fixture
def sink(kafka_broker: KafkaBroker, topic: str) -> Iterator[KafkaSink]:
    """A sink that writes to ``topic``."""
    sink = KafkaSink(kafka_broker.bootstrap, topic)
    sink.open()
    yield sink
    sink.close()


@pytest.fixture
def open_feed(kafka_broker: KafkaBroker, topic: str) -> Iterator[OpenFeed]:
    """``open_feed(group="g")``: a member of a group that reads ``topic``."""
    feeds: list[KafkaFeed] = []

    def make(group: str = "g", **settings: Any) -> KafkaFeed:
        feed = KafkaFeed(kafka_broker.bootstrap, topic, f"{group}-{topic}", **settings)
        feed.open()
        feeds.append(feed)
        return feed

    yield make
    for feed in feeds:
        feed.close()


def until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for ``condition``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"


def join(feed: KafkaFeed, partitions: int = PARTITIONS) -> None:
    """Poll until the feed has so many partitions; nothing is given out."""

    def joined() -> bool:
        assert not feed.poll(0.1, 0)
        return len(feed.assigned()) == partitions

    until(joined)


def read(feed: KafkaFeed, count: int, max_bytes: int = 1 << 20) -> list[Record]:
    """The next records, ``count`` of them or more; every one of a partition that was assigned before its poll."""
    records: list[Record] = []

    def enough() -> bool:
        before = feed.assigned()
        got = feed.poll(0.1, max_bytes)
        assert {record.partition for record in got} <= before.keys()
        records.extend(got)
        return len(records) >= count

    until(enough)
    return records


def request(traces: Sequence[int], spans: int = 1, pad: int = 0, service: str = "api") -> bytes:
    """A trace request: one resource, one scope, ``spans`` spans of each trace."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add(schema_url="https://example.com/schema")
    resource.resource.attributes.add(key="service.name").value.string_value = service
    scope = resource.scope_spans.add(schema_url="https://example.com/scope")
    scope.scope.name = "test"
    for number in range(spans):
        for trace in traces:
            span = scope.spans.add(trace_id=trace.to_bytes(16), span_id=(number + 1).to_bytes(8), name=f"{number}")
            if pad:
                span.attributes.add(key="pad").value.bytes_value = random.Random(number).randbytes(pad)
    return message.SerializeToString()


def spans_in(payloads: Sequence[bytes]) -> list[tuple[bytes, bytes, str, str]]:
    """(trace, span, service, scope) of each span, sorted."""
    found = []
    for payload in payloads:
        message = ExportTraceServiceRequest.FromString(payload)
        for resource in message.resource_spans:
            assert resource.schema_url == "https://example.com/schema"
            (service,) = resource.resource.attributes
            for scope in resource.scope_spans:
                assert scope.schema_url == "https://example.com/scope"
                found += [
                    (span.trace_id, span.span_id, service.value.string_value, scope.scope.name) for span in scope.spans
                ]
    return sorted(found)


def raw(bootstrap: str, topic: str) -> list[Any]:
    """All messages of a topic, as kafka-python gives them."""
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=1500, group_id=None
    )
    try:
        return list(consumer)
    finally:
        consumer.close()


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


def test_restart_resumes_at_the_committed_offset(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """What was read but not committed comes again; assigned() tells the committed offsets."""
    for trace in range(1, 41):
        sink.accept(request([trace]))
    feed = open_feed()
    joined = [feed.joined]
    records = read(feed, 40)
    assert [*joined, feed.joined] == [False, True]
    assert feed.assigned() == dict.fromkeys(range(PARTITIONS), 0)
    assert feed.lags() == feed.assigned()
    middle = {p: sorted(r.offset for r in records if r.partition == p)[3] for p in range(PARTITIONS)}
    feed.commit(middle)
    assert feed.assigned() == middle
    feed.commit(dict.fromkeys(range(PARTITIONS), 1))  # never back
    feed.commit({99: 5})  # not ours
    feed.close()
    again = open_feed()
    join(again)
    assert again.assigned() == middle
    expected = [(r.partition, r.offset) for r in records if r.offset >= middle[r.partition]]
    got = read(again, len(expected))
    assert sorted((r.partition, r.offset) for r in got) == sorted(expected)


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


def test_a_batch_that_the_disk_has_damaged(open_feed: OpenFeed, kafka_broker: KafkaBroker, topic: str) -> None:
    """It is fetched again, then put aside whole; what stands before and behind it comes, and nothing waits for ever."""
    producer = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
    for value in (b"before", b"to be damaged", b"behind"):
        producer.send(topic, value, partition=1).get(10)
    producer.close()
    (segment,) = kafka_broker.log.parent.glob(f"logs/{topic}-1/*.log")
    stored = segment.read_bytes()
    with segment.open("r+b") as file:
        file.seek(stored.index(b"to be damaged"))
        file.write(b"2")
    feed = open_feed()
    assert [record.value for record in read(feed, 2)] == [b"before", b"behind"]
    (dead,) = raw(kafka_broker.bootstrap, topic + ".dead")
    assert b"2o be damaged" in dead.value
    assert dict(dead.headers)["offset"] == b"1"
    assert dict(dead.headers)["reason"] == b"a batch of messages that cannot be decoded: its checksum is wrong"


def test_rebalance_moves_only_what_must_move(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """A second member takes half; the first keeps the other half without a gap; when the second leaves, all come back."""
    first = open_feed()
    join(first)
    second = open_feed()
    held: list[set[int]] = []
    stop = threading.Event()

    def poll_second() -> None:
        while not stop.is_set():
            second.poll(0.1, 1 << 20)

    thread = threading.Thread(target=poll_second)
    thread.start()
    try:

        def halved() -> bool:
            first.poll(0.1, 1 << 20)
            held.append(set(first.assigned()))
            return len(first.assigned()) == 2 and len(second.assigned()) == 2

        until(halved)
        kept = set(first.assigned())
        assert all(kept <= step for step in held)
        assert kept | set(second.assigned()) == set(range(PARTITIONS))
    finally:
        stop.set()
        thread.join(10)
    second.close()
    join(first)
    for trace in range(1, 21):
        sink.accept(request([trace]))
    assert len(read(first, 20)) == 20


def test_lost_partitions_are_seen_to_go_before_they_come_back(
    sink: KafkaSink, open_feed: OpenFeed, kafka_broker: KafkaBroker, topic: str
) -> None:
    """A member that is thrown out sees its partitions go, joins again, and reads on from the committed offsets."""
    for trace in range(1, 21):
        sink.accept(request([trace]))
    feed = open_feed(session_timeout_ms=3000)
    first = read(feed, 20)
    feed.commit({0: 2})
    member = feed._consumer.group_metadata().member_id
    with KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap) as admin:
        admin.remove_group_members(f"g-{topic}", [MemberToRemove(member_id=member)])
    seen: list[int] = []

    def gone() -> bool:
        seen.append(len(feed.poll(0.1, 1 << 20)))
        return not feed.assigned()

    until(gone)
    assert sum(seen) == 0
    expected = [(record.partition, record.offset) for record in first if (record.partition, record.offset) >= (0, 2)]
    again = read(feed, len(expected))
    assert feed.assigned() == {0: 2, 1: 0, 2: 0, 3: 0}
    assert sorted((record.partition, record.offset) for record in again) == sorted(expected)


def test_malformed_message_goes_to_the_dead_letter_topic(
    sink: KafkaSink, open_feed: OpenFeed, kafka_broker: KafkaBroker, topic: str
) -> None:
    """Whole, with the reason and the place it came from in the headers; the feed goes on."""
    producer = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
    producer.send(topic, value=b"\xff\xff not OTLP", partition=2).get(10)
    producer.close()
    sink.accept(request([1]))
    feed = open_feed()
    bad = next(record for record in read(feed, 2) if b"not OTLP" in record.value)
    feed.reject(bad, "wire type 7 at byte 0")
    feed.reject(bad, "ä" * 600)
    dead = raw(kafka_broker.bootstrap, topic + ".dead")
    assert [message.value for message in dead] == [b"\xff\xff not OTLP"] * 2
    headers = dict(dead[0].headers)
    assert headers["reason"] == b"wire type 7 at byte 0"
    assert (headers["topic"], headers["partition"], headers["offset"]) == (topic.encode(), b"2", b"%d" % bad.offset)
    assert headers["arrival_ms"] == b"%d" % bad.arrival_ms
    assert not feed.poll(0.1, 1 << 20)


def test_dead_letter_too_large_for_its_topic(open_feed: OpenFeed, kafka_broker: KafkaBroker, topic: str) -> None:
    """Where the topic takes only small messages, the reason and the place are kept and the size is told."""
    ensure_topic(kafka_broker.bootstrap, topic + ".dead", 1, {"max.message.bytes": "2000"})
    open_feed().reject(Record(1, 5, 6, random.Random(0).randbytes(5000)), "bad")
    (dead,) = raw(kafka_broker.bootstrap, topic + ".dead")
    assert (dead.value, dict(dead.headers)["omitted_bytes"], dict(dead.headers)["offset"]) == (b"", b"5000", b"5")


def test_reread_starts_a_partition_anew(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """It goes, and comes back at its committed offset; the others stay."""
    for trace in range(1, 21):
        sink.accept(request([trace]))
    feed = open_feed()
    first = [record for record in read(feed, 20) if record.partition == 1]
    feed.commit({1: 2})
    feed.reread(1)
    assert not feed.poll(0, 1000)
    assert set(feed.assigned()) == {0, 2, 3}
    assert not feed.poll(0, 1000)
    assert feed.assigned()[1] == 2
    assert read(feed, len(first) - 2) == first[2:]


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


def test_new_partitions_are_used(kafka_broker: KafkaBroker) -> None:
    """The topic grows while the sink is open: after the next look at the metadata traces go to the new partitions too."""
    name = f"grows-{uuid.uuid4().hex[:8]}"
    kafka_broker.create_topic(name, 1)
    sink = KafkaSink(kafka_broker.bootstrap, name)
    sink.open()
    sink.accept(request(range(1, 41)))
    with KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap) as admin:
        admin.create_partitions({name: 3})
        admin.wait_for_topics([name])
    sink._producer._metadata.request_update()  # what happens by itself every 30 s
    until(lambda: len(sink._producer.partitions_for(name)) == 3)
    sink.accept(request(range(1, 41)))
    sink.close()
    found: dict[bytes, list[int]] = {}
    for message in sorted(raw(kafka_broker.bootstrap, name), key=lambda message: message.timestamp):
        for trace, *_ in spans_in([message.value]):
            found.setdefault(trace, []).append(message.partition)
    assert {partitions[0] for partitions in found.values()} == {0}
    assert {partitions[1] for partitions in found.values()} == {0, 1, 2}


def test_kafka_that_is_not_there() -> None:
    """One line that names the address and the flag, in bounded time."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        bootstrap = f"127.0.0.1:{closed.getsockname()[1]}"
        for part in (KafkaSink(bootstrap, "t"), KafkaFeed(bootstrap, "t", "g")):
            begun = time.monotonic()
            with pytest.raises(UnavailableError) as caught:
                part.open()
            assert bootstrap in str(caught.value)
            assert "--kafka HOST:PORT" in str(caught.value)
            assert "\n" not in str(caught.value)
            assert time.monotonic() - begun < 10
    with pytest.raises((ConfigurationError, UnavailableError), match="--kafka HOST:PORT"):
        KafkaSink("nowhere.invalid:x", "t").open()


def test_topic_that_is_not_there(kafka_broker: KafkaBroker) -> None:
    """Named, with the mend."""
    with pytest.raises(UnavailableError, match="no topic nowhere: create it"):
        KafkaFeed(kafka_broker.bootstrap, "nowhere", "g").open()
    with pytest.raises(UnavailableError, match="write to topic nowhere"):
        KafkaSink(kafka_broker.bootstrap, "nowhere", timeout_seconds=1).open()


@pytest.mark.usefixtures("kafka_broker")  # it says when there can be none
def test_broker_that_stops_and_comes_back(tmp_path: Path) -> None:
    """While it is down the sink says UNAVAILABLE in bounded time and the feed loses nothing; then both go on."""
    own = KafkaBroker(tmp_path / "own")
    own.start()
    try:
        own.create_topic("t", 2)
        sink = KafkaSink(own.bootstrap, "t", timeout_seconds=2)
        sink.open()
        feed = KafkaFeed(own.bootstrap, "t", "g")
        feed.open()
        sink.accept(request([1]))
        join(feed, 2)
        first = read(feed, 1)
        own.stop()
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="does not answer"):
            sink.accept(request([2]))
        assert time.monotonic() - begun < 6
        own.start()
        written = threading.Event()

        def write() -> bool:
            try:
                sink.accept(request([3]))
                written.set()
            except UnavailableError:
                return False
            return True

        until(write)
        seen = spans_in([record.value for record in first])

        def third_seen() -> bool:
            try:
                for record in feed.poll(0.2, 1 << 20):
                    seen.extend(spans_in([record.value]))
            except UnavailableError:
                pass
            return any(trace == (3).to_bytes(16) for trace, *_ in seen)

        until(third_seen)
        assert any(trace == (1).to_bytes(16) for trace, *_ in seen)
        feed.close()
        sink.close()
    finally:
        own.stop()
