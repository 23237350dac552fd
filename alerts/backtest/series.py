"""Minutes of an SLO's group as arrays: what a replay works on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

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

    @cached_property
    def bad(self) -> Floats:
        """Bad events of each bucket, weighted; 0 where no stored path was bad."""
        return np.where(self.total_paths > self.good_paths, np.maximum(self.total - self.good, 0.0), 0.0)

    @cached_property
    def up_to(self) -> Mapping[str, Floats]:
        """Sums of all buckets before each, and of all: of what the fields are called, and of ``bad`` and ``bad_paths``."""
        values = {name: getattr(self, name) for name in (*SUMS, "bad")}
        values["bad_paths"] = self.total_paths - self.good_paths
        return {name: before_each(some) for name, some in values.items()}


def before_each(values: Floats) -> Floats:
    """Sums of all values before each, and of all."""
    found = np.zeros(len(values) + 1)
    np.cumsum(values, out=found[1:])
    return found


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
        given = _parameters(some, first, buckets, step)
        # Where every group stands by itself, none must be folded, and the rows come as they are: that is three times as fast.
        groups = _largest_number(store, given)
        large = any(groups.get(slo.name, 0) > slo.max_groups for slo in some)
        found |= _read(store, _counted_sql() if large else _plain_sql(), given, first, buckets, step)
    for slo in slos:
        if slo.name not in names:
            found |= _read(store, _paths_sql(slo, step), _parameters([slo], first, buckets, step), first, buckets, step)
    return found


_SLOS_A_QUERY: Final = 20
_KEYS: Final = "slo, environment, dimension, shown"
_KEYS_OF_ROWS: Final = "slo, environment, dimension, value AS shown"
_LISTS: Final = ", ".join(f"groupArray({name}_b) AS {name}_l" for name in ("bucket", *SUMS))
_WITHIN: Final = "bucket >= toDateTime({start:Int64}, 'UTC') AND bucket < toDateTime({end:Int64}, 'UTC')"


def _inner(shown: str) -> str:
    sums = ", ".join(f"toFloat64(sum({name})) AS {name}_b" for name in SUMS)
    return f"SELECT slo, environment, dimension, {shown} AS shown, toInt64(toUnixTimestamp(bucket)) AS bucket_b, {sums}"


_COUNTED: Final = (
    "WHERE slo IN {slos:Array(String)} "
    "AND dimension = transform(slo, {slos:Array(String)}, {splits:Array(String)}, '') AND " + _WITHIN
)


def _counted_sql() -> str:
    minutes = f"{_inner(many_shown_sql(_COUNTED))} FROM {SLI_1M} {_COUNTED} GROUP BY {_KEYS}, bucket"
    return f"SELECT {_KEYS}, {_LISTS} FROM ({minutes}) GROUP BY {_KEYS}"  # noqa: S608


def _plain_sql() -> str:
    lists = ", ".join(f"groupArray(toFloat64({name})) AS {name}_l" for name in SUMS)
    at = "groupArray(toInt64(toUnixTimestamp(bucket))) AS bucket_l"
    return f"SELECT {_KEYS_OF_ROWS}, {at}, {lists} FROM {SLI_1M} {_COUNTED} GROUP BY {_KEYS}"  # noqa: S608


def _largest_number(store: Store, given: Mapping[str, Parameter]) -> dict[str, int]:
    """How many groups each SLO has, of the environment that has most."""
    sql = (
        "SELECT slo, max(groups) FROM (SELECT slo, environment, toInt64(uniqExact(value)) AS groups "  # noqa: S608
        f"FROM {SLI_1M} {_COUNTED} GROUP BY slo, environment) GROUP BY slo"
    )
    return {str(slo): int(groups) for slo, groups in store.query(sql, given).rows}


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


def _parameters(slos: Sequence[Slo], first: int, buckets: int, step: int) -> dict[str, Parameter]:
    return {
        "slos": [slo.name for slo in slos],
        "splits": [slo.group_by for slo in slos],
        "most": [slo.max_groups for slo in slos],
        "kept": [],
        "start": first,
        "end": first + buckets * step,
    }


def _read(
    store: Store, sql: str, given: Mapping[str, Parameter], first: int, buckets: int, step: int
) -> dict[Group, Series]:
    # As Arrow: millions of minutes as Python's numbers take five times as long.
    rows = store.arrow(sql, given).combine_chunks()
    keys = zip(*(rows.column(name).to_pylist() for name in _KEYS.split(", ")), strict=True)
    lists = [_list(rows.column(f"{name}_l")) for name in ("bucket", *SUMS)]
    found = {}
    for number, key in enumerate(keys):
        at, *values = (flat[ends[number] : ends[number + 1]] for flat, ends in lists)
        places = (at - first) // step
        arrays = blank(buckets)
        for name, some in zip(SUMS, values, strict=True):
            np.add.at(arrays[name], places, some)  # a bucket may have several rows that are not merged yet
        slo, environment, dimension, value = (part.decode("utf-8", "replace") for part in key)
        found[Group(slo, environment, dimension, value)] = Series(first, step, **arrays)
    return found


def _list(column: Any) -> tuple[NDArray[Any], list[int]]:
    """The numbers of a column of lists, one after the other, and where each list begins and ends."""
    lists = column.chunk(0) if column.num_chunks else None
    if lists is None:
        return np.zeros(0), [0]
    return lists.values.to_numpy(), lists.offsets.to_pylist()


def _chunks(slos: Sequence[Slo], size: int) -> Iterable[Sequence[Slo]]:
    return (slos[i : i + size] for i in range(0, len(slos), size))
