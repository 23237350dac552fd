"""The SLO dashboard's SQL: its budgets are those of ``slo status``, its burn rates those of the rules, on the same minutes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from alerts.burnrate import burn_rate
from alerts.rules.budget_sql import budgets_sql
from alerts.rules.calendar_sql import starts_sql
from alerts.rules.dashboard import dashboard
from alerts.sli_reads import Group, read_windows
from alerts.slos.model import OTHER, Slo
from alerts.slos.window import Calendar
from alerts.status import status
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, make_slo

DAY: Final = 86_400
BERLIN: Final = "Europe/Berlin"


def local(*parts: int) -> datetime:
    """A local time."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - local by definition


def fill(store: Store, rows: Iterable[tuple[str, int, str, str, str, float, float, int, int]]) -> None:
    """Minutes: SLO, bucket, environment, dimension, value, good and total (weighted, and as paths)."""
    values = ", ".join(
        f"('{slo}', {bucket}, '{environment}', '{split}', '{value}', {good}, {total}, {gp}, {tp}, {good}, {total})"
        for slo, bucket, environment, split, value, good, total, gp, tp in rows
    )
    store.execute(
        "INSERT INTO sli_1m (slo, bucket, environment, dimension, value, good, total, good_paths, total_paths, good_squares, "
        f"total_squares) VALUES {values}"
    )


