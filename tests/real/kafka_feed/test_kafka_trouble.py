"""Messages that cannot be decoded, batches that a disk has damaged, brokers that are not there."""

import random
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.errors import ConfigurationError, UnavailableError
from telemetry.feeds.base import Record
from telemetry.feeds.kafka import KafkaFeed, KafkaSink, ensure_topic
from tests.real.kafka_feed.topics import OpenFeed, join, raw, read, request, spans_in, until


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_a_batch_that_the_disk_has_damaged(
    open_feed: OpenFeed, kafka_broker: KafkaBroker, topic: str, codec: str | None
) -> None:
    """It is fetched again, then put aside; what stands before and behind it comes, and nothing waits for ever.

    The dead letter holds no card number, and nothing of what is compressed, where one could hide.
    """
    damaged = b"to be damaged: card 4111 1111 1111 1111" + bool(codec) * 500 * b"."
    for value in (b"before", damaged, b"behind", damaged):
        producer = KafkaProducer(
            bootstrap_servers=kafka_broker.bootstrap, compression_type=codec if value is damaged else None
        )
        producer.send(topic, value, partition=1).get(10)
        producer.close()
    (segment,) = kafka_broker.log.parent.glob(f"logs/{topic}-1/*.log")
    stored = bytearray(segment.read_bytes())
    places = [stored.index(b"behind") - 80, len(stored) - 3]  # near the ends of the batches
    for place in places if codec else (stored.index(b"to be"), stored.rindex(b"to be")):
        stored[place] ^= 1
    segment.write_bytes(stored)
    feed = open_feed()
    assert [record.value for record in read(feed, 2)] == [b"before", b"behind"]
    until(lambda: not feed.poll(0.1, 1 << 20) and feed.lag() == 0)  # the last one, too, waits no more
    dead = raw(kafka_broker.bootstrap, topic + ".dead")
    assert [dict(each.headers)["offset"] for each in dead] == [b"1", b"3"]
    for each in dead:
        headers = dict(each.headers)
        assert b"4111" not in each.value
        assert headers["reason"].startswith(b"a batch of messages that cannot be decoded: its checksum is wrong")
        if codec:
            assert each.value == b""
            assert re.fullmatch(
                rb".*; its (\d+) bytes are left out, for they are compressed \(gzip\); it states the checksum [0-9a-f]{8}",
                headers["reason"],
            )
            assert int(headers["omitted_bytes"]) > 80
        else:
            assert b"** ** *******: **** **** **** **** ****" in each.value


def test_a_mark_at_the_end_does_not_wait(open_feed: OpenFeed, kafka_broker: KafkaBroker, topic: str) -> None:
    """A transaction ends with a mark, which is no record: when all records are given out, nothing waits any more."""
    producer = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap, transactional_id=topic)
    producer.init_transactions()
    for value in (b"one", b"two"):
        producer.begin_transaction()
        producer.send(topic, value, partition=1)
        producer.commit_transaction()
    producer.close()
    feed = open_feed()
    assert [(record.offset, record.value) for record in read(feed, 2)] == [(0, b"one"), (2, b"two")]

    def nothing_waits() -> bool:
        assert not feed.poll(0.1, 1 << 20)
        return feed.lag() == 0

    until(nothing_waits)
    feed.commit({1: 3})
    feed.close()
    again = open_feed()
    join(again)
    until(lambda: not again.poll(0.1, 1 << 20) and again.lag() == 0)


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
