"""Notices traces whose spans come from more than one partition: then the topic is not keyed by trace id, or by two rules.

A sample of the traces is watched: those whose id says so, in a table of a fixed size that forgets by being overwritten.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Int, compiled
from telemetry.engine.spans import SpanArray

_SIZE: Final = 1 << 14
_ONE_IN: Final = 8

SEEN: Final = np.dtype([("high", np.uint64), ("low", np.uint64), ("partition", np.int64)], align=True)


class SplitTraces:
    """Counts traces that were seen in two partitions.

    Attributes:
        count: how many, of about one in eight that is watched.
        example: the id of one, in hex; empty if there is none.
    """

    def __init__(self) -> None:
        self._seen: NDArray[np.void] = np.zeros(_SIZE, dtype=SEEN)
        self.count = 0
        self.example = ""

    def look(self, spans: SpanArray, partition: int) -> None:
        """Look at spans of a partition."""
        found, at = _look(spans, partition, self._seen)
        if found:
            self.count += int(found)
            span = spans[at]
            self.example = f"{int(span['trace_high']):016x}{int(span['trace_low']):016x}"


@compiled
def _look(spans: SpanArray, partition: Int, seen: Any) -> tuple[Int, Int]:
    found, example = 0, 0
    for number in range(len(spans)):
        span = spans[number]
        low = span["trace_low"]
        if low & np.uint64(_ONE_IN - 1) != 0:
            continue
        place = seen[np.int64(low >> np.uint64(3)) & (_SIZE - 1)]
        if place["low"] == low and place["high"] == span["trace_high"]:
            if place["partition"] != partition and place["partition"] >= 0:
                found += 1
                example = number
                place["partition"] = -1  # counted once
            continue
        place["low"] = low
        place["high"] = span["trace_high"]
        place["partition"] = partition
    return found, example
