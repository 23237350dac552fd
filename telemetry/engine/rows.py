"""From columns to the rows of tables, as Arrow."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telemetry.engine.columns import I32, I64, SpanColumns, Strings
from telemetry.engine.open_traces import Closed
from telemetry.engine.settings import EngineSettings

_LIST_LIMIT = np.int32
_UNUSED = (
    *((name, np.uint64) for name in ("self_ns", "retry_ns", "network_ns")),
    *((name, np.int64) for name in ("offset_ns", "unattributed_ns")),
    ("attempts", np.uint16),
    ("failed", np.bool_),
)


def path_rows(closed: Closed, strings: Strings, settings: EngineSettings) -> "pa.Table":
    """Rows of ``request_paths`` for the traces that closed."""
    paths, spans, times = closed.paths, closed.paths.hop_spans, closed.paths.times
    begin = pa.array(paths.ways.begin.astype(_LIST_LIMIT))

    def hops(values: Any) -> "pa.Array":
        return pa.ListArray.from_arrays(begin, values)

    columns = {
        "trace_id": trace_ids(paths.trace_high, paths.trace_low),
        "start": _time(_near_arrival(paths.start, paths.total, closed.arrived_ms, settings), "ns"),
        "environment": texts(paths.environment, strings),
        "region": texts(paths.region, strings),
        "pop": texts(paths.pop, strings),
        "route": texts(paths.route, strings),
        "method": texts(paths.method, strings),
        "status": _unsigned(paths.status, np.uint16),
        "outcome": texts(paths.verdicts.outcome, strings),
        "reached_api": pa.array(paths.reached_api),
        "complete": pa.array(paths.complete),
        "gaps": pa.ListArray.from_arrays(pa.array(paths.gap_begin.astype(_LIST_LIMIT)), texts(paths.gaps, strings)),
        "blamed_tier": texts(paths.verdicts.blamed_tier, strings),
        "blamed_component": texts(paths.verdicts.blamed_component, strings),
        "blamed_pop": texts(paths.verdicts.blamed_pop, strings),
        "blame_reason": texts(paths.verdicts.reason, strings),
        "total_ns": _unsigned(paths.total, np.uint64),
        "edge_ns": _unsigned(paths.edge, np.uint64),
        "api_ns": _unsigned(paths.api, np.uint64),
        "network_ns": _unsigned(paths.per_path(times.network), np.uint64),
        "retry_ns": _unsigned(paths.per_path(times.retry), np.uint64),
        "unattributed_ns": pa.array(paths.per_path(times.unattributed)),
        "attempts": _unsigned(paths.attempts, np.uint32),
        "retries": _unsigned(paths.retries, np.uint32),
        "weight": pa.array(paths.weight),
        "spans": _unsigned(paths.spans, np.uint32),
        "client_hash": pa.array(paths.client_hash),
        "hops.tier": hops(texts(spans.tier, strings)),
        "hops.component": hops(texts(spans.component, strings)),
        "hops.pop": hops(texts(spans.pop, strings)),
        "hops.span_id": hops(pa.array(spans.span_id)),
        "hops.offset_ns": hops(pa.array(times.offset)),
        "hops.duration_ns": hops(_unsigned(times.duration, np.uint64)),
        "hops.self_ns": hops(_unsigned(times.self_time, np.uint64)),
        "hops.retry_ns": hops(_unsigned(times.retry, np.uint64)),
        "hops.network_ns": hops(_unsigned(times.network, np.uint64)),
        "hops.unattributed_ns": hops(pa.array(times.unattributed)),
        "hops.status": hops(_unsigned(spans.status, np.uint16)),
        "hops.flags": hops(texts(spans.flags, strings)),
        "hops.error": hops(texts(spans.error, strings)),
        "hops.attempts": hops(_unsigned(np.minimum(times.attempts, 65535), np.uint16)),
        "hops.failed": hops(pa.array(paths.hop_failed)),
        "arrived": _time(closed.arrived_ms, "ms"),
        "last_offset": _unsigned(closed.last_offset, np.uint64),
    }
    return pa.table(columns).filter(pa.array(closed.closed))


def late_rows(spans: SpanColumns, strings: Strings) -> "pa.Table":
    """Rows of ``path_log`` for spans of traces that were emitted before they came."""
    each = pa.array(np.arange(len(spans) + 1, dtype=_LIST_LIMIT))

    def hop(values: Any) -> "pa.Array":
        return pa.ListArray.from_arrays(each, values)

    return pa.table(
        {
            "trace_id": trace_ids(spans.trace_high, spans.trace_low),
            "parent_id": pa.array(spans.parent_id),
            "span_kind": _unsigned(spans.kind & 0xFF, np.uint8),
            "start": _time(spans.start, "ns"),
            "total_ns": _unsigned(spans.duration, np.uint64),
            "hops.span_id": hop(pa.array(spans.span_id)),
            "hops.duration_ns": hop(_unsigned(spans.duration, np.uint64)),
            "hops.tier": hop(texts(spans.tier, strings)),
            "hops.component": hop(texts(spans.component, strings)),
            "hops.pop": hop(texts(spans.pop, strings)),
            "hops.status": hop(_unsigned(spans.status, np.uint16)),
            # All columns of a nested one have the same length.
            **{f"hops.{name}": hop(_unsigned(np.zeros(len(spans)), kind)) for name, kind in _UNUSED},
            "hops.flags": hop(texts(np.zeros(len(spans), np.int32), strings)),
            "hops.error": hop(texts(np.zeros(len(spans), np.int32), strings)),
            "arrived": _time(spans.arrival_ms, "ms"),
            "last_offset": _unsigned(spans.offset, np.uint64),
        }
    )


def log_rows(paths: "pa.Table | None", late: "pa.Table | None") -> "pa.Table":
    """Rows of ``path_log``: paths, then late spans, with the columns that either has; what a row has not is null."""
    parts = [
        part.append_column("kind", pa.array([kind] * part.num_rows))
        for kind, part in (("path", paths), ("late", late))
        if part is not None
    ]
    return pa.concat_tables(parts, promote_options="default")


def with_place(rows: "pa.Table", *, topic: str, partition: int, block: int, writer: str) -> "pa.Table":
    """The rows with the columns that say which block they belong to."""
    count = rows.num_rows
    for name, value, kind in (
        ("topic", topic, pa.string()),
        ("partition", partition, pa.uint32()),
        ("block", block, pa.uint64()),
        ("writer", writer, pa.string()),
    ):
        rows = rows.append_column(name, pa.array([value] * count, kind))
    return rows


def arrow_bytes(rows: "pa.Table") -> bytes:
    """An Arrow IPC file with one record batch: one block of an insert."""
    sink = io.BytesIO()
    whole = rows.combine_chunks()
    with pa.ipc.new_file(sink, whole.schema) as writer:
        writer.write_table(whole)
    return sink.getvalue()


def texts(codes: I32, strings: Strings) -> "pa.Array":
    """Codes as strings, in a dictionary of just those that occur."""
    distinct, inverse = np.unique(codes, return_inverse=True)
    words = pa.array([strings.text(int(c)) for c in distinct], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(inverse.astype(np.int32)), words)


def trace_ids(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> "pa.Array":
    """Trace ids as 16 bytes."""
    joined = np.stack((high, low), axis=1).astype(">u8")  # big-endian last: stacking turns it back to the machine's
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(high), [None, pa.py_buffer(joined.tobytes())])


def _near_arrival(start: I64, total: I64, arrived_ms: I64, settings: EngineSettings) -> I64:
    """The start, or, where the clock that told it cannot be right, the arrival less the duration."""
    arrived = arrived_ms * 1_000_000
    early = start < arrived - settings.past_ms * 1_000_000
    late = start > arrived + settings.future_ms * 1_000_000
    return np.where(early | late, np.maximum(arrived - total, 0), start)


def _unsigned(values: Any, kind: type) -> "pa.Array":
    return pa.array(values.astype(kind))


def _time(values: I64, unit: str) -> "pa.Array":
    return pa.array(values, pa.timestamp(unit, tz="UTC"))
