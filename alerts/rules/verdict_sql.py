"""The verdict of :func:`alerts.decide.judge` as one SQL query over ``sli_1m``: for engines that can run SQL and nothing else.

A row a group: its labels, and ``firing``: 1 if a rule fires, 0 if none does, and NULL where the short windows hold no events
and nothing can be said. The time is a ClickHouse expression, so that the same text is used by Grafana and by tests.
"""

from collections.abc import Sequence
from typing import Final

from alerts.burnrate import Policy, Rule, Sustained
from alerts.confidence import quantile
from alerts.filters.sql import text_literal
from alerts.groups import largest_sql, shown_sql
from alerts.sli_reads import SLOT_BAD, SLOT_WEIGHT
from alerts.slices import LOW, N, by_slice_sql, judged_sql
from alerts.slos.model import OTHER, Slo
from telemetry.store.tables import SLI_1M

NOW: Final = "toInt64(toUnixTimestamp(now()))"
_HAIR: Final = "1.000000000001"
_SUMS: Final = (
    ("g", "good"),
    ("t", "total"),
    ("gp", "good_paths"),
    ("tp", "total_paths"),
    ("gs", "good_squares"),
    ("ts", "total_squares"),
)


def burn_sql(slo: Slo, policy: Policy, severity: str, now: str = NOW) -> str:
    """The query of the windows of one severity.

    Args:
        slo: whose counts they are.
        policy: as it holds for the SLO (:func:`alerts.lint.rules_of`).
        severity: ``page`` or ``ticket``.
        now: SQL for the time in whole seconds since the epoch.
    """
    rules = [r for r in policy.rules if r.severity == severity]
    if slo.slice_seconds:
        return _slices_sql(slo, policy, rules, f"({now} - {policy.delay_seconds})")
    windows = sorted({w for r in rules for w in (r.long_seconds, r.short_seconds)})
    end = f"({now} - {policy.delay_seconds})"
    sums = ", ".join(
        f"toFloat64(sumIf({column}, bucket > toDateTime({end} - {w}, 'UTC'))) AS {short}_{w}"
        for w in windows
        for short, column in _SUMS
    )
    folded = ", ".join(f"sum({short}_{w}) AS {short}_{w}" for w in windows for short, _ in _SUMS)
    fires = " OR ".join(f"({_fires(slo, policy, r)})" for r in rules)
    known = " OR ".join(f"tp_{r.short_seconds} > 0" for r in rules)
    group = slo.group_by or "scope"
    return (
        f"SELECT environment, shown AS {group}, if({known}, toFloat64({fires}), NULL) AS firing FROM ("  # noqa: S608
        f"SELECT environment, if(place <= {slo.max_groups}, value, '{OTHER}') AS shown, {folded} FROM ("
        f"SELECT *, row_number() OVER (PARTITION BY environment ORDER BY tp_{windows[-1]} DESC, value) AS place FROM ("
        f"SELECT environment, value, {sums} FROM {SLI_1M} WHERE {_where(slo, end, windows[-1])} "
        "GROUP BY environment, value)) GROUP BY environment, shown)"
    )


def sustained_sql(slo: Slo, rule: Sustained, delay_seconds: int, now: str = NOW) -> str:
    """The query of the rule under the floor; as :func:`burn_sql`."""
    end = f"({now} - {delay_seconds})"
    group = slo.group_by or "scope"
    shown = shown_sql(largest_sql(slo, _within(end, rule.long_seconds)))
    slots = (
        f"SELECT environment, {shown} AS shown, intDiv(toInt64(toUnixTimestamp(bucket)), {rule.short_seconds}) AS slot, "  # noqa: S608
        f"{SLOT_BAD} AS bad, sum(total) AS events, {SLOT_WEIGHT} AS weight FROM {SLI_1M} "
        f"WHERE {_where(slo, end, rule.long_seconds)} GROUP BY environment, shown, slot HAVING sum(total_paths) > 0"
    )
    run = (
        "SELECT environment, shown, arrayReverseSort(groupArray((slot, bad, events))) AS newest, "  # noqa: S608
        f"arrayFirstIndex(s -> s.2 <= {rule.share} * s.3, newest) AS well, greatest(max(weight), 1) - 1 AS unseen, "
        "arraySlice(newest, 1, if(well > 0, well - 1, toInt64(length(newest)))) AS run "
        f"FROM ({slots}) GROUP BY environment, shown"
    )
    return (
        f"SELECT environment, shown AS {group}, toFloat64(length(run) >= {rule.slots} "  # noqa: S608
        f"AND arraySum(s -> s.2, run) > {rule.share} * (arraySum(s -> s.3, run) + unseen)) AS firing FROM ({run})"
    )


