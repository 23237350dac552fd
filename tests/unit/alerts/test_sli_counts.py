"""Counts out of ``sli_1m`` on the real engine: slices, slots, squares of weights, the bound on groups, drills kept apart."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from alerts import slices
from alerts.backtest.series import read_series
from alerts.blame import blame
from alerts.budget import reports
from alerts.burnrate import Counts, Sustained
from alerts.decide import Slot
from alerts.drill_slo import DRILL
from alerts.filters import parse
from alerts.sli_reads import Group, periods, read_slots, read_windows
from alerts.sli_views import sync
from alerts.slos.model import OTHER, Slo
from alerts.slos.window import Calendar
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, WORKBOOK, append_paths, make_slo, path_row

FRA = Group("edge-availability", "prod", "pop", "fra")


def fill(store: Store, slo: Slo, paths: Sequence[dict[str, Any]]) -> None:
    """Count these paths for the SLO."""
    sync(store, [slo], 60, T0 - 60)
    append_paths(store, paths)


def paths(minute: int, good: int, bad: int, **more: Any) -> list[dict[str, Any]]:
    """So many paths that end in a minute after T0."""
    common = {"start": (int(T0) + minute * 60) * 10**9, "total_ns": 0} | more
    return [path_row(**common)] * good + [path_row(outcome="edge_error", **common)] * bad


def test_squares_of_the_weights_are_summed(store: Store) -> None:
    fill(store, make_slo(), [*paths(0, 3, 0, weight=10.0), *paths(0, 0, 2, weight=4.0)])
    counts = read_windows(store, [make_slo()], [300], T0 + 60)[FRA][300]
    assert counts == Counts(30.0, 38.0, 3, 5, 300.0, 332.0)


def test_slices_are_counted_in_every_window_as_the_reference_does(store: Store) -> None:
    """Random minutes, sampled; slices of five minutes at 90 %: the SQL says what plain Python says."""
    random = Random(5)
    slo = make_slo(slice_seconds=300, slice_target=Decimal("0.9"))
    rows: list[dict[str, Any]] = []
    by_slice: dict[int, Counts] = {}
    for minute in range(120):
        good, bad = random.choice([(0, 0), (9, 1), (8, 2), (1, 0), (0, 1), (40, 5)])
        weight = random.choice([1.0, 1.0, 20.0])
        rows += paths(minute, good, bad, weight=weight)
        both = good + bad
        one = Counts(good * weight, both * weight, good, both, good * weight**2, both * weight**2)
        by_slice[minute // 5] = by_slice.get(minute // 5, Counts()) + one
    fill(store, slo, rows)
    end = T0 + 119 * 60
    windows = [600, 3600, 7200]
    found = read_windows(store, [slo], windows, end)[FRA]
    for window in windows:
        inside = [c for number, c in by_slice.items() if T0 + number * 300 > end - window]
        failed = [c for c in inside if slices.is_bad(c, 0.9)]
        counts = found[window]
        assert (counts.total, counts.bad) == (window // 300, len(failed))
        assert counts.bad_low == sum(slices.is_surely_bad(c, 0.9) for c in inside)
        assert counts.evidence is not None
        assert counts.evidence[0] == pytest.approx(sum(c.bad for c in failed))
        assert counts.evidence[1] == sum(c.bad_paths for c in failed)


def test_no_requests_make_no_slices_to_judge(store: Store) -> None:
    slo = make_slo(slice_seconds=60, slice_target=Decimal("0.9"))
    fill(store, slo, paths(0, 0, 5))
    found = read_windows(store, [slo], [300, 3600], T0 + 1000)[FRA]
    assert found[300].empty
    assert (found[3600].bad, found[3600].total) == (1, 60)


def test_slots_are_the_newest_that_hold_events(store: Store) -> None:
    rule = Sustained("page", 86_400, 1800, 3, Decimal("0.5"))
    fill(store, make_slo(), [*paths(0, 5, 0), *paths(31, 0, 1, weight=2.0), *paths(200, 1, 1), *paths(300, 0, 2)])
    (slots,) = read_slots(store, [make_slo()], rule, T0 + 400 * 60).values()
    assert sorted((s.start - T0, s.bad, s.total) for s in slots) == [(1800, 2, 2), (10_800, 1, 2), (18_000, 2, 2)]


def test_slots_that_are_over_are_read_as_far_back_as_they_go_and_with_the_largest_weight(store: Store) -> None:
    rule = Sustained("page", 86_400, 1800, 2, Decimal("0.5"))
    rows = [*paths(0, 2, 0, weight=50.0), *paths(31, 1, 0, weight=10.0)]
    rows += [row for number in range(2, 7) for row in paths(number * 30, 0, 1)]
    fill(store, make_slo(), rows)
    (slots,) = read_slots(store, [make_slo()], rule, T0 + 8 * 3600).values()
    assert slots == [Slot(int(T0) + number * 1800, 1, 1, 50.0) for number in range(6, 1, -1)]
    (later,) = read_slots(store, [make_slo()], rule, T0 + 86_400 + 100).values()
    assert later == [s._replace(weight=10.0) for s in slots]  # the first half hour is out of the window


def test_groups_beyond_the_bound_are_one(store: Store) -> None:
    """A dimension that explodes must not make as many alerts: the largest by themselves, open ones too, the rest together."""
    slo = make_slo(group_by="route", max_groups=3)
    rows = [row for n in range(12) for row in paths(0, n + 1, 1, route=f"/r{n:02d}")]
    fill(store, slo, rows)
    kept = Group(slo.name, "prod", "route", "/r00")
    found = read_windows(store, [slo], [300], T0 + 60, [kept])
    assert {g.value for g in found} == {"/r00", "/r11", "/r10", OTHER}
    other = found[Group(slo.name, "prod", "route", OTHER)][300]
    assert (other.bad, other.total) == (9, sum(n + 2 for n in range(1, 10)))
    assert len(read_windows(store, [make_slo(group_by="route", max_groups=50)], [300], T0 + 60)) == 12


def test_the_bound_is_that_of_each_environment(store: Store) -> None:
    """What is large in one environment, or has an alert there, takes no place of another one's."""
    slo = make_slo(group_by="tenant", max_groups=2)
    rows = [row for n, tenant in enumerate("wxyz") for row in paths(0, n + 1, 0, tenant=tenant)]
    fill(store, slo, [*rows, *paths(0, 9, 0, tenant="w", environment="test")])
    kept = [Group(slo.name, "test", "tenant", v) for v in ("w", "x")]
    assert {(g.environment, g.value) for g in read_windows(store, [slo], [300], T0 + 60, kept)} == {
        ("prod", "z"), ("prod", "y"), ("prod", OTHER), ("test", "w"),
    }  # fmt: skip


