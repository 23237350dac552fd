"""Memory under input that is made to fill it: the engine takes in until it is full, then closes all, while blocks wait.

Peak resident memory of a process that does nothing else: the interpreter and compiled code are in it, Kafka's client is not.
"""

import re
import resource
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.engine.engine import Engine
from telemetry.engine.settings import EngineSettings
from telemetry.feeds.base import RecordBatch
from telemetry.pipeline.settings import PipelineSettings
from tests.bench.measure import Series
from tests.bench.parts.engine import NoPast

_SPANS: Final = 5_000
"""Spans a message."""
_AT_ONCE: Final = 32 * 1024 * 1024
"""So much is polled before it is taken in (``PipelineSettings.flush_bytes``)."""
_MARK: Final = b"@@@@@@@@"
_NOW_MS: Final = 1_750_000_000_000

Bytes = NDArray[np.uint8]
Fill = Callable[[Bytes, int], None]
"""Writes what differs between spans into a table of one message's spans, a row each.

The first one has a number; in each row the trace id comes first.
"""


def traces(_folder: Path) -> dict[str, Series]:
    """Every span is a trace of its own."""
    return _measure("traces", _message(20), _new_traces)


def long_names(_folder: Path) -> dict[str, Series]:
    """The same, with names as long as names may be, in characters of four bytes."""
    return _measure("long_names", _message(100, "\N{GRINNING FACE}"), _new_traces)


def new_names(_folder: Path) -> dict[str, Series]:
    """The same, with long names that never come again."""
    message = _message(90)
    first, after, *_ = _traces_of(message)
    names = [place - first for place in _places(message, _MARK) if first < place < after]
    return _measure("new_names", message, partial(_new_traces_and_names, names))


def large_traces(_folder: Path) -> dict[str, Series]:
    """Traces of as many spans as are kept beside a path, with long names."""
    return _measure("large_traces", _message(100, "\N{GRINNING FACE}"), _few_traces)


def _message(length: int, letter: str = "n") -> bytes:
    """A message of many spans that are all alike, each with names of so many letters."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add()
    for key in ("service.name", "deployment.environment.name", "cloud.region", "edgepath.pop"):
        scope.resource.attributes.add(key=key).value.string_value = letter * length
    spans = scope.scope_spans.add().spans
    for _ in range(_SPANS):
        span = spans.add(trace_id=_MARK + b"\1" * 8, span_id=b"\2" * 8, kind=2)
        span.start_time_unix_nano = _NOW_MS * 1_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000
        for key in ("http.route", "http.request.method", "error.type", "edgepath.tenant", "edgepath.tier"):
            # The mark is where names may differ.
            span.attributes.add(key=key).value.string_value = _MARK.decode() + letter * length
    return request.SerializeToString()


def _new_traces(rows: Bytes, first: int) -> None:
    rows[:, :8] = _eight(first + np.arange(len(rows)))


def _few_traces(rows: Bytes, first: int) -> None:
    rows[:, :8] = _eight((first + np.arange(len(rows))) // 2_000)
    rows[:, 18:26] = _eight(first + 1 + np.arange(len(rows)))


def _new_traces_and_names(names: list[int], rows: Bytes, first: int) -> None:
    _new_traces(rows, first)
    digits = np.char.zfill((first + np.arange(len(rows))).astype(np.str_), 8).astype("S8")
    letters = digits.view(np.uint8).reshape(-1, 8) + np.uint8(ord("a") - ord("0"))  # digits would be cut out of routes
    for place in names:
        rows[:, place : place + 8] = letters


def _eight(numbers: NDArray[np.int64]) -> Bytes:
    return numbers.astype(">u8").view(np.uint8).reshape(-1, 8)


def _places(data: bytes, wanted: bytes) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(wanted), data)]


def _traces_of(message: bytes) -> list[int]:
    return _places(message, _MARK + b"\1" * 8)


def _measure(name: str, message: bytes, fill: Fill) -> dict[str, Series]:
    head, after, *_, last = _traces_of(message)
    width = after - head
    engine = Engine(EngineSettings(), topic="bench", past=NoPast())
    engine.assign(0, writer="bench", next_offset=0, next_block=1)
    copies = max(1, _AT_ONCE // len(message))
    offset = spans = 0
    data = np.tile(np.frombuffer(message, dtype=np.uint8), copies)
    messages = data.reshape(copies, len(message))
    while not engine.full:
        for row in messages:
            # The last row ends earlier than the others: what comes after a span's last byte belongs to the next one.
            body = np.lib.stride_tricks.as_strided(row[head:], (_SPANS, len(message) - last), (width, 1))
            fill(body, spans)
            spans += _SPANS
        begins = np.arange(copies, dtype=np.int64) * len(message)
        offsets = offset + np.arange(copies, dtype=np.int64)
        arrived = np.full(copies, _NOW_MS, dtype=np.int64)
        engine.ingest([RecordBatch(0, data, begins, begins + len(message), offsets, arrived, data.size)])
        offset += copies
    waiting: deque[memoryview] = deque()
    most = PipelineSettings(EngineSettings()).max_waiting_bytes
    open_spans = engine.open_spans
    while engine.open_spans:
        block = engine.close(0, landed=1 << 40, everything=True).block
        if block is not None:
            waiting.append(memoryview(block.arrow))
            while sum(each.nbytes for each in waiting) > most:
                waiting.popleft()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        f"hostile.{name}.rss_mb": Series("MiB", (peak,)),
        f"hostile.{name}.open_spans": Series("spans", (float(open_spans),)),
    }
