"""Kafka between receiver and engine, for ``edgepath up --kafka``."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.feeds.base import Feed
from telemetry.feeds.kafka import KafkaFeed, KafkaSettings, KafkaSink
from telemetry.feeds.kafka.topics import ensure_topic
from telemetry.feeds.sink import Sink
from telemetry.vocabulary import SPANS_TOPIC

GROUP: Final = "edgepath"
PARTITIONS: Final = 4


@contextlib.contextmanager
def open_kafka(
    kafka: KafkaSettings | str, data: Path, where: list[tuple[str, str]], progress: Callable[[str], None]
) -> Iterator[tuple[Feed, Sink, str]]:
    """The feed, the sink and the topic's name; a broker of our own if ``kafka`` is empty.

    Args:
        kafka: how a running Kafka is reached, or its ``HOST:PORT``, or empty.
        data: a broker of our own keeps its files in there.
        where: told where Kafka is.
        progress: told what is being started.

    Raises:
        ConfigurationError: Java or Maven is missing.
        UnavailableError: Kafka does not answer.
    """
    with contextlib.ExitStack() as parts:
        if not kafka:
            progress("starting Apache Kafka (the first time, Maven fetches it)")
            broker = KafkaBroker(data / "kafka")
            parts.callback(broker.stop)
            broker.start()
            kafka = broker.bootstrap
        where.append(("Kafka", f"{KafkaSettings.of(kafka).bootstrap}, topic {SPANS_TOPIC}"))
        ensure_topic(kafka, SPANS_TOPIC, PARTITIONS)
        sink = KafkaSink(kafka, SPANS_TOPIC)
        sink.open()
        parts.callback(sink.close)
        feed = KafkaFeed(kafka, SPANS_TOPIC, GROUP)
        feed.open()
        parts.callback(feed.close)
        yield feed, sink, SPANS_TOPIC
