"""The logs that there are, and what follows from them."""

from dataclasses import replace
from typing import Final

from telemetry.blocklog.model import Derived, Log, RollUp
from telemetry.store.tables import (
    CORRECTIONS,
    DRILL_ENVIRONMENT,
    HOP_1M,
    LATE_SPANS,
    METRIC_LOG,
    METRIC_POINTS,
    PATH_1M,
    PATH_FEED,
    PATH_LOG,
    REQUEST_PATHS,
    SLI_1M,
    stored_columns,
)


def _plain(table: str, has: str, **differs: str) -> Derived:
    """A derived table whose columns are the log's, but for those whose expression is given."""
    columns = stored_columns(table)
    values = tuple(differs.get(name, f"`{name}`") for name in columns)
    return Derived(table, has, columns, values)


def _corrections() -> Derived:
    """Rows with sign -1 and +1 of one trace in one block, joined: what the path was and what it is now."""
    old, new = "sign = -1", "sign = 1"
    values = {
        "trace_id": "trace_id",
        "version": f"maxIf(version, {new})",
        "corrected": "max(stored)",
        "late_spans": f"toInt64(sumIf(spans, {new})) - toInt64(sumIf(spans, {old}))",
        "delay_ms": f"toUnixTimestamp64Milli(maxIf(arrived, {new})) - toUnixTimestamp64Milli(maxIf(arrived, {old}))",
        **{name: f"anyIf({name}, {new})" for name in ("start", "environment", "pop", "route", "weight")},
        **{
            f"{when}_{name}": f"anyIf({name}, {sign})"
            for name in ("outcome", "complete", "reached_api", "total_ns", "edge_ns", "blamed_tier", "blamed_component")
            for when, sign in (("old", old), ("new", new))
        },
        **{name: f"any({name})" for name in ("topic", "partition", "block", "writer")},
    }
    columns = stored_columns(CORRECTIONS)
    return Derived(
        table=CORRECTIONS,
        has="kind = 'path' AND sign = -1",
        columns=columns,
        values=tuple(values[name] for name in columns),
        rows="kind = 'path'",
        group="trace_id",
        having="countIf(sign = -1) > 0 AND countIf(sign = 1) > 0",
        stored="corrected",
    )


PATHS: Final = Log(
    table=PATH_LOG,
    derived=(
        replace(
            _plain(REQUEST_PATHS, "kind = 'path'"),
            feed=PATH_FEED,
            roll_ups=(RollUp(PATH_1M, ("minute",)), RollUp(HOP_1M, ("minute",)), RollUp(SLI_1M, ("slo", "bucket"))),
        ),
        _plain(
            LATE_SPANS,
            "kind = 'late'",
            span_id="hops.span_id[1]",
            kind="span_kind",
            duration_ns="total_ns",
            tier="hops.tier[1]",
            component="hops.component[1]",
            pop="hops.pop[1]",
            status="hops.status[1]",
        ),
        _corrections(),
    ),
    lasting=f"environment != '{DRILL_ENVIRONMENT}'",
)
"""Request paths: ``path_log`` and its tables."""

METRICS: Final = Log(table=METRIC_LOG, derived=(_plain(METRIC_POINTS, "kind = 'point'"),))
"""Points of OTLP metrics: ``metric_log`` and its table."""
