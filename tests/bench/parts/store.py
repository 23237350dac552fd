"""Inserts of finished blocks into the embedded store, roll-ups and SLI views included."""

import contextlib
import dataclasses
import time
from pathlib import Path

from telemetry.engine.engine import Engine
from telemetry.engine.settings import EngineSettings
from telemetry.store.base import Block
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.bench import workload
from tests.bench.measure import Series, cpu, per_cpu_second
from tests.bench.parts.consumer import with_slos
from tests.bench.parts.records import records

_BLOCKS = 4


def run(folder: Path) -> dict[str, Series]:
    """Request paths a CPU second, in blocks as large as a busy consumer's and in blocks of a hundredth of that."""
    with contextlib.closing(ChdbEngine(folder / f"store-{time.monotonic_ns()}", "edgepath")) as chdb:
        store = EmbeddedStore(chdb, owns_engine=False)
        with_slos(store)
        found = {}
        for name, part in (("warm", 500), ("small", 100), ("large", 1)):
            block = _block(chdb, folder, part)
            with cpu() as used:
                for nth in range(_BLOCKS):
                    store.append(dataclasses.replace(block, token=f"{name}/{nth}"))
            found[f"store.{name}.rows_per_cpu_second"] = per_cpu_second(_BLOCKS * block.rows, used, "rows")
            found[f"store.{name}.insert_ms"] = Series("CPU ms", (used.seconds / _BLOCKS * 1000,))
    return {name: series for name, series in found.items() if ".warm." not in name}


def _block(chdb: ChdbEngine, folder: Path, part: int) -> Block:
    engine = Engine(chdb, EngineSettings(), topic="bench", writer="bench")
    whole = list(records(folder, workload.BATCHES))
    try:
        engine.assign(0, next_offset=0, next_block=1)
        engine.ingest(whole[: max(1, len(whole) // part)])
        return engine.close(0, everything=True).blocks[0]
    finally:
        engine.shut()
