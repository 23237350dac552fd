"""How much of a budget was used before a page, by a backtest: by hand, and as ``slo status`` would have said it."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from alerts.backtest import run
from alerts.backtest.replay import replay
from alerts.backtest.series import read_series
from alerts.sli_views import sync
from alerts.slos.window import Calendar
from alerts.status import status
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, WORKBOOK, make_slo
from tests.unit.alerts.test_backtest import FRA, incident, series
from tests.unit.alerts.test_burnrate import DAY, HOUR

MONTH = Calendar(1, "M", datetime(2096, 1, 1), "UTC")  # noqa: DTZ001 - local by definition


def test_the_budget_of_a_calendar_window_is_that_of_its_real_length() -> None:
    """October has 31 days, and not the 30 that factors are scaled to."""
    slo = make_slo(calendar=MONTH)
    page = next(f for f in replay(slo, WORKBOOK, FRA, incident(0.2, 30)) if f.severity == "page")
    minutes = (page.at - page.onset) / 60
    assert page.budget_used == pytest.approx(20_000 * minutes / (0.001 * 100_000 * 31 * 1440))


def test_what_failed_before_the_month_is_of_another_ones_budget() -> None:
    """Ten minutes of October, eight of November: 5 % of what there was in these, of a month that has hardly begun."""
    november = int(datetime(2096, 11, 1, tzinfo=UTC).timestamp())
    before = 4 * 1440
    one = replace(incident(0.05, 30, before=before), start=november - (before + 10) * 60)
    policy = replace(WORKBOOK, rules=WORKBOOK.rules[:1], sustained=None)
    (page,) = replay(make_slo(calendar=MONTH), policy, FRA, one)
    assert (page.onset - november, page.at - november) == (-600, 480)  # 14.4 x 0.001 / 0.05 of an hour
    assert page.bad_events == 18 * 5000
    assert page.budget_used == pytest.approx(0.05 / 0.001 * 480 / (30 * DAY), rel=1e-5)


def test_a_budget_of_slices_is_used_by_slices() -> None:
    """A total outage pages at the end of its second slice: 2 of the 86.4 of 30 days that may be bad, however many requests."""
    slo = make_slo(objective=Decimal("0.99"), slice_seconds=300, slice_target=Decimal("0.9"))
    noisy = [(95, 5, 1)] * 4 * 1440  # under no slice's target
    one = series([*noisy, *[(0, 1000, 1)] * 30, *noisy])
    policy = replace(WORKBOOK, rules=WORKBOOK.rules[:1], sustained=None)
    (page,) = replay(slo, policy, FRA, one)
    assert (page.onset - T0, page.at - T0) == (4 * DAY, 4 * DAY + 600)
    assert page.budget_used == pytest.approx(2 / (0.01 * 30 * 288))
    (monthly,) = replay(replace(slo, calendar=MONTH), policy, FRA, one)
    assert monthly.budget_used == pytest.approx(2 / (0.01 * 31 * 288))


@pytest.mark.parametrize("calendar", [None, MONTH], ids=["rolling", "month"])
@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("days", [2, 12])
def test_the_budget_used_is_what_the_status_said_less(
    store: Store, calendar: Calendar | None, sliced: bool, days: int
) -> None:
    """Of a period of ten days with a short history, and with a full one; by a second group that was there before, too."""
    slo = make_slo(objective=Decimal("0.99"), period_seconds=10 * DAY, calendar=calendar)
    if sliced:
        slo = replace(slo, slice_seconds=300, slice_target=Decimal("0.9"))
    for later in (0, 20):
        sync(store, [slo], 60, T0 - 60 + later)
    start, outage = int(T0) - days * DAY, days * 1440
    store.execute(
        "INSERT INTO sli_1m (slo, bucket, environment, dimension, value, good, total, good_paths, total_paths, good_squares, "
        f"total_squares) SELECT '{slo.name}', {start} + 60 * number, 'prod', 'pop', 'fra', "
        f"if(number < {outage}, 30, 12) AS good, 30, good, 30, good, 30 FROM numbers({outage + 60}) UNION ALL "
        f"SELECT '{slo.name}', {start - DAY}, 'prod', 'pop', 'iad', 1, 1, 1, 1, 1, 1"
    )
    read = read_series(store, [slo], start - DAY, T0 + HOUR, 60)
    (told,) = run.compare([slo], [WORKBOOK], read, T0, T0 + HOUR)
    page = next(p.first for p in told.pages if p.first.severity == "page")
    assert page.group == FRA
    line = next(line for line in status(store, [slo], page.at - 0.001) if line.value == "fra")
    assert line.budget_left is not None
    assert page.budget_used == pytest.approx(1 - line.budget_left)
