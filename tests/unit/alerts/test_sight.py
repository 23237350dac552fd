"""Blindness told apart: no traffic, no telemetry, a lagging pipeline, an empty SLI, ClickHouse away."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from alerts.notify import CallbackNotifier
from alerts.outage import Outage
from alerts.page import PageEvent
from alerts.sight import EVERYWHERE, Blind, Freshness, Place, empty_slis, goes_on, look, read_freshness
from alerts.watch import Watcher
from telemetry.errors import UnavailableError
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, FakeStore, append_paths, make_policy, make_slo, path_row, write

FRA, IAD = ("prod", "fra"), ("prod", "iad")


def fresh(**changes: Any) -> Freshness:
    """Two PoPs, both busy, everything in time."""
    good: dict[str, Any] = {
        "stored": T0, "arrived": T0 - 2, "recent": 900, "lag": 2.0, "places": {FRA: (3000, 500), IAD: (2000, 400)},
    }  # fmt: skip
    return Freshness(**(good | changes))


def causes(seen: Freshness, counted: Mapping[Place, float] | None = None) -> list[tuple[str, str, str]]:
    """(cause, severity, PoP) of what cannot be seen."""
    return [(b.cause, b.severity, b.pop) for b in look(seen, counted, T0)]


def test_nothing_is_said_when_all_is_seen() -> None:
    assert causes(fresh()) == []
    assert causes(fresh(places={})) == []


SILENT_FRA = fresh(places={FRA: (3000, 0), IAD: (2000, 400)})


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        ({FRA: 480.0, IAD: 400.0}, ("no-telemetry", "page", "fra")),
        ({FRA: 0.0, IAD: 400.0}, ("no-traffic", "ticket", "fra")),
        ({IAD: 400.0}, ("silent", "page", "fra")),
        (None, ("silent", "page", "fra")),
    ],
)
def test_a_silent_pop_is_told_apart_by_the_edges_own_counters(
    counted: Mapping[Place, float] | None, expected: tuple[str, str, str]
) -> None:
    assert causes(SILENT_FRA, counted) == [expected]


def test_silence_everywhere_is_one_alert() -> None:
    dead = fresh(recent=0, lag=0.0, stored=T0 - 700, arrived=T0 - 702, places={FRA: (3000, 0), IAD: (2000, 0)})
    assert causes(dead, {FRA: 10.0}) == [("no-telemetry", "page", "")]
    assert causes(dead, {FRA: 0.0}) == [("no-traffic", "page", "")]
    assert causes(dead, {}) == [("silent", "page", "")]
    assert causes(dead) == [("silent", "page", "")]
    assert "no counters of the edge to tell" in look(dead, None, T0)[0].text


def test_a_lagging_pipeline_is_neither() -> None:
    """PoPs look silent while the pipeline works off a backlog; that is one alert, and says how late it is."""
    late = fresh(arrived=T0 - 900, lag=900.0, places={FRA: (3000, 0), IAD: (2000, 0)})
    (blind,) = look(late, {FRA: 480.0}, T0)
    assert (blind.cause, blind.severity) == ("lagging", "page")
    assert "lags 15m 0s" in blind.text
    assert causes(fresh(lag=100.0)) == []


def test_a_pop_with_few_requests_may_be_silent_by_chance() -> None:
    assert causes(fresh(places={FRA: (59, 0), IAD: (2000, 400)})) == []


def test_an_sli_that_matches_nothing_while_paths_come() -> None:
    found = empty_slis(["a", "b"], {"a"}, fresh())
    assert [(b.cause, b.severity, b.slo) for b in found] == [("empty", "ticket", "b")]
    assert empty_slis(["a"], set(), fresh(recent=0)) == []


def test_only_data_ends_it() -> None:
    """After an hour of silence the hour before it is empty too: still silent."""

    def still(cause: str, seen: Freshness, pop: str = "fra", since: float = T0 - 7200) -> bool:
        group = Blind(cause, "page", "prod" if pop else "", pop, "").group
        return goes_on(group, seen, {"a"}, since, T0)

    assert still("silent", fresh(places={}))
    assert not still("silent", fresh())
    assert still("no-telemetry", fresh(recent=0, places={}), pop=EVERYWHERE[1])
    assert still("lagging", fresh(recent=0))
    assert not still("lagging", fresh())
    assert still("no-traffic", fresh(places={}))
    assert not still("no-traffic", fresh(places={}), since=T0 - 90_000)  # drained for good


def test_freshness_is_read_from_what_is_stored(store: Store) -> None:
    times = {"stored": int((T0 - 30) * 1000), "arrived": int((T0 - 33) * 1000)}
    append_paths(store, [path_row(start=int(T0 - 60) * 10**9, **times)] * 3)
    append_paths(store, [path_row(start=int(T0 - 1800) * 10**9, pop="iad", stored=int(T0 - 1790) * 1000)] * 2)
    append_paths(store, [path_row(start=int(T0 - 60) * 10**9, environment="edgepath-drill", pop="x", **times)])
    seen = read_freshness(store, T0)
    assert (seen.stored, seen.arrived, seen.recent) == (T0 - 30, T0 - 33, 3)
    assert seen.lag == pytest.approx(3.0)
    assert dict(seen.places) == {("prod", "fra"): (0, 3), ("prod", "iad"): (2, 0)}


def test_an_empty_store_is_read_without_an_error(store: Store) -> None:
    assert read_freshness(store, T0) == Freshness(0.0, 0.0, 0, 0.0, {})


class Seen(FakeStore):
    """A store that also answers what blindness is judged by."""

    freshness: Freshness = fresh()

    def query(self, sql: str, parameters: Any = None) -> Any:
        """As FakeStore, and the two queries of freshness."""
        result = super().query("FROM sli_1m min(bucket)", parameters)  # raises if it is broken
        if "quantileExactIf" in sql:
            f = self.freshness
            result.rows[:] = [(f.stored, f.arrived, f.recent, f.lag)]
            return result
        if "FROM path_1m" in sql:
            result.rows[:] = [(*place, *n) for place, n in self.freshness.places.items()]
            return result
        return super().query(sql, parameters)


class Blinking:
    """A watcher that looks for blindness, driven minute by minute on steady traffic."""

    def __init__(self, **options: Any) -> None:
        self.store, self.told, self.now = Seen(), list[PageEvent](), T0
        self.options: dict[str, Any] = {"sync_views": False, "blindness": True} | options
        self.watcher = self.start()

    def start(self) -> Watcher:
        """A new watcher, as after a restart."""
        policy = make_policy(delay_seconds=0, keep_firing_seconds=60)
        self.watcher = Watcher(self.store, [make_slo()], policy, [CallbackNotifier(self.told.append)], **self.options)
        return self.watcher

    def run(self, minutes: int) -> list[tuple[str, str, str]]:
        """(kind, cause, PoP) of what is told."""
        before = len(self.told)
        for _ in range(minutes):
            self.now += 60
            self.store.add(self.now, 100, 0)
            try:
                self.watcher.evaluate(self.now)
            except UnavailableError:
                continue
        return [(e.kind, e.cause, e.pop) for e in self.told[before:]]


def test_a_silent_pop_pages_once_and_resolves_on_data() -> None:
    blinking = Blinking(counters=lambda *_: {FRA: 300.0})
    assert blinking.run(3) == []
    blinking.store.freshness = SILENT_FRA
    assert blinking.run(2) == [("trigger", "no-telemetry", "fra")]
    blinking.store.freshness = fresh(places={IAD: (2000, 400)})
    assert blinking.run(60) == []
    blinking.store.freshness = fresh()
    assert blinking.run(3) == [("resolve", "no-telemetry", "fra")]
    page = blinking.told[0]
    assert page.summary == "PAGE fra: no telemetry of fra for 10 min: the edge counted 300 requests, none came here"
    assert page.text.endswith("runbook: docs/slo.md#runbook-blind")


def test_clickhouse_away_pages_after_a_minute_once_and_resolves(tmp_path: Path) -> None:
    blinking = Blinking(state_file=tmp_path / "watch.json")
    blinking.run(2)
    blinking.store.broken = UnavailableError("ClickHouse at db:9000 does not answer")
    assert blinking.run(1) == []
    assert blinking.run(5) == [("trigger", "unreachable", "")]
    assert "blind for 1m 0s, no SLO is evaluated: ClickHouse at db:9000 does not answer" in blinking.told[-1].text
    blinking.start()
    assert blinking.run(5) == [], "a restart during the outage must not page again"
    blinking.store.broken = None
    assert blinking.run(1) == [("resolve", "unreachable", "")]
    assert blinking.told[0].dedup_key == blinking.told[-1].dedup_key
    assert list(tmp_path.glob("*outage*")) == []


def test_a_short_outage_is_none(tmp_path: Path) -> None:
    outage = Outage(tmp_path / "o.json")
    assert outage.failed(T0, "x") is None
    assert outage.failed(T0 + 59, "x") is None
    assert outage.worked(T0 + 60) is None
    assert outage.failed(T0 + 61, "x") is None


def test_a_spoilt_outage_file_is_said_and_does_not_stop_the_watcher(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Outage(write(tmp_path / "o.json", "{")).told is None
    assert "an outage that goes on may page again" in caplog.text
