"""``Timeslices`` budgeting (OpenSLO v1): what counts is stretches of time, each good or bad by its own share of requests.

A slice is bad when its share of good requests is under the SLO's ``timeSliceTarget``. A slice without requests is not bad: the
budget is one of time, and nobody was failed. When no slice of a window has any, nothing can be said about the window.
"""

from collections.abc import Sequence
from typing import Final

from alerts.burnrate import Counts
from alerts.confidence import bad_ratio_low
from alerts.slos.model import Slo
from telemetry.store.base import Parameter

Z: Final = 1.6448536269514722
"""One-sided 95 %: how sure one must be of a sampled slice to count it for the lower bound."""


def is_bad(counts: Counts, target: float) -> bool:
    """Whether a slice with these requests is bad."""
    return not counts.empty and counts.bad_paths > 0 and counts.total - counts.bad < (target - 1e-12) * counts.total


def is_surely_bad(counts: Counts, target: float) -> bool:
    """The same by the lower bound of its bad share."""
    return is_bad(counts, target) and bad_ratio_low(counts, Z) > 1 - target - 1e-12


def counts(slices: int, seen: int, bad: int, sure: int, requests: float, paths: int) -> Counts:
    """The counts of a window of so many slices, as of events.

    Args:
        slices: how many the window has.
        seen: how many of them hold requests.
        bad, sure: how many are bad, and surely so.
        requests, paths: bad requests (weighted) and paths in the bad ones.
    """
    if not seen:
        return Counts()
    bad = min(int(bad), slices)
    return Counts(
        float(slices - bad), float(slices), slices - bad, slices,
        bad_low=float(min(int(sure), bad)), evidence=(float(requests), int(paths)),
    )  # fmt: skip


def number(seconds: int, end: float, length: int) -> int:
    """How many slices begin in a window: in ``(end - seconds, end]``, whole seconds since the epoch."""
    return int(end // 1) // length - (int(end // 1) - seconds) // length


def parameters(slos: Sequence[Slo]) -> dict[str, Parameter]:
    """The parameters of :func:`sql` that tell the SLOs' slices."""
    return {
        "lengths": [slo.slice_seconds for slo in slos],
        # As parts in 10^12: parameters have no arrays of floats.
        "targets": [int(slo.slice_target * 10**12) for slo in slos],
    }


# Wilson's bound as in alerts.confidence, on sums: good, total (g, t), their squares (gs, ts), and the bad share r.
_VARIANCE: Final = (
    "(pow(1 - {r}, 2) * greatest(({ts} - {gs}) - ({t} - {g}), 0) + pow({r}, 2) * greatest({gs} - {g}, 0)) / ({t} * {t})"
)
N: Final = f"if({{r}} < 1, {{r}} * (1 - {{r}}) / ({_VARIANCE}), {{t}} * {{t}} / greatest({{ts}} - {{t}}, 1e-300))"
"""SQL for the effective number of requests."""
LOW: Final = (
    "(({r} + {z} * {z} / {n} / 2 - {z} * sqrt({r} * (1 - {r}) / {n} + {z} * {z} / {n} / (4 * {n})))"
    " / (1 + {z} * {z} / {n}))"
)
"""SQL for the lower bound of the bad share."""


def sql(table: str, where: str, shown: str) -> str:
    """The query of slices: for every group and window how many hold requests, are bad, surely bad; bad requests and paths.

    Args:
        table: of counts by minute.
        where: which of them.
        shown: SQL for the group of a row.
    """

    def windowed(value: str) -> str:
        return f"sumForEach(arrayMap(w -> if(slice > {{end:Int64}} - w, toFloat64({value}), 0.), {{windows:Array(Int64)}}))"

    by_slice = (
        f"SELECT slo, environment, dimension, {shown} AS shown, "  # noqa: S608
        "transform(slo, {slos:Array(String)}, {lengths:Array(Int64)}, 60) AS length, "
        "transform(slo, {slos:Array(String)}, {targets:Array(Int64)}, 0) / 1e12 AS target, "
        f"intDiv(toInt64(toUnixTimestamp(bucket)), length) * length AS slice, {SUMS} "
        f"FROM {table} {where}GROUP BY slo, environment, dimension, shown, slice HAVING tp > 0"
    )
    return (
        "SELECT slo, environment, dimension, shown, "  # noqa: S608
        f"{windowed('1')}, {windowed('bad')}, {windowed('sure')}, "
        f"{windowed('if(bad, t - g, 0)')}, {windowed('if(bad, tp - gp, 0)')} FROM ({judged_sql(by_slice)}) "
        "GROUP BY slo, environment, dimension, shown"
    )


def by_slice_sql(slo: Slo, table: str, where: str, shown: str) -> str:
    """The slices of one SLO that hold requests, for :func:`judged_sql`: ``environment``, ``shown``, and their start ``slice``.

    Args:
        slo: whose.
        table: of counts by minute.
        where: SQL for which of them, without WHERE.
        shown: SQL for the group of a row.
    """
    length = slo.slice_seconds
    return (
        f"SELECT environment, {shown} AS shown, {slo.slice_target:f} AS target, "  # noqa: S608 - names are ours
        f"intDiv(toInt64(toUnixTimestamp(bucket)), {length}) * {length} AS slice, {SUMS} "
        f"FROM {table} WHERE {where} GROUP BY environment, shown, slice HAVING tp > 0"
    )


SUMS: Final = (
    "sum(good) AS g, sum(total) AS t, toInt64(sum(good_paths)) AS gp, toInt64(sum(total_paths)) AS tp, "
    "sum(good_squares) AS gs, sum(total_squares) AS ts"
)
"""SQL for the sums of a slice that :func:`judged_sql` asks for."""


def judged_sql(by_slice: str) -> str:
    """SQL for slices with whether each is ``bad``, and ``sure`` to be.

    Args:
        by_slice: a SELECT of slices, with :data:`SUMS` and ``target``.
    """
    count = N.format(r="r", g="g", t="t", gs="gs", ts="ts")
    low = LOW.format(r="r", n="n", z=Z)
    return (
        "SELECT *, bad AND low > 1 - target - 1e-12 AS sure FROM ("  # noqa: S608
        f"SELECT *, if(t > 0, least(greatest(t - g, 0) / t, 1), 0) AS r, {count} AS n, "
        f"if(abs(ts - t) <= 1e-9 * greatest(t, 1), r, {low}) AS low, "
        f"tp > gp AND t > 0 AND g < (target - 1e-12) * t AS bad FROM ({by_slice}))"
    )
