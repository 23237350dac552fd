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

    def add(self, *changes: Change) -> None:
        """Note changes; empty ones are passed over."""
        with self._lock:
            self._queue.extend(change for change in changes if change.partitions)

    def replace(self, *changes: Change) -> None:
        """Forget what was noted, and note ``changes`` instead."""
        with self._lock:
            self._queue.clear()
        self.add(*changes)

    def first(self) -> Change | None:
        """The oldest change, which stays until :meth:`done`."""
        with self._lock:
            return self._queue[0] if self._queue else None

    def done(self, change: Change) -> None:
        """Take the oldest change away, if it still is this one."""
        with self._lock:
            if self._queue and self._queue[0] is change:
                self._queue.popleft()


class Listener(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python has no types
    """Notes what Kafka tells. Runs on its I/O thread, so it does nothing else."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """They go to another member."""
        self._changes.add(_change(False, revoked))

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        """They may be another member's already."""
        self._changes.add(_change(False, lost))

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """They are ours."""
        self._changes.add(_change(True, assigned))


def _change(came: bool, places: Iterable[Any]) -> Change:
    return Change(came, frozenset(place.partition for place in places))
