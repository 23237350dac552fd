"""The watcher: decisions over time with a store of counts, and once on the real engine."""

import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alerts.burnrate import Policy, Rule
from alerts.notify import CallbackNotifier
from alerts.page import PageEvent
from alerts.watch import Watcher
from telemetry.errors import ConfigurationError, StoreError, UnavailableError
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import (
    DEMO,
    T0,
    WORKBOOK,
    FakeStore,
    append_paths,
    make_policy,
    make_slo,
    path_row,
    write,
)


class Traffic:
    """A watcher on steady traffic of a few PoPs, driven second by second."""

    def __init__(self, policy: Policy = DEMO, **options: Any) -> None:
        self.store = FakeStore()
        self.told: list[PageEvent] = []
        self.policy = policy
        self.options: dict[str, Any] = {"sync_views": False, "base_url": "http://edgepath.test"} | options
        self.now = T0
        self.watcher = self.start()

    def start(self) -> Watcher:
        """A new watcher, as after a restart."""
        self.watcher = Watcher(
            self.store,
            [make_slo()],
            self.policy,
            [CallbackNotifier(self.told.append)],
            **self.options,
        )
        return self.watcher

    def run(self, seconds: int, *, bad: float = 0, pops: tuple[str, ...] = ("fra", "iad")) -> list[PageEvent]:
        """So many seconds; ``bad`` is the share of fra's requests that fail."""
        events = []
        for _ in range(seconds):
            for pop in pops:
                share = bad if pop == "fra" else 0
                self.store.add(self.now, 50 * (1 - share), 50 * share, pop=pop)
            self.now += 1
            events += self.watcher.evaluate(self.now)
        return events


def test_an_incident_is_one_page_and_one_resolve() -> None:
    traffic = Traffic()
    assert traffic.run(60) == []
    (page,) = traffic.run(40, bad=0.36)
    assert page.kind == "trigger"
    assert page.at - (T0 + 60) <= 30
    assert (page.slo, page.pop, page.tier, page.severity) == ("edge-availability", "fra", "edge", "page")
    assert page.dedup_key == "edgepath/edge-availability/prod/pop/fra/page"
    assert (page.long_seconds, page.short_seconds, page.factor) == (30, 10, "50")
    assert page.error_ratio > 0.05
    assert page.short_burn == pytest.approx(page.error_ratio / 0.001)
    assert page.budget_left is not None
    assert 0.99 < page.budget_left < 1  # a minute and a half is little of 30 days
    assert page.trace_ids == ("00" * 16,)
    assert page.dashboard_url.startswith("http://edgepath.test/d/edgepath-overview?var-pop=fra&from=")
    assert traffic.watcher.open_events() == [page]
    (resolve,) = traffic.run(60)
    assert (resolve.kind, resolve.dedup_key, resolve.started) == ("resolve", page.dedup_key, page.at)
    assert resolve.at - (T0 + 100) <= 25
    assert resolve.blame == page.blame
    assert traffic.told == [page, resolve]
    assert traffic.watcher.open_events() == []


def test_a_dead_pop_keeps_its_page_until_data_says_otherwise() -> None:
    traffic = Traffic()
    traffic.run(30)
    assert len(traffic.run(40, bad=0.36)) == 1
    assert traffic.run(300, pops=("iad",)) == []
    assert len(traffic.watcher.open_events()) == 1
    assert [e.value for e in traffic.watcher.without_data()] == ["fra"]
    assert [e.kind for e in traffic.run(40)] == ["resolve"]


def test_a_store_that_does_not_answer_changes_nothing() -> None:
    traffic = Traffic()
    traffic.run(40, bad=0.36)
    traffic.store.broken = UnavailableError("away")
    for _ in range(50):
        traffic.now += 1
        with pytest.raises(UnavailableError):
            traffic.watcher.evaluate(traffic.now)
    assert len(traffic.watcher.open_events()) == 1
    traffic.store.broken = None
    assert [e.kind for e in traffic.run(40)] == ["resolve"]


def test_a_page_goes_out_without_its_blame_if_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    traffic = Traffic()
    traffic.store.blame_broken = StoreError("no memory", 241)
    (page,) = traffic.run(40, bad=0.36)
    assert (page.blame, page.tier) == ((), "")
    assert "pages without its blame" in caplog.text


