"""Receiver to Kafka: a request becomes, for each partition, one message with the spans of all traces that go there.

One message a trace, as the Collector writes with ``partition_traces_by_id``, would be tiny: a few spans each. Here a message
holds many traces, so it is written to a partition that was computed (``partitions``) and carries a key only when it holds
one trace: a key that hashes elsewhere would be a lie.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import DecodeError
from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from telemetry.errors import EdgepathError, MalformedError, UnavailableError
from telemetry.feeds.kafka.errors import connecting, dispose, translate, translated
from telemetry.feeds.kafka.partitions import key_of, partitions_of
from telemetry.feeds.kafka.settings import KafkaSettings
from telemetry.feeds.kafka.split import Kind, Message, by_partition, groups_of, messages
from telemetry.feeds.kafka.topics import BOOTSTRAP_MS
from telemetry.feeds.sink import PartialError

MESSAGE_BYTES: Final = 1_000_000
"""The largest message: the Collector's limit, which brokers' defaults (1,048,588 with overhead) take."""


_LEAST_MESSAGE_BYTES: Final = 16_000
_log: Final = logging.getLogger(__name__)


class KafkaSink:
    """Writes requests to a topic. ``accept`` returns when all in-sync replicas have all of it.

    Args:
        kafka: how the cluster is reached; a mere ``HOST:PORT[,HOST:PORT...]`` is one in plain text.
        topic: must exist.
        kind: spans go by their trace, metrics go anywhere.
        timeout_seconds: how long Kafka may take for a request before its sender is told to come again. Less than the 10 s
            after which OTLP exporters give up waiting.
        monotonic: a clock in seconds.
    """

    def __init__(
        self,
        kafka: KafkaSettings | str,
        topic: str,
        kind: Kind = Kind.SPANS,
        *,
        timeout_seconds: float = 8.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kafka = KafkaSettings.of(kafka)
        self._topic = topic
        self._kind = kind
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._producer: Any = None
        self._lock = threading.Lock()
        self._limit = MESSAGE_BYTES

    def open(self) -> None:
        """Connect, and see that the topic is there.

        Raises:
            UnavailableError, ConfigurationError: Kafka does not answer, refuses, or has no such topic.
        """
        self._producer = self._connect()

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Write what is under way, and let go. Does nothing the second time."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            dispose(producer, timeout_seconds)

    def accept(self, payload: bytes) -> None:
        """Write one request. Used by many threads.

        Raises:
            UnavailableError: Kafka did not take all of it in time. A part may have been written.
            MalformedError: it is not a request.
            PartialError: all but some items, each larger than a message may be, was written.
        """
        producer = self._producer
        if producer is None:
            raise UnavailableError(f"the connection to Kafka at {self._kafka.bootstrap} is closed")
        with translated(self._kafka, f"write to topic {self._topic}"):
            partitions = sorted(producer.partitions_for(self._topic))
        parts, too_large = self._cut(payload, partitions)
        deadline = self._monotonic() + self._timeout_seconds + 1
        with translated(self._kafka, f"write to topic {self._topic}"):
            futures = [
                producer.send(self._topic, value=message.value, key=_key(message, self._kind), partition=partition)
                for partition, message in parts
            ]
        for future in futures:
            try:
                future.get(timeout=max(0.0, deadline - self._monotonic()))
            except KafkaError as error:
                self._renew(producer, error)
                raise _retryable(translate(error, self._kafka, f"write to topic {self._topic}")) from error
        if too_large:
            raise PartialError(
                f"{too_large} {self._kind.items} larger than a Kafka message of {self._limit} bytes were dropped",
                too_large,
            )

    def _connect(self) -> Any:
        timeout_ms = round(self._timeout_seconds * 1000)
        with connecting(self._kafka, f"write to topic {self._topic}"):
            producer = KafkaProducer(
                **self._kafka.client(),
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                enable_idempotence=True,  # with it: acks=all, and a retry inside the client is never a second message
                acks="all",
                compression_type="lz4",
                linger_ms=5,
                batch_size=512 * 1024,
                max_block_ms=timeout_ms,
                request_timeout_ms=timeout_ms // 2,
                delivery_timeout_ms=timeout_ms,
                reconnect_backoff_max_ms=1000,
                metadata_max_age_ms=30_000,  # so soon are new partitions seen
                allow_auto_create_topics=False,
            )
            try:
                producer.partitions_for(self._topic)
            except BaseException:
                dispose(producer, 0)
                raise
        return producer

    def _renew(self, failed: Any, error: KafkaError) -> None:
        """Replace a producer that has met an error for good: an idempotent one writes nothing after it."""
        if error.retriable:
            return
        with self._lock:
            if self._producer is not failed:
                return  # another thread did, or we are closed
            if isinstance(error, MessageSizeTooLargeError):
                self._limit = max(self._limit // 2, _LEAST_MESSAGE_BYTES)
                _log.warning(
                    "topic %s takes no messages of %d bytes: going on with %d; raise its max.message.bytes",
                    self._topic,
                    self._limit * 2,
                    self._limit,
                )
            try:
                self._producer = self._connect()
            except EdgepathError as unreachable:
                _log.warning("the producer could not be renewed yet: %s", unreachable)
                return
        dispose(failed, 0)

    def _cut(self, payload: bytes, partitions: list[int]) -> tuple[list[tuple[int | None, Message]], int]:
        try:
            request = self._kind.request.FromString(payload)
        except DecodeError as error:
            raise MalformedError(f"not a protobuf {self._kind.request.DESCRIPTOR.name}: {error}") from error
        groups = groups_of(request, self._kind)
        if self._kind is Kind.METRICS:
            found, too_large = messages(list(groups), self._kind, self._limit)
            return [(None, message) for message in found if message.groups], too_large
        listed = list(groups)
        homes = partitions_of({span.trace_id for group in listed for span in group.items}, len(partitions))
        parts: list[tuple[int | None, Message]] = []
        too_large = 0
        for index, part in by_partition(iter(listed), lambda span: homes[span.trace_id]).items():
            found, over = messages(part, self._kind, self._limit)
            parts += [(partitions[index], message) for message in found]
            too_large += over
        return parts, too_large


def _key(message: Message, kind: Kind) -> bytes | None:
    if kind is not Kind.SPANS:
        return None
    traces = {span.trace_id for group in message.groups for span in group.items}
    return key_of(traces.pop()) if len(traces) == 1 else None


def _retryable(error: Exception) -> UnavailableError:
    # Even a refusal: somebody mends the ACLs, and the senders still have their spans.
    return error if isinstance(error, UnavailableError) else UnavailableError(str(error))
