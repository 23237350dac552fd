"""What ``telemetry.pipeline.warm`` compiled is all that a consumer runs: nothing is compiled while records wait."""

import subprocess
import sys
from pathlib import Path

_CHECK = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from telemetry.engine.engine import Engine
from telemetry.engine.settings import EngineSettings
from telemetry.pipeline import warm
from tests.unit.feeds.test_kafka_record_sets import CODECS, partition, small, taken

def signatures():
    # Callers of others only: what is compiled into them has signatures of its own, by their leave.
    return {
        f"{module.__name__}.{name}": len(found.signatures)
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("telemetry.")
        for name, found in vars(module).items()
        if isinstance(found, Dispatcher)
    }

warm.warm()
before = signatures()
assert len(before) > 20 and before["telemetry.feeds.kafka.parse_records.parse_records"]
past = warm._Past()
engine = Engine(EngineSettings(), topic="t", past=past)
engine.assign(3, writer="w", next_offset=0, next_block=1)
for number, codec in enumerate(CODECS):
    values = [warm._message(bytes([number + 1]) * 8), b"no span"]
    found = taken(partition(small(10 * number, *values, codec=codec) + small(10 * number + 5, b"\\0" * 300_000, codec=codec)))
    engine.ingest(found)
    block = engine.close(3, landed=1 << 40, everything=True).block
    if number == 0:
        import pyarrow as pa
        past.rows = pa.ipc.open_file(pa.BufferReader(block.arrow)).read_all().select(warm.ROW_TYPES.names)
assert engine.counters.restated_paths == len(CODECS) - 1, engine.counters
more = {name: count for name, count in signatures().items() if count > before.get(name, 0)}
assert not more, more
"""


def test_a_warm_process_compiles_nothing_more() -> None:
    """Records in every compression, large and small batches, what cannot be decoded, a path and late spans that restate it."""
    done = subprocess.run(
        [sys.executable, "-c", _CHECK],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