def _slices_sql(slo: Slo, policy: Policy, rules: Sequence[Rule], end: str) -> str:
    """The same for ``Timeslices`` budgeting: of every window, how many slices hold requests, are bad, and surely so."""
    windows = sorted({w for r in rules for w in (r.long_seconds, r.short_seconds)})
    length, shown = slo.slice_seconds, shown_sql(largest_sql(slo, _within(end, windows[-1])))
    by_slice = by_slice_sql(slo, SLI_1M, _where(slo, end, windows[-1]), shown)
    counted = ", ".join(
        f"intDiv({end}, {length}) - intDiv({end} - {w}, {length}) AS slices_{w}, "
        f"countIf(inside_{w}) AS seen_{w}, least(countIf(inside_{w} AND bad), slices_{w}) AS bad_{w}, "
        f"countIf(inside_{w} AND sure) AS sure_{w}, sumIf(t - g, inside_{w} AND bad) AS requests_{w}, "
        f"sumIf(tp - gp, inside_{w} AND bad) AS paths_{w}"
        for w in windows
    )
    inside = ", ".join(f"slice > {end} - {w} AS inside_{w}" for w in windows)
    fires = " OR ".join(f"({_slices_fire(slo, policy, r)})" for r in rules)
    known = " OR ".join(f"seen_{r.short_seconds} > 0" for r in rules)
    return (
        f"SELECT environment, shown AS {slo.group_by or 'scope'}, if({known}, toFloat64({fires}), NULL) AS firing FROM ("  # noqa: S608
        f"SELECT environment, shown, {counted} FROM (SELECT *, {inside} FROM ({judged_sql(by_slice)})) "
        "GROUP BY environment, shown)"
    )


def _slices_fire(slo: Slo, policy: Policy, rule: Rule) -> str:
    """As :func:`_fires`, of slices: a window has as many events as slices, and the floor is asked of the bad ones' requests."""
    long, limit = rule.long_seconds, rule.factor * (1 - slo.objective)

    def over(w: int) -> str:
        return f"bad_{w} > {limit:f} * slices_{w} * {_HAIR}"

    floor = f"requests_{long} >= {policy.min_bad_events} - 1e-9 AND paths_{long} >= {max(policy.min_bad_paths, 1)}"
    sure = f"least(sure_{long}, bad_{long}) > {limit:f} * slices_{long}"
    return f"{over(rule.short_seconds)} AND {over(long)} AND {floor} AND {sure}"


def _where(slo: Slo, end: str, seconds: int) -> str:
    return f"slo = {text_literal(slo.name)} AND dimension = {text_literal(slo.group_by)} AND {_within(end, seconds)}"


def _within(end: str, seconds: int) -> str:
    return f"bucket > toDateTime({end} - {seconds}, 'UTC') AND bucket <= toDateTime({end}, 'UTC')"


def _fires(slo: Slo, policy: Policy, rule: Rule) -> str:
    """As :func:`alerts.decide.judge`, in floating point with a hair's breadth for what rationals decide exactly."""
    long, short, limit = rule.long_seconds, rule.short_seconds, rule.factor * (1 - slo.objective)

    def over(w: int) -> str:
        return f"tp_{w} > gp_{w} AND t_{w} - g_{w} > {limit:f} * t_{w} * {_HAIR}"

    z = quantile(policy.confidence)
    names = {"g": f"g_{long}", "t": f"t_{long}", "gs": f"gs_{long}", "ts": f"ts_{long}"}
    ratio = f"least((t_{long} - g_{long}) / t_{long}, 1)"
    effective = N.format(r=ratio, **names)
    low = LOW.format(r=ratio, n=f"({effective})", z=z)
    exact = f"abs(ts_{long} - t_{long}) <= 1e-9 * greatest(t_{long}, 1)"
    floor = f"t_{long} - g_{long} >= {policy.min_bad_events} - 1e-9"
    enough = f"tp_{long} - gp_{long} >= {max(policy.min_bad_paths, 1)} AND {floor}"
    return f"{over(short)} AND {over(long)} AND {enough} AND ({exact} OR {low} > {limit:f})"
