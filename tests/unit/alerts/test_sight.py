"""Blindness told apart: no traffic, no telemetry, a lagging pipeline, an empty SLI, ClickHouse away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from alerts.burnrate import Rule
from alerts.edge_counters import EdgeCounters
from alerts.notify import CallbackNotifier
from alerts.outage import Outage
from alerts.page import PageEvent
from alerts.sight import (
    BEFORE_SECONDS,
    COUNTED_SECONDS,
    EVERYWHERE,
    WINDOW_SECONDS,
    Blind,
    Doubt,
    Freshness,
    Place,
    doubtful,
    doubts,
    empty_slis,
    goes_on,
    look,
    read_freshness,
)
from alerts.slos.model import Alerting, Slo
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


def test_a_pipeline_that_stands_still_is_told_apart_from_silence() -> None:
    """Neither paths nor metrics are stored any more, though both were; told later where there was little traffic."""
    stopped = fresh(recent=300, stored=T0 - 200, arrived=T0 - 202, points=T0 - 230.0)
    (blind,) = look(stopped, {FRA: 0.0}, T0)
    assert (blind.cause, blind.severity, blind.pop) == ("lagging", "page", "")
    assert "nothing has been stored for 3m 20s, neither paths nor metrics" in blind.text
    assert causes(replace(stopped, stored=T0 - 170)) == []
    assert causes(replace(stopped, points=T0 - 20)) == [], "metrics come: it does not stand still"
    assert causes(replace(stopped, points=0.0)) == [], "nobody knows without metrics"
    few = replace(stopped, places={FRA: (100, 3)})
    assert causes(few) == []
    assert causes(replace(few, stored=T0 - 700, points=T0 - 601, recent=0)) == [("lagging", "page", "")]
    night = replace(stopped, places={FRA: (3, 0)})
    assert causes(night) == []


def test_it_stands_still_until_something_is_stored() -> None:
    """Metrics alone end it too: then it is silence of another kind."""

    def still(seen: Freshness) -> bool:
        return goes_on(Blind("lagging", "page", "", "", "").group, seen, set(), T0 - 7200, T0)

    stopped = fresh(recent=0, lag=0.0, stored=0.0, arrived=0.0, places={})
    assert still(stopped)
    assert still(replace(stopped, points=T0 - 4000))
    assert not still(replace(stopped, points=T0 - 10))
    assert not still(replace(stopped, recent=5))


def test_a_pop_with_few_requests_may_be_silent_by_chance() -> None:
    assert causes(fresh(places={FRA: (59, 0), IAD: (2000, 400)})) == []


def test_what_counts_requests_and_has_few_paths_is_doubted() -> None:
    seen = fresh(places={FRA: (59, 0), IAD: (2000, 0), ("prod", "ams"): (10, 1)})
    counted = {FRA: 5.0, IAD: 5.0, ("prod", "ams"): 5.0, ("prod", "lhr"): 1.0, ("prod", "cdg"): 0.0}
    assert doubtful(seen, counted) == [FRA, ("prod", "lhr")]
    assert doubtful(seen, None) == []


@pytest.mark.parametrize(
    ("doubt", "lost"),
    [
        (Doubt(59, 1e6, 1.2e5), False),  # as in eight minutes of 70
        (Doubt(59, 1e6, 2.2e5), True),
        (Doubt(40, 1e6, 2.0e5), False),
        (Doubt(40, 1e6, 3.0e5), True),
        (Doubt(3, 1e6, 9.0e5), False),
        (Doubt(3, 0.0, 0.0), False),
        (Doubt(3, 5.0, 5.0), False),  # the edge has counted none of the three: its counters began later
        (Doubt(3, 7.0, 5.0), False),
        (Doubt(3, 150_002.0, 150_000.0), True),
        (Doubt(0, 149_000.0, 149_000.0), False),  # one in 10,000 may be kept
        (Doubt(0, 150_000.0, 150_000.0), True),
    ],
)
def test_requests_that_the_edge_counts_make_silence_implausible(doubt: Doubt, lost: bool) -> None:
    assert doubt.lost == lost
    found = look(fresh(places={FRA: (doubt.stored, 0), IAD: (2000, 400)}), {FRA: 9e4}, T0, {FRA: doubt})
    assert [(b.cause, b.severity, b.pop) for b in found] == [("no-telemetry", "page", "fra")] * lost


def test_all_that_count_and_left_nothing_are_one_alert() -> None:
    """A watcher that was started an hour after the last path knows of none."""
    nothing = fresh(recent=0, lag=0.0, stored=0.0, arrived=0.0, places={})
    lost = Doubt(0, 1e6, 1e6)
    assert [b.pop for b in look(nothing, {FRA: 1e5, IAD: 1e5}, T0, {FRA: lost, IAD: lost})] == [""]
    assert [b.pop for b in look(nothing, {FRA: 1e5}, T0, {FRA: lost})] == ["fra"]


@pytest.mark.parametrize("per_minute", [2200, 6000, 9000])
def test_a_pop_of_which_few_requests_are_kept_is_doubted_and_not_taken_for_lost(per_minute: int) -> None:
    """A month in which one request in 10,000 is kept: silent for ten minutes again and again."""
    random, keep, minutes, alarms = Random(11), 1e-4, 30 * 1440, 0
    span = (WINDOW_SECONDS + BEFORE_SECONDS) // 60
    kept = [sum(random.random() < per_minute * keep / 20 for _ in range(20)) for _ in range(minutes)]
    for now in range(span, minutes):
        if any(kept[now - 10 : now]) or sum(before := kept[now - span : now - 10]) >= 60:
            continue
        last = max((i for i, n in enumerate(before) if n), default=-1) + 1
        alarms += Doubt(sum(before), span * per_minute, (span - last) * per_minute).lost
    assert alarms == 0


def test_doubts_are_read_from_paths_and_counters(store: Store) -> None:
    for minutes in (60, 50, 30):
        append_paths(store, [path_row(start=int(T0 - minutes * 60) * 10**9)] * 2)
    asked = []

    def counters(start: float, end: float) -> Mapping[Place, float]:
        asked.append((start, end))
        return {FRA: end - start, IAD: 7.0}

    seen = read_freshness(store, T0)
    assert doubts(store, counters, seen, [], T0) == {}
    found = doubts(store, counters, seen, [FRA, IAD], T0)
    assert found == {FRA: Doubt(6, 4200.0, 1620.0), IAD: Doubt(0, 7.0, 7.0)}
    assert sorted(asked) == [(T0 - 4200, T0 - 3600), (T0 - 4200, T0), (T0 - 1620, T0)]


def test_metrics_without_a_pop_are_no_pop_without_telemetry() -> None:
    """Of an edge whose metrics do not say where it is the paths come, and do."""
    seen = fresh(places={FRA: (3000, 500)})
    for place in (("prod", ""), ("", "fra"), ("", "")):
        assert doubtful(seen, {place: 9e4}) == []
    assert doubtful(seen, {("prod", "lhr"): 9e4, ("test", ""): 9e4}) == [("prod", "lhr"), ("test", "")]
    dark = fresh(places={FRA: (3000, 0), ("prod", ""): (5, 0)})
    assert doubtful(dark, {("prod", ""): 9e4}) == [("prod", "")]


def counted_by_edges(store: Store, counts: Mapping[float, int], began: float) -> EdgeCounters:
    """Counters of one edge in fra that has been there since ``began``: what it had counted at some times."""
    points = [
        f"({int(at)}, {int(began)}, {int(at)}, 'http.server.request.duration', 'cumulative', 'prod', 'edge', 'fra', {n})"
        for at, n in counts.items()
    ]
    names = "time, start_time, stored, metric, temporality, environment, tier, pop, count"
    store.execute(f"INSERT INTO metric_points ({names}) VALUES {', '.join(points)}")
    return EdgeCounters(store)


def found(store: Store, counters: EdgeCounters, now: float) -> list[str]:
    """Causes of what cannot be seen, as the watcher finds them."""
    seen = replace(read_freshness(store, now), points=now)
    counted = counters(now - COUNTED_SECONDS, now)
    return [b.cause for b in look(seen, counted, now, doubts(store, counters, seen, doubtful(seen, counted), now))]


@pytest.mark.parametrize("export", [30, 60, 120])
def test_requests_of_the_newest_paths_are_none_since(store: Store, export: int) -> None:
    """Counters come up to two minutes later. A burst of thirty requests, three of them kept, then one every two minutes."""
    for at in (T0 - 850, T0 - 849, T0 - 848):
        append_paths(store, [path_row(start=int(at) * 10**9, stored=int(at) * 1000, arrived=int(at) * 1000)])

    def total(at: float) -> int:
        return 0 if at < T0 - 840 else 30 + max(0, int(at - T0 + 840) // 120)

    times = range(int(T0) - 5000 + export - 11, int(T0) + 1, export)
    counters = counted_by_edges(store, {at: total(at) for at in times}, T0 - 90_000)
    assert found(store, counters, T0) == []


@pytest.mark.parametrize(("silent_minutes", "expected"), [(14, []), (22, ["no-telemetry"])])
def test_telemetry_that_is_lost_where_few_requests_are_kept_is_found(
    store: Store, silent_minutes: int, expected: list[str]
) -> None:
    """59 paths an hour, of 100 requests a minute, which go on."""
    for at in range(int(T0) - 5000, int(T0) - silent_minutes * 60, 61):
        append_paths(store, [path_row(start=at * 10**9, stored=at * 1000, arrived=at * 1000)])
    times = range(int(T0) - 6000, int(T0) + 1, 60)
    counters = counted_by_edges(store, {at: (at - int(T0) + 9000) * 100 // 60 for at in times}, T0 - 9000)
    assert found(store, counters, T0) == expected


def test_paths_are_not_held_against_counters_that_began_after_them(store: Store) -> None:
    """An edge that sends metrics since a quarter of an hour; of 100 requests a minute less than one is kept."""
    for minutes in range(12, 70, 2):
        at = int(T0) - minutes * 60
        append_paths(store, [path_row(start=at * 10**9, stored=at * 1000, arrived=at * 1000)])
    times = range(int(T0) - 900, int(T0) + 1, 60)
    counters = counted_by_edges(store, {at: (at - int(T0) + 960) // 60 * 100 for at in times}, T0 - 960)
    assert found(store, counters, T0) == []


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


def test_restated_paths_are_counted_once(store: Store) -> None:
    """A row that takes an old path back repeats its arrival: it must not look as if the pipeline lagged."""
    old = {"start": int(T0 - 2000) * 10**9, "arrived": int(T0 - 1990) * 1000, "trace_id": b"\x07" * 16}
    append_paths(store, [path_row(**old, stored=int(T0 - 1980) * 1000)])
    now = {"stored": int((T0 - 30) * 1000)}
    append_paths(
        store,
        [
            path_row(**old, **now, sign=-1),
            path_row(**(old | {"arrived": int((T0 - 33) * 1000)}), **now, version=2),
        ],
    )
    seen = read_freshness(store, T0)
    assert (seen.recent, seen.stored) == (1, T0 - 30)
    assert seen.lag == pytest.approx(3.0)
    assert dict(seen.places) == {("prod", "fra"): (1, 0)}


def test_when_metrics_were_stored(store: Store) -> None:
    """Of whatever component; not those of long ago."""
    for at, stored in ((T0 - 5000, T0 - 10), (T0 - 700, T0 - 600), (T0 - 400, T0 - 300)):
        store.execute(f"INSERT INTO metric_points (time, stored, metric) VALUES ({at}, {stored}, 'any')")
    assert read_freshness(store, T0).points == T0 - 300


def test_traffic_that_ends_is_never_taken_for_telemetry_that_is_lost(store: Store) -> None:
    """Counters come a minute late and silence is told by the minute; from the last request on, minute by minute."""
    end = int(T0)
    for at in range(end - 3000, end, 20):
        append_paths(store, [path_row(start=at * 10**9, stored=at * 1000, arrived=at * 1000)])
    points = [
        f"({at}, {end - 9000}, {at}, 'http.server.request.duration', 'cumulative', 'prod', 'edge', 'fra', {min(at, end)})"
        for at in range(end - 3000, end + 2000, 60)
    ]
    names = "time, start_time, stored, metric, temporality, environment, tier, pop, count"
    store.execute(f"INSERT INTO metric_points ({names}) VALUES {', '.join(points)}")
    counters = EdgeCounters(store)
    found = []
    for now in range(end, end + 1200, 15):
        seen = replace(read_freshness(store, now), points=float(now))
        found += [blind.cause for blind in look(seen, counters(now - COUNTED_SECONDS, now), now)]
    assert set(found) == {"no-traffic"}
    assert len(found) > 30


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
        if "max(minute)" in sql:
            result.rows.clear()
            return result
        if "FROM path_1m" in sql:
            result.rows[:] = [(*place, *n) for place, n in self.freshness.places.items()]
            return result
        return super().query(sql, parameters)


class Blinking:
    """A watcher that looks for blindness, driven minute by minute on steady traffic."""

    def __init__(self, slos: Sequence[Slo] = (make_slo(),), **options: Any) -> None:
        self.store, self.told, self.now = Seen(), list[PageEvent](), T0
        self.options: dict[str, Any] = {"sync_views": False, "blindness": True} | options
        self.slos = slos
        self.watcher = self.start()

    def start(self) -> Watcher:
        """A new watcher, as after a restart."""
        policy = make_policy(delay_seconds=0, keep_firing_seconds=60)
        self.watcher = Watcher(self.store, self.slos, policy, [CallbackNotifier(self.told.append)], **self.options)
        return self.watcher

    def run(self, minutes: int) -> list[tuple[str, str, str]]:
        """(kind, cause, PoP) of what is told."""
        before = len(self.told)
        for _ in range(minutes):
            self.now += 60
            self.store.add(self.now, 100, 0)
            try:
                self.watcher.evaluate(self.now)
            except (UnavailableError, ZeroDivisionError):
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
    told = "no telemetry of fra for 10 min: the edge counted 300 requests in the last 7 min, none came here"
    assert page.summary == f"PAGE fra: {told}"
    assert page.text.endswith("runbook: docs/slo.md#runbook-blind")


def test_a_pop_with_few_paths_pages_when_its_edge_counts_too_many_requests() -> None:
    """A request in ten minutes would have been kept, and the edge counts on."""
    blinking = Blinking(counters=lambda start, end: {FRA: (end - start) * 100, IAD: 300.0})
    blinking.store.freshness = fresh(places={IAD: (2000, 400)})
    assert blinking.run(2) == [("trigger", "no-telemetry", "fra")]


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


def test_a_policy_may_tell_of_no_data_alone() -> None:
    """alertWhenBreaching: false with alertWhenNoData: true: its windows are read, though no rule of it ever fires."""
    only = Alerting("quiet", Rule("page", 900, 120, Decimal(1)), (), when_breaching=False, when_no_data=True)
    blinking = Blinking([make_slo(alerting=(only,)), make_slo(name="other", alerting=(only,))])
    assert ("trigger", "no-data", "") in blinking.run(3)
    assert [e.slo for e in blinking.told if e.cause == "no-data"] == ["other"]


@pytest.mark.parametrize("cause", ["empty", "no-data"])
def test_what_could_not_be_seen_of_an_slo_ends_with_it(tmp_path: Path, cause: str) -> None:
    policy = Alerting("quiet", Rule("page", 900, 120, Decimal(1)), (), when_no_data=True)
    other = make_slo(name="other", alerting=(policy,) if cause == "no-data" else ())
    blinking = Blinking([make_slo(), other], state_file=tmp_path / "watch.json")
    assert ("trigger", cause, "") in blinking.run(3)
    blinking.slos = [make_slo()]
    blinking.start()
    assert blinking.run(3) == []
    assert ("resolve", cause, "") in blinking.run(3)
    assert blinking.watcher.open_events() == []


def test_a_defect_is_a_failed_evaluation() -> None:
    """Nobody is paged about SLOs meanwhile: that is told as any other blindness."""
    blinking = Blinking()
    blinking.run(2)
    blinking.store.broken = ZeroDivisionError("bug")
    assert blinking.run(3) == [("trigger", "unreachable", "")]
    assert "no SLO is evaluated: ZeroDivisionError: bug" in blinking.told[-1].text
    assert blinking.watcher.work.failures == 3
    blinking.store.broken = None
    assert blinking.run(1) == [("resolve", "unreachable", "")]


def test_a_short_outage_is_none(tmp_path: Path) -> None:
    outage = Outage(tmp_path / "o.json")
    assert not outage.due(T0)
    assert not outage.due(T0 + 59)
    assert outage.worked(T0 + 60) == (None, None)
    assert not outage.due(T0 + 61)


def test_a_spoilt_outage_file_is_said_and_does_not_stop_the_watcher(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Outage(write(tmp_path / "o.json", "{")).told is None
    assert "an outage that goes on may page again" in caplog.text