def test_a_restart_neither_pages_again_nor_forgets_to_resolve(tmp_path: Path) -> None:
    traffic = Traffic(state_file=tmp_path / "data" / "watch.json")
    (page,) = traffic.run(40, bad=0.36)
    traffic.start()
    assert traffic.watcher.open_events() == [page]
    assert traffic.run(20, bad=0.36) == []
    traffic.start()
    (resolve,) = traffic.run(60)
    assert (resolve.kind, resolve.started, resolve.blame) == ("resolve", page.started, page.blame)
    traffic.start()
    assert traffic.watcher.open_events() == []
    assert list((tmp_path / "data").iterdir()) == [tmp_path / "data" / "watch.json"]


def test_the_hysteresis_survives_a_restart(tmp_path: Path) -> None:
    traffic = Traffic(make_policy(keep_firing_seconds=20), state_file=tmp_path / "watch.json")
    (page,) = traffic.run(40, bad=0.36)
    assert traffic.run(22) == []
    traffic.start()
    assert [e.kind for e in traffic.run(10)] == ["resolve"]
    assert page.kind == "trigger"


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2, "open": []}', '{"version": 1, "open": [{}]}', "[]"])
def test_a_state_file_that_is_none_is_refused_with_the_mend(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "watch.json", text)
    with pytest.raises(ConfigurationError, match="move it away, and open alerts will page again"):
        Watcher(FakeStore(), [make_slo()], DEMO, state_file=path)


def test_a_state_that_cannot_be_written_stops_no_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocker = write(tmp_path / "file", "")
    traffic = Traffic()
    traffic.watcher._memory._path = blocker / "watch.json"  # type: ignore[attr-defined]  # a directory that cannot be made
    assert len(traffic.run(40, bad=0.36)) == 1
    assert "a restart would page again" in caplog.text


def test_an_slo_that_is_taken_away_closes_what_it_opened(tmp_path: Path) -> None:
    traffic = Traffic(state_file=tmp_path / "watch.json")
    traffic.run(40, bad=0.36)
    left = Watcher(traffic.store, [make_slo(name="other")], DEMO, sync_views=False, state_file=tmp_path / "watch.json")
    events = [event for second in range(1, 400, 15) for event in left.evaluate(traffic.now + second)]
    assert [(event.kind, event.slo) for event in events] == [("resolve", "edge-availability")]
    assert events[0].at - traffic.now <= 300
    kept = json.loads((tmp_path / "watch.json").read_text())
    assert (kept["alerts"], kept["incidents"], kept["outbox"], kept["known"]) == ([], [], [], [])


def test_after_a_long_stop_what_nobody_knows_is_closed_at_once(tmp_path: Path) -> None:
    traffic = Traffic(state_file=tmp_path / "watch.json")
    traffic.run(40, bad=0.36)
    left = Watcher(traffic.store, [make_slo(name="other")], DEMO, sync_views=False, state_file=tmp_path / "watch.json")
    assert [event.kind for event in left.evaluate(traffic.now + 3600)] == ["resolve"]


def test_groups_and_severities_are_alerts_of_their_own() -> None:
    rules = (Rule("page", 30, 10, Decimal(50)), Rule("ticket", 60, 30, Decimal(2)))
    traffic = Traffic(make_policy(rules=rules))
    store = traffic.store
    for second in range(60):
        store.add(T0 + second, 50, 50, pop="fra")
        store.add(T0 + second, 99, 1, pop="iad")
        store.add(T0 + second, 50, 50, pop="fra", environment="test")
        store.add(T0 + second, 100, 0, pop="sin")
    events = traffic.watcher.evaluate(T0 + 60)
    assert {(e.environment, e.value, e.severity) for e in events} == {
        ("prod", "fra", "page"), ("prod", "fra", "ticket"), ("prod", "iad", "ticket"),
        ("test", "fra", "page"), ("test", "fra", "ticket"),
    }  # fmt: skip
    assert len({e.dedup_key for e in events}) == 5


def test_evaluation_is_one_query_when_nothing_changes() -> None:
    traffic = Traffic()
    traffic.run(30)
    before = len(traffic.store.statements)
    traffic.run(10)
    assert len(traffic.store.statements) == before + 10


def test_what_is_read_once_a_minute_is_read_on_when_the_clock_is_set_back() -> None:
    """Long windows, slots and what blindness is judged by; they must not stand still for as long as the clock was off."""
    store = FakeStore()
    watcher = Watcher(store, [make_slo()], WORKBOOK, sync_views=False, blindness=True)

    def reads(start: float) -> list[int]:
        asked = len(store.statements)
        for second in range(0, 600, 15):
            watcher.evaluate(start + second)
        new = store.statements[asked:]  # short windows are read by each of the 40 evaluations
        slots = sum("groupArray((slot" in s for s in new)
        windows = sum("good_w" in s for s in new)
        return [slots, windows - 40, sum("quantileExactIf" in s for s in new)]

    assert reads(T0) == [10, 10, 10]
    assert reads(T0 - 7200) == [10, 10, 10]


