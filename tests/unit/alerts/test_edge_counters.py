"""The edge's own counts, out of stored metric points."""

from typing import Any

import pytest

from alerts.edge_counters import EdgeCounters
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0


@pytest.fixture
def points(store: Store) -> Store:
    """The store, without metric points."""
    return store


def add(store: Store, at: float, count: int, **changes: Any) -> None:
    """A point of a histogram."""
    row: dict[str, Any] = {
        "metric": "http.server.request.duration", "tier": "edge", "environment": "prod", "pop": "fra", "component": "envoy",
        "instance": "a", "temporality": "cumulative", "start": T0 - 86_400,
    }  # fmt: skip
    row |= changes
    store.execute(
        "INSERT INTO metric_points (time, start_time, metric, type, temporality, environment, tier, component, pop, instance, "
        f"count) VALUES ({at}, {row['start']}, '{row['metric']}', 'histogram', '{row['temporality']}', "
        f"'{row['environment']}', '{row['tier']}', '{row['component']}', '{row['pop']}', '{row['instance']}', {count})"
    )


def test_cumulative_and_delta_points_are_requests_of_the_window(points: Store) -> None:
    for at, count in ((T0 - 500, 100), (T0 - 100, 160)):
        add(points, at, count)
    add(points, T0 - 50, 7, instance="b", start=T0 - 60)  # restarted: counts from 0
    add(points, T0 - 400, 30, pop="iad", temporality="delta")
    add(points, T0 - 300, 5, pop="iad", temporality="delta")
    assert EdgeCounters(points)(T0 - 600, T0) == {("prod", "fra"): 67.0, ("prod", "iad"): 35.0}


def test_a_series_rises_from_its_last_point_before(points: Store) -> None:
    """Else what came between that one and the first in the window would be missing; and one point alone would be no rise."""
    for at, count in ((T0 - 700, 50), (T0 - 500, 100), (T0 - 100, 160)):
        add(points, at, count)
    add(points, T0 - 601, 1000, pop="iad")
    add(points, T0 - 10, 1003, pop="iad")
    add(points, T0 - 1300, 5, pop="sin")  # too long ago: from the first point in the window
    add(points, T0 - 100, 90, pop="sin")
    add(points, T0 - 10, 95, pop="sin")
    add(points, T0 - 700, 9, pop="gone")
    assert EdgeCounters(points)(T0 - 600, T0) == {("prod", "fra"): 110.0, ("prod", "iad"): 3.0, ("prod", "sin"): 5.0}


def test_a_point_that_was_sent_twice_counts_once(points: Store) -> None:
    for at, count in ((T0 - 500, 100), (T0 - 100, 160), (T0 - 100, 160)):
        add(points, at, count)
    assert EdgeCounters(points)(T0 - 600, T0) == {("prod", "fra"): 60.0}


def test_envoys_own_counter(points: Store) -> None:
    """Its sum of requests, listener by listener; those to its admin page are none."""
    names = "time, start_time, metric, type, temporality, environment, tier, pop, value, attributes"
    rows = [
        f"({at}, 7, 'http.downstream_rq_total', 'sum', 'cumulative', 'prod', 'edge', 'fra', {value}, "
        f"map('envoy.http_conn_manager_prefix', '{listener}'))"
        for listener, values in (("edge", (50, 100, 160)), ("other", (7, 7, 9)), ("admin", (0, 40, 80)))
        for at, value in zip((T0 - 700, T0 - 500, T0 - 100), values, strict=True)
    ]
    points.execute(f"INSERT INTO metric_points ({names}) VALUES {', '.join(rows)}")
    assert EdgeCounters(points)(T0 - 600, T0) == {("prod", "fra"): 112.0}


def test_an_edge_that_counts_nothing_is_0_and_one_that_sends_nothing_is_not_known(points: Store) -> None:
    assert EdgeCounters(points)(T0 - 600, T0) is None
    add(points, T0 - 500, 100)
    add(points, T0 - 100, 100)
    add(points, T0 - 100, 900, tier="api", pop="sin")
    add(points, T0 - 100, 900, metric="other", pop="sin")
    assert EdgeCounters(points)(T0 - 600, T0) == {("prod", "fra"): 0.0}
