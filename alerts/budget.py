"""Where an error budget went: day by day, and by tier, PoP, route, reason and incident.

With ``Timeslices`` budgeting it is slices that use it up. Of the requests only those that failed in a bad slice count then, and
each of them for as much as another: a bad slice of a quiet hour uses what one of a busy hour does.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

from alerts import slices
from alerts.burnrate import Policy, budget_used
from alerts.groups import largest_sql, paths_sql, shown_sql
from alerts.paths_sql import weight_sum
from alerts.sli_reads import SLOT_BAD, Group, periods
from alerts.sli_views import END_SECONDS
from alerts.slos.model import Slo
from telemetry.store.base import Parameter, Store
from telemetry.store.tables import REQUEST_PATHS, SLI_1M

DAY: Final = 86_400
ALERT_EVENTS: Final = "alert_events"
DIMENSIONS: Final = ("blamed_tier", "blamed_component", "pop", "route", "tenant", "blame_reason", "outcome")


_PERIOD: Final = "bucket >= toDateTime({since:Int64}, 'UTC') AND bucket <= toDateTime({now:Int64}, 'UTC')"


@dataclass(frozen=True)
class Step:
    """A stretch of time: events (requests, or slices), bad ones, the share of the period's budget that they used, and what was
    left after it."""

    start: int
    total: float
    bad: float
    used: float
    left: float


@dataclass(frozen=True)
class Burner:
    """A value of a dimension, with the bad requests that have it and the share of the budget that they used."""

    dimension: str
    value: str
    bad: float
    used: float


@dataclass(frozen=True)
class Report:
    """What became of the budget of one group in one period; ``slice_seconds`` is 0 where the events of steps are requests."""

    slo: str
    environment: str
    value: str
    objective: str
    since: float
    until: float
    left: float | None
    state: str
    action: str
    steps: tuple[Step, ...]
    burners: tuple[Burner, ...]
    incidents: tuple[Burner, ...]
    slice_seconds: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class _Account:
    """The budget of a group.

    Attributes:
        since, now: the period's first second and its last one so far; buckets and slices are of it that begin between.
        total: events in it.
        covered: share of it that is known.
        cost: share of the budget that a bad request used, of slices on average.
    """

    slo: Slo
    group: Group
    since: int
    now: int
    total: float
    covered: float
    cost: float = 0.0

    def used(self, bad: float) -> float:
        """Share of the budget that so many bad events used."""
        return budget_used(bad, self.total, self.slo.objective, self.covered)

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {
            "slo": self.slo.name, "split": self.slo.group_by, "since": self.since, "now": self.now,
            "environment": self.group.environment, "value": self.group.value,
        }  # fmt: skip


def reports(store: Store, slo: Slo, policy: Policy, now: float, step: int = DAY) -> list[Report]:
    """A report a group, the one with the least budget left first; none without data.

    The budget of the period is ``1 - objective`` of the requests that it has at the rate seen so far, or of its slices. What
    burned it is told from the stored paths, which are kept 30 days.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    period = periods(store, [slo], now)[slo.name]
    until = int(now // 1)
    since = until - period.window_seconds + 1
    given: dict[str, Parameter] = {"slo": slo.name, "split": slo.group_by, "since": since, "now": until}
    rows = store.query(_steps_sql(slo, step), given).rows
    made = []
    for environment, value in sorted({(str(e), str(v)) for e, v, *_ in rows}):
        mine = [_Row(int(at), *map(float, sums)) for e, v, at, *sums in rows if (e, v) == (environment, value)]
        if slo.slice_seconds:
            total = float(slices.number(period.window_seconds, now, slo.slice_seconds))
            mine = [r._replace(total=_slices_between(slo, max(r.at, since), min(r.at + step - 1, until))) for r in mine]
        else:
            total = sum(r.total for r in mine)
        group = Group(slo.name, environment, slo.group_by, value)
        account = _Account(slo, group, since, until, total, period.covered)
        bad, failed = sum(r.bad for r in mine), sum(r.failed for r in mine)
        account = replace(account, cost=account.used(bad) / failed if failed else 0.0)
        made.append(_report(store, account, policy, period.start, now, mine))
    return sorted(made, key=lambda r: (1.0 if r.left is None else r.left, r.environment, r.value))


class _Row(NamedTuple):
    """Sums of a step: events, bad ones, and the bad requests behind these (of requests the same)."""

    at: int
    total: float
    bad: float
    failed: float


_COUNTED: Final = "slo = {slo:String} AND dimension = {split:String} AND " + _PERIOD


def _shown(slo: Slo) -> str:
    return shown_sql(largest_sql(slo, _PERIOD))


def _judged(slo: Slo, where: str) -> str:
    return slices.judged_sql(slices.by_slice_sql(slo, SLI_1M, where, _shown(slo)))


def _steps_sql(slo: Slo, step: int) -> str:
    if slo.slice_seconds:
        return (
            f"SELECT environment, shown, intDiv(slice, {step}) * {step} AS at, 0, countIf(bad), sumIf(t - g, bad) "  # noqa: S608
            f"FROM ({_judged(slo, _COUNTED)}) WHERE slice >= {{since:Int64}} GROUP BY environment, shown, at ORDER BY at"
        )
    return (
        f"SELECT environment, {_shown(slo)} AS shown, intDiv(toInt64(toUnixTimestamp(bucket)), {step}) * {step} AS at, "  # noqa: S608
        f"sum(total), {SLOT_BAD} AS bad, bad AS failed FROM {SLI_1M} WHERE {_COUNTED} "
        "GROUP BY environment, shown, at ORDER BY at"
    )


def _slices_between(slo: Slo, first: int, last: int) -> float:
    """How many slices begin from one second to another."""
    return float(slices.number(last - first + 1, last, slo.slice_seconds))


def _report(store: Store, account: _Account, policy: Policy, since: float, now: float, rows: Sequence[_Row]) -> Report:
    slo, group = account.slo, account.group
    left, steps = 1.0, []
    for at, seen, bad, _ in rows:
        used = account.used(bad)
        left -= used
        steps.append(Step(at, seen, bad, used, left))
    known = left if account.total else None
    state = policy.budget_state(known)
    return Report(
        slo=slo.name,
        environment=group.environment,
        value=group.value,
        objective=f"{slo.objective.normalize():f}",
        since=since,
        until=now,
        left=known,
        state=state.name if state else "",
        action=state.action if state else "",
        steps=tuple(steps),
        burners=tuple(_burners(store, account)),
        incidents=tuple(_incidents(store, account)),
        slice_seconds=slo.slice_seconds,
    )


def _burners(store: Store, account: _Account) -> list[Burner]:
    """Of every dimension the five values with the most bad requests: one query, however many dimensions."""
    slo = account.slo
    which = paths_sql(slo, account.group.value, _PERIOD)
    if slo.slice_seconds:
        which += (
            f"AND intDiv(toInt64({END_SECONDS}), {slo.slice_seconds}) * {slo.slice_seconds} IN (SELECT slice FROM "  # noqa: S608
            f"({_judged(slo, _COUNTED)}) WHERE bad AND environment = {{environment:String}} AND shown = {{value:String}}) "
        )
    pairs = ", ".join(f"('{d}', toString(p.{d}))" for d in DIMENSIONS)
    rows = store.query(
        f"SELECT pair.1 AS dimension, pair.2 AS seen, {weight_sum()} AS bad FROM {REQUEST_PATHS} AS p "  # noqa: S608
        f"ARRAY JOIN [{pairs}] AS pair WHERE p.start >= toDateTime({{since:Int64}} - 3600, 'UTC') "
        f"AND {END_SECONDS} >= {{since:Int64}} AND {END_SECONDS} <= {{now:Int64}} "
        f"AND p.environment = {{environment:String}} {which}AND {slo.bad_sql()} "
        "GROUP BY dimension, seen HAVING bad > 0 ORDER BY bad DESC, seen LIMIT 5 BY dimension",
        account.parameters,
    ).rows
    order = {d: i for i, d in enumerate(DIMENSIONS)}
    found = [Burner(str(d), str(v), float(b), float(b) * account.cost) for d, v, b in rows]
    return sorted(found, key=lambda b: (order[b.dimension], -b.bad, b.value))


def _incidents(store: Store, account: _Account) -> list[Burner]:
    """What each page of the group burned, from its trigger to its resolve."""
    slo, given = account.slo, account.parameters
    rows = store.query(
        "SELECT dedup_key, toFloat64(started), maxIf(toFloat64(at), kind = 'resolve'), "  # noqa: S608
        "if(countIf(kind != 'resolve') > 0, argMaxIf(summary, at, kind != 'resolve'), any(summary)) "
        f"FROM {ALERT_EVENTS} FINAL WHERE slo = {{slo:String}} AND environment = {{environment:String}} "
        "AND value = {value:String} AND severity = 'page' AND started >= toDateTime({since:Int64}, 'UTC') "
        "GROUP BY dedup_key, started ORDER BY started",
        given,
    ).rows
    length = slo.slice_seconds
    where = (
        f"slo = {{slo:String}} AND dimension = {{split:String}} AND bucket >= toDateTime({{from:Int64}} - {length}, 'UTC') "
        f"AND bucket <= toDateTime({{to:Int64}} + {length}, 'UTC')"
    )
    mine = "environment = {environment:String} AND shown = {value:String}"
    if length:
        sql = (
            f"SELECT countIf(bad), sumIf(t - g, bad) FROM ({_judged(slo, where)}) WHERE {mine} "  # noqa: S608
            f"AND slice > {{from:Int64}} - {length} AND slice <= {{to:Int64}}"
        )
    else:
        sql = (
            f"SELECT {SLOT_BAD} AS bad, bad AS failed FROM (SELECT *, {_shown(slo)} AS shown FROM {SLI_1M} WHERE {where}) "  # noqa: S608
            f"WHERE {mine}"
        )
    found = []
    for _, started, ended, summary in rows:
        # Bad minutes before the page are of the incident, too: those of its short window at least.
        within = {"from": int(started) - 300, "to": int(ended or account.now)}
        ((bad, failed),) = store.query(sql, given | within).rows
        found.append(Burner("incident", str(summary), float(failed or 0), account.used(float(bad or 0))))
    return found
