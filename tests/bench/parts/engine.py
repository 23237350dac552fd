"""The engine's steps: decode alone, assemble alone, and from records to frozen blocks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from telemetry.blocklog.model import Block
from telemetry.domain.tiers import Tiers
from telemetry.engine.decode import Decoder
from telemetry.engine.engine import Engine
from telemetry.engine.paths import assemble
from telemetry.engine.rows import ROW_TYPES
from telemetry.engine.settings import EngineSettings
from telemetry.engine.strings import Strings
from telemetry.feeds.base import RecordBatch
from tests.bench import workload
from tests.bench.measure import Series, cpu, per_cpu_second
from tests.bench.parts.records import records


class NoPast:
    """Nothing was emitted before."""

    def find(self, _partition: int, _traces: Sequence[bytes]) -> Mapping[bytes, tuple[int, int]]:
        """None of them."""
        return {}

    def originals(self, _partition: int, _blocks: Mapping[bytes, int]) -> Any:
        """None of them."""
        return ROW_TYPES.empty_table()


def run(folder: Path) -> dict[str, Series]:
    """Figures of both shapes."""
    found: dict[str, Series] = {}
    for shape in workload.SHAPES:
        batch = whole(folder, shape)
        _steps(batch, shape.spans)  # what is done only once: compiled code, the words of the attributes
        found |= {f"engine.{shape.name}.{name}": series for name, series in _steps(batch, shape.spans).items()}
    return found


def whole(folder: Path, shape: workload.Shape) -> RecordBatch:
    """All messages of a shape as one batch of one partition."""
    sent = list(records(folder, shape))
    arrivals = np.array([r.arrival_ms for r in sent], dtype=np.int64)
    return RecordBatch.of(0, [r.value for r in sent], np.arange(len(sent), dtype=np.int64), arrivals)


def block_of(batch: RecordBatch, topic: str, number: int, settings: EngineSettings | None = None) -> tuple[Block, int]:
    """The block that the engine makes of a batch, and how many paths it has."""
    engine = Engine(settings or EngineSettings(block_spans=1 << 30), topic=topic, past=NoPast())
    engine.assign(0, writer="bench", next_offset=0, next_block=number)
    engine.ingest([batch])
    made = engine.close(0, landed=1 << 40, everything=True)
    if made.block is None:
        raise AssertionError("nothing closed")
    return made.block, made.paths


def _steps(batch: RecordBatch, spans: int) -> dict[str, Series]:
    found: dict[str, Series] = {}
    strings = Strings(Tiers())
    decoder = Decoder(strings)
    with cpu() as used:
        decoded = decoder.decode(batch.data, batch.begins, batch.ends, batch.arrival_ms, batch.offsets)
    if len(decoded.spans) != spans:
        raise AssertionError(f"{len(decoded.spans)} of {spans} spans were decoded")
    found["decode.spans_per_cpu_second"] = per_cpu_second(spans, used)
    order = np.lexsort((decoded.spans["trace_low"], decoded.spans["trace_high"]))
    low = decoded.spans["trace_low"][order]
    ends = np.append(np.flatnonzero(low[1:] != low[:-1]) + 1, spans)
    with cpu() as used:
        assemble(decoded.spans, order, ends, strings)
    found["assemble.spans_per_cpu_second"] = per_cpu_second(spans, used)
    with cpu() as used:
        _, paths = block_of(batch, "bench", 1)
    if paths != spans // workload.SPANS_A_TRACE:
        raise AssertionError(f"{paths} paths of {spans // workload.SPANS_A_TRACE} traces")
    found["whole.spans_per_cpu_second"] = per_cpu_second(spans, used)
    return found
