"""What is left of every SLO's error budget as one SQL query over ``sli_1m``, and burn rates over time: for Grafana's dashboard.

:func:`budgets_sql` says what :func:`alerts.status.status` says, row by row. The time is a ClickHouse expression, so that the
same text is used by Grafana and by tests.
"""

from collections.abc import Callable, Sequence
from typing import Final

from alerts.document import duration_text
from alerts.filters.sql import text_literal
from alerts.groups import many_shown_sql
from alerts.rules.calendar_sql import starts_sql
from alerts.rules.verdict_sql import NOW
from alerts.slices import SUMS, judged_sql
from alerts.slos.model import OTHER, Slo
from telemetry.store.tables import SLI_1M

MOST_ROWS: Final = 500


def budgets_sql(slos: Sequence[Slo], now: str = NOW) -> str:
    """The query: a row a group, the one with the least budget left first, :data:`MOST_ROWS` at most.

    Args:
        slos: at least one.
        now: SQL for the time in whole seconds since the epoch.
    """
    # A period each, and requests apart from slices: what is the same for all of its SLOs stands in the query once.
    alike: dict[tuple[object, ...], list[Slo]] = {}
    for slo in slos:
        alike.setdefault((slo.calendar or slo.period_seconds, bool(slo.slice_seconds)), []).append(slo)
    parts = " UNION ALL ".join(_part(some, now) for some in alike.values())
    return f"SELECT * FROM ({parts}) ORDER BY budget_left, slo, environment, group LIMIT {MOST_ROWS}"  # noqa: S608


def of_slos(slos: Sequence[Slo], value: Callable[[Slo], str], default: str) -> str:
    """SQL for a value of the SLO whose row it is; the value of an SLO is SQL for a constant."""
    return f"transform(slo, {_names(slos)}, [{', '.join(map(value, slos))}], {default})"


def budget_of(slos: Sequence[Slo]) -> str:
    """SQL for ``1 - objective``."""
    return of_slos(slos, lambda s: f"{1 - s.objective:f}", "1.")


def split_of(slos: Sequence[Slo]) -> str:
    """SQL for the dimension by which the SLO is split now; rows that were counted by another one may still be there."""
    return of_slos(slos, lambda s: text_literal(s.group_by), "''")


def judged_slices_sql(slos: Sequence[Slo], where: str, group: str, shown: str) -> str:
    """SQL for slices of several SLOs as of :func:`alerts.slices.judged_sql`, with their ``length``.

    Args:
        slos: with slices.
        where: SQL for which rows of ``sli_1m``, beginning with WHERE.
        group: names of the columns of a group, with commas between.
        shown: SQL for these columns.
    """
    targets = of_slos(slos, lambda s: f"{s.slice_target:f}", "0.")
    lengths = of_slos(slos, lambda s: f"toInt64({s.slice_seconds})", "toInt64(60)")
    return judged_sql(
        f"SELECT {shown}, {lengths} AS length, {targets} AS target, "  # noqa: S608
        f"intDiv(toInt64(toUnixTimestamp(bucket)), length) * length AS slice, {SUMS} "
        f"FROM {SLI_1M} {where} GROUP BY {group}, length, target, slice HAVING tp > 0"
    )


def _part(slos: Sequence[Slo], now: str) -> str:
    """Of SLOs with the same period, and either all with slices or none."""
    calendar, seconds = slos[0].calendar, slos[0].period_seconds
    if calendar is None:
        # Buckets begin after the start of a period that rolls, as they do of every window that does.
        bounds = f"at - {seconds} AS began, at AS ends, began AS after"
    else:
        bounds = (
            f"{starts_sql(calendar, 'at')} AS starts, arrayMax(arrayFilter(s -> s <= at, starts)) AS began, "
            "arrayMin(arrayFilter(s -> s > at, starts)) AS ends, began - 1 AS after"
        )
    where = (
        f"WHERE slo IN {_names(slos)} AND dimension = {split_of(slos)} "
        "AND bucket > toDateTime(after, 'UTC') AND bucket <= toDateTime(at, 'UTC')"
    )
    counted = (_slices if slos[0].slice_seconds else _requests)(slos, where)
    budgeting = of_slos(slos, _budgeting, "''")
    return (
        f"(WITH toInt64({now}) AS at, {bounds} SELECT slo, environment, shown AS group, {budgeting} AS budgeting, "  # noqa: S608
        "toDateTime(began, 'UTC') AS since, events, 1 - least(bad / events, 1) AS good_share, "
        f"1 - bad / events / {budget_of(slos)} * least(1, greatest(0, known) / (ends - began)) AS budget_left FROM ({counted}))"
    )


def _budgeting(slo: Slo) -> str:
    return text_literal(f"slices of {duration_text(slo.slice_seconds)}" if slo.slice_seconds else "requests")


