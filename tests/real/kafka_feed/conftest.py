"""Fixtures: a topic of this test's own, and both ends of it."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.feeds.kafka import KafkaFeed, KafkaSink
from tests.real.kafka_feed.topics import PARTITIONS, OpenFeed


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