def test_a_broken_notifier_keeps_no_page_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: PageEvent) -> None:
        raise RuntimeError("bug")

    told: list[PageEvent] = []
    store = FakeStore()
    for second in range(30):
        store.add(T0 + second, 10, 10)
    notifiers = [CallbackNotifier(broken), CallbackNotifier(told.append)]
    watcher = Watcher(store, [make_slo()], DEMO, notifiers, sync_views=False)
    with caplog.at_level(logging.ERROR):
        watcher.evaluate(T0 + 30)
    assert len(told) == 1
    assert "a notifier failed" in caplog.text
    watcher.close()


def test_factors_follow_the_slos_own_period() -> None:
    """14.4 for 30 days is 3.36 for 7: 0.5 % of errors pages a weekly SLO only."""
    store = FakeStore()
    for second in range(60):
        store.add(T0 + second, 995, 5)
        store.add(T0 + second, 995, 5, slo="weekly")
    slos = [make_slo(), make_slo(name="weekly", period_seconds=7 * 86_400)]
    events = Watcher(store, slos, make_policy(), sync_views=False).evaluate(T0 + 60)
    assert [(e.slo, e.factor) for e in events] == [("weekly", "3.36")]


def test_on_the_real_engine_from_paths_to_page_and_resolve(store: Store) -> None:
    """Rows of request_paths in, a page with its blame out, through views that the watcher makes itself."""
    told: list[PageEvent] = []
    watcher = Watcher(store, [make_slo()], DEMO, [CallbackNotifier(told.append)])
    blamed = {"blamed_tier": "edge", "blamed_component": "envoy-fra", "blamed_pop": "fra", "blame_reason": "UF"}
    watcher.evaluate(T0)
    for second in range(0, 120, 4):
        now = T0 + second
        common = {"start": int(now) * 10**9, "total_ns": 0, "stored": int(now * 1000)}
        rows = [path_row(pop=pop, **common) for pop in ("fra", "iad") for _ in range(10)]
        if 40 <= second < 80:
            rows += [path_row(outcome="edge_error", **common, **blamed) for _ in range(6)]
        append_paths(store, rows)
        watcher.evaluate(now + 1)
    assert [(e.kind, e.pop, e.tier) for e in told] == [("trigger", "fra", "edge"), ("resolve", "fra", "edge")]
    assert told[0].at - (T0 + 40) <= 30
    assert told[1].at - (T0 + 80) <= 25
    assert told[0].summary.endswith("edge envoy-fra UF")
    assert len(told[0].trace_ids) == 3
    total = store.query("SELECT sum(total_paths) FROM sli_1m").scalar()
    assert total == store.query("SELECT count() FROM request_paths").scalar()


@pytest.mark.parametrize("lag", [1, 6, 12])
@pytest.mark.parametrize("phase", [0, 2.5, 4])
def test_the_demo_survives_failed_paths_that_close_late(lag: float, phase: float) -> None:
    """A failed path never gets complete and closes after the grace, long after good ones of its time: no flapping."""
    store = FakeStore()
    watcher = Watcher(store, [make_slo()], DEMO, sync_views=False)
    start, stop = T0 + 30 + phase, T0 + 90 + phase
    events: list[PageEvent] = []
    for second in range(160):
        now = T0 + second
        store.add(now - 0.5, 13 if start <= now < stop else 20, 0)
        if start <= now - lag < stop:
            store.add(now - lag, 0, 7)
        events += watcher.evaluate(now)
    assert [e.kind for e in events] == ["trigger", "resolve"]
    assert events[0].at - start <= 30
    assert events[1].at - stop <= 25


def test_a_view_that_another_watcher_dropped_comes_back(store: Store) -> None:
    """One with older files that starts while newer ones are rolled out drops the views that it does not know."""

    def views() -> int:
        return int(
            store.query(
                "SELECT count() FROM system.tables WHERE engine = 'MaterializedView' AND name LIKE 'sli_1m%'"
            ).scalar()
        )

    now = T0 - 3600.0
    newer = Watcher(store, [make_slo(), make_slo(name="new")], DEMO)
    for _ in range(8):
        newer.evaluate(now)
        now += 15
    assert views() == 2
    Watcher(store, [make_slo()], DEMO).evaluate(now)
    assert views() == 1
    for _ in range(5):
        newer.evaluate(now)
        now += 15
    assert views() == 2
    newer.close()
