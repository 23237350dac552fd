"""Budgets: what is left, how long it lasts, in which state that is, and what burned it."""

import json
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner

import telemetry.store
from alerts.budget import reports
from alerts.memory import record
from alerts.page import Member
from alerts.sli_views import sync
from alerts.slos.model import Slo
from alerts.slos.window import Calendar
from alerts.status import status
from telemetry.cli.slo import slo as command
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, WORKBOOK, append_paths, make_event, make_slo, path_row

DAY = 86_400
SLO = make_slo(objective=Decimal("0.99"), period_seconds=10 * DAY)


def day(number: int, good: int, bad: int, **more: Any) -> list[dict[str, Any]]:
    """Paths of one day before T0, at its noon."""
    common = {"start": int(T0 - number * DAY) * 10**9, "total_ns": 0, "stored": int((T0 - number * DAY) * 1000)}
    blamed = {"blamed_tier": "edge", "blamed_component": "envoy-fra", "blamed_pop": "fra", "blame_reason": "UF"}
    return [path_row(**common)] * good + [path_row(outcome="edge_error", **(common | blamed | more))] * bad


@pytest.fixture
def filled(store: Store) -> Store:
    """Five days of 1,000 requests; 5, 0, 20, 5 and 0 of them bad."""
    store.execute("TRUNCATE TABLE alert_events")
    sync(store, [SLO], 60, T0 - 20 * DAY)
    rows = [
        *day(4, 995, 5),
        *day(3, 1000, 0),
        *day(2, 980, 15),
        *day(2, 0, 5, blamed_tier="gateway", blame_reason="503"),
    ]
    append_paths(store, [*rows, *day(1, 995, 5, route="/v1/refunds"), *day(0, 1000, 0)])
    return store


def test_a_budget_over_time(filled: Store) -> None:
    """Of ten days at that rate the budget is 100 bad requests less a little; 30 are gone."""
    (report,) = reports(filled, SLO, WORKBOOK, T0 + 60)
    assert [(s.total, s.bad) for s in report.steps] == [(1000, 5), (1000, 0), (1000, 20), (1000, 5), (1000, 0)]
    assert report.left == pytest.approx(1 - 30 / (0.01 * 5000 * 10 * DAY / (4 * DAY + 60)), rel=0.01)
    assert report.steps[-1].left == pytest.approx(report.left)
    assert (report.state, report.action) == ("healthy", "release as planned")


def test_what_burned_it(filled: Store) -> None:
    (report,) = reports(filled, SLO, WORKBOOK, T0 + 60)
    found = {(b.dimension, b.value): b.bad for b in report.burners}
    assert found["blamed_tier", "edge"] == 25
    assert found["blamed_tier", "gateway"] == 5
    assert found["route", "/v1/refunds"] == 5
    assert found["blame_reason", "UF"] == 25
    assert sum(b.bad for b in report.burners if b.dimension == "pop") == 30


def test_incidents_are_told_with_what_they_burned(filled: Store) -> None:
    page = make_event(started=T0 - 2 * DAY + 60, at=T0 - 2 * DAY + 60)
    record(filled, [page, replace(page, kind="resolve", at=page.at + 600), page])
    (report,) = reports(filled, SLO, WORKBOOK, T0 + 60)
    assert [(b.value, b.bad) for b in report.incidents] == [(page.summary, 20)]


def test_an_incident_is_told_of_every_group_that_it_has(filled: Store) -> None:
    """Also of one that joined later, and did not head the page."""
    head = make_event(
        value="iad",
        dedup_key="edgepath/edge-availability/prod/pop/iad/page",
        started=T0 - 2 * DAY + 60,
        at=T0 - 2 * DAY + 60,
    )
    members = tuple(
        Member(f"edgepath/edge-availability/prod/pop/{pop}/page", "edge-availability", pop, 0.5, "errors")
        for pop in ("iad", "fra")
    )
    grown = replace(head, kind="update", members=members)
    record(filled, [head, grown, replace(grown, kind="resolve", at=head.at + 600)])
    (report,) = reports(filled, SLO, WORKBOOK, T0 + 60)
    assert report.value == "fra"
    assert [(b.value, b.bad) for b in report.incidents] == [(grown.summary, 20)]


def test_status_says_how_long_it_lasts_and_which_state_that_is(filled: Store) -> None:
    append_paths(filled, day(0, 0, 400))
    (line,) = status(filled, [SLO], T0 + 60, WORKBOOK)
    assert line.budget_left is not None
    assert line.budget_left < 0
    assert (line.exhausted_in, line.state) == (0.0, "spent")
    assert line.action.startswith("freeze")
    (other,) = status(filled, [make_slo(name="other")], T0 + 60, WORKBOOK)
    assert (other.budget_left, other.exhausted_in, other.state) == (None, None, "")


