"""Sends a workload to Kafka in a thread, at a steady rate, and knows what was sent."""

import heapq
import itertools
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.faults.points import gauge
from tests.faults.workload import Sending, Trace, Workload

_log: Final = logging.getLogger(__name__)
_TURN: Final = 0.02
_DELIVERY_MS: Final = 30_000


@dataclass
class Sent:
    """What has gone to Kafka.

    Attributes:
        traces: by trace id.
        poison: the bad messages.
        messages: how many are in Kafka for certain, copies by retries not counted.
        retried: traces of which a message was sent again because Kafka had not answered: such a copy may be late.
    """

    traces: dict[bytes, Trace] = field(default_factory=dict)
    poison: list[bytes] = field(default_factory=list)
    messages: int = 0
    retried: set[bytes] = field(default_factory=set)


class Traffic:
    """Sends while it is told to, a point of a metric beside each trace. Kafka may go and come: what it has not acknowledged
    is sent again, but for metrics: of those only what lies in Kafka counts.

    Args:
        bootstrap: Kafka.
        topic: where the messages go.
        metrics_topic: where those with metrics go.
        workload: what is sent.
        rate: traces a second.
    """

    def __init__(self, bootstrap: str, topic: str, metrics_topic: str, workload: Workload, rate: float) -> None:
        self.sent = Sent()
        self._topic = topic
        self._metrics_topic = metrics_topic
        self._points = 0
        self._workload = workload
        self._rate = rate
        self._producer: Any = KafkaProducer(
            bootstrap_servers=bootstrap,
            delivery_timeout_ms=_DELIVERY_MS,
            request_timeout_ms=5_000,
            reconnect_backoff_max_ms=500,
            linger_ms=5,
        )
        self._due: list[tuple[float, int, Sending]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._unanswered = 0
        self._making = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def start(self) -> None:
        """Begin new traces from now on."""
        self._making.set()

    def stop(self) -> None:
        """Begin no more traces; what was begun is sent to its end, the late messages in their time."""
        self._making.clear()

    def all_sent(self) -> bool:
        """Whether Kafka has everything of every trace that was begun."""
        with self._lock:
            return not self._making.is_set() and not self._due and not self._unanswered

    def close(self) -> None:
        """End the thread. What is not sent by now is not sent."""
        self._ended.set()
        self._thread.join(10)
        self._producer.close(timeout=5)

    def _run(self) -> None:
        last = time.monotonic()
        owed = 0.0
        while not self._ended.wait(_TURN):
            now = time.monotonic()
            if self._making.is_set():
                owed += (now - last) * self._rate
                while owed >= 1:
                    owed -= 1
                    self._begin(now)
            last = now
            self._send_due(now)

    def _begin(self, now: float) -> None:
        trace = self._workload.trace(time.time_ns())
        poison = list(self._workload.poison())
        with self._lock:
            self.sent.traces[trace.trace_id] = trace
            self.sent.poison += [one.value for one in poison]
            for sending in (*trace.sendings, *poison):
                heapq.heappush(self._due, (now + sending.after, next(self._order), sending))
        self._points += 1
        for value in (gauge(self._points, time.time_ns()), *(one.value for one in poison)):
            self._send_metrics(value)

    def _send_metrics(self, value: bytes) -> None:
        with self._lock:
            self._unanswered += 1
        try:
            self._producer.send(self._metrics_topic, value).add_both(self._answered)
        except KafkaError:
            self._answered(None)

    def _answered(self, _: object) -> None:
        with self._lock:
            self._unanswered -= 1

    def _send_due(self, now: float) -> None:
        while True:
            with self._lock:
                if not self._due or self._due[0][0] > now:
                    return
                sending = heapq.heappop(self._due)[2]
                self._unanswered += 1
            try:
                future = self._producer.send(self._topic, sending.value, key=sending.key)
            except KafkaError as error:
                self._again(sending, error)
                continue
            future.add_callback(self._arrived)
            future.add_errback(lambda error, sending=sending: self._again(sending, error))

    def _arrived(self, _metadata: object) -> None:
        with self._lock:
            self._unanswered -= 1
            self.sent.messages += 1

    def _again(self, sending: Sending, error: BaseException) -> None:
        """As a producer does that is not idempotent: it may be there already."""
        _log.warning("sent again, Kafka did not take it: %s", error)
        with self._lock:
            self._unanswered -= 1
            self.sent.retried.add(sending.trace)
            heapq.heappush(self._due, (time.monotonic() + 0.5, next(self._order), sending))
