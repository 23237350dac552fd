"""A pipeline with its surroundings, on a real engine and a real embedded store; time passes when it is told to."""

import dataclasses
import time
from abc import ABC, abstractmethod
from collections import Counter
from typing import Generic, TypeVar

from telemetry.domain.spans import Span
from telemetry.engine.settings import EngineSettings
from telemetry.pipeline.metrics import MetricPipeline
from telemetry.pipeline.pipeline import Pipeline
from telemetry.pipeline.settings import MetricPipelineSettings, PipelineSettings
from telemetry.store.embedded import EmbeddedStore
from tests.support.fake_feed import FakeFeed, Topic
from tests.support.flaky_store import FlakyStore
from tests.support.otlp_messages import message_of
from tests.support.trace_builder import healthy

NOW = time.time_ns() // 1_000_000 - 3_600_000
SETTINGS = PipelineSettings(EngineSettings(), flush_seconds=1.0, poll_seconds=0, max_waiting_batches=3, senders=0)


P = TypeVar("P", Pipeline, MetricPipeline)
S = TypeVar("S", PipelineSettings, MetricPipelineSettings)


class LoopRig(ABC, Generic[P, S]):
    """A loop with its surroundings; time stands still but for :meth:`pass_time`."""

    pipeline: P

    def __init__(self, store: EmbeddedStore, settings: S) -> None:
        self.real_store = store
        self.store = FlakyStore(store)
        self.topic = Topic()
        self.seconds = 0.0
        self._usual: S = settings
        self._pipelines: list[P] = []
        self.start()

    @abstractmethod
    def _made(self, settings: S) -> P:
        """A loop on :attr:`feed` and :attr:`store`, with the clocks of the rig."""

    def start(self, *partitions: int, settings: S | None = None) -> None:
        """A consumer that knows nothing but what is stored and committed: also a restart."""
        self.feed = FakeFeed(self.topic, partitions or (0,))
        settings = settings or self._usual
        self.pipeline = self._made(settings)
        self._pipelines.append(self.pipeline)

    def wall_ms(self) -> int:
        """The wall clock."""
        return NOW + int(self.seconds * 1000)

    def pass_time(self, seconds: int) -> None:
        """A step every second."""
        for _ in range(seconds):
            self.seconds += 1
            self.pipeline.step()

    def put(self, value: bytes, partition: int = 0) -> None:
        """A record that arrives now."""
        self.topic.put(value, partition=partition, at=self.wall_ms())

    def stop(self) -> None:
        """Let go of everything."""
        for pipeline in self._pipelines:
            pipeline.close()


class Rig(LoopRig[Pipeline, PipelineSettings]):
    """The same of paths."""

    def __init__(self, store: EmbeddedStore) -> None:
        super().__init__(store, SETTINGS)

    def _made(self, settings: PipelineSettings) -> Pipeline:
        return Pipeline(
            self.feed, self.store, settings, topic="t", wall_ms=self.wall_ms, monotonic=lambda: self.seconds
        )

    def send(self, *spans: list[Span], partition: int = 0) -> None:
        """A record that arrives now."""
        self.put(message_of([s for some in spans for s in some]).SerializeToString(), partition)

    def stored(self) -> Counter[int]:
        """How many paths each trace has."""
        rows = self.real_store.query("SELECT trace_id FROM request_paths FINAL WHERE sign = 1").rows
        return Counter(int.from_bytes(trace_id) for (trace_id,) in rows)

    def late(self) -> Counter[tuple[int, int]]:
        """(trace, span) of every late span."""
        rows = self.real_store.query("SELECT trace_id, span_id FROM late_spans").rows
        return Counter((int.from_bytes(trace_id), span_id) for trace_id, span_id in rows)


def trace(number: int, last: int = 8) -> list[Span]:
    """The first spans of a healthy trace; all eight make it complete."""
    return [dataclasses.replace(s, trace_id=number.to_bytes(16)) for s in healthy().spans[:last]]
