"""A pipeline with its surroundings, on a real engine and a real embedded store; time passes when it is told to."""

import dataclasses
import time
from collections import Counter

from telemetry.domain.spans import Span
from telemetry.engine.settings import EngineSettings
from telemetry.pipeline.pipeline import Pipeline
from telemetry.pipeline.settings import PipelineSettings
from telemetry.store.embedded import EmbeddedStore
from tests.support.fake_feed import FakeFeed, Topic
from tests.support.flaky_store import FlakyStore
from tests.support.otlp_messages import message_of
from tests.support.trace_builder import healthy

NOW = time.time_ns() // 1_000_000 - 3_600_000
SETTINGS = PipelineSettings(EngineSettings(), flush_seconds=1.0, poll_seconds=0, max_waiting_batches=3, senders=0)


class Rig:
    """A pipeline with its surroundings; time stands still but for :meth:`pass_time`."""

    def __init__(self, store: EmbeddedStore) -> None:
        self.real_store = store
        self.store = FlakyStore(store)
        self.topic = Topic()
        self.seconds = 0.0
        self._settings = SETTINGS
        self._pipelines: list[Pipeline] = []
        self.start()

    def start(self, *partitions: int, settings: PipelineSettings = SETTINGS) -> None:
        """A consumer that knows nothing but what is stored and committed: also a restart."""
        self.feed = FakeFeed(self.topic, partitions or (0,))
        self._settings = settings
        self.pipeline = Pipeline(
            self.feed,
            self.store,
            settings,
            topic="t",
            wall_ms=lambda: NOW + int(self.seconds * 1000),
            monotonic=lambda: self.seconds,
        )
        self._pipelines.append(self.pipeline)

    def pass_time(self, seconds: int) -> None:
        """A step every second."""
        for _ in range(seconds):
            self.seconds += 1
            self.pipeline.step()

    def send(self, *spans: list[Span], partition: int = 0) -> None:
        """A record that arrives now."""
        payload = message_of([s for some in spans for s in some]).SerializeToString()
        self.topic.put(payload, partition=partition, at=NOW + int(self.seconds * 1000))

    def stored(self) -> Counter[int]:
        """How many paths each trace has."""
        rows = self.real_store.query("SELECT trace_id FROM request_paths FINAL WHERE sign = 1").rows
        return Counter(int.from_bytes(trace_id) for (trace_id,) in rows)

    def late(self) -> Counter[tuple[int, int]]:
        """(trace, span) of every late span."""
        rows = self.real_store.query("SELECT trace_id, span_id FROM late_spans").rows
        return Counter((int.from_bytes(trace_id), span_id) for trace_id, span_id in rows)

    def stop(self) -> None:
        """Let go of everything."""
        for pipeline in self._pipelines:
            pipeline.close()


def trace(number: int, last: int = 8) -> list[Span]:
    """The first spans of a healthy trace; all eight make it complete."""
    return [dataclasses.replace(s, trace_id=number.to_bytes(16)) for s in healthy().spans[:last]]
