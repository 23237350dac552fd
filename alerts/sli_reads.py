"""Reads of ``sli_1m``: the counts of many SLOs, groups and windows in a few queries.

A window of ``w`` seconds is the ``w / resolution`` buckets that start in ``(end - w, end]``; the newest may still fill.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from alerts import slices
from alerts.burnrate import Counts, Sustained
from alerts.decide import Slot
from alerts.groups import many_shown_sql
from alerts.period import Period, period_of
from alerts.slos.model import Slo
from telemetry.store.base import Parameter, Store
from telemetry.store.tables import SLI_1M


class Group(NamedTuple):
    """What one alert is about: an SLO in an environment, for one value of the column that splits it (both may be empty)."""

    slo: str
    environment: str
    dimension: str
    value: str


Windows = dict[Group, Mapping[int, Counts]]
SUMS: Final = ("good", "total", "good_paths", "total_paths", "good_squares", "total_squares")


def _sums(column: str, windows: Sequence[int]) -> str:
    """The sums of a column in every window, as an array. A condition a window, not an array a row: that is 5 times slower."""
    cast = "toInt64" if column.endswith("_paths") else "toFloat64"
    inside = (f"{cast}(sumIf({column}, bucket > toDateTime({{end:Int64}} - {w}, 'UTC')))" for w in windows)
    return f"[{', '.join(inside)}] AS {column}_w"


_WHERE: Final = (
    "WHERE has({slos:Array(String)}, slo) AND dimension = transform(slo, {slos:Array(String)}, {splits:Array(String)}, '') "
    "AND bucket > toDateTime({end:Int64} - {longest:Int64}, 'UTC') AND bucket <= toDateTime({end:Int64}, 'UTC') "
)


_SHOWN: Final = many_shown_sql(_WHERE)

SLOT_BAD: Final = "if(sum(total_paths) > sum(good_paths), greatest(sum(total) - sum(good), 0), 0)"
SLOT_WEIGHT: Final = "if(sum(good_paths) > 0 AND sum(good) > 0, sum(good_squares) / sum(good), 1)"
"""SQL for the bad events of a slot, and for the weight of its good ones (:class:`alerts.decide.Slot`)."""


def _windows_sql(windows: Sequence[int]) -> str:
    # The largest groups by themselves, and always those that have an open alert; the rest is one group. Which they are is asked
    # first: the sums of all windows for every value of a large dimension take ten times as long.
    return (
        f"SELECT slo, environment, dimension, {_SHOWN} AS shown, {', '.join(_sums(c, windows) for c in SUMS)} "  # noqa: S608
        f"FROM {SLI_1M} {_WHERE}GROUP BY slo, environment, dimension, shown "
        "HAVING sum(total_paths) > 0"  # a restated path may have left its group empty
    )


# Of what a group's window holds only the newest slots, and those before them that are over as well: that is all that is judged.
_SLOTS: Final = (
    "SELECT slo, environment, dimension, shown, told.1, told.2, told.3, weight FROM ("  # noqa: S608
    "SELECT slo, environment, dimension, shown, arrayReverseSort(groupArray((slot, bad, events))) AS newest, "
    "arrayFirstIndex(s -> s.2 <= {share:Float64} * s.3, newest) AS well, greatest(max(weight), 1) AS weight, "
    "arraySlice(newest, 1, greatest(if(well > 0, well - 1, toInt64(length(newest))), {slots:Int64})) AS told FROM ("
    f"SELECT slo, environment, dimension, {_SHOWN} AS shown, "
    "intDiv(toInt64(toUnixTimestamp(bucket)), {width:Int64}) * {width:Int64} AS slot, "
    f"{SLOT_BAD} AS bad, sum(total) AS events, {SLOT_WEIGHT} AS weight "
    f"FROM {SLI_1M} {_WHERE}GROUP BY slo, environment, dimension, shown, slot HAVING sum(total_paths) > 0) "
    "GROUP BY slo, environment, dimension, shown)"
)


def read_windows(
    store: Store, slos: Sequence[Slo], windows: Iterable[int], end: float, kept: Collection[Group] = ()
) -> Windows:
    """Counts of every group that has events in the longest window: by group, then by window length in seconds.

    Args:
        store: with the schema applied.
        slos: which; of those with slices the counts are of slices.
        windows: lengths in seconds.
        end: the newest second, since the epoch.
        kept: groups that are read by themselves however small they are.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    lengths = sorted(set(windows))
    if not slos or not lengths:
        return {}
    found: Windows = {}
    requests = [slo for slo in slos if not slo.slice_seconds]
    if requests:
        given = _parameters(requests, lengths[-1], end, kept) | {"windows": lengths}
        for slo, environment, dimension, value, *sums in store.query(_windows_sql(lengths), given).rows:
            counts = [_counts(row) for row in zip(*sums, strict=True)]
            found[Group(slo, environment, dimension, value)] = dict(zip(lengths, counts, strict=True))
    sliced = [slo for slo in slos if slo.slice_seconds]
    if sliced:
        by_name = {slo.name: slo for slo in sliced}
        given = _parameters(sliced, lengths[-1], end, kept) | slices.parameters(sliced) | {"windows": lengths}
        for slo, environment, dimension, value, *sums in store.query(slices.sql(SLI_1M, _WHERE, _SHOWN), given).rows:
            length = by_name[slo].slice_seconds
            numbers = (slices.number(w, end, length) for w in lengths)
            counts = [slices.counts(n, *row) for n, row in zip(numbers, zip(*sums, strict=True), strict=True)]
            found[Group(slo, environment, dimension, value)] = dict(zip(lengths, counts, strict=True))
    return found


