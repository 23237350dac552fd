"""What the receiver counts. One object for both protocols."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Rejection(StrEnum):
    """Why a request was not taken."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    PARTIAL = "partial"
    """Taken, but for some items."""


@dataclass(frozen=True)
class Snapshot:
    """The counts since the start.

    Attributes:
        requests: requests that were taken.
        bytes: their bodies, decompressed, as protobuf.
        spans: spans in them.
        data_points: metric data points in them.
        rejected: requests that were not taken, by :class:`Rejection`. What gRPC itself turns away for its size is not seen.
    """

    requests: int
    bytes: int
    spans: int
    data_points: int
    rejected: Mapping[str, int]


class Counters:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = self._bytes = self._spans = self._data_points = 0
        self._rejected: Counter[str] = Counter()

    def taken(self, size: int, spans: int = 0, data_points: int = 0) -> None:
        """One request of ``size`` bytes is durable."""
        with self._lock:
            self._requests += 1
            self._bytes += size
            self._spans += spans
            self._data_points += data_points

    def rejected(self, reason: Rejection) -> None:
        """One request was turned away."""
        with self._lock:
            self._rejected[reason.value] += 1

    def snapshot(self) -> Snapshot:
        """The counts now, consistent with each other."""
        with self._lock:
            return Snapshot(self._requests, self._bytes, self._spans, self._data_points, dict(self._rejected))
