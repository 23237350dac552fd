"""Metrics beside paths in one consumer: a thread of its own, with its own Kafka client and its own way to ClickHouse.

Whatever happens to it, paths go on: a topic that is missing, or may not be read, is told and looked for again; so is an error
that nobody thought of.
"""

import contextlib
import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from telemetry.errors import EdgepathError
from telemetry.feeds.kafka import KafkaFeed
from telemetry.pipeline.metrics import MetricPipeline, MetricStatus
from telemetry.pipeline.settings import MetricPipelineSettings
from telemetry.redaction import redact_text
from telemetry.store.base import Store

_log: Final = logging.getLogger(__name__)
AGAIN_SECONDS: Final = 30.0
_COUNTS: Final = (
    "records", "bytes", "points", "invalid_points", "rejected_records", "replayed_records", "landed_blocks",
    "block_failures", "fenced_partitions", "stale_takeovers", "mended_parts", "pauses", "rounds",
)  # fmt: skip


@dataclass(frozen=True)
class MetricsView:
    """What the loop of metrics tells of itself.

    Attributes:
        topic: what it reads.
        status: where it stands; its counts never fall.
        lags: records that wait to be polled, by partition.
        notice: why nothing is read; empty while something is.
    """

    topic: str
    status: MetricStatus = field(default_factory=MetricStatus)
    lags: Mapping[int, int] = field(default_factory=dict)
    notice: str = ""


class MetricsConsumer:
    """Reads metrics until it is told to stop. :meth:`run` belongs to one thread, :meth:`look` to anybody."""

    def __init__(
        self,
        topic: str,
        feed: Callable[[], KafkaFeed],
        store: Callable[[], Store],
        settings: MetricPipelineSettings,
        *,
        drain_seconds: float,
        others_wait: Callable[[], bool] = lambda: False,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        """Read with what ``feed`` makes into what ``store`` opens.

        Args:
            topic: what the feed reads.
            feed: makes a feed that is not open yet.
            store: opens a store that has the schema.
            settings: of the loop.
            drain_seconds: at the end, how long blocks may take to land.
            others_wait: as of :class:`telemetry.pipeline.metrics.MetricPipeline`.
            again_seconds: how long to wait before what could not be read is looked for again.
        """
        self._topic = topic
        self._make_feed = feed
        self._open_store = store
        self._settings = settings
        self._drain_seconds = drain_seconds
        self._others_wait = others_wait
        self._again_seconds = again_seconds
        self._before = MetricStatus()
        self._running: tuple[MetricPipeline, KafkaFeed] | None = None
        self._notice = "it is starting"

    def look(self) -> MetricsView:
        """Where it stands."""
        running = self._running
        if running is None:
            return MetricsView(self._topic, self._before, notice=self._notice)
        pipeline, feed = running
        return MetricsView(self._topic, _sum(self._before, pipeline.status()), feed.lags(), self._notice)

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set; then store and commit what is there, and leave the group."""
        while not stop.is_set():
            try:
                self._read(stop)
            except EdgepathError as error:
                self._say(str(error))
            except Exception as error:  # noqa: BLE001 - paths must go on, and so must metrics
                said = redact_text("".join(traceback.format_exception(error)))  # it may quote what was sent
                _log.error("the loop of metrics met an error that it does not know, and begins anew: %s", said)
                self._notice = redact_text(f"{type(error).__name__}: {error}")
            stop.wait(self._again_seconds)

    @contextlib.contextmanager
    def beside(self, stop: threading.Event) -> Iterator[None]:
        """Run in a thread meanwhile; ``stop`` must be set when what is inside ends, and then this waits for the thread."""
        thread = threading.Thread(target=self.run, args=(stop,), name="edgepath-metrics", daemon=True)
        thread.start()
        yield
        thread.join(self._drain_seconds + 10)

    def _read(self, stop: threading.Event) -> None:
        with contextlib.ExitStack() as parts:
            feed = self._make_feed()
            feed.open()
            parts.callback(feed.close)
            store = self._open_store()
            parts.callback(store.close)
            pipeline = MetricPipeline(feed, store, self._settings, topic=self._topic, others_wait=self._others_wait)
            parts.callback(pipeline.close)
            self._notice, self._running = "", (pipeline, feed)
            try:
                pipeline.run(stop)
                pipeline.finish(self._drain_seconds)
            finally:
                self._before, self._running = _sum(self._before, pipeline.status()), None

    def _say(self, notice: str) -> None:
        if notice != self._notice:
            _log.warning(
                "no metrics are read, and they are looked for again every %g s (--no-metrics: never): %s",
                self._again_seconds,
                notice,
            )
        self._notice = notice


def _sum(before: MetricStatus, now: MetricStatus) -> MetricStatus:
    """The state of now, with counts since the first loop began."""
    return replace(now, **{name: getattr(before, name) + getattr(now, name) for name in _COUNTS})