def read_slots(
    store: Store, slos: Sequence[Slo], rule: Sustained, end: float, kept: Collection[Group] = ()
) -> dict[Group, list[Slot]]:
    """The newest slots with events of every group, each with the largest weight of the rule's whole window.

    At least as many as the rule asks for, and before those all that are over as well. ``kept`` and errors as of
    :func:`read_windows`.
    """
    if not slos:
        return {}
    given = _parameters(slos, rule.long_seconds, end, kept)
    given |= {"width": rule.short_seconds, "slots": rule.slots, "share": float(rule.share)}
    return {
        Group(slo, environment, dimension, value): [
            Slot(int(s), float(b), float(t), float(weight)) for s, b, t in zip(*lists, strict=True)
        ]
        for slo, environment, dimension, value, *lists, weight in store.query(_SLOTS, given).rows
    }


def first_buckets(store: Store, slos: Sequence[Slo]) -> dict[str, int]:
    """When the oldest bucket of each SLO begins, by name; none for those without any. Raises as :func:`read_windows` does."""
    sql = f"SELECT slo, toInt64(toUnixTimestamp(min(bucket))) FROM {SLI_1M} WHERE has({{slos:Array(String)}}, slo) GROUP BY slo"  # noqa: S608
    return {str(slo): int(at) for slo, at in store.query(sql, {"slos": [s.name for s in slos]}).rows}


def periods(store: Store, slos: Sequence[Slo], now: float) -> dict[str, Period]:
    """The periods that hold ``now``, by the SLOs' names, with how much of each there are counts of.

    Raises as :func:`read_windows` does.
    """
    first = first_buckets(store, slos)
    return {slo.name: period_of(slo, now, first.get(slo.name, 0)) for slo in slos}


def read_periods(store: Store, slos: Sequence[Slo], now: float, kept: Collection[Group] = ()) -> dict[Group, Counts]:
    """Counts of every group that has events in what has passed of its SLO's period: one or two queries a length of these.

    Which groups are the largest is a matter of that time alone, whatever other SLOs there are. ``kept`` and errors as of
    :func:`read_windows`.
    """
    by_window: dict[int, list[Slo]] = {}
    for slo in slos:
        by_window.setdefault(period_of(slo, now).window_seconds, []).append(slo)
    found: dict[Group, Counts] = {}
    for window, some in by_window.items():
        read = read_windows(store, some, [window], now, kept)
        found |= {group: counts[window] for group, counts in read.items()}
    return found


def _parameters(slos: Sequence[Slo], longest: int, end: float, kept: Collection[Group]) -> dict[str, Parameter]:
    return {
        "slos": [slo.name for slo in slos],
        "splits": [slo.group_by for slo in slos],
        "most": [slo.max_groups for slo in slos],
        "kept": [f"{g.slo}/{g.environment}/{g.value}" for g in kept],
        "longest": longest,
        "end": int(end // 1),
    }


def _counts(row: tuple[Any, ...]) -> Counts:
    good, total, good_paths, total_paths, good_squares, total_squares = row
    return Counts(
        float(good), float(total), int(good_paths), int(total_paths), float(good_squares), float(total_squares)
    )
