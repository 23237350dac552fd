"""The loop: feed -> engine -> store -> commit."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Set
from dataclasses import asdict, dataclass

from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables, emitted
from telemetry.engine.engine import Batch, Engine
from telemetry.engine.settings import EngineSettings
from telemetry.errors import EdgepathError, UnavailableError
from telemetry.feeds.base import Feed, Record
from telemetry.pipeline.outbox import Outbox
from telemetry.store.base import Store
from telemetry.store.chdb import ChdbEngine

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PipelineSettings:
    """Settings of the loop.

    Attributes:
        engine: settings of the engine.
        flush_seconds: how often traces are closed and stored.
        flush_bytes: traces are closed earlier when so much came in.
        poll_seconds: how long to wait for records at a time.
        max_waiting_batches: when as many batches wait for the store, nothing more is taken in.
    """

    engine: EngineSettings
    flush_seconds: float = 1.0
    flush_bytes: int = 64 * 1024 * 1024
    poll_seconds: float = 0.2
    max_waiting_batches: int = 8


@dataclass(frozen=True)
class Status:
    """What the loop has done and where it stands; counts since the start."""

    records: int
    spans: int
    invalid_spans: int
    rejected_records: int
    replayed_spans: int
    late_spans: int
    paths: int
    complete_paths: int
    open_spans: int
    waiting_batches: int
    partitions: int
    lag: int
    trouble: str


class Pipeline:
    """Moves records of one feed into one store. :meth:`step` and :meth:`run` belong to one thread."""

    def __init__(
        self,
        feed: Feed,
        store: Store,
        chdb: ChdbEngine,
        settings: PipelineSettings,
        *,
        topic: str,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Join the parts; nothing is read before the first :meth:`step`.

        Args:
            feed: where records come from.
            store: where paths go, with the schema applied.
            chdb: the engine that decodes.
            settings: see there.
            topic: the feed's name; part of every block's token.
            wall_ms: the wall clock.
            monotonic: a clock in seconds for waiting.
        """
        self._feed = feed
        self._store = store
        self._settings = settings
        self._topic = topic
        self._wall_ms = wall_ms
        self._monotonic = monotonic
        self._engine = Engine(chdb, settings.engine, topic=topic)
        self._log = BlockLog(SqlLogTables(store, PATHS, topic))
        self._outbox = Outbox(self._log)
        self._committed: dict[int, int] = {}
        self._flush_due = 0.0
        self._full_since = 0  # wall clock, ms; 0 while there is room
        self._polled: list[Record] = []
        self._polled_bytes = 0
        self._rejected: deque[tuple[Record, str]] = deque()
        self._trouble = ""
        self._lag = 0

    def status(self) -> Status:
        """Where the loop stands. May be called from another thread."""
        return Status(
            **asdict(self._engine.counters),
            open_spans=self._engine.open_spans,
            waiting_batches=len(self._outbox.waiting),
            partitions=len(self._engine.partitions),
            lag=self._lag,
            trouble=self._outbox.trouble or self._trouble,
        )

    def run(self, stop: threading.Event) -> None:
        """Step until ``stop`` is set. What cannot be reached is tried again; nothing ends the loop but ``stop``."""
        while not stop.is_set():
            try:
                self.step()
                self._trouble = ""
            except EdgepathError as error:
                if not self._trouble:
                    _log.error("the pipeline waits: %s", error)
                self._trouble = str(error)
                stop.wait(1.0)

    def step(self) -> int:
        """One round; returns how many records came in.

        Raises:
            EdgepathError: something cannot be reached; nothing is lost, the next round tries again.
        """
        try:
            self._follow_assignment()
        except EdgepathError:
            self._feed.poll(
                0.0, 0
            )  # a member that falls silent loses its partitions, and the next one would fare no better
            raise
        s = self._settings
        full = self._engine.full or len(self._outbox.waiting) >= s.max_waiting_batches
        room = 0 if full else max(0, s.flush_bytes - self._polled_bytes)
        records = self._feed.poll(s.poll_seconds if room else 0.0, room)
        self._polled += records
        self._polled_bytes += sum(len(r.value) for r in records)
        self._lag = self._feed.lag()
        now = self._monotonic()
        if now >= self._flush_due or self._polled_bytes >= s.flush_bytes:
            self._flush_due = now + s.flush_seconds
            busy = {r.partition for r in self._polled} if self._lag == 0 else set(self._engine.partitions)
            self._take()
            self._put_aside()
            self._close(busy)
        self._outbox.send(now, self._landed, self._forget)
        if full and not records:
            time.sleep(0.05)  # nothing to do but wait for the store
        return len(records)

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
                and not self._outbox.waiting
            ):
                return True
        return False

    def close(self) -> None:
        """Let go of what the loop opened. The feed and the store stay open."""
        self._engine.shut()

    def _follow_assignment(self) -> None:
        assigned = self._feed.assigned()
        for partition in self._engine.partitions:
            if partition not in assigned:
                self._forget(partition)
        for partition, committed in assigned.items():
            if partition not in self._engine.partitions:
                now_ms = self._wall_ms()
                lease = self._log.take_over(partition)
                past = emitted(
                    self._store,
                    PATHS,
                    topic=self._topic,
                    partition=partition,
                    committed=committed,
                    since_ms=now_ms - self._settings.engine.remember_ms,
                )
                traces, offsets = past["trace_id"].to_pylist(), past["last_offset"].to_pylist()
                self._engine.assign(
                    partition,
                    next_offset=committed,
                    next_block=lease.next_number,
                    emitted=list(zip(traces, offsets, strict=True)),
                    now_ms=now_ms,
                    writer=lease.writer,
                )
                self._committed[partition] = committed

    def _forget(self, partition: int) -> None:
        self._engine.forget(partition)
        self._outbox.forget(partition)
        self._committed.pop(partition, None)
        self._polled = [r for r in self._polled if r.partition != partition]
        self._polled_bytes = sum(len(r.value) for r in self._polled)
        self._rejected = deque(r for r in self._rejected if r[0].partition != partition)

    def _take(self) -> None:
        """Decode what was polled. A statement has a price of its own, so it is done for many records at once."""
        if not self._polled:
            return
        self._rejected += self._engine.ingest(self._polled)
        self._polled, self._polled_bytes = [], 0

    def _put_aside(self) -> None:
        """Hand the bad records back; one that cannot be put aside now waits, and its offset is not committed before."""
        while self._rejected:
            record, reason = self._rejected[0]
            self._feed.reject(record, reason)
            _log.error("a record that cannot be decoded was put aside: %s", reason)
            self._rejected.popleft()

    def _close(self, busy: Set[int]) -> None:
        """Close what is due; for the partitions that are not ``busy``, quiet time passes by the wall clock."""
        now_ms = self._wall_ms()
        self._full_since = (self._full_since or now_ms) if self._engine.full else 0
        waited_ms = max(0, now_ms - self._full_since) if self._full_since else 0
        will_be_committed = self._committed | {b.partition: b.resume_offset for b in self._outbox.waiting}
        for partition in self._engine.partitions:
            idle_now_ms = None if partition in busy else now_ms
            batch = self._engine.close(partition, idle_now_ms=idle_now_ms, waited_ms=waited_ms)
            if batch.blocks or batch.resume_offset > will_be_committed.get(partition, 0):
                self._outbox.add(batch)

    def _landed(self, batch: Batch) -> None:
        if batch.resume_offset > self._committed.get(batch.partition, 0):
            self._feed.commit({batch.partition: batch.resume_offset})
            self._committed[batch.partition] = batch.resume_offset
