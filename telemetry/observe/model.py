"""What the pipeline tells of itself: a snapshot when somebody asks, and durations as they happen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lag:
    """How far one partition is behind: ``records`` that wait to be polled."""

    topic: str
    partition: int
    records: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a consumer stands. Counts are since its start and never fall.

    Attributes:
        lag: of each partition that it has, of spans and of metrics.
        joined: whether it is a member of its group (it may have no partition yet, or no more).
        round_at: when the loop began its last round, in seconds of ``time.monotonic``.
        troubles: what it waits for (ClickHouse, Kafka, what is stored of a partition), a line each, without secrets; none while
            all is well.
        keying: how the topic is keyed, in a word (``telemetry.feeds.kafka.keying.Verdict``).
        warnings: what does not stop it but should be mended, a line each.
        records, bytes: polled messages and their values' bytes.
        spans: decoded; ``invalid_spans`` of them could not be used, ``duplicate_spans`` were copies (a producer's retry).
        replayed_spans: read again after a restart, and dropped for their path is stored.
        late_spans: came after their path was stored; ``restated_paths``: paths that were stored anew with them.
        paths: stored; ``complete_paths`` without gaps.
        dead_letters: messages that were put aside.
        blocks: stored; ``block_failures``: attempts that did not succeed.
        pauses: how often intake was stopped for lack of room; ``paused``: whether it is now.
        fenced_partitions: lost to another writer, found out by the store.
        stale_takeovers: blocks that were not in all of their tables, and too old to be put there.
        mended_parts: parts of blocks that ClickHouse had lost when it was killed, and that were put where they were missing.
        split_traces: seen in more than one partition.
        open_traces, open_spans: that wait to be closed.
        waiting_blocks: that wait to be stored.
        metric_records, metric_bytes: polled messages with metrics, and their values' bytes; all above is of spans.
        metric_points: decoded; ``invalid_metric_points`` could not be used.
        metric_dead_letters, metric_blocks, metric_block_failures, metric_waiting_blocks, metric_fenced_partitions: as above.
    """

    lag: Sequence[Lag] = ()
    joined: bool = False
    round_at: float = 0.0
    troubles: Sequence[str] = ()
    keying: str = "fine"
    warnings: Sequence[str] = ()
    records: int = 0
    bytes: int = 0
    spans: int = 0
    invalid_spans: int = 0
    duplicate_spans: int = 0
    replayed_spans: int = 0
    late_spans: int = 0
    restated_paths: int = 0
    paths: int = 0
    complete_paths: int = 0
    dead_letters: int = 0
    blocks: int = 0
    block_failures: int = 0
    pauses: int = 0
    paused: bool = False
    fenced_partitions: int = 0
    stale_takeovers: int = 0
    mended_parts: int = 0
    split_traces: int = 0
    open_traces: int = 0
    open_spans: int = 0
    waiting_blocks: int = 0
    metric_records: int = 0
    metric_bytes: int = 0
    metric_points: int = 0
    invalid_metric_points: int = 0
    metric_dead_letters: int = 0
    metric_blocks: int = 0
    metric_block_failures: int = 0
    metric_waiting_blocks: int = 0
    metric_fenced_partitions: int = 0


Look = Callable[[], Snapshot]
"""Gives the snapshot of now; called from other threads than the pipeline's."""


class Timings(Protocol):
    """Is told durations as they happen. Cheap, and may be called from any thread."""

    def stored(self, seconds: float, rows: int) -> None:
        """A block of ``rows`` paths was stored in ``seconds``, all statements together."""
        ...

    def flushed(self, seconds: float) -> None:
        """A flush (decode, close, assemble) took ``seconds``."""
        ...

    def fresh(self, seconds: float) -> None:
        """A block was stored ``seconds`` after the newest message in it had arrived."""
        ...


class NoTimings:
    """Takes no notice."""

    def stored(self, seconds: float, rows: int) -> None:
        """Nothing."""

    def flushed(self, seconds: float) -> None:
        """Nothing."""

    def fresh(self, seconds: float) -> None:
        """Nothing."""