def test_slices_and_slots_keep_the_bound_too(store: Store) -> None:
    """Merchants by the thousand: the largest and those with an alert by themselves; the rest is judged as one."""
    slo = make_slo(group_by="tenant", max_groups=2)
    sliced = replace(slo, name="sliced", slice_seconds=300, slice_target=Decimal("0.5"))
    sync(store, [slo, sliced], 60, T0 - 60)
    rows = [row for n in range(8) for row in paths(0, n if n % 2 else 0, 1 + n, tenant=f"acct_{n}")]
    append_paths(store, rows)
    small = [Group(s.name, "prod", "tenant", "acct_1") for s in (slo, sliced)]
    found = read_windows(store, [slo, sliced], [300], T0 + 60, small)
    for one in (slo, sliced):
        assert {g.value for g in found if g.slo == one.name} == {"acct_1", "acct_7", OTHER}
    # acct_0, 2 to 6: 26 bad, 8 good.
    rest = found[Group("sliced", "prod", "tenant", OTHER)][300]
    assert (rest.bad, rest.total, rest.evidence) == (1, 1, (26, 26))
    rule = Sustained("page", 86_400, 1800, 3, Decimal("0.5"))
    slots = read_slots(store, [slo], rule, T0 + 60, small)
    assert {g.value: s for g, s in slots.items()} == {
        "acct_1": [Slot(int(T0), 2, 3)],
        "acct_7": [Slot(int(T0), 8, 15)],
        OTHER: [Slot(int(T0), 26, 34)],
    }


def test_slos_of_every_kind_are_read_together(store: Store) -> None:
    both = [make_slo(), make_slo(name="sliced", slice_seconds=60, slice_target=Decimal("0.5"), group_by="")]
    sync(store, both, 60, T0 - 60)
    append_paths(store, paths(0, 0, 5))
    found = read_windows(store, both, [600], T0 + 60)
    assert {g: (c[600].bad, c[600].total) for g, c in found.items()} == {
        FRA: (5, 5), Group("sliced", "prod", "", ""): (1, 10),
    }  # fmt: skip


