"""The engine's steps: decode alone, assemble alone, and from bytes to closed blocks; and what a statement costs at least."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from telemetry.engine.columns import Strings

from telemetry.domain.tiers import Tiers
from telemetry.engine.decode import Decoder
from telemetry.engine.engine import Engine
from telemetry.engine.paths import assemble
from telemetry.engine.settings import EngineSettings
from telemetry.feeds.base import Record
from telemetry.store.chdb import ChdbEngine
from tests.bench import workload
from tests.bench.measure import Series, cpu, per_cpu_second
from tests.bench.parts.records import records

_STATEMENTS = 20
_SMALL = 10_000


def run(folder: Path) -> dict[str, Series]:
    """Figures of both shapes."""
    found: dict[str, Series] = {}
    with contextlib.closing(ChdbEngine(folder / "engine")) as chdb:
        for shape in workload.SHAPES:
            whole = list(records(folder, shape))
            # One statement, one partition: what the engine does with a micro-batch.
            whole = [Record(0, place, r.arrival_ms, r.value) for place, r in enumerate(whole)]
            found |= {
                f"engine.{shape.name}.{name}": series for name, series in _steps(chdb, whole, shape.spans).items()
            }
    return found


def _steps(chdb: ChdbEngine, whole: Sequence[Record], spans: int) -> dict[str, Series]:
    strings, tiers = Strings(), Tiers()
    found: dict[str, Series] = {}
    with contextlib.closing(Decoder(chdb, tiers, strings)) as decoder:
        few = whole[: max(1, len(whole) * _SMALL // spans)]
        decoder.decode(few)  # what is done only once: loading, and the words of the attributes
        with cpu() as used:
            for _ in range(_STATEMENTS):
                decoder.decode(whole[:1])
        found["decode.statement_ms"] = Series("CPU ms", (used.seconds / _STATEMENTS * 1000,))
        with cpu() as used:
            count = sum(len(decoder.decode(few).spans) for _ in range(4))
        found["decode.10k.spans_per_cpu_second"] = per_cpu_second(count, used)
        with cpu() as used:
            decoded = decoder.decode(whole)
        found["decode.spans_per_cpu_second"] = per_cpu_second(len(decoded.spans), used)
    if len(decoded.spans) != spans:
        raise AssertionError(f"{len(decoded.spans)} of {spans} spans were decoded")
    assemble(decoded.spans.take(decoded.spans.trace_low < 1 << 60), strings, tiers)
    with cpu() as used:
        assemble(decoded.spans, strings, tiers)
    found["assemble.spans_per_cpu_second"] = per_cpu_second(spans, used)
    engine = Engine(chdb, EngineSettings(), topic="bench", writer="bench")
    with contextlib.ExitStack() as parts:
        parts.callback(engine.shut)
        engine.assign(0, next_offset=0, next_block=1)
        with cpu() as used:
            engine.ingest(whole)
            batch = engine.close(0, everything=True)
    if batch.paths != spans // workload.SPANS_A_TRACE:
        raise AssertionError(f"{batch.paths} paths of {spans // workload.SPANS_A_TRACE} traces")
    found["whole.spans_per_cpu_second"] = per_cpu_second(spans, used)
    return found
