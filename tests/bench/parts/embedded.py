"""The whole consumer without servers: records of a file through the pipeline into the embedded store, roll-ups and SLIs.

The store is in the same process, so its work counts here; with a server it does not (see the part ``consumer``).
"""

import contextlib
import time
from pathlib import Path

from alerts import policies, sli_views, slos
from telemetry.engine.settings import EngineSettings
from telemetry.pipeline.pipeline import Pipeline
from telemetry.pipeline.settings import PipelineSettings
from telemetry.pipeline.warm import warm
from telemetry.store import schema
from telemetry.store.base import Store
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.bench import workload
from tests.bench.measure import Series, cpu, peak_rss, per_cpu_second
from tests.bench.parts.records import FileFeed

_HOUR_MS = 3_600_000
_DRAIN_SECONDS = 60.0


def batch(folder: Path) -> dict[str, Series]:
    """500-span messages, one partition."""
    return _consume(folder, workload.BATCHES)


def keyed(folder: Path) -> dict[str, Series]:
    """Small messages of one trace each, several partitions."""
    return _consume(folder, workload.KEYED)


def with_slos(store: Store) -> None:
    """The schema, and the views that count the shipped SLOs."""
    schema.apply(store)
    sli_views.sync(store, slos.load(), policies.load().resolution_seconds, time.time())


def _consume(folder: Path, shape: workload.Shape) -> dict[str, Series]:
    with contextlib.ExitStack() as parts:
        chdb = ChdbEngine(folder / f"embedded-{shape.name}-{time.monotonic_ns()}", "edgepath")
        parts.callback(chdb.close)
        store = EmbeddedStore(chdb, owns_engine=False)
        with_slos(store)
        feed = FileFeed(folder, shape)
        # At the end of the file an hour passes at once: what is still open closes.
        pipeline = Pipeline(
            feed,
            store,
            PipelineSettings(EngineSettings()),
            topic="bench",
            wall_ms=lambda: time.time_ns() // 1_000_000 + (_HOUR_MS if feed.ended else 0),
        )
        parts.callback(pipeline.close)
        warm()
        begun = time.monotonic()
        with cpu() as used:
            if not pipeline.drain(_DRAIN_SECONDS):
                raise AssertionError(f"not everything landed: {pipeline.status()}")
        wall = time.monotonic() - begun
        stored = store.query("SELECT count(), sum(spans), countIf(complete) FROM request_paths").rows[0]
        expected = shape.spans // workload.SPANS_A_TRACE
        if stored[:2] != (expected, shape.spans):
            raise AssertionError(
                f"{stored[0]} paths of {stored[1]} spans are stored, sent were {expected} of {shape.spans}"
            )
    name = f"embedded.{shape.name}"
    return {
        f"{name}.spans_per_cpu_second": per_cpu_second(shape.spans, used),
        f"{name}.spans_per_second": Series("spans/s", (shape.spans / wall,)),
        f"{name}.complete": Series("of paths", (stored[2] / stored[0],)),
        f"{name}.rss_mb": peak_rss(),
    }
