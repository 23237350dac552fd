"""Two watchers while ClickHouse is away, and what a watcher answers over HTTP."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from alerts.memory import State
from alerts.notify import CallbackNotifier
from alerts.page import PageEvent
from alerts.peer_http import asking
from alerts.peers import Ask, Stage, Standing
from alerts.watch import Watcher
from telemetry.app.watch_view import observed
from telemetry.errors import UnavailableError
from tests.unit.alerts.alerts_support import T0, FakeStore, make_policy, make_slo

AWAY = UnavailableError("ClickHouse at db:9000 does not answer")


class Two:
    """Two watchers with stores of their own, which know each other, driven a quarter of a minute at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = float(T0)
        self.stores = [FakeStore(), FakeStore()]
        self.told: list[list[PageEvent]] = [[], []]
        self.running = [True, True]
        self.watchers = [self.start(0), self.start(1)]

    def start(self, me: int) -> Watcher:
        """A new process."""

        def ask() -> Standing | None:
            return self.watchers[1 - me].standing(self.now) if self.running[1 - me] else None

        return Watcher(
            self.stores[me], [make_slo()], make_policy(delay_seconds=0), [CallbackNotifier(self.told[me].append)],
            sync_views=False, blindness=True, state_file=self.folder / f"{me}.json", peers=[ask],
        )  # fmt: skip

    def away(self, *which: int) -> None:
        """For these, ClickHouse is away from now on; for the others it is there."""
        for me in (0, 1):
            self.stores[me].broken = AWAY if me in which else None

    def run(self, seconds: int) -> list[tuple[int, str]]:
        """Who told what about ClickHouse."""
        before = [len(told) for told in self.told]
        for _ in range(seconds // 15):
            self.now += 15
            for me in (0, 1):
                if self.running[me]:
                    try:
                        self.watchers[me].evaluate(self.now)
                    except UnavailableError:
                        continue
        return [
            (me, event.kind) for me in (0, 1) for event in self.told[me][before[me] :] if event.cause == "unreachable"
        ]


@pytest.fixture
def two(tmp_path: Path) -> Two:
    """Both have evaluated."""
    made = Two(tmp_path)
    assert made.run(60) == []
    return made


def test_one_of_them_tells_and_ends_it(two: Two) -> None:
    """Once each, by the same."""
    two.away(0, 1)
    told = two.run(600)
    assert [kind for _, kind in told] == ["trigger"]
    two.away()
    assert two.run(60) == [(told[0][0], "resolve")]
    two.away(0, 1)
    assert [kind for _, kind in two.run(600)] == ["trigger"], "the next outage is another one"


def test_a_restart_of_either_pages_no_second_time(two: Two) -> None:
    """What each knew is kept."""
    two.away(0, 1)
    ((teller, _),) = two.run(120)
    for me in (teller, 1 - teller):
        two.watchers[me] = two.start(me)
        assert two.run(120) == []
    two.away()
    assert two.run(60) == [(teller, "resolve")]


def test_who_is_left_ends_the_page_of_who_is_gone(two: Two) -> None:
    """And does not page it anew within some minutes."""
    two.away(0, 1)
    ((teller, _),) = two.run(120)
    two.running[teller] = False
    assert two.run(120) == []
    two.away()
    assert two.run(60) == [(1 - teller, "resolve")]


def test_one_that_is_blind_alone_pages_nobody(two: Two) -> None:
    """The other one evaluates; when that is blind, too, or gone, it is paged."""
    two.away(0)
    assert two.run(1800) == []
    two.away(0, 1)
    assert [kind for _, kind in two.run(120)] == ["trigger"]


def test_one_that_is_blind_alone_is_blind_when_the_other_dies(two: Two) -> None:
    """Nobody evaluates any more."""
    two.away(0)
    assert two.run(300) == []
    two.running[1] = False
    assert two.run(60) == [(0, "trigger")]


class Shared:
    """A memory of several watchers, as in ClickHouse."""

    def __init__(self, kept: list[State], instance: str, store: FakeStore) -> None:
        self.instance, self._kept, self._store, self._version = instance, kept, store, 0

    def load(self) -> State:
        """The newest."""
        if self._store.broken:
            raise self._store.broken
        self._version = len(self._kept)
        return self._kept[-1]

    def save(self, state: State) -> bool:
        """If nobody was first."""
        if len(self._kept) != self._version:
            return False
        self._kept.append(state)
        self._version += 1
        return True


class Forgetful(CallbackNotifier):
    """A receiver that forgets: keeps what it is told again."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.again: list[str] = []

    def refresh(self, opened: Sequence[PageEvent], now: float) -> None:  # noqa: ARG002 - the interface
        """Keep what is open."""
        self.again = [e.cause for e in opened]


class Sharing:
    """Two watchers with one memory and a burning SLO; the second one may be cut off from ClickHouse."""

    def __init__(self) -> None:
        kept, self.now = [State()], float(T0)
        self.stores = [FakeStore(), FakeStore()]
        self.receivers = [Forgetful(), Forgetful()]
        self.answers = True

        def asking_of(me: int) -> Ask:
            return lambda: self.watchers[me].standing(self.now) if self.answers else None

        self.watchers = [
            Watcher(
                self.stores[me], [make_slo()], make_policy(), [self.receivers[me]], sync_views=False, blindness=True,
                memory=Shared(kept, f"watcher-{me}", self.stores[me]), peers=[asking_of(1 - me)],
            )
            for me in (0, 1)
        ]  # fmt: skip
        self.run(60, bad=True)

    def run(self, seconds: int, *, bad: bool) -> None:
        """The first watcher evaluates a second before the second one."""
        for _ in range(seconds):
            for me in (0, 1):
                self.stores[me].add(self.now, 0 if bad else 50, 50 if bad else 0)
                with contextlib.suppress(UnavailableError):
                    self.watchers[me].evaluate(self.now)
                self.now += 0.5

    @property
    def again(self) -> list[list[str]]:
        """What each tells again."""
        return [sorted(r.again) for r in self.receivers]


def test_one_that_is_cut_off_does_not_repeat_what_the_other_has_ended() -> None:
    """That would page for what is over."""
    sharing = Sharing()
    assert sharing.again == [["burn-rate"], ["burn-rate"]]
    sharing.stores[1].broken = AWAY
    sharing.run(30, bad=True)
    assert sharing.again == [["burn-rate"], []]
    sharing.run(300, bad=False)
    assert sharing.again == [[], []]
    sharing.stores[0].broken = AWAY
    sharing.run(300, bad=False)
    assert [set(again) <= {"unreachable"} for again in sharing.again] == [True, True]
    sharing.stores[0].broken = sharing.stores[1].broken = None
    sharing.run(60, bad=True)
    assert sharing.again == [["burn-rate"], ["burn-rate"]]


def test_when_all_are_blind_the_one_that_was_last_to_see_repeats_what_is_open() -> None:
    sharing = Sharing()
    sharing.stores[0].broken = sharing.stores[1].broken = AWAY
    sharing.run(300, bad=True)
    assert sharing.again == [["unreachable"], ["burn-rate", "unreachable"]]


def test_of_one_that_does_not_answer_nobody_knows_what_it_has_ended() -> None:
    sharing = Sharing()
    sharing.stores[1].broken, sharing.answers = AWAY, False
    sharing.run(30, bad=True)
    assert sharing.again == [["burn-rate"], []]


def get(url: str) -> tuple[int, Any]:
    """Status and body."""
    answer = httpx.get(url, timeout=10)
    return answer.status_code, answer.text if url.endswith("/metrics") else answer.json()


@pytest.fixture
def watcher() -> Watcher:
    """One on a store that is there."""
    return Watcher(FakeStore(), [make_slo()], make_policy(), sync_views=False, blindness=True)


def test_a_watcher_that_is_not_ready_says_why() -> None:
    """What its last evaluation failed of, without what may not be shown; not any more once one went well."""
    store = FakeStore(broken=UnavailableError("ClickHouse at db:8443 does not answer; it said 4111 1111 1111 1111"))
    watcher = Watcher(store, [make_slo()], make_policy(), sync_views=False)
    now = float(T0)
    with observed(("127.0.0.1", 0), watcher, 60, lambda: now) as url:
        with pytest.raises(UnavailableError):
            watcher.evaluate(now)
        (reason,) = get(f"{url}/readyz")[1]["reasons"]
        assert reason.startswith("no SLO was evaluated yet: ClickHouse at db:8443 does not answer")
        assert "4111" not in reason
        store.broken = None
        watcher.evaluate(now)
        now += 61
        assert get(f"{url}/readyz")[1]["reasons"] == ["no SLO has been evaluated for 61 s"]


def test_what_a_watcher_answers(watcher: Watcher) -> None:
    """Alive, ready, metrics; and a standing that another one understands."""
    now = float(T0)

    def clock() -> float:
        return now

    with observed(("127.0.0.1", 0), watcher, 60, clock) as url:
        ask = asking(url)
        assert get(f"{url}/healthz") == (200, {"ok": True, "reasons": []})
        assert get(f"{url}/readyz") == (503, {"ok": False, "reasons": ["no SLO was evaluated yet"]})
        name = watcher.standing(now).instance
        assert ask() == Standing(name, Stage.NONE, None)
        watcher.evaluate(now)
        now += 59
        assert get(f"{url}/readyz")[0] == 200
        assert ask() == Standing(name, Stage.NONE, 59)
        now += 2
        assert get(f"{url}/readyz") == (503, {"ok": False, "reasons": ["no SLO has been evaluated for 61 s"]})
        assert get(f"{url}/healthz")[0] == 200
        now += 300
        assert get(f"{url}/healthz") == (503, {"ok": False, "reasons": ["no evaluation has begun for 361 s"]})
        assert get(f"{url}/nothing")[1]["error"] == "here are /metrics, /healthz, /readyz and /peer"
        _, text = get(f"{url}/metrics")
        found = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
        assert found["edgepath_watch_evaluations_total"] == 1
        assert found["edgepath_watch_evaluation_failures_total"] == 0
        assert found["edgepath_watch_last_evaluation_timestamp_seconds"] == T0
        assert found["edgepath_watch_outage_told"] == 0
    assert ask() is None


def test_without_an_address_nothing_listens(watcher: Watcher) -> None:
    with observed(None, watcher, 60) as url:
        assert url == ""
