"""The ways from a receiver to the loops, one for each signal."""

from dataclasses import dataclass

from telemetry.feeds.base import Feed
from telemetry.feeds.sink import Sink


@dataclass(frozen=True)
class Way:
    """What the receiver puts into ``sink`` comes out of ``feed``; ``topic`` names it in every row."""

    feed: Feed
    sink: Sink
    topic: str


@dataclass(frozen=True)
class Ways:
    """Of spans and of metrics: apart, so that neither waits for the other."""

    spans: Way
    metrics: Way
