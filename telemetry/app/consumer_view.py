"""What a consumer tells of itself: the state of its loops and feeds, as one snapshot."""

import logging
import time
from collections.abc import Callable
from typing import Final

from telemetry.app.metrics_consumer import MetricsConsumer, MetricsView
from telemetry.feeds.kafka import KafkaFeed
from telemetry.observe.model import Lag, Snapshot
from telemetry.pipeline.pipeline import Pipeline

_log: Final = logging.getLogger(__name__)
_STALLED_SECONDS: Final = 120.0


class ConsumerView:
    """Looks at a running consumer. Safe to use from several threads."""

    def __init__(
        self,
        topic: str,
        pipeline: Pipeline,
        feed: KafkaFeed,
        metrics: MetricsConsumer | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look at ``pipeline`` and ``feed``, which reads ``topic``, and at what reads metrics beside them."""
        self._topic = topic
        self._pipeline = pipeline
        self._feed = feed
        self._metrics = metrics
        self._metrics_round = (-1, monotonic())
        self._monotonic = monotonic
        self._splits = 0
        self._round, self._round_at = -1, monotonic()

    def look(self) -> Snapshot:
        """The snapshot of now. How the topic is keyed is judged anew, and said once in the log if it is wrong."""
        status = self._pipeline.status()
        self._judge_keying(status.split_traces, status.split_example)
        report = self._feed.keying.report()
        if status.rounds != self._round:
            self._round, self._round_at = status.rounds, self._monotonic()
        metrics = self._metrics.look() if self._metrics is not None else MetricsView("")
        points = metrics.status
        lags = [(self._topic, self._feed.lags()), (metrics.topic, metrics.lags)]
        return Snapshot(
            lag=tuple(Lag(topic, partition, records) for topic, lag in lags for partition, records in lag.items()),
            joined=self._feed.joined,
            round_at=self._round_at,
            troubles=status.troubles,
            keying=report.verdict,
            warnings=tuple(text for text in (report.text, self._wrong_with(metrics)) if text),
            records=status.records,
            bytes=status.bytes,
            spans=status.spans,
            invalid_spans=status.invalid_spans,
            duplicate_spans=status.duplicate_spans,
            replayed_spans=status.replayed_spans,
            late_spans=status.late_spans,
            restated_paths=status.restated_paths,
            paths=status.paths,
            complete_paths=status.complete_paths,
            dead_letters=status.rejected_records,
            blocks=status.landed_blocks,
            block_failures=status.block_failures,
            pauses=status.pauses,
            paused=status.paused,
            fenced_partitions=status.fenced_partitions,
            stale_takeovers=status.stale_takeovers,
            mended_parts=status.mended_parts,
            split_traces=status.split_traces,
            open_traces=status.open_traces,
            open_spans=status.open_spans,
            waiting_blocks=status.waiting_batches,
            metric_records=points.records,
            metric_bytes=points.bytes,
            metric_points=points.points,
            invalid_metric_points=points.invalid_points,
            metric_dead_letters=points.rejected_records,
            metric_blocks=points.landed_blocks,
            metric_block_failures=points.block_failures,
            metric_waiting_blocks=points.waiting_batches,
            metric_fenced_partitions=points.fenced_partitions,
        )

    def _wrong_with(self, metrics: MetricsView) -> str:
        """Why metrics are not stored, in a line: a warning and no more, for paths go on."""
        now, rounds = self._monotonic(), metrics.status.rounds
        if rounds != self._metrics_round[0]:
            self._metrics_round = rounds, now
        if said := metrics.notice or metrics.status.trouble:
            return f"metrics are not stored: {said}"
        age = now - self._metrics_round[1]
        if self._metrics is not None and age > _STALLED_SECONDS:
            return f"metrics are not stored: their loop has not begun a round for {age:.0f} s"
        return ""

    def _judge_keying(self, splits: int, example: str) -> None:
        self._feed.keying.saw_split(max(0, splits - self._splits), bytes.fromhex(example))
        self._splits = max(splits, self._splits)
        news = self._feed.keying.news()
        if news is not None:
            _log.warning("topic %s: %s", self._topic, news.text)