def traffic(store: Store, slos: Sequence[Slo], begin: float, end: float, step: int = 1200, seed: int = 1) -> None:
    """The same dice for every SLO: six tenants in two environments, none of them always there, failing now and then."""
    chance, rows = Random(seed), []
    for bucket in range(int(begin), int(end), step):
        for environment in ("prod", "test"):
            for number in range(6):
                total = chance.choice((0, 1, 5, 30)) * (number + 1)
                bad = chance.choice((0, 0, 0, 0, 1, total // 3, total))
                weight = chance.choice((1.0, 1.0, 12.5))
                if total:
                    at = bucket // 60 * 60
                    rows += [
                        (
                            slo.name, at, environment, slo.group_by, f"acct_{number}" if slo.group_by else "",
                            (total - min(bad, total)) * weight, total * weight, total - min(bad, total), total,
                        )
                        for slo in slos
                    ]  # fmt: skip
    fill(store, rows)


Told = dict[Group, tuple[float, float, float]]


def by_table(store: Store, slos: Sequence[Slo], now: int) -> Told:
    """Events, good share and budget left of every row of the dashboard's table at a time."""
    result = store.query(budgets_sql(slos, str(now)))
    assert result.columns == (
        "slo", "environment", "group", "budgeting", "since", "events", "good_share", "budget_left",
    )  # fmt: skip
    lefts = [row["budget_left"] for row in result.dicts()]
    assert lefts == sorted(lefts)
    splits = {slo.name: slo.group_by for slo in slos}
    return {
        Group(r["slo"], r["environment"], splits[r["slo"]], r["group"]): (
            r["events"],
            r["good_share"],
            r["budget_left"],
        )
        for r in result.dicts()
    }


def by_status(store: Store, slos: Sequence[Slo], now: int) -> Told:
    """The same by ``slo status``."""
    return {
        Group(line.slo, line.environment, line.dimension, line.value): (line.total, line.sli, line.budget_left)
        for line in status(store, slos, now)
        if line.sli is not None and line.budget_left is not None
    }


def same(store: Store, slos: Sequence[Slo], now: int) -> Told:
    """What both say, which must be the same."""
    table, told = by_table(store, slos, now), by_status(store, slos, now)
    assert table.keys() == told.keys()
    for group, figures in told.items():
        assert table[group] == pytest.approx(figures, rel=1e-9, abs=1e-9), group
    return told


MONTH: Final = Calendar(1, "M", local(2024, 1, 31), BERLIN)
WEEK: Final = Calendar(1, "w", local(2024, 1, 1), BERLIN)


def every_kind() -> list[Slo]:
    """SLOs of each period and budgeting; all by tenant, but one."""
    base = make_slo(group_by="tenant", max_groups=3, objective=Decimal("0.9"), period_seconds=3 * DAY)
    sliced: dict[str, Any] = {"slice_seconds": 3600, "slice_target": Decimal("0.85")}
    month: dict[str, Any] = {"calendar": MONTH, "period_seconds": 30 * DAY}
    return [
        replace(base, name="rolling"),
        replace(base, name="another", period_seconds=5 * DAY, objective=Decimal("0.95")),
        replace(base, name="whole", group_by=""),
        replace(base, name="month", **month),
        replace(base, name="weeks", calendar=WEEK, period_seconds=7 * DAY),
        replace(base, name="sliced", **sliced),
        replace(base, name="sliced-finer", slice_seconds=300, slice_target=Decimal("0.5"), max_groups=2),
        replace(base, name="sliced-month", **month, **sliced),
        # Half past an hour in UTC: a slice lies over the bounds of the days.
        replace(base, name="sliced-days", calendar=Calendar(2, "d", local(2024, 1, 1), "Asia/Kolkata"), **sliced),
    ]


@pytest.mark.parametrize("days", [40, 2], ids=["full history", "short history"])
def test_the_table_says_what_the_status_says(store: Store, days: int) -> None:
    """Every kind of SLO at once, two environments, and more tenants than stand by themselves."""
    slos = every_kind()
    traffic(store, slos, T0 - days * DAY, T0, step=1200 if days < 10 else 7200)
    found = same(store, slos, int(T0) + 17)
    assert {g.slo for g in found} == {slo.name for slo in slos}
    assert {g.value for g in found if g.slo == "rolling"} == {"acct_5", "acct_4", "acct_3", OTHER}
    assert {g.environment for g in found} == {"prod", "test"}
    spent = {left < 0 for *_, left in found.values()}
    assert spent == {True, False}
    units = {r["slo"]: r["budgeting"] for r in store.query(budgets_sql(slos, str(int(T0)))).dicts()}
    assert (units["rolling"], units["sliced"], units["sliced-finer"]) == ("requests", "slices of 1h", "slices of 5m")


@pytest.mark.parametrize("after", [0, 59, 60, 1799, 3600, 86_399])
def test_a_calendar_window_begins_with_its_first_minute(store: Store, after: int) -> None:
    """Midnight in Berlin: what was before it is another month's; slices begin with it, too."""
    midnight = int(
        datetime(2096, 9, 30, tzinfo=ZoneInfo(BERLIN)).timestamp()
    )  # 31 January's: clipped to the month's end
    slos = [slo for slo in every_kind() if slo.calendar == MONTH]
    fill(store, ((s.name, midnight - 60, "prod", "tenant", "a", 0, 99, 0, 99) for s in slos))
    fill(store, ((s.name, midnight, "prod", "tenant", "a", 7, 8, 7, 8) for s in slos))
    fill(store, ((s.name, midnight + 3600, "prod", "tenant", "a", 1, 2, 1, 2) for s in slos))
    found = same(store, slos, midnight + after)
    total, _, left = found[Group("month", "prod", "tenant", "a")]
    good_of, all_of = (8, 10) if after >= 3600 else (7, 8)
    month = 31 * DAY + 3600  # 30 September to 31 October: the clocks are set back
    assert total == all_of
    assert left == pytest.approx(1 - (1 - good_of / all_of) / 0.1 * after / month)
    number, _, left = found[Group("sliced-month", "prod", "tenant", "a")]
    bad = 1 if after >= 3600 else 0  # 7 of 8 is over 85 %, 1 of 2 is not
    assert number == after // 3600 + 1
    assert left == pytest.approx(1 - bad / (0.1 * month / 3600))


def test_a_table_of_one_slo_of_any_kind(store: Store) -> None:
    slos = every_kind()
    traffic(store, slos, T0 - 2 * DAY, T0)
    for slo in slos:
        assert same(store, [slo], int(T0))


def test_nothing_is_told_of_groups_without_events(store: Store) -> None:
    """Taken back as well as never there; and of what another dimension counted before the SLO was changed."""
    slo, at = make_slo(), int(T0) - 60
    fill(store, [
        (slo.name, at, "prod", "pop", "fra", 5, 5, 5, 5), (slo.name, at, "prod", "pop", "fra", -5, -5, -5, -5),
        (slo.name, at, "prod", "route", "/", 0, 5, 0, 5), ("other", at, "prod", "pop", "fra", 5, 5, 5, 5),
    ])  # fmt: skip
    assert same(store, [slo, replace(slo, name="sliced", slice_seconds=60, slice_target=Decimal("0.5"))], int(T0)) == {}


# --- calendars in SQL ----------------------------------------------------------------------------------------------------

CALENDARS: Final = [
    Calendar(1, "M", local(2024, 1, 31), BERLIN),
    Calendar(1, "M", local(2024, 1, 1), "America/Santiago"),
    Calendar(2, "M", local(2024, 3, 30, 2, 30), BERLIN),
    Calendar(1, "Q", local(2023, 11, 30), "Asia/Kolkata"),
    Calendar(1, "Y", local(2024, 2, 29), "UTC"),
    Calendar(1, "M", local(1969, 12, 31), "America/New_York"),
    Calendar(1, "M", local(2031, 5, 31, 23, 59, 59), "Pacific/Kiritimati"),
    Calendar(1, "w", local(2024, 1, 1), BERLIN),
    Calendar(2, "w", local(2030, 1, 6, 2, 30), BERLIN),
    Calendar(1, "d", local(2024, 1, 1), "America/Havana"),
    Calendar(1, "d", local(1965, 1, 1, 2, 15), "Australia/Lord_Howe"),
    Calendar(1, "d", local(2024, 1, 1), "Africa/Cairo"),
    Calendar(3, "d", local(2024, 1, 1, 12), "Pacific/Pago_Pago"),
]


@pytest.mark.parametrize("calendar", CALENDARS, ids=lambda c: f"{c.count}{c.unit} {c.zone} {c.start}")
def test_windows_begin_when_they_begin_in_python(store: Store, calendar: Calendar) -> None:
    """At random times of seven years, and at and around every start in them: leap years, clipped months, both clock changes."""
    chance = Random(2)
    begin, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2024, 2031))
    times = [chance.randrange(begin, end) for _ in range(300)]
    at: float = begin
    while at < end:
        at = calendar.bounds(at)[1]
        times += [int(at) - 1, int(at), int(at) + 1] if len(times) < 4000 else [int(at)]
    numbers = ", ".join(map(str, times))
    sql = (
        f"SELECT at, arrayMax(arrayFilter(s -> s <= at, starts)), arrayMin(arrayFilter(s -> s > at, starts)) "
        f"FROM (SELECT arrayJoin([{numbers}]) AS at, {starts_sql(calendar, 'at')} AS starts)"
    )
    for now, first, following in store.query(sql).rows:
        assert (first, following) == calendar.bounds(now), datetime.fromtimestamp(now, UTC)


