"""What a consumer tells of itself: the loop's state and the feed's, as one snapshot."""

import logging
import time
from collections.abc import Callable
from typing import Final

from telemetry.feeds.kafka import KafkaFeed
from telemetry.observe.model import Lag, Snapshot
from telemetry.pipeline.pipeline import Pipeline

_log: Final = logging.getLogger(__name__)


class ConsumerView:
    """Looks at a running consumer. Safe to use from several threads."""

    def __init__(
        self, topic: str, pipeline: Pipeline, feed: KafkaFeed, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Look at ``pipeline`` and ``feed``, which reads ``topic``."""
        self._topic = topic
        self._pipeline = pipeline
        self._feed = feed
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
        return Snapshot(
            lag=tuple(Lag(self._topic, partition, records) for partition, records in self._feed.lags().items()),
            joined=self._feed.joined,
            store_reachable=not status.trouble,
            round_at=self._round_at,
            trouble=status.trouble,
            keying=report.verdict,
            warnings=(report.text,) if report.text else (),
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
            split_traces=status.split_traces,
            open_traces=status.open_traces,
            open_spans=status.open_spans,
            waiting_blocks=status.waiting_batches,
        )

    def _judge_keying(self, splits: int, example: str) -> None:
        self._feed.keying.saw_split(max(0, splits - self._splits), bytes.fromhex(example))
        self._splits = max(splits, self._splits)
        news = self._feed.keying.news()
        if news is not None:
            _log.warning("topic %s: %s", self._topic, news.text)
