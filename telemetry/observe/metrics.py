"""The consumer's metrics as OpenTelemetry instruments: read from a snapshot when a reader collects, and three histograms.

A number is never pushed by the hot path: what counts there anyway is read here. Only the lag is told by partition.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource

from telemetry.observe.health import Health
from telemetry.observe.model import Look, Snapshot
from telemetry.vocabulary import PARTITION_LABEL, TOPIC_LABEL, VERDICT_LABEL, ConsumerMetric

SCOPE: Final = "telemetry.observe"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ROWS: Final = (1.0, 10.0, 100.0, 1e3, 5e3, 1e4, 5e4, 1e5, 5e5, 1e6)
_FRESH: Final = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
# Several instruments are read in one collection, and two readers may collect at once: they see one snapshot.
_SAME_SECONDS: Final = 0.2

_Number = Callable[[Snapshot], float]
_COUNTERS: Final[tuple[tuple[ConsumerMetric, str, str, _Number], ...]] = (
    (ConsumerMetric.RECORDS, "{record}", "Messages that were polled.", lambda s: s.records),
    (ConsumerMetric.BYTES, "By", "Bytes of the messages that were polled.", lambda s: s.bytes),
    (ConsumerMetric.SPANS, "{span}", "Spans that were decoded.", lambda s: s.spans),
    (ConsumerMetric.INVALID_SPANS, "{span}", "Spans without usable ids, passed over.", lambda s: s.invalid_spans),
    (ConsumerMetric.DUPLICATE_SPANS, "{span}", "Copies of spans, folded.", lambda s: s.duplicate_spans),
    (
        ConsumerMetric.REPLAYED_SPANS,
        "{span}",
        "Spans read again whose path is stored, dropped.",
        lambda s: s.replayed_spans,
    ),
    (ConsumerMetric.LATE_SPANS, "{span}", "Spans that came after their path was stored.", lambda s: s.late_spans),
    (ConsumerMetric.PATHS, "{path}", "Request paths that were stored.", lambda s: s.paths),
    (ConsumerMetric.COMPLETE_PATHS, "{path}", "Those of them without gaps.", lambda s: s.complete_paths),
    (ConsumerMetric.RESTATED_PATHS, "{path}", "Paths stored anew with late spans.", lambda s: s.restated_paths),
    (ConsumerMetric.DEAD_LETTERS, "{record}", "Messages that cannot be decoded, put aside.", lambda s: s.dead_letters),
    (ConsumerMetric.BLOCKS, "{block}", "Blocks that were stored.", lambda s: s.blocks),
    (ConsumerMetric.BLOCK_FAILURES, "{attempt}", "Attempts to store a block that failed.", lambda s: s.block_failures),
    (ConsumerMetric.PAUSES, "{pause}", "Times that intake stopped for lack of room.", lambda s: s.pauses),
    (
        ConsumerMetric.FENCED_PARTITIONS,
        "{partition}",
        "Partitions lost to another writer.",
        lambda s: s.fenced_partitions,
    ),
    (
        ConsumerMetric.STALE_TAKEOVERS,
        "{block}",
        "Blocks that are not in all of their tables, and too old to be put there.",
        lambda s: s.stale_takeovers,
    ),
    (
        ConsumerMetric.MENDED_PARTS,
        "{part}",
        "Parts of blocks that ClickHouse had lost when it was killed, put where they were missing.",
        lambda s: s.mended_parts,
    ),
    (ConsumerMetric.SPLIT_TRACES, "{trace}", "Traces seen in more than one partition.", lambda s: s.split_traces),
    (ConsumerMetric.METRIC_RECORDS, "{record}", "Messages with metrics that were polled.", lambda s: s.metric_records),
    (ConsumerMetric.METRIC_BYTES, "By", "Bytes of those messages.", lambda s: s.metric_bytes),
    (ConsumerMetric.METRIC_POINTS, "{point}", "Data points of metrics that were decoded.", lambda s: s.metric_points),
    (
        ConsumerMetric.INVALID_METRIC_POINTS,
        "{point}",
        "Data points that cannot be ones, left out.",
        lambda s: s.invalid_metric_points,
    ),
    (
        ConsumerMetric.METRIC_DEAD_LETTERS,
        "{record}",
        "Messages with metrics that cannot be decoded, put aside.",
        lambda s: s.metric_dead_letters,
    ),
    (ConsumerMetric.METRIC_BLOCKS, "{block}", "Blocks of points that were stored.", lambda s: s.metric_blocks),
    (
        ConsumerMetric.METRIC_BLOCK_FAILURES,
        "{attempt}",
        "Attempts to store a block of points that failed.",
        lambda s: s.metric_block_failures,
    ),
    (
        ConsumerMetric.METRIC_FENCED_PARTITIONS,
        "{partition}",
        "Partitions of metrics lost to another writer.",
        lambda s: s.metric_fenced_partitions,
    ),
)
_GAUGES: Final[tuple[tuple[ConsumerMetric, str, str, _Number], ...]] = (
    (ConsumerMetric.OPEN_TRACES, "{trace}", "Traces that wait to be closed.", lambda s: s.open_traces),
    (ConsumerMetric.OPEN_SPANS, "{span}", "Spans of traces that wait to be closed.", lambda s: s.open_spans),
    (ConsumerMetric.WAITING_BLOCKS, "{block}", "Blocks that wait to be stored.", lambda s: s.waiting_blocks),
    (
        ConsumerMetric.METRIC_WAITING_BLOCKS,
        "{block}",
        "Blocks of points that wait to be stored.",
        lambda s: s.metric_waiting_blocks,
    ),
    (ConsumerMetric.PARTITIONS, "{partition}", "Partitions that this consumer has.", lambda s: len(s.lag)),
    (ConsumerMetric.PAUSED, "", "1 while intake is stopped for lack of room.", lambda s: s.paused),
)


class Metrics:
    """Registers the instruments; is itself the sink of the durations (:class:`telemetry.observe.model.Timings`).

    Args:
        look: gives the snapshot.
        health: judges it.
        readers: who collects.
        resource: what the metrics are of.
        verdicts: every word that ``Snapshot.keying`` may be.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        look: Look,
        health: Health,
        readers: Sequence[MetricReader],
        resource: Resource,
        verdicts: Sequence[str],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._health = health
        self._verdicts = verdicts
        self._monotonic = monotonic
        self._seen = Snapshot()
        self._seen_at = float("-inf")
        provider = MeterProvider(readers, resource, shutdown_on_exit=False)
        self._provider: MeterProvider | None = provider
        meter = provider.get_meter(SCOPE)
        self._register(meter)
        self._insert = meter.create_histogram(
            ConsumerMetric.INSERT,
            "s",
            "How long storing a block took, all statements together.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._rows = meter.create_histogram(
            ConsumerMetric.BLOCK_ROWS, "{row}", "Rows of the stored blocks.", explicit_bucket_boundaries_advisory=_ROWS
        )
        self._flush = meter.create_histogram(
            ConsumerMetric.FLUSH,
            "s",
            "How long a flush (decode, close, assemble) took.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._freshness = meter.create_histogram(
            ConsumerMetric.FRESHNESS,
            "s",
            "From the arrival of a block's newest message to the block being stored.",
            explicit_bucket_boundaries_advisory=_FRESH,
        )

    def stored(self, seconds: float, rows: int) -> None:
        """See :class:`telemetry.observe.model.Timings`."""
        self._insert.record(seconds)
        self._rows.record(rows)

    def flushed(self, seconds: float) -> None:
        """See :class:`telemetry.observe.model.Timings`."""
        self._flush.record(seconds)

    def fresh(self, seconds: float) -> None:
        """See :class:`telemetry.observe.model.Timings`."""
        self._freshness.record(max(0.0, seconds))

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Send what is due, and stop. Does nothing the second time."""
        provider, self._provider = self._provider, None
        if provider is not None:
            provider.shutdown(timeout_millis=timeout_seconds * 1000)

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _now(self) -> Snapshot:
        now = self._monotonic()
        if now - self._seen_at > _SAME_SECONDS:
            self._seen, self._seen_at = self._look(), now
        return self._seen

    def _register(self, meter: Meter) -> None:
        for name, unit, what, number in _COUNTERS:
            meter.create_observable_counter(name, [self._reading(number)], unit, what)
        for name, unit, what, number in _GAUGES:
            meter.create_observable_gauge(name, [self._reading(number)], unit, what)
        meter.create_observable_gauge(
            ConsumerMetric.LAG, [self._lag], "{record}", "Messages that wait to be polled, by partition."
        )
        meter.create_observable_gauge(
            ConsumerMetric.KEYING, [self._keying], "", "1 for how the topic is keyed; anything but fine splits traces."
        )
        meter.create_observable_gauge(
            ConsumerMetric.READY,
            [self._reading(lambda s: self._health.ready(s).well)],
            "",
            "1 while /readyz says so.",
        )
        meter.create_observable_gauge(
            ConsumerMetric.ROUND_AGE,
            [self._reading(lambda s: max(0.0, self._monotonic() - s.round_at))],
            "s",
            "How long ago the loop began its last round.",
        )
        meter.create_observable_up_down_counter(ConsumerMetric.RSS, [_rss], "By", "Resident memory.")
        meter.create_observable_counter(ConsumerMetric.CPU, [_cpu], "s", "CPU time, user and system.")
        meter.create_observable_gauge(ConsumerMetric.BUILD, [_build], "", "1, with the versions of what runs.")

    def _reading(self, number: _Number) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: [Observation(float(number(self._now())))]

    def _lag(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(lag.records, {TOPIC_LABEL: lag.topic, PARTITION_LABEL: lag.partition})
            for lag in self._now().lag
        ]

    def _keying(self, _: CallbackOptions) -> Iterable[Observation]:
        now = self._now().keying
        return [Observation(int(verdict == now), {VERDICT_LABEL: verdict}) for verdict in self._verdicts]


def _rss(_: CallbackOptions) -> Iterable[Observation]:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return []
    return [Observation(pages * os.sysconf("SC_PAGE_SIZE"))]


def _cpu(_: CallbackOptions) -> Iterable[Observation]:
    times = os.times()
    return [Observation(times.user + times.system)]


def _build(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(1, {"version": version(), "python_version": platform.python_version()})]


def version() -> str:
    """Edgepath's, as it is installed."""
    try:
        return metadata.version("edgepath")
    except metadata.PackageNotFoundError:
        return "unknown"
