"""Minutes of an SLO's group as arrays: what a replay works on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alerts.groups import many_shown_sql, shown_sql
from alerts.sli_reads import SUMS, Group
from alerts.sli_views import counted, select_sql
from alerts.slos.model import Slo
from telemetry.store.base import Parameter, Store
from telemetry.store.tables import REQUEST_PATHS, SLI_1M

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Series:
    """Counts of one group, bucket by bucket, without gaps.

    Attributes:
        start: when the first bucket begins, in seconds since the epoch.
        step: width of a bucket in seconds.
        good, total, good_paths, total_paths, good_squares, total_squares: as in :class:`alerts.burnrate.Counts`, of a bucket.
    """

    start: int
    step: int
    good: Floats
    total: Floats
    good_paths: Floats
    total_paths: Floats
    good_squares: Floats
    total_squares: Floats

    def __len__(self) -> int:
        return len(self.good)

    @property
    def end(self) -> int:
        """When the last bucket ends."""
        return self.start + len(self) * self.step

    @property
    def bad(self) -> Floats:
        """Bad events of each bucket, weighted; 0 where no stored path was bad."""
        return np.where(self.total_paths > self.good_paths, np.maximum(self.total - self.good, 0.0), 0.0)


def blank(buckets: int) -> dict[str, Floats]:
    """Arrays of nothing, by the names of :class:`Series`."""
    return {name: np.zeros(buckets) for name in SUMS}


def read_series(store: Store, slos: Sequence[Slo], start: float, end: float, step: int) -> dict[Group, Series]:
    """The buckets of every group of ``slos`` that begin in ``[start, end)``.

    They come from ``sli_1m`` for SLOs that the watcher counts as they are written now; of others (a new one, a changed one)
    they are counted from ``request_paths``, which are kept for 30 days: so an alert is proven before it goes live.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    first = int(start // step) * step
    buckets = max(1, int((end - first) // step))
    names = counted(store, slos, step)
    found: dict[Group, Series] = {}
    for some in _chunks([slo for slo in slos if slo.name in names], _SLOS_A_QUERY):
        found |= _read(store, _counted_sql(), some, first, buckets, step)
    for slo in slos:
        if slo.name not in names:
            found |= _read(store, _paths_sql(slo, step), [slo], first, buckets, step)
    return found


_SLOS_A_QUERY: Final = 20
_KEYS: Final = "slo, environment, dimension, shown"
_LISTS: Final = ", ".join(f"groupArray({name}_b)" for name in ("bucket", *SUMS))
_WITHIN: Final = "bucket >= toDateTime({start:Int64}, 'UTC') AND bucket < toDateTime({end:Int64}, 'UTC')"


def _inner(shown: str) -> str:
    sums = ", ".join(f"toFloat64(sum({name})) AS {name}_b" for name in SUMS)
    return f"SELECT slo, environment, dimension, {shown} AS shown, toInt64(toUnixTimestamp(bucket)) AS bucket_b, {sums}"


def _counted_sql() -> str:
    splits = "dimension = transform(slo, {slos:Array(String)}, {splits:Array(String)}, '')"
    where = f"WHERE has({{slos:Array(String)}}, slo) AND {splits} AND {_WITHIN}"
    return (
        f"SELECT {_KEYS}, {_LISTS} FROM ({_inner(many_shown_sql(where))} FROM {SLI_1M} {where} "  # noqa: S608
        f"GROUP BY {_KEYS}, bucket) GROUP BY {_KEYS}"
    )


def _paths_sql(slo: Slo, step: int) -> str:
    # Bound to the primary key by start: a path ends at most an hour after it.
    hours = "p.start >= toDateTime({start:Int64} - 3600, 'UTC') AND p.start < toDateTime({end:Int64}, 'UTC')"
    which = f"{hours} AND {slo.total_sql()}"
    inside = f"{select_sql(slo, step)} WHERE {which} GROUP BY slo, bucket, environment, dimension, value"
    shown = "value"
    if slo.group_by:
        shown = shown_sql(
            f"SELECT p.environment, p.{slo.group_by} AS value FROM {REQUEST_PATHS} AS p WHERE {which} "  # noqa: S608
            f"GROUP BY p.environment, value ORDER BY sum(p.sign) DESC, value LIMIT {slo.max_groups} BY p.environment"
        )
    minutes = f"{_inner(shown)} FROM ({inside}) WHERE {_WITHIN} GROUP BY {_KEYS}, bucket"
    return f"SELECT {_KEYS}, {_LISTS} FROM ({minutes}) GROUP BY {_KEYS}"  # noqa: S608


def _read(store: Store, sql: str, slos: Sequence[Slo], first: int, buckets: int, step: int) -> dict[Group, Series]:
    given: dict[str, Parameter] = {
        "slos": [slo.name for slo in slos],
        "splits": [slo.group_by for slo in slos],
        "most": [slo.max_groups for slo in slos],
        "kept": [],
        "start": first,
        "end": first + buckets * step,
    }
    found = {}
    for slo, environment, dimension, value, at, *lists in store.query(sql, given).rows:
        places = (np.asarray(at, dtype=np.int64) - first) // step
        arrays = blank(buckets)
        for name, values in zip(SUMS, lists, strict=True):
            arrays[name][places] = values
        found[Group(str(slo), str(environment), str(dimension), str(value))] = Series(first, step, **arrays)
    return found


def _chunks(slos: Sequence[Slo], size: int) -> Iterable[Sequence[Slo]]:
    return (slos[i : i + size] for i in range(0, len(slos), size))
