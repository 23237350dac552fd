"""Reads of ``sli_1m``: the counts of many SLOs, groups and windows in one query."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from alerts.burnrate import Counts
from alerts.slos.model import Slo
from telemetry.store.base import Store
from telemetry.store.tables import SLI_1M


class Group(NamedTuple):
    """What one alert is about: an SLO in an environment, for one value of the column that splits it (both may be empty)."""

    slo: str
    environment: str
    dimension: str
    value: str


def _sum(column: str) -> str:
    inside = "toInt64(toUnixTimestamp(bucket)) > {end:Int64} - w"
    zero = "toInt64(0)" if column.endswith("_paths") else "toFloat64(0)"
    return f"sumForEach(arrayMap(w -> if({inside}, {column}, {zero}), {{windows:Array(Int64)}}))"


_SQL = (
    f"SELECT slo, environment, dimension, value, {_sum('good')}, {_sum('total')}, {_sum('good_paths')}, "  # noqa: S608
    f"{_sum('total_paths')} FROM {SLI_1M} "
    "WHERE has({slos:Array(String)}, slo) AND bucket > toDateTime({end:Int64} - {longest:Int64}, 'UTC') "
    "AND bucket <= toDateTime({end:Int64}, 'UTC') "
    "GROUP BY slo, environment, dimension, value HAVING sum(total_paths) > 0"  # a restated path may have left its group empty
)


def read_windows(
    store: Store, slos: Sequence[Slo], windows: Sequence[int], end: float
) -> dict[Group, Mapping[int, Counts]]:
    """Counts of every group that has events in the longest window: by group, then by window length in seconds.

    A window of ``w`` seconds is the ``w / resolution`` buckets that start in ``(end - w, end]``; the newest may still fill.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    lengths = sorted(set(windows))
    if not slos or not lengths:
        return {}
    split = {slo.name: slo.group_by for slo in slos}
    rows = store.query(
        _SQL, {"slos": list(split), "windows": lengths, "longest": lengths[-1], "end": int(end // 1)}
    ).rows
    found: dict[Group, Mapping[int, Counts]] = {}
    for slo, environment, dimension, value, *sums in rows:
        if split.get(slo) == dimension:  # rows of an older split of the same SLO are not its groups
            counts = [Counts(float(g), float(t), int(gp), int(tp)) for g, t, gp, tp in zip(*sums, strict=True)]
            found[Group(slo, environment, dimension, value)] = dict(zip(lengths, counts, strict=True))
    return found


def covered_shares(store: Store, slos: Sequence[Slo], now: float) -> dict[str, float]:
    """How much of its period each SLO has data of, by name: from its oldest bucket to ``now``, at most 1.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    sql = f"SELECT slo, toInt64(toUnixTimestamp(min(bucket))) FROM {SLI_1M} WHERE has({{slos:Array(String)}}, slo) GROUP BY slo"  # noqa: S608
    first = {str(slo): int(at) for slo, at in store.query(sql, {"slos": [s.name for s in slos]}).rows}
    return {s.name: min(1.0, max(0.0, now - first.get(s.name, 0)) / s.period_seconds) for s in slos}
