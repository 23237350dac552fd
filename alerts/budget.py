"""Where an error budget went: day by day, and by tier, PoP, route, reason and incident."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from alerts.burnrate import Policy
from alerts.groups import largest_sql, paths_sql, shown_sql
from alerts.paths_sql import weight_sum
from alerts.sli_reads import Group, first_buckets
from alerts.sli_views import END_SECONDS
from alerts.slos.model import Slo
from telemetry.store.base import Store
from telemetry.store.tables import REQUEST_PATHS, SLI_1M

DAY: Final = 86_400
ALERT_EVENTS: Final = "alert_events"
DIMENSIONS: Final = ("blamed_tier", "blamed_component", "pop", "route", "tenant", "blame_reason", "outcome")


_PERIOD: Final = "bucket >= toDateTime({since:Int64}, 'UTC') AND bucket <= toDateTime({now:Int64}, 'UTC')"


@dataclass(frozen=True)
class Step:
    """A stretch of time: requests, bad ones, the share of the period's budget that they used, and what was left after it."""

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
    """What became of the budget of one group in one period."""

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

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def reports(store: Store, slo: Slo, policy: Policy, now: float, step: int = DAY) -> list[Report]:
    """A report a group, the one with the least budget left first; none without data.

    The budget of the period is ``1 - objective`` of the requests that it has at the rate seen so far. What burned it is told
    from the stored paths, which are kept 30 days.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    since = slo.since(now)
    shown = shown_sql(largest_sql(slo, _PERIOD))
    rows = store.query(
        f"SELECT environment, {shown} AS shown, intDiv(toInt64(toUnixTimestamp(bucket)), {step}) * {step} AS at, sum(total), "  # noqa: S608
        f"if(sum(total_paths) > sum(good_paths), greatest(sum(total) - sum(good), 0), 0) FROM {SLI_1M} "
        f"WHERE slo = {{slo:String}} AND dimension = {{split:String}} AND {_PERIOD} "
        "GROUP BY environment, shown, at ORDER BY at",
        {"slo": slo.name, "split": slo.group_by, "since": int(since), "now": int(now)},
    ).rows
    groups = sorted({(str(e), str(v)) for e, v, *_ in rows})
    first = first_buckets(store, [slo]).get(slo.name, since)
    made = [_report(store, slo, policy, place, rows, since, first, now) for place in groups]
    return sorted(made, key=lambda r: (1.0 if r.left is None else r.left, r.environment, r.value))


def _report(
    store: Store,
    slo: Slo,
    policy: Policy,
    place: tuple[str, str],
    rows: Sequence[tuple[Any, ...]],
    since: float,
    first: float,
    now: float,
) -> Report:
    mine = [(int(at), float(total), float(bad)) for e, v, at, total, bad in rows if (e, v) == place]
    whole = slo.period_seconds if slo.calendar is None else slo.calendar.bounds(now)[1] - since
    known = max(now - max(since, first), 1.0)
    total = sum(t for _, t, _ in mine)
    budget = float(1 - slo.objective) * total * whole / known
    left, steps = 1.0, []
    for at, seen, bad in mine:
        used = bad / budget if budget else 0.0
        left -= used
        steps.append(Step(at, seen, bad, used, left))
    state = policy.budget_state(left if total else None)
    group = Group(slo.name, place[0], slo.group_by, place[1])
    return Report(
        slo=slo.name,
        environment=place[0],
        value=place[1],
        objective=f"{slo.objective.normalize():f}",
        since=since,
        until=now,
        left=left if total else None,
        state=state.name if state else "",
        action=state.action if state else "",
        steps=tuple(steps),
        burners=tuple(_burners(store, slo, group, since, now, budget)),
        incidents=tuple(_incidents(store, slo, group, since, now, budget)),
    )


def _burners(store: Store, slo: Slo, group: Group, since: float, now: float, budget: float) -> list[Burner]:
    """Of every dimension the five values with the most bad requests: one query, however many dimensions."""
    split = paths_sql(slo, group.value, _PERIOD)
    pairs = ", ".join(f"('{d}', toString(p.{d}))" for d in DIMENSIONS)
    rows = store.query(
        f"SELECT pair.1 AS dimension, pair.2 AS seen, {weight_sum()} AS bad FROM {REQUEST_PATHS} AS p "  # noqa: S608
        f"ARRAY JOIN [{pairs}] AS pair WHERE p.start >= toDateTime({{since:Int64}} - 3600, 'UTC') "
        f"AND {END_SECONDS} >= {{since:Int64}} AND {END_SECONDS} <= {{now:Int64}} "
        f"AND p.environment = {{environment:String}} {split}AND {slo.bad_sql()} "
        "GROUP BY dimension, seen HAVING bad > 0 ORDER BY bad DESC, seen LIMIT 5 BY dimension",
        {"since": int(since), "now": int(now), "environment": group.environment, "value": group.value},
    ).rows
    order = {d: i for i, d in enumerate(DIMENSIONS)}
    found = [Burner(str(d), str(v), float(b), float(b) / budget if budget else 0.0) for d, v, b in rows]
    return sorted(found, key=lambda b: (order[b.dimension], -b.bad, b.value))


def _incidents(store: Store, slo: Slo, group: Group, since: float, now: float, budget: float) -> list[Burner]:
    """What each page of the group burned, from its trigger to its resolve."""
    rows = store.query(
        "SELECT dedup_key, toFloat64(started), maxIf(toFloat64(at), kind = 'resolve'), "  # noqa: S608
        "if(countIf(kind != 'resolve') > 0, argMaxIf(summary, at, kind != 'resolve'), any(summary)) "
        f"FROM {ALERT_EVENTS} FINAL WHERE slo = {{slo:String}} AND environment = {{environment:String}} "
        "AND value = {value:String} AND severity = 'page' AND started >= toDateTime({since:Int64}, 'UTC') "
        "GROUP BY dedup_key, started ORDER BY started",
        {"slo": slo.name, "environment": group.environment, "value": group.value, "since": int(since)},
    ).rows
    found = []
    for _, started, ended, summary in rows:
        bad = store.query(
            f"SELECT if(sum(total_paths) > sum(good_paths), greatest(sum(total) - sum(good), 0), 0) FROM {SLI_1M} "  # noqa: S608
            "WHERE slo = {slo:String} AND environment = {environment:String} AND value = {value:String} "
            "AND bucket >= toDateTime({from:Int64}, 'UTC') AND bucket <= toDateTime({to:Int64}, 'UTC')",
            {
                "slo": slo.name, "environment": group.environment, "value": group.value,
                # Bad minutes before the page are of the incident, too: those of its short window at least.
                "from": int(started) - 300, "to": int(ended or now),
            },
        ).scalar()  # fmt: skip
        found.append(Burner("incident", str(summary), float(bad or 0), float(bad or 0) / budget if budget else 0.0))
    return found
