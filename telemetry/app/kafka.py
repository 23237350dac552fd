"""Kafka between receiver and engine, for ``edgepath up --kafka``."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from telemetry.app.ways import Way, Ways
from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.feeds.kafka import KafkaFeed, KafkaSettings, KafkaSink, Kind
from telemetry.feeds.kafka.topics import ensure_topic
from telemetry.vocabulary import METRICS_TOPIC, SPANS_TOPIC

GROUP: Final = "edgepath"
PARTITIONS: Final = 4


@contextlib.contextmanager
def open_kafka(
    kafka: KafkaSettings | str, data: Path, where: list[tuple[str, str]], progress: Callable[[str], None]
) -> Iterator[Ways]:
    """The ways of spans and of metrics through Kafka; a broker of our own if ``kafka`` is empty.

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
        settings = KafkaSettings.of(kafka)
        where.append(("Kafka", f"{settings.bootstrap}, topics {SPANS_TOPIC} and {METRICS_TOPIC}"))

        def way(topic: str, kind: Kind, group: str) -> Way:
            ensure_topic(settings, topic, PARTITIONS)
            sink = KafkaSink(settings, topic, kind)
            sink.open()
            parts.callback(sink.close)
            feed = KafkaFeed(settings, topic, group)
            feed.open()
            parts.callback(feed.close)
            return Way(feed, sink, topic)

        yield Ways(way(SPANS_TOPIC, Kind.SPANS, GROUP), way(METRICS_TOPIC, Kind.METRICS, f"{GROUP}-metrics"))