def test_the_last_hour_is_of_the_groups_that_are_shown(filled: Store) -> None:
    """Also of one that was the largest of its period, and is not that of the hour."""
    slo = make_slo(name="tenants", group_by="tenant", max_groups=1)
    sync(filled, [slo], 60, T0 - 20 * DAY)
    old, new = {"start": int(T0 - DAY) * 10**9, "tenant": "large"}, {"start": int(T0) * 10**9, "total_ns": 0}
    append_paths(filled, [path_row(**old)] * 9)
    append_paths(filled, [path_row(tenant="large", outcome="edge_error", **new), *[path_row(tenant="new", **new)] * 5])
    lines = {line.value: (line.total, line.burn_1h) for line in status(filled, [slo], T0 + 60)}
    assert lines == {"large": (10, pytest.approx(1000)), "(other)": (5, 0)}


def test_the_budget_of_slices_is_one_of_the_whole_period(filled: Store) -> None:
    """One slice of ten days' 240 hours was bad, of 24 that may be: not less of it because the history is shorter."""
    sliced = replace(SLO, name="sliced", objective=Decimal("0.9"), slice_seconds=3600, slice_target=Decimal("0.99"))
    sync(filled, [SLO, sliced], 60, T0 - 20 * DAY)
    append_paths(filled, [*day(2, 980, 20), *day(1, 1000, 0)])
    (line,) = status(filled, [sliced], T0 + 60)
    assert line.budget_left == pytest.approx(1 - 1 / 24)


MONTH = Calendar(1, "M", datetime(2096, 1, 1), "UTC")  # noqa: DTZ001 - local by definition
SLICED = replace(SLO, name="sliced", objective=Decimal("0.9"), slice_seconds=3600, slice_target=Decimal("0.985"))


@pytest.mark.parametrize("calendar", [None, MONTH], ids=["rolling", "month"])
@pytest.mark.parametrize("slo", [SLO, SLICED], ids=["requests", "slices"])
def test_a_report_and_a_status_say_the_same(store: Store, slo: Slo, calendar: Calendar | None) -> None:
    slo = replace(slo, calendar=calendar)
    sync(store, [slo], 60, T0 - 20 * DAY)
    append_paths(store, [*day(4, 990, 10), *day(2, 980, 20), *day(1, 970, 30), *day(0, 1000, 0)])
    for later in (0, 59.5, 3600):
        (report,) = reports(store, slo, WORKBOOK, T0 + later)
        (line,) = status(store, [slo], T0 + later)
        assert report.left == pytest.approx(line.budget_left)
        assert report.left == pytest.approx(report.steps[-1].left)
        assert report.slice_seconds == slo.slice_seconds


def test_of_slices_it_is_slices_that_used_it(store: Store) -> None:
    """Two of ten days' 240 hours were bad, of 24 that may be; 5 % of 24 hours' requests are nothing if they are in one."""
    store.execute("TRUNCATE TABLE alert_events")
    sync(store, [SLICED], 60, T0 - 20 * DAY)
    good_slice = day(3, 995, 5, blame_reason="noise")
    append_paths(store, [*good_slice, *day(2, 980, 15), *day(2, 0, 5, blame_reason="503"), *day(1, 0, 10)])
    page = make_event(slo="sliced", started=T0 - 2 * DAY + 60, at=T0 - 2 * DAY + 60)
    record(store, [page, replace(page, kind="resolve", at=page.at + 600)])
    (report,) = reports(store, SLICED, WORKBOOK, T0 + 60)
    # Days are those of UTC, and all their hours count.
    assert [(s.total, s.bad) for s in report.steps] == [(24, 0), (24, 1), (24, 1)]
    assert [s.used for s in report.steps] == pytest.approx([0, 1 / 24, 1 / 24])
    assert report.left == pytest.approx(22 / 24)
    # 30 requests failed in the two; each took a thirtieth of what they used.
    found = [b for b in report.burners if b.dimension == "blame_reason"]
    assert [(b.value, b.bad) for b in found] == [("UF", 25), ("503", 5)]
    assert [b.used for b in found] == pytest.approx([25 / 30 * 2 / 24, 5 / 30 * 2 / 24])
    (incident,) = report.incidents
    assert (incident.value, incident.bad) == (page.summary, 20)
    assert incident.used == pytest.approx(1 / 24)


def test_the_commands(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shared:
        query, execute = filled.query, filled.execute

        def close(self) -> None:
            """The fixture closes it."""

    monkeypatch.setattr(telemetry.store, "open_store", lambda *_: Shared())
    monkeypatch.setattr("time.time", lambda: T0 + 60)
    told = CliRunner().invoke(command, ["budget", "edge-availability", "--data", "x"]).output
    assert "of the budget left, " in told
    assert "blamed_tier" in told
    as_json = json.loads(CliRunner().invoke(command, ["budget", "all", "--data", "x", "--step", "1h", "--json"]).output)
    assert as_json[0]["slo"] == "edge-availability"
    assert "State" in CliRunner().invoke(command, ["status", "--data", "x"]).output
    assert "no SLO is called" in CliRunner().invoke(command, ["budget", "nope", "--data", "x"]).output
