"""The dead-letter topic: messages that cannot be decoded, with the reason in their headers."""

import time
from collections.abc import Callable
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError

from telemetry.feeds.base import Record
from telemetry.feeds.kafka.errors import dispose, translated
from telemetry.feeds.kafka.settings import KafkaSettings
from telemetry.feeds.kafka.topics import BOOTSTRAP_MS, ensure_topic
from telemetry.vocabulary import DEAD_LETTER_SUFFIX

_REASON_BYTES: Final = 1000
_MESSAGE_BYTES: Final = 2 * 1024 * 1024  # the value, as large as it may be, and its headers


class DeadLetterTopic:
    """``<topic>.dead``, made with the first record. Used by one thread.

    Values are messages as they came, but that whoever puts them here has taken out card numbers and secrets; or a whole batch
    of messages that is damaged. Headers: ``reason`` (text), ``topic``, ``partition``, ``offset``, ``arrival_ms`` (decimal
    numbers), and ``omitted_bytes`` when the value is not there: it was too large for the topic, or is a batch that is
    compressed and so cannot be looked through.
    """

    def __init__(
        self,
        kafka: KafkaSettings | str,
        topic: str,
        *,
        timeout_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = topic + DEAD_LETTER_SUFFIX
        self._kafka = KafkaSettings.of(kafka)
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._producer: Any = None

    def add(self, record: Record, reason: str, omitted_bytes: int = 0) -> None:
        """Write ``record``; on return it is there. ``omitted_bytes``: how many it had that must not be there.

        Raises:
            UnavailableError, ConfigurationError: it could not be written; try again.
        """
        headers = [
            ("reason", reason.encode("utf-8", "backslashreplace")[:_REASON_BYTES]),
            ("topic", self._topic.encode()),
            ("partition", b"%d" % record.partition),
            ("offset", b"%d" % record.offset),
            ("arrival_ms", b"%d" % record.arrival_ms),
        ]
        if omitted_bytes:
            headers.append(("omitted_bytes", b"%d" % omitted_bytes))
        with translated(self._kafka, f"write to topic {self.name}"):
            producer = self._open()
            try:
                self._send(producer, record.value, headers)
            except MessageSizeTooLargeError:
                self._send(producer, b"", [*headers, ("omitted_bytes", b"%d" % len(record.value))])

    def close(self) -> None:
        """Let go of the connection. Does nothing the second time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            dispose(producer, 1)

    def _open(self) -> Any:
        if self._producer is None:
            ensure_topic(self._kafka, self.name, 1, {"max.message.bytes": str(_MESSAGE_BYTES)})
            timeout_ms = round(self._timeout_seconds * 1000)
            self._producer = KafkaProducer(
                **self._kafka.client(),
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                acks="all",
                # An idempotent producer is of no use any more after a message that was too large; twice does no harm here.
                enable_idempotence=False,
                max_request_size=_MESSAGE_BYTES,
                max_block_ms=timeout_ms,
                request_timeout_ms=timeout_ms // 2,
                delivery_timeout_ms=timeout_ms,
                allow_auto_create_topics=False,
            )
        return self._producer

    def _send(self, producer: Any, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        producer.send(self.name, value=value, headers=headers).get(timeout=self._timeout_seconds + 1)
