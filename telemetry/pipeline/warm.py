"""``python -m telemetry.pipeline.warm``: compile the engine ahead of time, so that the first start need not.

Every compiled function is called once with what it will be called with: a record becomes a path, the path is restated.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from telemetry.engine.engine import Engine
from telemetry.engine.past import Remembered
from telemetry.engine.rows import ROW_TYPES
from telemetry.engine.settings import EngineSettings
from telemetry.feeds.base import RecordBatch
from telemetry.feeds.kafka.record_sets import warm as warm_records

_TRACE = b"\x01" * 16


class _Past:
    """The one path that was emitted."""

    def __init__(self) -> None:
        self.rows: Any = ROW_TYPES.empty_table()

    def find(self, partition: int, traces: Sequence[bytes]) -> Mapping[bytes, tuple[int, int]]:
        """Nothing needs to be found."""
        raise AssertionError((partition, traces))

    def originals(self, _partition: int, _blocks: Mapping[bytes, int]) -> Any:
        """That path."""
        return self.rows


def warm() -> float:
    """Compile what is not compiled yet; how many seconds that took."""
    import pyarrow as pa  # noqa: PLC0415 - who imports this module for its name need not load it

    begun = time.monotonic()
    past = _Past()
    engine = Engine(EngineSettings(), topic="warm", past=past)
    engine.assign(0, writer="warm", next_offset=0, next_block=1, emitted=Remembered.of([(b"\x02" * 16, 0, 1)]))
    for offset, span_id in enumerate((b"\x01" * 8, b"\x02" * 8)):
        place = np.array([offset], dtype=np.int64)
        engine.ingest([RecordBatch.of(0, [_message(span_id)], place, np.array([1_000], dtype=np.int64))])
        block = engine.close(0, landed=1 << 40, everything=True).block
        if block is None:
            raise AssertionError("a span that came must make a block")
        if not offset:
            past.rows = pa.ipc.open_file(pa.BufferReader(block.arrow)).read_all().select(ROW_TYPES.names)
    engine.forget(0)
    warm_records()
    return time.monotonic() - begun


def _message(span_id: bytes) -> bytes:
    """TracesData with one span: trace id, span id, kind SERVER, times, and an attribute."""
    attribute = b"\x0a\x08url.path\x12\x05\x0a\x03/v1"
    times = b"\x39" + (1).to_bytes(8, "little") + b"\x41" + (9).to_bytes(8, "little")
    span = (
        b"\x0a\x10"
        + _TRACE
        + b"\x12\x08"
        + span_id
        + b"\x30\x02"
        + times
        + b"\x4a"
        + bytes([len(attribute)])
        + attribute
    )
    scope = b"\x12" + bytes([len(span)]) + span
    group = b"\x12" + bytes([len(scope)]) + scope
    return b"\x0a" + bytes([len(group)]) + group


if __name__ == "__main__":
    sys.stdout.write(f"the engine is compiled ({warm():.1f} s)\n")
