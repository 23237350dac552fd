"""The Kafka consumer: request paths into a ClickHouse server. Scale out by starting more of them in one group."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from telemetry.engine.settings import EngineSettings
from telemetry.feeds.kafka import KafkaFeed
from telemetry.pipeline.pipeline import Pipeline, Status
from telemetry.pipeline.settings import PipelineSettings
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from telemetry.vocabulary import SPANS_TOPIC


@dataclass(frozen=True)
class ConsumeSettings:
    """Settings of ``edgepath consume``.

    Attributes:
        kafka: ``HOST:PORT[,HOST:PORT...]``.
        clickhouse: where paths go.
        topic: what is read.
        group: the consumer group.
        session_timeout_ms: a consumer that has been silent for so long has lost its partitions.
        engine: settings of the engine.
    """

    kafka: str
    clickhouse: ServerAddress
    topic: str = SPANS_TOPIC
    group: str = "edgepath"
    session_timeout_ms: int = 45_000
    engine: EngineSettings = field(default_factory=EngineSettings)


def consume(settings: ConsumeSettings, stop: threading.Event, ready: Callable[[Callable[[], Status]], None]) -> None:
    """Consume until ``stop`` is set; what is not stored by then is read again by who comes next.

    Args:
        settings: see there.
        stop: ends it.
        ready: called once everything answers, with a function that tells the state.

    Raises:
        ConfigurationError, UnavailableError: Kafka or ClickHouse cannot be used at the start. Later on they may come and go.
    """
    with contextlib.ExitStack() as parts:
        store = ServerStore(settings.clickhouse)
        parts.callback(store.close)
        schema.apply(store)
        feed = KafkaFeed(settings.kafka, settings.topic, settings.group, session_timeout_ms=settings.session_timeout_ms)
        feed.open()
        parts.callback(feed.close)
        pipeline = Pipeline(feed, store, PipelineSettings(settings.engine), topic=settings.topic)
        parts.callback(pipeline.close)
        ready(pipeline.status)
        pipeline.run(stop)
