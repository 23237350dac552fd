"""The loop: feed -> engine -> log of blocks -> commit."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace

import numpy as np

from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables
from telemetry.engine.counters import Counters
from telemetry.engine.engine import Batch, Engine
from telemetry.errors import EdgepathError, UnavailableError
from telemetry.feeds.base import Feed, Record, RecordBatch, batches_of
from telemetry.feeds.otlp.intake import Signal
from telemetry.feeds.otlp.redaction import scrub
from telemetry.observe.model import NoTimings, Timings
from telemetry.pipeline.encodings import in_protobuf
from telemetry.pipeline.loop import Loop, beginning
from telemetry.pipeline.outbox import Outbox
from telemetry.pipeline.past import StoredPast
from telemetry.pipeline.settings import PipelineSettings
from telemetry.redaction import redact_text
from telemetry.store.base import Store

_log = logging.getLogger(__name__)
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 15.0
_PATIENCE_SECONDS = 5.0
"""So long a round waits for the past where that does not answer."""
_NAMED = 5
"""Partitions with the same trouble that are named one by one."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a partition could not be closed, and when it is tried again."""

    reason: str
    next_try: float
    wait: float


@dataclass(frozen=True)
class Status:
    """What the loop has done and where it stands; counts since the start.

    ``troubles`` is what it waits for, a line each: where, and what was answered there.
    """

    records: int
    bytes: int
    spans: int
    invalid_spans: int
    rejected_records: int
    replayed_spans: int
    duplicate_spans: int
    late_spans: int
    paths: int
    complete_paths: int
    restated_paths: int
    kept_late_spans: int
    split_traces: int
    split_example: str
    open_spans: int
    open_traces: int
    waiting_batches: int
    landed_blocks: int
    block_failures: int
    fenced_partitions: int
    stale_takeovers: int
    mended_parts: int
    pauses: int
    paused: bool
    partitions: int
    lag: int
    rounds: int
    troubles: tuple[str, ...]

    @property
    def trouble(self) -> str:
        """The first of what it waits for; empty while all is well."""
        return self.troubles[0] if self.troubles else ""