def as_grafana_would(sql: str, slo: Slo, begin: int, end: int) -> str:
    """The query with the datasource's macros and the dashboard's variables filled in."""
    filled = {
        "${slo:singlequote}": f"'{slo.name}'",
        "$__timeFilter(bucket)": f"bucket >= toDateTime({begin}, 'UTC') AND bucket <= toDateTime({end}, 'UTC')",
        "$__timeInterval(bucket)": "toStartOfInterval(bucket, INTERVAL 60 second)", "$__interval_s": "60",
        "$__fromTime": f"toDateTime({begin}, 'UTC')", "$__toTime": f"toDateTime({end}, 'UTC')",
    }  # fmt: skip
    for macro, text in filled.items():
        sql = sql.replace(macro, text)
    assert "$" not in sql
    return sql


# --- burn rates over time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 60, 300, 1800])
@pytest.mark.parametrize("panel", [1, 2], ids=["1 h", "5 min"])
def test_burn_rates_are_those_of_the_rules(store: Store, length: int, panel: int) -> None:
    """At every point of the line, of requests and of slices; where slices are longer than the window, over one of them."""
    slo = make_slo(group_by="tenant", objective=Decimal("0.9"))
    if length:
        slo = replace(slo, slice_seconds=length, slice_target=Decimal("0.7"))
    traffic(store, [slo], T0 - 6 * 3600, T0, step=240)
    begin, end = int(T0) - 2 * 3600, int(T0) - 60
    target = dashboard([slo, make_slo(name="other")])["panels"][panel]["targets"][0]
    rows = store.query(as_grafana_would(target["rawSql"], slo, begin, end)).rows
    window = max(3600 if panel == 1 else 300, length)
    times = sorted({time for time, *_ in rows})
    assert times[0].timestamp() - begin < max(60, length)
    seen: set[str] = set()
    for time in times[:: max(1, len(times) // 20)]:
        # A slice that begins at a point is counted there as it stands at its end, or at the end of what is shown.
        at = int(time.timestamp())
        found = read_windows(store, [slo], [window], min(at + max(length, 60) - 1, end))
        ours = {f"{g.environment} {g.value}": burn_rate(c[window], slo.objective) for g, c in found.items()}
        theirs = {group: burn for t, group, burn in rows if t == time}
        assert theirs == pytest.approx({group: burn for group, burn in ours.items() if burn is not None}), time
        seen |= theirs.keys()
    assert len(seen) == 12
    assert len({burn for *_, burn in rows}) > (1 if length == window else 2)
