"""Kafka between receiver and engine, for ``edgepath up --kafka``."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.feeds.base import Feed
from telemetry.feeds.kafka import KafkaFeed, KafkaSink
from telemetry.feeds.kafka.topics import ensure_topic
from telemetry.feeds.sink import Sink
from telemetry.vocabulary import SPANS_TOPIC

GROUP: Final = "edgepath"
PARTITIONS: Final = 4


@contextlib.contextmanager
def open_kafka(
    address: str, data: Path, where: list[tuple[str, str]], progress: Callable[[str], None]
) -> Iterator[tuple[Feed, Sink, str]]:
    """The feed, the sink and the topic's name; a broker of our own if ``address`` is empty.

    Args:
        address: ``HOST:PORT`` of a running Kafka, or empty.
        data: a broker of our own keeps its files in there.
        where: told where Kafka is.
        progress: told what is being started.

    Raises:
        ConfigurationError: Java or Maven is missing.
        UnavailableError: Kafka does not answer.
    """
    with contextlib.ExitStack() as parts:
        if not address:
            progress("starting Apache Kafka (the first time, Maven fetches it)")
            broker = KafkaBroker(data / "kafka")
            parts.callback(broker.stop)
            broker.start()
            address = broker.bootstrap
        where.append(("Kafka", f"{address}, topic {SPANS_TOPIC}"))
        ensure_topic(address, SPANS_TOPIC, PARTITIONS)
        sink = KafkaSink(address, SPANS_TOPIC)
        sink.open()
        parts.callback(sink.close)
        feed = KafkaFeed(address, SPANS_TOPIC, GROUP)
        feed.open()
        parts.callback(feed.close)
        yield feed, sink, SPANS_TOPIC