class Pipeline(Loop):
    """Moves spans of one feed into one store. :meth:`step` and :meth:`run` belong to one thread."""

    def __init__(
        self,
        feed: Feed,
        store: Store,
        settings: PipelineSettings,
        *,
        topic: str,
        timings: Timings | None = None,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Join the parts; nothing is read before the first :meth:`step`.

        Args:
            feed: where records come from.
            store: where paths go, with the schema applied.
            settings: see there.
            topic: the feed's name; stands in every row.
            timings: is told how long things took.
            wall_ms: the wall clock.
            monotonic: a clock in seconds for waiting.
        """
        super().__init__(feed, scrub)
        self._settings = settings
        self._timings = timings or NoTimings()
        self._wall_ms = wall_ms
        self._monotonic = monotonic
        self._past = StoredPast(store, topic)
        self._log = BlockLog(SqlLogTables(store, PATHS, topic))
        self._topic = topic
        self._engine = self._new_engine()
        self._outbox: Outbox[Batch] = Outbox(self._log.append, self._timings, senders=settings.senders)
        self._landed_block: dict[int, int] = {}
        self._close_due: dict[int, float] = {}
        self._refused: dict[int, _Refusal] = {}
        self._flush_due = 0.0
        self._full_since = 0  # wall clock, ms; 0 while there is room
        self._stopped = False  # nothing is taken in: the engine is full, or the store is far behind
        self._drained_at = 0  # wall clock, ms, of the last poll that left nothing behind
        self._polled: list[RecordBatch] = []
        self._polled_bytes = 0
        self._lags: Mapping[int, int] = {}
        self._lag = 0
        self._fenced = self._pauses = 0

    def status(self) -> Status:
        """Where the loop stands. May be called from another thread."""
        outbox, engine = self._outbox, self._engine
        return Status(
            **asdict(engine.counters),
            split_example=engine.split_example(),
            open_spans=engine.open_spans,
            open_traces=engine.open_traces,
            waiting_batches=len(outbox),
            landed_blocks=outbox.landed_blocks,
            block_failures=outbox.failures,
            fenced_partitions=self._fenced,
            stale_takeovers=self._log.stale_takeovers,
            mended_parts=self._log.mended_parts,
            pauses=self._pauses,
            paused=self._stopped,
            partitions=len(engine.partitions),
            lag=self._lag,
            rounds=self._rounds,
            troubles=tuple(self._troubles()),
        )

    def _troubles(self) -> Iterator[str]:
        if said := self._outbox.trouble:
            yield f"blocks cannot be stored: {redact_text(said)}"
        if self._trouble:
            yield self._trouble
        refused = self._refused.copy()  # we may be another thread
        for reason in dict.fromkeys(each.reason for each in refused.values()):
            which = sorted(partition for partition, each in refused.items() if each.reason == reason)
            some = ", ".join(map(str, which[:_NAMED])) + (f" and {len(which) - _NAMED} more" if which[_NAMED:] else "")
            yield f"the past of partition{'s' * (len(which) > 1)} {some} cannot be read: {redact_text(reason)}"

    def step(self) -> int:
        """One round; returns how many records came in.

        Raises:
            EdgepathError: something cannot be reached; nothing is lost, the next round tries again.
        """
        self._begin_round()
        s = self._settings
        self._note_whether_full()
        room = 0 if self._stopped else max(0, s.flush_bytes - self._polled_bytes - self._rejected_bytes)
        came = self._poll(s.poll_seconds if room else 0.0, room)
        now = self._monotonic()
        if now >= self._flush_due or self._polled_bytes >= s.flush_bytes:
            self._flush_due = now + s.flush_seconds
            busy = self._busy(room)
            self._take()
            self._put_aside()
            self._close(busy, now)
            self._timings.flushed(self._monotonic() - now)
            self._commit()
        self._outbox.send(now, self._landed, self._lost)
        if not room and not came:
            self._outbox.settle(0.05)  # nothing to do but wait for the store
        return came

    def drain(self, timeout_seconds: float) -> bool:
        """Step until every record is in, every trace is closed and every block has landed; False if time runs out."""
        deadline = self._monotonic() + timeout_seconds
        while self._monotonic() < deadline:
            try:
                came = self.step()
            except UnavailableError:
                continue
            if (
                not came
                and not self._polled
                and not self._lag
                and not self._engine.open_spans
                and not self._refused
                and not len(self._outbox)
            ):
                self._commit()
                return True
        return False

    def finish(self, timeout_seconds: float) -> bool:
        """The orderly end: take nothing more in, store what is due, commit it; False if not all landed in time.

        What is still open is read again by who comes next.
        """
        deadline = self._monotonic() + timeout_seconds
        try:
            self._take()
            self._put_aside()
            self._close(set(), self._monotonic(), last=True)
        except EdgepathError as error:
            _log.warning("some of what came in last is left to who comes next: %s", error)
        if self._refused:
            _log.warning("late spans that cannot be joined to their paths now are left to who comes next")
        while len(self._outbox) and self._monotonic() < deadline:
            self._outbox.send(self._monotonic(), self._landed, self._lost)
            self._outbox.settle(0.05)
        try:
            self._commit()
        except EdgepathError as error:
            _log.warning("what was stored last is not committed, and will be passed over by who comes next: %s", error)
        return not len(self._outbox)

    def close(self) -> None:
        """Let go of what the loop opened. The feed and the store stay open."""
        self._outbox.close()

    def _follow_assignment(self) -> None:
        assigned = self._feed.assigned()
        for partition in self._engine.partitions:
            if partition not in assigned:
                self._forget(partition)
        for partition, committed in assigned.items():
            if partition not in self._engine.partitions:
                now_ms = self._wall_ms()
                s = self._settings.engine
                # Half of what there is room for: the other half is for what comes, before the first of it has to go.
                most = s.max_remembered // (2 * len(assigned))
                with beginning(partition):
                    lease = self._log.take_over(partition)
                    # Only now: nobody else adds to it any more.
                    emitted = self._past.emitted(partition, committed, remember_ms=s.remember_ms, most=most)
                self._engine.assign(
                    partition,
                    writer=lease.writer,
                    next_offset=committed,
                    next_block=lease.next_number,
                    emitted=emitted,
                    now_ms=now_ms,
                )
                self._committed[partition] = committed
                self._drained_at = 0  # it may have old records
                self._landed_block[partition] = lease.next_number - 1

    def _new_engine(self, counters: Counters | None = None) -> Engine:
        return Engine(self._settings.engine, topic=self._topic, past=self._past, counters=counters)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        # Nor is anything kept that partitions share: only what was counted.
        self._engine = self._new_engine(self._engine.counters)

    def _forget(self, partition: int) -> None:
        self._engine.forget(partition)
        self._outbox.forget(partition)
        self._forget_offsets(partition)
        for known in (self._landed_block, self._close_due, self._refused):
            known.pop(partition, None)
        self._polled = [b for b in self._polled if b.partition != partition]
        self._polled_bytes = sum(b.size for b in self._polled)

    def _note_whether_full(self) -> None:
        full = self._engine.full
        if full and not self._full_since:
            self._full_since = self._wall_ms()
        elif not full:
            self._full_since = 0
        stopped = full or self._store_is_behind
        self._pauses += stopped and not self._stopped
        self._stopped = stopped

    @property
    def _store_is_behind(self) -> bool:
        """Whether as much waits for the store as may, of all partitions together."""
        return self._outbox.waiting_bytes >= self._settings.max_waiting_bytes

    def _poll(self, timeout_seconds: float, room: int) -> int:
        asked_ms = self._wall_ms()
        batches = self._feed.poll_batches(timeout_seconds, room)
        now_ms = self._wall_ms()
        # Kafka's timestamps are the senders' clocks. What came after we had read everything cannot be older than that, and
        # nothing comes from the future: a clock that is wrong by years must not close traces, or keep them open.
        earliest = min(self._drained_at, now_ms)
        for batch in batches:
            found = in_protobuf(batch, Signal.TRACES)
            self._polled.append(replace(found.batch, arrival_ms=np.clip(batch.arrival_ms, earliest, now_ms)))
            self._reject(found.rejected)
        self._polled_bytes += sum(b.size for b in batches)
        self._lags = self._feed.lags()
        self._lag = sum(self._lags.values())
        if room and not self._lag:
            self._drained_at = asked_ms
        return sum(map(len, batches))

    def _busy(self, room: int) -> set[int]:
        """The partitions of which records came or wait: their time is that of the records."""
        if self._lag and not room:
            return set(self._engine.partitions)  # nothing was fetched: what is known of the others is old
        return {b.partition for b in self._polled} | {p for p, waiting in self._lags.items() if waiting}

    def _take(self) -> None:
        """Decode what was polled, of all partitions at once: numpy's price for a statement is paid once."""
        polled, self._polled, self._polled_bytes = self._polled, [], 0
        if not polled:
            return
        try:
            self._rejected += self._engine.ingest(polled)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it must not come again for ever
            self._take_singly(polled)

    def _take_singly(self, batches: Sequence[RecordBatch]) -> None:
        """Records among which is one that the engine was not made for: it is put aside like any bad one, the rest goes on.

        What the engine had taken of them before comes again, and is folded as copies are.
        """
        for record in (record for batch in batches for record in batch.records()):
            try:
                self._rejected += self._engine.ingest(batches_of([record]))
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                # Its offset must be gone past. If not even an empty one is taken, then it is not the record's fault.
                self._engine.ingest(batches_of([replace(record, value=b"")]))
                self._reject([(record, f"the engine failed: {type(error).__name__}: {error}"[:200])])

    def _reject(self, rejected: Sequence[tuple[Record, str]]) -> None:
        """To be put aside, besides what the engine itself finds to be bad."""
        self._engine.counters.rejected_records += len(rejected)
        self._rejected += rejected

    def _close(self, busy: Set[int], now: float, *, last: bool = False) -> None:
        """Close what is due; for the partitions that are not ``busy``, quiet time passes by the wall clock."""
        s = self._settings
        now_ms = self._wall_ms()
        waited_ms = max(0, now_ms - self._full_since) if self._full_since else 0
        every = max(s.flush_seconds, len(self._engine.partitions) / s.blocks_per_second)
        begun = self._monotonic()
        # Who has waited longest comes first: where the past answers slowly, everybody has a turn.
        for partition in sorted(self._engine.partitions, key=lambda each: self._close_due.get(each, 0.0)):
            refusal = self._refused.get(partition)
            if refusal is not None and now < refusal.next_try and not last:
                continue
            if self._refused and self._monotonic() - begun > _PATIENCE_SECONDS:
                return  # blocks are to be sent, records to be read
            slow = self._outbox.waiting(partition) >= s.max_waiting_batches or self._store_is_behind
            if slow and not last:
                continue  # the store is slow: the next block is larger
            if now < self._close_due.get(partition, 0.0) and not self._full_since and not last:
                continue
            self._close_due[partition] = now + every - s.flush_seconds / 2
            try:
                batch = self._engine.close(
                    partition,
                    landed=self._landed_block[partition],
                    idle_now_ms=None if partition in busy else now_ms,
                    waited_ms=waited_ms,
                )
            except EdgepathError as error:
                self._note_refusal(partition, error)  # what it has taken out, it holds for the next time
                continue
            if self._refused.pop(partition, None):
                _log.warning("partition %d goes on", partition)
            known = max(
                self._outbox.last_resume_offset(partition),
                self._to_commit.get(partition, 0),
                self._committed[partition],
            )
            if batch.block is not None or batch.resume_offset > known:
                self._outbox.add(batch)
            if batch.large:
                self._close_due[partition] = self._flush_due = now

    def _note_refusal(self, partition: int, error: EdgepathError) -> None:
        """The past cannot be asked for one partition: that one waits, the others go on."""
        before = self._refused.get(partition)
        if before is None:
            _log.error("partition %d waits, for its late spans cannot be joined to their paths: %s", partition, error)
        wait = _FIRST_WAIT if before is None else min(2 * before.wait, _LONGEST_WAIT)
        self._refused[partition] = _Refusal(str(error), self._monotonic() + wait, wait)

    def _landed(self, batch: Batch) -> None:
        if batch.block is not None:
            self._landed_block[batch.partition] = batch.block.number
            self._timings.fresh(max(0, self._wall_ms() - batch.arrived_ms) / 1000)
        self._stored(batch.partition, batch.resume_offset)

    def _lost(self, partition: int) -> None:
        """Another writer has the partition, though the feed has not told us: begin anew with it, if it is still ours."""
        self._fenced += 1
        self._forget(partition)
        self._feed.reread(partition)
