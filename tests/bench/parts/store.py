"""Inserts of finished blocks into the embedded store, roll-ups and SLI views included."""

import contextlib
import dataclasses
import time
from pathlib import Path

import pyarrow as pa

from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.model import Block
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables
from telemetry.engine.rows import arrow_file
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.bench import workload
from tests.bench.measure import Series, cpu, per_cpu_second
from tests.bench.parts.embedded import with_slos
from tests.bench.parts.engine import block_of, whole

_BLOCKS = 4


def run(folder: Path) -> dict[str, Series]:
    """Request paths a CPU second, in blocks as large as a busy consumer's and in blocks of a hundredth of that."""
    with contextlib.closing(ChdbEngine(folder / f"store-{time.monotonic_ns()}", "edgepath")) as chdb:
        store = EmbeddedStore(chdb, owns_engine=False)
        with_slos(store)
        found = {}
        for name, part in (("warm", 500), ("small", 100), ("large", 1)):
            log = BlockLog(SqlLogTables(store, PATHS, name), new_writer=lambda: "bench")
            first = log.take_over(0).next_number
            block = _block(folder, part, name, first)
            blocks = [_numbered(block, first + nth) for nth in range(_BLOCKS)]
            with cpu() as used:
                for one in blocks:
                    log.append(one)
            found[f"store.{name}.rows_per_cpu_second"] = per_cpu_second(_BLOCKS * block.rows, used, "rows")
            found[f"store.{name}.insert_ms"] = Series("CPU ms", (used.seconds / _BLOCKS * 1000,))
    return {name: series for name, series in found.items() if ".warm." not in name}


def _block(folder: Path, part: int, topic: str, number: int) -> Block:
    batch, _ = whole(folder, workload.BATCHES).cut(whole(folder, workload.BATCHES).size // part)
    return block_of(batch, topic, number)[0]


def _numbered(block: Block, number: int) -> Block:
    """The same rows as another block."""
    rows = pa.ipc.open_file(pa.BufferReader(block.arrow)).read_all()
    place = rows.column_names.index("block")
    rows = rows.set_column(place, "block", pa.array([number] * len(rows), pa.uint64()))
    return dataclasses.replace(block, number=number, arrow=arrow_file([rows]))
