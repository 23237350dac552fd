"""The loop of metrics: feed -> points -> log of blocks -> commit.

Simpler than the loop of paths, for nothing waits: each record lies wholly in one block. So the log also says where to go on
reading (:func:`telemetry.blocklog.sql.resume_offset`), and what was stored but not committed before a crash is passed over.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from telemetry.blocklog.logs import METRICS
from telemetry.blocklog.model import Block
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables, resume_offset
from telemetry.engine.metric_rows import metric_block
from telemetry.engine.metrics import DecodedMetrics, MetricDecoder
from telemetry.errors import EdgepathError, UnavailableError
from telemetry.feeds.base import Feed, Record, RecordBatch
from telemetry.feeds.otlp.intake import Signal
from telemetry.feeds.otlp.redaction import scrub_metrics
from telemetry.observe.model import NoTimings
from telemetry.pipeline.encodings import in_protobuf
from telemetry.pipeline.loop import Loop, beginning
from telemetry.pipeline.outbox import Outbox
from telemetry.pipeline.settings import MetricPipelineSettings
from telemetry.store.base import Store

_log = logging.getLogger(__name__)
_LEFT_TO_OTHERS = 3.0
_LONGEST_REST = 5.0


@dataclass(slots=True)
class MetricCounters:
    """What went through since the start.

    Attributes:
        records, bytes: polled messages and their values' bytes.
        points: data points that were decoded.
        invalid_points: of those that cannot be points, left out.
        rejected_records: messages that cannot be decoded.
        replayed_records: read again after a crash, and passed over for they are stored.
    """

    records: int = 0
    bytes: int = 0
    points: int = 0
    invalid_points: int = 0
    rejected_records: int = 0
    replayed_records: int = 0


@dataclass(frozen=True)
class MetricStatus:
    """What the loop has done and where it stands; counts since the start."""

    records: int = 0
    bytes: int = 0
    points: int = 0
    invalid_points: int = 0
    rejected_records: int = 0
    replayed_records: int = 0
    waiting_batches: int = 0
    landed_blocks: int = 0
    block_failures: int = 0
    fenced_partitions: int = 0
    stale_takeovers: int = 0
    mended_parts: int = 0
    pauses: int = 0
    paused: bool = False
    partitions: int = 0
    lag: int = 0
    rounds: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """What one partition has to store now: all points of some records, and the offset after the last of these."""

    partition: int
    block: Block | None
    resume_offset: int


@dataclass(slots=True)
class _Partition:
    """A partition that is ours. Records below ``stored_to`` are stored; ``checked`` once their topic was seen to have them."""

    writer: str
    next_block: int
    stored_to: int
    checked: bool = False


class MetricPipeline(Loop):
    """Moves metrics of one feed into one store. :meth:`step` and :meth:`run` belong to one thread."""

    def __init__(
        self,
        feed: Feed,
        store: Store,
        settings: MetricPipelineSettings,
        *,
        topic: str,
        others_wait: Callable[[], bool] = lambda: False,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Join the parts; nothing is read before the first :meth:`step`. Arguments as of the loop of paths, and these.

        Args:
            others_wait: whether somebody else in this process has more to do than it gets done. Decoding points is Python
                and keeps others from it: then three quarters of the time are left to them.
            sleep: lets time pass.
        """
        super().__init__(feed, scrub_metrics)
        self._store = store
        self._settings = settings
        self._topic = topic
        self._wall_ms = wall_ms
        self._others_wait = others_wait
        self._monotonic = monotonic
        self._sleep = sleep
        self._log = BlockLog(SqlLogTables(store, METRICS, topic))
        self._decoder = MetricDecoder(settings.metrics)
        self._outbox: Outbox[MetricBatch] = Outbox(self._log.append, NoTimings(), senders=settings.senders)
        self._partitions: dict[int, _Partition] = {}
        self._polled: list[RecordBatch] = []
        self._polled_bytes = 0
        self._counters = MetricCounters()
        self._flush_due = 0.0
        self._drained_at = 0  # wall clock, ms, of the last poll that left nothing behind
        self._paused = False
        self._lag = self._fenced = self._pauses = 0

    def status(self) -> MetricStatus:
        """Where the loop stands. May be called from another thread."""
        outbox = self._outbox
        return MetricStatus(
            **asdict(self._counters),
            waiting_batches=len(outbox),
            landed_blocks=outbox.landed_blocks,
            block_failures=outbox.failures,
            fenced_partitions=self._fenced,
            stale_takeovers=self._log.stale_takeovers,
            mended_parts=self._log.mended_parts,
            pauses=self._pauses,
            paused=self._paused,
            partitions=len(self._partitions),
            lag=self._lag,
            rounds=self._rounds,
            trouble=outbox.trouble or self._trouble,
        )

    def step(self) -> int:
        """One round; returns how many records came in.

        Raises:
            EdgepathError: something cannot be reached; nothing is lost, the next round tries again.
        """
        self._begin_round()
        s = self._settings
        room = self._room()
        came = self._poll(s.poll_seconds if room else 0.0, room)
        now = self._monotonic()
        if now >= self._flush_due or self._polled_bytes >= s.flush_bytes:
            self._flush_due = now + max(s.flush_seconds, len(self._partitions) / s.blocks_per_second)
            self._take()
            worked = self._monotonic() - now
            self._put_aside()
            self._commit()
            if worked and self._others_wait():
                self._sleep(min(_LEFT_TO_OTHERS * worked, _LONGEST_REST))
        self._outbox.send(now, self._landed, self._lost)
        if not room and not came:
            self._outbox.settle(0.05)  # nothing to do but wait for the store
        return came

    def drain(self, timeout_seconds: float) -> bool:
        """Step until every record is in and every block has landed; False if time runs out."""
        deadline = self._monotonic() + timeout_seconds
        while self._monotonic() < deadline:
            try:
                came = self.step()
            except UnavailableError:
                continue
            if not came and not self._polled and not self._lag and not len(self._outbox):
                self._commit()
                return True
        return False

    def finish(self, timeout_seconds: float) -> bool:
        """The orderly end: take nothing more in, store what is there, commit it; False if not all landed in time."""
        deadline = self._monotonic() + timeout_seconds
        try:
            while (self._polled or len(self._outbox)) and self._monotonic() < deadline:
                self._take()
                self._outbox.send(self._monotonic(), self._landed, self._lost)
                self._outbox.settle(0.05)
            self._put_aside()
            self._commit()
        except EdgepathError as error:
            _log.warning("of the metrics that came in last, some are left to who comes next: %s", error)
        return not (self._polled or len(self._outbox))

    def close(self) -> None:
        """Let go of what the loop opened. The feed and the store stay open."""
        self._outbox.close()

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _follow_assignment(self) -> None:
        assigned = self._feed.assigned()
        for partition in list(self._partitions):
            if partition not in assigned:
                self._forget(partition)
        for partition, committed in assigned.items():
            if partition in self._partitions:
                continue
            with beginning(partition):
                lease = self._log.take_over(partition)
                # Only now: nobody else adds to it any more.
                stored_to = resume_offset(
                    self._store, METRICS, topic=self._topic, partition=partition, committed=committed
                )
            self._partitions[partition] = _Partition(lease.writer, lease.next_number, stored_to)
            self._committed[partition] = committed
            self._drained_at = 0  # it may have old records

    def _forget(self, partition: int) -> None:
        self._partitions.pop(partition, None)
        self._outbox.forget(partition)
        self._forget_offsets(partition)
        self._keep([b for b in self._polled if b.partition != partition])

    def _keep(self, polled: list[RecordBatch]) -> None:
        self._polled, self._polled_bytes = polled, sum(b.size for b in polled)

    def _room(self) -> int:
        """How many bytes may come in: none while the store is so far behind."""
        s = self._settings
        room = max(0, s.flush_bytes - self._polled_bytes - self._rejected_bytes)
        if self._outbox.waiting_bytes >= s.max_waiting_bytes:
            room = 0
        if not room and not self._paused:
            self._pauses += 1
        self._paused = not room
        return room

    def _poll(self, timeout_seconds: float, room: int) -> int:
        asked_ms = self._wall_ms()
        batches = self._feed.poll_batches(timeout_seconds, room)
        now_ms = self._wall_ms()
        # Kafka's timestamps are the senders' clocks: as for spans, nothing comes from the future, and nothing that came
        # after we had read everything is older than that.
        earliest = min(self._drained_at, now_ms)
        for batch in batches:
            found = in_protobuf(batch, Signal.METRICS)
            self._polled.append(replace(found.batch, arrival_ms=np.clip(batch.arrival_ms, earliest, now_ms)))
            self._reject(found.rejected)
        self._polled_bytes = sum(b.size for b in self._polled)
        came = sum(map(len, batches))
        self._counters.records += came
        self._counters.bytes += sum(b.size for b in batches)
        self._lag = self._feed.lag()
        self._check(batches)
        if room and not self._lag:
            self._drained_at = asked_ms
        return came

    def _check(self, batches: Sequence[RecordBatch]) -> None:
        """A topic that ends before what is stored of it was made anew: none of its records is stored."""
        for batch in reversed(batches):  # the last of each partition: where the feed stands now
            ours = self._partitions.get(batch.partition)
            if ours is None or ours.checked:
                continue
            ours.checked = True
            end = batch.next_offset + self._feed.lags().get(batch.partition, ours.stored_to)
            if end < ours.stored_to:
                _log.warning(
                    "partition %d of %s ends at %d, but metrics up to %d are stored of it: it was made anew, and is read "
                    "from its beginning",
                    batch.partition, self._topic, end, ours.stored_to,
                )  # fmt: skip
                ours.stored_to = 0

    def _take(self) -> None:
        """Make a block of what was polled, for each partition that has not too many on their way."""
        kept: list[RecordBatch] = []
        by_partition: dict[int, list[RecordBatch]] = {}
        for batch in self._polled:
            if self._outbox.waiting(batch.partition) < self._settings.max_waiting_batches:
                by_partition.setdefault(batch.partition, []).append(batch)
            else:
                kept.append(batch)  # the store is slow: the next block is larger
        self._keep(kept)
        for partition, batches in by_partition.items():
            ours = self._partitions[partition]
            fresh = [record for batch in batches for record in batch.records() if record.offset >= ours.stored_to]
            self._counters.replayed_records += sum(map(len, batches)) - len(fresh)
            decoded = self._decode(fresh)
            self._counters.points += decoded.points
            self._counters.invalid_points += decoded.invalid
            self._reject(decoded.rejected)
            block = None
            if decoded.points:
                block = metric_block(
                    decoded.rows, topic=self._topic, partition=partition, number=ours.next_block, writer=ours.writer
                )
                ours.next_block += 1
            self._outbox.add(MetricBatch(partition, block, batches[-1].next_offset))

    def _decode(self, records: Sequence[Record]) -> DecodedMetrics:
        """Decode; a record that the decoder was not made for is put aside like any bad one, and the rest goes on."""
        try:
            return self._decoder.decode(records)
        except Exception:  # whatever it is, it must not come again for ever
            good: list[Record] = []
            bad: list[tuple[Record, str]] = []
            for record in records:
                try:
                    self._decoder.decode([record])
                    good.append(record)
                except Exception as error:  # noqa: BLE001 - as above
                    bad.append((record, f"the decoder failed: {type(error).__name__}: {error}"[:200]))
            if not bad:
                raise
            decoded = self._decoder.decode(good)
            return replace(decoded, rejected=[*decoded.rejected, *bad])

    def _reject(self, rejected: Sequence[tuple[Record, str]]) -> None:
        self._counters.rejected_records += len(rejected)
        self._rejected += rejected

    def _landed(self, batch: MetricBatch) -> None:
        self._stored(batch.partition, batch.resume_offset)

    def _lost(self, partition: int) -> None:
        """Another writer has the partition, though the feed has not told us: begin anew with it, if it is still ours."""
        self._fenced += 1
        self._forget(partition)
        self._feed.reread(partition)
