"""From arrays to rows of ``path_log``, as Arrow."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telemetry.compiled import Int, compiled
from telemetry.engine.columns import columns_of
from telemetry.engine.open_traces import Closed
from telemetry.engine.paths import HOP, PATH, Paths
from telemetry.engine.settings import EngineSettings
from telemetry.engine.spans import SpanArray
from telemetry.engine.strings import Strings
from telemetry.store.base import ArrowFile

KIND_PATH: Final = "path"
KIND_LATE: Final = "late"

_WORD: Final = pa.dictionary(pa.int32(), pa.string())
_ID: Final = pa.binary(16)

_PATH_TYPES: Final[Mapping[str, Any]] = {
    "kind": _WORD,
    "trace_id": _ID,
    "start": pa.timestamp("ns", tz="UTC"),
    "environment": _WORD,
    "region": _WORD,
    "pop": _WORD,
    "route": _WORD,
    "method": _WORD,
    "tenant": _WORD,
    "status": pa.uint16(),
    "outcome": _WORD,
    "reached_api": pa.bool_(),
    "complete": pa.bool_(),
    "gaps": pa.list_(_WORD),
    "blamed_tier": _WORD,
    "blamed_component": _WORD,
    "blamed_pop": _WORD,
    "blame_reason": _WORD,
    "total_ns": pa.uint64(),
    "edge_ns": pa.uint64(),
    "api_ns": pa.uint64(),
    "network_ns": pa.uint64(),
    "retry_ns": pa.uint64(),
    "unattributed_ns": pa.int64(),
    "attempts": pa.uint32(),
    "retries": pa.uint32(),
    "weight": pa.float64(),
    "spans": pa.uint32(),
    "client_hash": pa.uint64(),
    "hops.tier": pa.list_(_WORD),
    "hops.component": pa.list_(_WORD),
    "hops.pop": pa.list_(_WORD),
    "hops.span_id": pa.list_(pa.uint64()),
    "hops.offset_ns": pa.list_(pa.int64()),
    "hops.duration_ns": pa.list_(pa.uint64()),
    "hops.self_ns": pa.list_(pa.uint64()),
    "hops.retry_ns": pa.list_(pa.uint64()),
    "hops.network_ns": pa.list_(pa.uint64()),
    "hops.unattributed_ns": pa.list_(pa.int64()),
    "hops.status": pa.list_(pa.uint16()),
    "hops.flags": pa.list_(_WORD),
    "hops.error": pa.list_(_WORD),
    "hops.attempts": pa.list_(pa.uint16()),
    "hops.failed": pa.list_(pa.bool_()),
    "arrived": pa.timestamp("ms", tz="UTC"),
    "last_offset": pa.uint64(),
    "sign": pa.int8(),
    "version": pa.uint32(),
    "span_data": pa.binary(),
    "parent_id": pa.uint64(),
    "span_kind": pa.uint8(),
}
ROW_TYPES: Final = pa.schema(list(_PATH_TYPES.items()))
"""The columns of ``path_log`` that a row is made of, and their types; where it stands (topic, block) comes last."""


def path_rows(closed: Closed, strings: Strings, settings: EngineSettings, versions: NDArray[Any] | None = None) -> Any:
    """Rows for traces that closed; ``versions`` of those that are restated."""
    found = closed.paths
    paths, hops = columns_of(found.paths), columns_of(found.hops)
    texts = _Texts(strings)
    begin = pa.array(np.append(paths["first_hop"], len(found.hops)).astype(np.int32))
    gap_begin = pa.array(np.append(paths["first_gap"], len(found.gaps)).astype(np.int32))
    count = len(found.paths)

    def listed(values: Any) -> Any:
        return pa.ListArray.from_arrays(begin, values)

    columns = [
        _constant(KIND_PATH, count),
        _trace_ids(paths["trace_high"], paths["trace_low"]),
        pa.array(_near_arrival(paths, settings), pa.timestamp("ns", tz="UTC")),
        texts.of(paths["environment"]),
        texts.of(paths["region"]),
        texts.of(paths["pop"]),
        texts.of(paths["route"]),
        texts.of(paths["method"]),
        texts.of(paths["tenant"]),
        _numbers(paths["status"], np.uint16),
        texts.of(paths["outcome"]),
        pa.array(paths["reached_api"]),
        pa.array(paths["gaps"] == 0),
        pa.ListArray.from_arrays(gap_begin, texts.of(found.gaps)),
        texts.of(paths["blamed_tier"]),
        texts.of(paths["blamed_component"]),
        texts.of(paths["blamed_pop"]),
        texts.of(paths["reason"]),
        *(_numbers(paths[name], np.uint64) for name in ("total", "edge", "api", "network", "retry")),
        pa.array(paths["unattributed"]),
        _numbers(paths["attempts"], np.uint32),
        _numbers(paths["retries"], np.uint32),
        pa.array(paths["weight"]),
        _numbers(paths["spans"], np.uint32),
        pa.array(paths["client_hash"]),
        *(listed(texts.of(hops[name])) for name in ("tier", "component", "pop")),
        listed(pa.array(hops["span_id"])),
        listed(pa.array(hops["offset"])),
        *(listed(_numbers(hops[name], np.uint64)) for name in ("duration", "self", "retry", "network")),
        listed(pa.array(hops["unattributed"])),
        listed(_numbers(hops["status"], np.uint16)),
        *(listed(texts.of(hops[name])) for name in ("flags", "error")),
        listed(_numbers(np.minimum(hops["attempts"], 65535), np.uint16)),
        listed(pa.array(hops["failed"])),
        pa.array(paths["arrived_ms"], pa.timestamp("ms", tz="UTC")),
        _numbers(paths["last_offset"], np.uint64),
        pa.array(np.ones(count, dtype=np.int8)),
        _numbers(versions if versions is not None else np.ones(count), np.uint32),
        _binary(closed.packed, closed.packed_ends),
        pa.array(np.zeros(count, dtype=np.uint64)),
        pa.array(np.zeros(count, dtype=np.uint8)),
    ]
    return pa.table(columns, schema=ROW_TYPES)


def late_rows(spans: SpanArray, strings: Strings) -> Any:
    """Rows for spans that came after their trace was emitted: see ``path_log`` for which columns hold what."""
    count = len(spans)
    paths = np.zeros(count, dtype=PATH)
    hops = np.zeros(count, dtype=HOP)
    for name in ("trace_high", "trace_low", "start", "arrived_ms"):
        paths[name] = spans["arrival_ms" if name == "arrived_ms" else name]
    paths["last_offset"] = spans["offset"]
    paths["total"] = hops["duration"] = spans["duration"]
    paths["first_hop"] = np.arange(count)
    paths["hops"] = paths["weight"] = 1
    for name in ("span_id", "tier", "component", "pop", "status", "flags", "error"):
        hops[name] = spans[name]
    hops["failed"] = spans["bad"]
    nothing = np.zeros(count, dtype=np.int64)
    one = Closed(
        Paths(paths, hops, np.zeros(0, dtype=np.int32)),
        spans[:0],
        nothing,
        np.zeros(count, dtype=np.bool_),
        np.zeros(0, dtype=np.uint8),
        nothing,
    )
    rows = path_rows(one, strings, EngineSettings(past_ms=1 << 50, future_ms=1 << 50))
    for name, values in (
        ("kind", _constant(KIND_LATE, count)),
        ("parent_id", pa.array(spans["parent_id"])),
        ("span_kind", _numbers(spans["kind"] & 0xFF, np.uint8)),
    ):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, ROW_TYPES.field(place), values)
    return rows


def with_place(rows: Any, *, topic: str, partition: int, block: int, writer: str) -> Any:
    """The rows with the columns that say which block they belong to."""
    count = rows.num_rows
    for name, values in (
        ("topic", _constant(topic, count)),
        ("partition", _numbers(np.full(count, partition), np.uint32)),
        ("block", _numbers(np.full(count, block), np.uint64)),
        ("writer", _constant(writer, count)),
    ):
        rows = rows.append_column(name, values)
    return rows


def arrow_file(tables: Sequence[Any]) -> ArrowFile:
    """An Arrow IPC file with one record batch: one block of an insert."""
    whole = tables[0]
    if len(tables) > 1:
        whole = pa.concat_tables(tables).unify_dictionaries()
    whole = whole.combine_chunks()
    measure = pa.MockOutputStream()
    _write(whole, measure)
    # Of the right size at once: what grows by doubling is copied as often, and each copy lies in fresh memory.
    room = np.empty(measure.size(), dtype=np.uint8)
    _write(whole, pa.FixedSizeBufferWriter(pa.py_buffer(room)))
    room.flags.writeable = False
    return room.data


def _write(table: Any, sink: Any) -> None:
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


class _Texts:
    """Codes as strings, in a dictionary of just those that occur."""

    def __init__(self, strings: Strings) -> None:
        self._strings = strings
        self._places = np.full(len(strings), -1, dtype=np.int32)

    def of(self, codes: NDArray[np.int32]) -> Any:
        """A dictionary array."""
        places = np.empty(len(codes), dtype=np.int32)
        distinct = np.empty(min(len(codes), len(self._places)), dtype=np.int32)
        distinct = distinct[: _distinct(codes, self._places, distinct, places)]
        words = pa.array([self._strings.text(code) for code in distinct.tolist()], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(places), words)


@compiled
def _distinct(codes: Any, seen: NDArray[np.int32], distinct: NDArray[np.int32], places: NDArray[np.int32]) -> Int:
    """Number the codes in the order in which they come; ``seen`` is -1 everywhere, before and after."""
    count = 0
    for number in range(len(codes)):
        code = codes[number]
        if seen[code] < 0:
            seen[code] = count
            distinct[count] = code
            count += 1
        places[number] = seen[code]
    for number in range(count):
        seen[distinct[number]] = -1
    return count


def _near_arrival(paths: Mapping[str, NDArray[Any]], settings: EngineSettings) -> NDArray[np.int64]:
    """The start, or, where the clock that told it cannot be right, the arrival less the duration."""
    arrived = paths["arrived_ms"] * 1_000_000
    start = paths["start"]
    # Divided, not multiplied: the limits may be wide, and must not wrap.
    ahead = (start - arrived) // 1_000_000
    wrong = (ahead < -settings.past_ms) | (ahead > settings.future_ms)
    return np.where(wrong, np.maximum(arrived - paths["total"], 0), start)


def _trace_ids(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> Any:
    joined = np.stack((high, low), axis=1).astype(">u8")  # big-endian last: stacking turns it back to the machine's
    return pa.FixedSizeBinaryArray.from_buffers(_ID, len(high), [None, pa.py_buffer(np.ascontiguousarray(joined))])


def _binary(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> Any:
    offsets = np.concatenate((np.zeros(1, dtype=np.int32), ends.astype(np.int32)))
    return pa.BinaryArray.from_buffers(
        pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    )


def _constant(word: str, count: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, dtype=np.int32)), pa.array([word], pa.string()))


def _numbers(values: NDArray[Any], kind: Any) -> Any:
    return pa.array(values.astype(kind))
