"""The Kafka feed: one member of a consumer group reads OTLP messages.

Offsets only say where to resume; the pipeline commits them after its blocks have landed (design section 3).
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from telemetry.errors import UnavailableError
from telemetry.feeds.base import Record, RecordBatch, batches_of
from telemetry.feeds.kafka import receiving
from telemetry.feeds.kafka.assignment import Change, Changes, Listener
from telemetry.feeds.kafka.dead_letters import DeadLetterTopic
from telemetry.feeds.kafka.errors import connecting, translated
from telemetry.feeds.kafka.fetched import GROUP_BYTES, BadBatchError, install
from telemetry.feeds.kafka.keying import Keying, KeySample
from telemetry.feeds.kafka.record_sets import keys_of
from telemetry.feeds.kafka.settings import KafkaSettings
from telemetry.feeds.kafka.topics import BOOTSTRAP_MS, need_topic
from telemetry.feeds.otlp.redaction import scrub
from telemetry.redaction import redact_text

_log: Final = logging.getLogger(__name__)
_FETCH_RECORDS: Final = 2000
_FETCH_GROUPS: Final = 16
_TRIES: Final = 3  # of a batch that cannot be decoded: the damage may have been done on the way
_FETCH_BYTES: Final = 16 * 1024 * 1024
# Of one partition. Each answer costs the same, so few large ones; several partitions still share one answer.
_PARTITION_BYTES: Final = 8 * 1024 * 1024
_REQUEST_MS: Final = 10_000
_SAMPLE_SECONDS: Final = 0.25  # between looks at keys
_SAMPLE_KEYS: Final = 8
# Even a poll that may give nothing lets a rebalance go on for so long.
_ALIVE_SECONDS: Final = 0.05
# The group has moved on. What was not committed is read again by the partition's next owner; the store drops what it has.
_MOVED: Final = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
    errors.FencedInstanceIdError,
)


class KafkaFeed:
    """Reads a topic as a member of a consumer group. Used by one thread.

    :meth:`assigned` changes only within :meth:`poll`, one step at a time, and a poll that changed it gives no records. So a
    caller that looks at it before each poll sees every partition go before it comes back, and gets records only of partitions
    that it has seen.

    Args:
        kafka: how the cluster is reached; a mere ``HOST:PORT[,HOST:PORT...]`` is one in plain text.
        topic: what to read.
        group: the consumer group.
        session_timeout_ms: a member that has been silent for so long has lost its partitions.
        now_ms: the wall clock, in milliseconds since the epoch, for messages without a timestamp.
        monotonic: a clock in seconds.

    Attributes:
        keying: what the keys of a few messages tell of how the topic is keyed.
    """

    def __init__(
        self,
        kafka: KafkaSettings | str,
        topic: str,
        group: str,
        *,
        session_timeout_ms: int = 45_000,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = KafkaSettings.of(kafka)
        self._topic = topic
        self._group = group
        self._session_timeout_ms = session_timeout_ms
        self._now_ms = now_ms
        self._monotonic = monotonic
        self.keying = Keying()
        self._look_due = 0.0
        self._consumer: Any = None
        self._changes = Changes()
        self._member = ""  # our id in the group; empty until we have joined
        self._assigned: dict[int, int] = {}
        self._next: dict[int, int] = {}  # the offset after the last record that was given out
        self._buffer: deque[RecordBatch] = deque()
        self._by_batches = False
        self._tries: dict[
            int, tuple[int, int]
        ] = {}  # by partition: the offset of a bad batch, and how often it was met
        self._dead_letters = DeadLetterTopic(self._kafka, topic)

    def open(self) -> None:
        """Connect, and ask to join the group; the first polls do the joining.

        Raises:
            UnavailableError, ConfigurationError: Kafka does not answer, refuses, or has no such topic.
        """
        with connecting(self._kafka, f"read topic {self._topic}"):
            consumer = KafkaConsumer(
                **self._kafka.client(),
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                # A rebalance moves only what must move: the open traces of all other partitions stay.
                partition_assignment_strategy=[CooperativeStickyAssignor],
                session_timeout_ms=self._session_timeout_ms,
                heartbeat_interval_ms=min(3000, self._session_timeout_ms // 3),
                request_timeout_ms=_REQUEST_MS,
                fetch_max_bytes=_FETCH_BYTES,
                max_partition_fetch_bytes=_PARTITION_BYTES,
                fetch_max_wait_ms=200,
                max_poll_records=_FETCH_RECORDS,
                reconnect_backoff_max_ms=1000,
                metadata_max_age_ms=30_000,
                allow_auto_create_topics=False,
                selector=receiving.Selector,
                metrics_enabled=False,  # nobody reads them, and they take as long as the socket
            )
            try:
                if not consumer.partitions_for_topic(self._topic):
                    need_topic(self._kafka, self._topic)
                self._by_batches = install(consumer, self._now_ms, self._look) and receiving.install()
                consumer.subscribe([self._topic], listener=Listener(self._changes))
            except BaseException:
                consumer.close(autocommit=False, timeout_ms=1000)
                raise
        self._consumer = consumer

    def close(self) -> None:
        """Leave the group, so that others take over at once. Does nothing the second time."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                consumer.close(autocommit=False, timeout_ms=5000)
            except errors.KafkaError as error:
                _log.warning("left the consumer group %s without a word: %s", self._group, error)
        self._dead_letters.close()
        self._assigned.clear()
        self._buffer.clear()

    def poll(self, timeout_seconds: float, max_bytes: int) -> Sequence[Record]:
        """The next records, in order within each partition: at least one if there is one, else no more than ``max_bytes``.

        With ``max_bytes`` 0 it gives nothing and reads nothing more, but the member stays in its group.

        Raises:
            UnavailableError, ConfigurationError: Kafka does not answer or refuses; nothing was lost, poll again.
        """
        return [record for batch in self.poll_batches(timeout_seconds, max_bytes) for record in batch.records()]

    def poll_batches(self, timeout_seconds: float, max_bytes: int) -> Sequence[RecordBatch]:
        """The same as columns; no batch is empty.

        Raises:
            UnavailableError, ConfigurationError: as :meth:`poll`.
        """
        if self._follow():
            return ()
        if max_bytes <= 0:
            self._read(max(timeout_seconds, _ALIVE_SECONDS), 1, paused=True)
        elif not self._buffer:
            self._read(timeout_seconds, max_bytes, paused=False)
        if self._follow() or max_bytes <= 0:
            return ()
        return self._give(max_bytes)

    def assigned(self) -> Mapping[int, int]:
        """The partitions this member has, each with its committed offset."""
        return dict(self._assigned)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Note that everything below ``offsets[partition]`` is stored. Partitions that are not ours are passed over.

        Raises:
            UnavailableError, ConfigurationError: Kafka does not answer or refuses; commit again later.
        """
        wanted = {
            partition: offset
            for partition, offset in offsets.items()
            if partition in self._assigned and offset > self._assigned[partition]
        }
        if not wanted or self._consumer is None:
            return
        try:
            with translated(self._kafka, f"commit offsets of group {self._group}"):
                self._consumer.commit(
                    {
                        TopicPartition(self._topic, partition): OffsetAndMetadata(offset, "", -1)
                        for partition, offset in wanted.items()
                    },
                    timeout_ms=_REQUEST_MS,
                )
        except UnavailableError as error:
            if not isinstance(error.__cause__, _MOVED):
                raise
            _log.info("offsets %s were not committed, the group is rebalancing: %s", wanted, error.__cause__)
            return
        self._assigned.update(wanted)

    def reject(self, record: Record, reason: str) -> None:
        """Put a record that cannot be decoded into the topic ``<topic>.dead`` with the reason.

        Raises:
            UnavailableError, ConfigurationError: it could not be put there; try again.
        """
        self._dead_letters.add(record, reason)

    def reread(self, partition: int) -> None:
        """Start a partition anew: the next polls show it going, and coming back at its committed offset.

        For a caller that found out (by the store's answer) that another member wrote in its place.
        """
        if partition in self._assigned:
            one = frozenset({partition})
            self._changes.add(Change(False, one), Change(True, one))

    def lag(self) -> int:
        """Records that wait to be polled, as far as the last fetches told."""
        return sum(self.lags().values())

    def lags(self) -> Mapping[int, int]:
        """The same for each partition."""
        if self._consumer is None:
            return {}
        waiting = {}
        held = {batch.partition for batch in tuple(self._buffer)}
        for partition, committed in self.assigned().items():
            try:
                end = self._consumer.highwater(TopicPartition(self._topic, partition)) or 0
            except (errors.IllegalStateError, KeyError):  # on its way to another member
                continue
            # The last offsets may hold no record: a transaction's mark, or a batch that was put aside.
            at_end = partition not in held and self._position(partition) >= end
            waiting[partition] = 0 if at_end else max(0, end - self._next.get(partition, committed))
        return waiting

    @property
    def joined(self) -> bool:
        """Whether the group knows us, with partitions or without."""
        return bool(self._member)

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _follow(self) -> bool:
        """Take one change of the assignment over into :attr:`_assigned`; False if there is none."""
        change = self._changes.first()
        if change is None:
            return False
        if change.came:
            self._assigned.update({partition: self._start(partition) for partition in change.partitions})
        else:
            for partition in change.partitions:
                self._assigned.pop(partition, None)
                self._next.pop(partition, None)
        self._buffer = deque(batch for batch in self._buffer if batch.partition not in change.partitions)
        _log.info("topic %s: %s %s", self._topic, "got" if change.came else "gave up", sorted(change.partitions))
        self._changes.done(change)
        return True

    def _start(self, partition: int) -> int:
        """Go to the committed offset of a partition that came, and return it.

        kafka-python goes there too, but not when it joins again so fast that it finds the partition among its own.
        """
        committed = self._committed(partition)
        with suppress(ValueError, KeyError):  # gone again: the next change says so
            self._consumer.seek(TopicPartition(self._topic, partition), committed)
        return committed

    def _notice_eviction(self) -> None:
        """After Kafka has worked: see whether the group had forgotten us meanwhile.

        When that comes out only as we join again, kafka-python tells its listener nothing and reads on, though the partitions
        may have been another member's for a while. What gives it away is our new name.
        """
        member = self._consumer.group_metadata().member_id
        if not member or member == self._member:
            return
        if self._member:
            _log.warning("the consumer group %s had thrown us out: starting again at its offsets", self._group)
            now = frozenset(place.partition for place in self._consumer.assignment())
            self._changes.replace(Change(False, frozenset(self._assigned)), Change(True, now))
        self._member = member

    def _position(self, partition: int) -> int:
        """Where the next fetch begins; -1 if that is not known. kafka-python's own ``position`` may ask the broker first."""
        try:
            position = self._consumer._subscription.position(TopicPartition(self._topic, partition))
        except (AttributeError, KeyError):
            return -1
        return position.offset if position is not None else -1

    def _committed(self, partition: int) -> int:
        place = TopicPartition(self._topic, partition)
        with translated(self._kafka, f"read the offsets of group {self._group}"):
            committed = self._consumer.committed(place, timeout_ms=_REQUEST_MS)
            if committed is None:
                committed = self._consumer.beginning_offsets([place], timeout_ms=_REQUEST_MS)[place]
        return int(committed)

    def _read(self, timeout_seconds: float, max_bytes: int, *, paused: bool) -> None:
        """Let Kafka work for a while; what it brings goes into the buffer."""
        if self._consumer is None:
            return
        # What is fetched is decoded as it is taken: no more at once than the caller has room for.
        most = min(max(max_bytes // GROUP_BYTES, 1), _FETCH_GROUPS) if self._by_batches else _FETCH_RECORDS
        fetched: Mapping[Any, Sequence[Any]] = {}
        with translated(self._kafka, f"read topic {self._topic}"):
            held = self._consumer.assignment() if paused else ()
            for place in held:
                with suppress(KeyError):  # lost between the two statements
                    self._consumer.pause(place)
            try:
                fetched = self._consumer.poll(timeout_ms=round(timeout_seconds * 1000), max_records=most)
            except BadBatchError as error:
                self._meet(error)
            finally:
                for place in held:
                    with suppress(KeyError):
                        self._consumer.resume(place)
            self._notice_eviction()
        for found in fetched.values():
            if self._by_batches:
                self._buffer.extend(filter(len, found))
            else:
                self._buffer.extend(batches_of([self._record(message) for message in found]))
                self._sample(found[0].partition, partial(_keys, found[:_SAMPLE_KEYS]))

    def _meet(self, error: BadBatchError) -> None:
        """A batch cannot be decoded: fetch it again, and in the end put it aside whole and go on behind it.

        Raises:
            UnavailableError: it could not be put aside, or nobody knows where the next one begins.
        """
        bad = error.record
        offset, tries = self._tries.get(bad.partition, (-1, 0))
        tries = tries + 1 if offset == bad.offset else 1
        self._tries[bad.partition] = bad.offset, tries
        if tries < _TRIES:
            _log.warning("topic %s: %s; it is fetched again", self._topic, error)
            return
        place = TopicPartition(self._topic, bad.partition)
        if not bad.offset < error.next_offset <= (self._consumer.highwater(place) or 0):
            raise UnavailableError(
                f"Kafka at {self._kafka.bootstrap} gives what is damaged: {error}; see the broker's log files"
            )
        self._put_aside(error)
        _log.error("topic %s: %s; it was put aside", self._topic, error)
        self._consumer.seek(place, error.next_offset)

    def _put_aside(self, error: BadBatchError) -> None:
        """As other dead letters, without what they may not hold; what is compressed cannot be looked through for that."""
        bad = error.record
        reason = redact_text(f"a batch of messages that cannot be decoded: {error.reason}")
        if not error.codec:
            self._dead_letters.add(replace(bad, value=scrub(bad.value)), reason)
            return
        size = len(bad.value)
        reason += f"; its {size} bytes are left out, for they are compressed ({error.codec}); "
        reason += f"it states the checksum {error.checksum:08x}"
        self._dead_letters.add(replace(bad, value=b""), reason, omitted_bytes=size)

    def _look(self, partition: int, payload: bytes | memoryview) -> None:
        self._sample(partition, lambda: keys_of(payload, _SAMPLE_KEYS))

    def _sample(self, partition: int, keys: Callable[[], list[bytes | None]]) -> None:
        """Now and then let :attr:`keying` see a few keys."""
        now = self._monotonic()
        if now >= self._look_due:
            self._look_due = now + _SAMPLE_SECONDS
            partitions = len(self._consumer.partitions_for_topic(self._topic) or ())
            self.keying.saw_keys([KeySample(partition, key, partitions) for key in keys()])

    def _record(self, message: Any) -> Record:
        timestamp = message.timestamp
        arrival_ms = timestamp if timestamp is not None and timestamp >= 0 else self._now_ms()
        return Record(message.partition, message.offset, arrival_ms, message.value or b"")

    def _give(self, max_bytes: int) -> list[RecordBatch]:
        given: list[RecordBatch] = []
        room = max_bytes
        while self._buffer and (not given or self._buffer[0].first_size <= room):
            batch, rest = self._buffer.popleft().cut(room)
            if rest is not None:
                self._buffer.appendleft(rest)
            given.append(batch)
            room -= batch.size
            self._next[batch.partition] = batch.next_offset
        return given


def _keys(messages: Sequence[Any]) -> list[bytes | None]:
    return [message.key for message in messages]
