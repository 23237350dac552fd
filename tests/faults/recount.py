"""Every count of every roll-up, and the same counted again from the paths that hold now.

The statements here are written anew, not taken from the views: who only repeats a mistake does not find it. Distinct clients
are left out, they are a sketch that cannot subtract. Weights are powers of two and sums stay below 2^53, so that floats
are compared exactly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alerts.filters import to_sql
from alerts.filters.sql import text_literal
from alerts.sli_views import END_SECONDS
from alerts.slos import Slo
from telemetry.store.base import Store
from telemetry.store.tables import HOP_1M, PATH_1M, REQUEST_PATHS, SLI_1M

BUCKET_SECONDS: Final = 60
_LEVELS: Final = "0.5, 0.9, 0.95, 0.99, 0.999"
_LIVE: Final = f"{REQUEST_PATHS} AS p FINAL"
_WEIGHT: Final = "toUInt64(round(weight * 1000))"
_PATH_KEYS: Final = (
    "environment, region, pop, route, method, outcome, blamed_tier, blamed_component, blamed_pop, blame_reason"
)
_TIMES: Final = ("total_ns", "edge_ns", "api_ns", "network_ns", "retry_ns")
_HOP_TIMES: Final = ("duration_ns", "self_ns", "retry_ns", "network_ns")


@dataclass(frozen=True)
class Counts:
    """Two statements that must give the same: keys, then numbers of which the first is 0 where there is nothing (more)."""

    table: str
    keys: int
    stored: str
    counted: str


def all_counts(slos: Sequence[Slo]) -> Iterator[Counts]:
    """The roll-ups: paths and hops by minute, and good and total events of each SLO."""
    minute = "toUnixTimestamp(toStartOfMinute(toDateTime(start, 'UTC')))"
    yield Counts(
        PATH_1M,
        11,
        f"SELECT toUnixTimestamp(minute), {_PATH_KEYS}, sum(requests), toInt64(sum(paths)), toInt64(sum(complete)), "
        f"sum(attempts), sum(retries), {', '.join(f'sum({name})' for name in _TIMES)}, "
        f"quantilesBFloat16WeightedMerge({_LEVELS})(total_quantiles), "
        f"quantilesBFloat16WeightedMerge({_LEVELS})(edge_quantiles) FROM {PATH_1M} GROUP BY minute, {_PATH_KEYS}",
        f"SELECT {minute} AS at, {_PATH_KEYS}, sum(weight), toInt64(count()), toInt64(countIf(complete)), "
        f"sum(attempts * weight), sum(retries * weight), {', '.join(f'sum({name} * weight)' for name in _TIMES)}, "
        f"quantilesBFloat16Weighted({_LEVELS})(p.total_ns, {_WEIGHT}), "
        f"quantilesBFloat16Weighted({_LEVELS})(p.edge_ns, {_WEIGHT}) FROM {_LIVE} WHERE sign = 1 GROUP BY at, {_PATH_KEYS}",
    )
    blamed = (
        "outcome IN ('edge_error', 'api_error', 'timeout') AND tier = blamed_tier AND component = blamed_component"
        " AND hop_pop = blamed_pop"
    )
    hops = ("tier", "component", "pop AS hop_pop", "failed", "attempts AS hop_attempts")
    times = tuple(f"{name} AS hop_{name}" for name in _HOP_TIMES)
    yield Counts(
        HOP_1M,
        7,
        "SELECT toUnixTimestamp(minute), environment, pop, route, tier, component, hop_pop, sum(requests), sum(failed), "
        f"sum(blamed), sum(attempts), {', '.join(f'sum({name})' for name in _HOP_TIMES)}, "
        f"quantilesBFloat16WeightedMerge({_LEVELS})(self_quantiles), "
        f"quantilesBFloat16WeightedMerge({_LEVELS})(network_quantiles) FROM {HOP_1M} "
        "GROUP BY minute, environment, pop, route, tier, component, hop_pop",
        f"SELECT {minute} AS at, environment, pop, route, tier, component, hop_pop, sum(weight), sumIf(weight, failed), "
        f"sumIf(weight, {blamed}), sum(weight * hop_attempts), "
        f"{', '.join(f'sum(weight * hop_{name})' for name in _HOP_TIMES)}, "
        f"quantilesBFloat16Weighted({_LEVELS})(hop_self_ns, {_WEIGHT}), "
        f"quantilesBFloat16Weighted({_LEVELS})(hop_network_ns, {_WEIGHT}) FROM {_LIVE} "
        f"ARRAY JOIN {', '.join(_joined(name) for name in (*hops, *times))} "
        "WHERE sign = 1 GROUP BY at, environment, pop, route, tier, component, hop_pop",
    )
    for slo in slos:
        good, total, name = to_sql(slo.good_filter), to_sql(slo.total), text_literal(slo.name)
        dimension, value = (text_literal(slo.group_by), f"p.{slo.group_by}") if slo.group_by else ("''", "''")
        yield Counts(
            SLI_1M,
            5,
            "SELECT slo, toUnixTimestamp(bucket), environment, dimension, value, sum(total), sum(good), "
            f"toInt64(sum(good_paths)), toInt64(sum(total_paths)) FROM {SLI_1M} WHERE slo = {name} "
            "GROUP BY slo, bucket, environment, dimension, value",
            f"SELECT {name} AS slo, toUInt32(intDiv({END_SECONDS}, {BUCKET_SECONDS}) * {BUCKET_SECONDS}) AS at, "
            f"p.environment AS environment, {dimension} AS dimension, {value} AS value, sum(weight), "
            f"sumIf(weight, {good}), toInt64(countIf({good})), toInt64(count()) FROM {_LIVE} WHERE sign = 1 AND ({total}) "
            "GROUP BY at, environment, dimension, value",
        )


def _joined(hop: str) -> str:
    """A hop's array for ARRAY JOIN; ``a AS b`` where its name would hide a column of the path."""
    name, _, alias = hop.partition(" AS ")
    return f"`hops.{name}` AS {alias or name}"


def differences(store: Store, counts: Counts) -> list[str]:
    """One line for each group whose stored counts are not those that the paths give."""
    stored, counted = (_by_key(store, statement, counts.keys) for statement in (counts.stored, counts.counted))
    return [
        f"{counts.table} {key}: stored {stored.get(key, 'nothing')}, counted {counted.get(key, 'nothing')}"
        for key in sorted(stored.keys() | counted.keys(), key=str)
        if stored.get(key) != counted.get(key)
    ]


def _by_key(store: Store, statement: str, keys: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The groups with something in them. One whose numbers are all 0 (its quantiles aside) is as good as none."""
    rows = ((row[:keys], tuple(map(_plain, row[keys:]))) for row in store.query(statement).rows)
    return {key: values for key, values in rows if any(v for v in values if not isinstance(v, tuple))}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