def test_drills_touch_no_real_slo_and_real_paths_no_drill(store: Store) -> None:
    sync(store, [make_slo(), DRILL], 60, T0 - 60)
    append_paths(store, [*paths(0, 1, 1), *paths(0, 0, 4, environment="edgepath-drill", pop="d1")])
    found = read_windows(store, [make_slo(), DRILL], [600], T0 + 60)
    assert {(g.slo, g.environment, g.value): c[600].total for g, c in found.items()} == {
        ("edge-availability", "prod", "fra"): 2,
        ("edgepath-drill", "edgepath-drill", "d1"): 4,
    }


def test_a_hops_own_time_is_counted(store: Store) -> None:
    slo = make_slo(good=parse("gateway.self_ns < 50ms and api_arrival_ns < 1s"), total=parse("gateway.present"))
    hops: dict[str, Any] = {"hops.tier": ["edge", "gateway"], "hops.offset_ns": [0, 10**6]}
    rows = [
        path_row(**hops, **{"hops.self_ns": [10**9, 10**6]}),
        path_row(**hops, **{"hops.self_ns": [0, 10**8]}),
        path_row(**hops, **{"hops.self_ns": [0, 0]}, reached_api=False),
    ]
    fill(store, slo, rows)
    append_paths(store, [path_row()])
    counts = read_windows(store, [slo], [600], T0 + 60)[FRA][600]
    assert (counts.good, counts.total) == (1, 3)


def test_a_calendar_window_is_covered_by_what_has_passed_of_it(store: Store) -> None:
    from datetime import datetime  # noqa: PLC0415

    slo = make_slo(calendar=Calendar(1, "w", datetime(2096, 10, 8), "UTC"))  # noqa: DTZ001 - local by definition
    fill(store, slo, paths(-10_000, 1, 0))
    assert periods(store, [slo], T0)[slo.name].covered == pytest.approx((4 * 86_400 + 8 * 3600) / (7 * 86_400))
    assert periods(store, [make_slo(name="new")], T0)["new"].covered == 1.0


def test_a_bucket_of_several_rows_is_summed(store: Store) -> None:
    """As the parts of a table are before they are merged."""
    slo = make_slo()
    for later in (0, 20):
        sync(store, [slo], 60, T0 - 60 + later)
    store.execute("SYSTEM STOP MERGES sli_1m")
    try:
        for _ in range(3):
            append_paths(store, paths(0, 2, 1))
        series = read_series(store, [slo], T0 - 60, T0 + 60, 60)[FRA]
    finally:
        store.execute("SYSTEM START MERGES sli_1m")
    assert (series.good.tolist(), series.total.tolist()) == ([0, 6], [0, 9])


def test_backtest_budget_and_blame_keep_the_bound(store: Store) -> None:
    """All that reads by group: the largest two, and the rest as one, whose blame is that of none of the two."""
    slo = make_slo(group_by="tenant", max_groups=2)
    place = {"blamed_tier": "edge", "blamed_component": "envoy", "stored": (int(T0) - 3600) * 1000}
    rows = [row for n in range(6) for row in paths(0, 0, 1 + n, tenant=f"acct_{n}", blame_reason=f"r{n}", **place)]
    append_paths(store, rows)
    series = [read_series(store, [slo], T0 - 600, T0 + 600, 60)]  # out of the paths
    for later in (0, 20):
        sync(store, [slo], 60, T0 - 60 + later)
    series.append(read_series(store, [slo], T0 - 600, T0 + 600, 60))  # as counted
    for one in series:
        assert {g.value: s.total.sum() for g, s in one.items()} == {"acct_5": 6, "acct_4": 5, OTHER: 10}
    told = reports(store, slo, WORKBOOK, T0 + 600)
    assert {r.value: r.steps[0].bad for r in told} == {"acct_5": 6, "acct_4": 5, OTHER: 10}
    (rest,) = (r for r in told if r.value == OTHER)
    assert [b.value for b in rest.burners if b.dimension == "tenant"] == ["acct_3", "acct_2", "acct_1", "acct_0"]
    places, _ = blame(store, slo, Group(slo.name, "prod", "tenant", OTHER), T0 - 600, T0 + 600)
    assert [p.reason for p in places] == ["r3", "r2", "r1", "r0"]
    assert [
        p.reason for p in blame(store, slo, Group(slo.name, "prod", "tenant", "acct_5"), T0 - 600, T0 + 600)[0]
    ] == ["r5"]