def _requests(slos: Sequence[Slo], where: str) -> str:
    """Requests, bad ones, and for how long they are known: as :func:`alerts.period.period_of`."""
    # As of alerts.groups, but of sums that are there anyway: the minutes are read once.
    by_value = (
        "SELECT slo, environment, value, sum(good) AS g, sum(total) AS t, sum(good_paths) AS gp, sum(total_paths) AS tp, "  # noqa: S608
        "row_number() OVER (PARTITION BY slo, environment ORDER BY tp DESC, value) AS place "
        f"FROM {SLI_1M} {where} GROUP BY slo, environment, value"
    )
    most = of_slos(slos, lambda s: str(s.max_groups), "1")
    counted = (
        f"SELECT slo, environment, if(tp > 0 AND place <= {most}, value, '{OTHER}') AS shown, sum(t) AS events, "  # noqa: S608
        f"if(sum(tp) > sum(gp), greatest(events - sum(g), 0), 0) AS bad FROM ({by_value}) "
        "GROUP BY slo, environment, shown HAVING sum(tp) > 0 AND events > 0"
    )
    oldest = (
        f"SELECT slo, toInt64(toUnixTimestamp(min(bucket))) AS first FROM {SLI_1M} "  # noqa: S608
        f"WHERE slo IN {_names(slos)} GROUP BY slo"
    )
    return (
        "SELECT slo, environment, shown, events, bad, at - greatest(began, first) AS known "  # noqa: S608
        f"FROM ({counted}) AS counted INNER JOIN ({oldest}) AS oldest USING (slo)"
    )


def _slices(slos: Sequence[Slo], where: str) -> str:
    """The same of slices: all that begin in the period count, with requests or without."""
    shown = many_shown_sql(where, _names(slos), f"[{', '.join(str(s.max_groups) for s in slos)}]", "")
    judged = judged_slices_sql(slos, where, "slo, environment, shown", f"slo, environment, {shown} AS shown")
    return (
        "SELECT slo, environment, shown, toFloat64(intDiv(at, length) - intDiv(after, length)) AS events, "  # noqa: S608
        f"toFloat64(countIf(bad)) AS bad, events * length AS known FROM ({judged}) WHERE slice > after "
        "GROUP BY slo, environment, shown, length HAVING events > 0"
    )


def _names(slos: Sequence[Slo]) -> str:
    return f"[{', '.join(text_literal(s.name) for s in slos)}]"


def burn_over_time_sql(slos: Sequence[Slo], seconds: int, largest: str) -> str:
    """Burn rates over a moving window of the SLO that the dashboard's variable names; of slices over one slice at least.

    Every bucket, or slice, counts for the steps after it, up to the window's length.

    Args:
        slos: all that there are.
        seconds: length of the window, whole minutes.
        largest: SQL for the condition that picks the groups.
    """
    parts = []
    if requests := [slo for slo in slos if not slo.slice_seconds]:
        parts.append(_burn_of_requests(requests, seconds, largest))
    if sliced := [slo for slo in slos if slo.slice_seconds]:
        parts.append(_burn_of_slices(sliced, seconds, largest))
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY time"  # noqa: S608


_STEP: Final = 60
_SEEN: Final = "time >= $__fromTime AND time <= $__toTime"
_GROUP: Final = "concat(environment, ' ', value)"


def _moving(slos: Sequence[Slo], seconds: int, largest: str) -> str:
    return (
        f"WHERE slo = ${{slo:singlequote}} AND slo IN {_names(slos)} AND dimension = {split_of(slos)} AND {largest} "
        f"AND bucket >= $__fromTime - {seconds} AND bucket <= $__toTime"
    )


def _burn_of_requests(slos: Sequence[Slo], seconds: int, largest: str) -> str:
    at = f"toDateTime(intDiv(toUnixTimestamp(bucket), {_STEP}) * {_STEP} + shift, 'UTC')"
    spread = (
        f"SELECT arrayJoin(range(0, {seconds}, {_STEP})) AS shift, {at} AS time, {_GROUP} AS group, good AS g, total AS t, "  # noqa: S608
        f"{budget_of(slos)} AS budget FROM {SLI_1M} {_moving(slos, seconds, largest)}"
    )
    return (
        f"SELECT time, group, (1 - sum(g) / sum(t)) / any(budget) AS burn FROM ({spread}) "  # noqa: S608
        f"WHERE {_SEEN} GROUP BY time, group HAVING sum(t) > 0"
    )


def _burn_of_slices(slos: Sequence[Slo], seconds: int, largest: str) -> str:
    # From so far back that the first slice of the first window is there whole.
    reach = max(max(seconds, slo.slice_seconds) + slo.slice_seconds for slo in slos)
    judged = judged_slices_sql(slos, _moving(slos, reach, largest), "slo, group", f"slo, {_GROUP} AS group")
    window = f"greatest({seconds}, length)"
    spread = (
        f"SELECT arrayJoin(range(toUInt64(0), toUInt64({window}), toUInt64(length))) AS shift, "  # noqa: S608
        f"toDateTime(slice + shift, 'UTC') AS time, group, bad, intDiv({window} + length - 1, length) AS slices, "
        f"{budget_of(slos)} AS budget FROM ({judged})"
    )
    return (
        f"SELECT time, group, sum(bad) / any(slices) / any(budget) AS burn FROM ({spread}) "  # noqa: S608
        f"WHERE {_SEEN} GROUP BY time, group"
    )
