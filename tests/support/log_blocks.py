"""Blocks of the path log with rows that a test asks for, without an engine."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from telemetry.blocklog.model import Block, Lease
from telemetry.engine.rows import arrow_file
from telemetry.store.tables import CORRECTIONS, LATE_SPANS, REQUEST_PATHS

TOPIC = "t"
_KINDS = {
    "trace_id": pa.binary(16),
    "start": pa.timestamp("ns", "UTC"),
    "arrived": pa.timestamp("ms", "UTC"),
    "stored": pa.timestamp("ms", "UTC"),
    "sign": pa.int8(),
    "span_data": pa.binary(),
}


def path(number: int, **fields: Any) -> dict[str, Any]:
    """A row of a request path: two hops, 1 us; ``fields`` replace what a test cares for."""
    now_ms = time.time_ns() // 1_000_000 - 3_600_000
    return {
        "kind": "path",
        "trace_id": number.to_bytes(16),
        "start": now_ms * 1_000_000,
        "arrived": now_ms + 1_000,
        "environment": "prod",
        "pop": "fra",
        "route": "/v1/charges",
        "outcome": "ok",
        "reached_api": True,
        "complete": True,
        "blamed_tier": "",
        "blamed_component": "",
        "total_ns": 1_000,
        "edge_ns": 400,
        "weight": 2.0,
        "spans": 8,
        "hops.tier": ["edge", "api"],
        "hops.component": ["e", "a"],
        "hops.span_id": [1, 2],
        "hops.pop": ["fra", ""],
        "hops.status": [200, 200],
        "hops.failed": [False, False],
        "hops.attempts": [1, 0],
        "hops.duration_ns": [1_000, 600],
        "hops.self_ns": [300, 600],
        "hops.retry_ns": [0, 0],
        "hops.network_ns": [100, 0],
        "last_offset": number,
        "sign": 1,
        "version": 1,
        "span_data": b"",
        "parent_id": 0,
        "span_kind": 0,
        **fields,
    }


def late(number: int, span_id: int, **fields: Any) -> dict[str, Any]:
    """A row of a span that came after its trace was stored."""
    whole = path(number, kind="late", parent_id=7, span_kind=3)
    first = {name: value[:1] for name, value in whole.items() if name.startswith("hops.")}
    return {**whole, **first, "hops.span_id": [span_id], **fields}


def restated(old: Mapping[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """The two rows that replace a path: the old one taken back, and what it is now."""
    return [{**old, "sign": -1}, {**old, "version": old["version"] + 1, **changes}]


def block_of(lease: Lease, number: int, rows: Sequence[Mapping[str, Any]], topic: str = TOPIC) -> Block:
    """A block of these rows, by the lease's writer."""
    placed = [
        {**row, "topic": topic, "partition": lease.partition, "block": number, "writer": lease.writer} for row in rows
    ]
    table = pa.table({name: pa.array([row[name] for row in placed], _KINDS.get(name)) for name in placed[0]})
    feeds = {
        REQUEST_PATHS: any(row["kind"] == "path" for row in rows),
        LATE_SPANS: any(row["kind"] == "late" for row in rows),
        CORRECTIONS: any(row["sign"] == -1 for row in rows),
    }
    return Block(
        partition=lease.partition,
        number=number,
        writer=lease.writer,
        columns=tuple(table.column_names),
        arrow=arrow_file([table]),
        rows=table.num_rows,
        feeds=frozenset(name for name, fed in feeds.items() if fed),
    )
