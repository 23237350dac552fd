"""The Kafka consumer: request paths and metrics into a ClickHouse server. Scale out by starting more of them in one group."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from telemetry.app.consumer_view import ConsumerView
from telemetry.app.memory import keep_memory
from telemetry.app.metrics_consumer import MetricsConsumer, MetricsView
from telemetry.engine.metrics import MetricSettings
from telemetry.engine.settings import EngineSettings
from telemetry.feeds.kafka import KafkaFeed, KafkaSettings
from telemetry.feeds.kafka.keying import Verdict
from telemetry.observe.observer import Observer
from telemetry.pipeline.pipeline import Pipeline, Status
from telemetry.pipeline.settings import MetricPipelineSettings, PipelineSettings
from telemetry.pipeline.warm import warm
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from telemetry.vocabulary import METRICS_TOPIC, SPANS_TOPIC

_log = logging.getLogger(__name__)
_SLOW_SECONDS = 10.0
_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class ConsumeSettings:
    """Settings of ``edgepath consume``.

    Attributes:
        kafka: how Kafka is reached; a mere ``HOST:PORT[,HOST:PORT...]`` is one in plain text.
        clickhouse: where paths go.
        topic: what is read.
        group: the consumer group.
        metrics_topic: where metrics are read; empty: none are.
        metrics_group: the consumer group of those; empty: that of the paths with ``-metrics`` behind it.
        session_timeout_ms: a consumer that has been silent for so long has lost its partitions.
        observe: (host, port) of metrics and probes over HTTP; None without.
        drain_seconds: at the end, how long blocks may take to land.
        engine: settings of the engine.
    """

    kafka: KafkaSettings | str
    clickhouse: ServerAddress
    topic: str = SPANS_TOPIC
    group: str = "edgepath"
    metrics_topic: str = METRICS_TOPIC
    metrics_group: str = ""
    session_timeout_ms: int = 45_000
    observe: tuple[str, int] | None = None
    drain_seconds: float = 20.0
    engine: EngineSettings = field(default_factory=EngineSettings)


@dataclass(frozen=True)
class Consumption:
    """What a running consumer tells, whenever it is asked: of paths, and of metrics if it reads any."""

    paths: Callable[[], Status]
    metrics: Callable[[], MetricsView] | None = None


def consume(
    settings: ConsumeSettings,
    stop: threading.Event,
    ready: Callable[[Consumption], None],
    ending: Callable[[], None] = lambda: None,
) -> int:
    """Consume until ``stop`` is set; then store and commit what is due, and leave the group.

    What is still open is read again by who comes next. Returns how many blocks could not be stored in time: they are
    left to who comes next, too.

    Args:
        settings: see there.
        stop: ends it.
        ready: called once everything answers.
        ending: called when it has stopped to take in, and what is due is yet to be stored.

    Raises:
        ConfigurationError, UnavailableError: Kafka or ClickHouse cannot be used at the start. Later on they may come and go.
    """
    keep_memory()
    with contextlib.ExitStack() as parts:
        observer = parts.enter_context(Observer(settings.observe, tuple(Verdict)))
        # Before the group is joined: a member that compiles for half a minute would hold its partitions for nothing.
        if (seconds := warm()) > _SLOW_SECONDS:
            _log.warning("compiled the engine in %.0f s; this is done once for each version", seconds)
        if stop.is_set():
            return 0
        store = ServerStore(settings.clickhouse)
        parts.callback(store.close)
        schema.apply(store)
        feed = KafkaFeed(settings.kafka, settings.topic, settings.group, session_timeout_ms=settings.session_timeout_ms)
        feed.open()
        parts.callback(feed.close)
        pipeline = Pipeline(
            feed, store, PipelineSettings(settings.engine), topic=settings.topic, timings=observer.metrics
        )
        parts.callback(pipeline.close)
        metrics = _metrics(settings) if settings.metrics_topic else None
        view = ConsumerView(settings.topic, pipeline, feed, metrics)
        observer.watch(view.look)
        ready(Consumption(pipeline.status, metrics.look if metrics else None))
        with metrics.beside(stop) if metrics else contextlib.nullcontext():
            with _looked_at(view, stop):
                pipeline.run(stop)
            ending()
            pipeline.finish(settings.drain_seconds)
        return pipeline.status().waiting_batches + (metrics.look().status.waiting_batches if metrics else 0)


def _metrics(settings: ConsumeSettings) -> MetricsConsumer:
    """What reads metrics.

    In a group of its own: a rebalance there must not stop paths, nor the other way round. With a store of its own: it may
    wait for ClickHouse as long as it likes.
    """
    group = settings.metrics_group or f"{settings.group}-metrics"
    return MetricsConsumer(
        settings.metrics_topic,
        lambda: KafkaFeed(
            settings.kafka, settings.metrics_topic, group, session_timeout_ms=settings.session_timeout_ms
        ),
        lambda: ServerStore(settings.clickhouse),
        MetricPipelineSettings(MetricSettings(settings.engine.tiers)),
        drain_seconds=settings.drain_seconds,
    )


@contextlib.contextmanager
def _looked_at(view: ConsumerView, stop: threading.Event) -> Iterator[None]:
    """Look now and then, whoever else does: what is wrong with the topic's keys must be in the log."""

    def look() -> None:
        while not stop.wait(_LOOK_SECONDS):
            view.look()

    thread = threading.Thread(target=look, name="edgepath-look", daemon=True)
    thread.start()
    yield
    thread.join(_LOOK_SECONDS)
