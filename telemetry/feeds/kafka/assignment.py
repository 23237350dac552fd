"""Rebalances, told by Kafka's I/O thread and followed, one step at a time, by the pipeline's."""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kafka import ConsumerRebalanceListener


@dataclass(frozen=True)
class Change:
    """Partitions that came or went together."""

    came: bool
    partitions: frozenset[int]


class Changes:
    """A queue of changes. Written by Kafka's I/O thread, read by the pipeline's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Change] = deque()
        self._gone: set[int] = set()

    def add(self, came: bool, partitions: Iterable[Any]) -> None:
        """Note a change; ``partitions`` are kafka-python's ``TopicPartition``."""
        numbers = frozenset(partition.partition for partition in partitions)
        if not numbers:
            return
        with self._lock:
            self._queue.append(Change(came, numbers))
            if not came:
                self._gone |= numbers

    def first(self) -> Change | None:
        """The oldest change, which stays until :meth:`done`."""
        with self._lock:
            return self._queue[0] if self._queue else None

    def done(self) -> None:
        """Take the oldest change away."""
        with self._lock:
            self._queue.popleft()

    def take_gone(self) -> set[int]:
        """The partitions that went since the last call, also those that came back since."""
        with self._lock:
            gone, self._gone = self._gone, set()
            return gone


class Listener(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python has no types
    """Notes what Kafka tells. Runs on its I/O thread, so it does nothing else."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """They go to another member."""
        self._changes.add(False, revoked)

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        """They may be another member's already."""
        self._changes.add(False, lost)

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """They are ours."""
        self._changes.add(True, assigned)
