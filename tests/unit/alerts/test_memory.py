"""What the watcher remembers: crashes at every step, and two watchers on one store, page once and forget nothing."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.burnrate import Rule
from alerts.decide import AlertState
from alerts.incidents import Incident
from alerts.memory import (
    TAKE_OVER_SECONDS,
    Alert,
    AlertKey,
    Delivery,
    FileMemory,
    Message,
    Scope,
    State,
    TableMemory,
    decode,
    encode,
)
from alerts.notify import Settled
from alerts.page import PageEvent
from alerts.sli_reads import Group
from alerts.slos.model import Alerting, Slo
from alerts.watch import Watcher
from telemetry.errors import StoreError, UnavailableError
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import DEMO, T0, FakeStore, make_event, make_slo

KEY = AlertKey(Group("edge-availability", "prod", "pop", "fra"), "page")
STATE = State(
    {
        KEY: Alert(
            AlertState(firing=True, since=T0, rules=("page:30:10",), pending=(("x", 1.5),), flaps=2), make_event()
        )
    },
    {make_event().dedup_key: Incident(make_event(), T0, (make_event().dedup_key,))},
    (Message(make_event(), ("hook",), "me", T0),),
    (Delivery("edgepath/a/trigger", "hook", T0, "answered 404"),),
    {Scope("edge-availability", "pop", "page"): T0, Scope("~empty", "other", "ticket"): T0 - 5},
)


@pytest.fixture
def table(store: Store) -> Store:
    """The store with no state in it."""
    store.execute("TRUNCATE TABLE alert_state")
    return store


def test_a_state_survives_its_text() -> None:
    assert decode(encode(STATE)) == STATE
    closed = State({KEY: Alert(AlertState(closed=T0, flaps=1), None)})
    assert decode(encode(closed, 1)) == closed


def test_a_state_of_a_release_that_did_not_note_what_is_known_is_read() -> None:
    told = json.loads(encode(STATE))
    del told["known"]
    assert decode(json.dumps(told)) == replace(STATE, known={})


def test_a_file_hands_over_what_its_last_owner_had_on_its_way(tmp_path: Path) -> None:
    first = FileMemory(tmp_path / "s.json")
    assert first.save(STATE)
    second = FileMemory(tmp_path / "s.json")
    assert second.load().alerts == STATE.alerts
    assert [m.owner for m in second.load().outbox] == [second.instance]


def test_a_version_is_written_by_whoever_comes_first(table: Store) -> None:
    one, two = TableMemory(table), TableMemory(table)
    assert one.load() == two.load() == State()
    assert one.save(STATE)
    assert not two.save(State())
    assert two.load() == STATE
    assert two.save(State())
    assert one.load() == State()
    assert one.save(STATE)


def test_a_watcher_that_slept_through_many_versions_overwrites_none(table: Store) -> None:
    sleeper, other = TableMemory(table), TableMemory(table)
    sleeper.load()
    for _ in range(5):
        other.load()
        assert other.save(STATE)
    table.execute("ALTER TABLE alert_state MODIFY SETTING non_replicated_deduplication_window = 0")  # tokens forgotten
    try:
        assert not sleeper.save(State())
        assert sleeper.load() == STATE
    finally:
        table.execute("ALTER TABLE alert_state MODIFY SETTING non_replicated_deduplication_window = 10000")


def test_old_versions_are_cleared_away(table: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.memory._KEPT", 4)
    memory = TableMemory(table)
    for _ in range(12):
        memory.load()
        assert memory.save(STATE)
    assert table.query("SELECT count() FROM alert_state").scalar() <= 8
    assert TableMemory(table).load() == STATE


def test_a_row_that_cannot_be_read_is_said(table: Store) -> None:
    table.execute("INSERT INTO alert_state (version, writer, state) VALUES (1, 'x', '{}')")
    with pytest.raises(StoreError, match="was it written by another release"):
        TableMemory(table).load()


class SharedRow:
    """A table of versions in this process: what TableMemory does, without a store."""

    def __init__(self) -> None:
        self.version, self.text = 0, encode(State())

    def memory(self, name: str) -> "SharedMemory":
        """One watcher's view of it."""
        return SharedMemory(self, name)


class SharedMemory:
    """As :class:`TableMemory`, on a :class:`SharedRow`."""

    def __init__(self, row: SharedRow, instance: str) -> None:
        self.instance, self._row, self._version = instance, row, 0

    def load(self) -> State:
        """The newest state."""
        self._version = self._row.version
        return decode(self._row.text)

    def save(self, state: State) -> bool:
        """Compare and set."""
        if self._row.version != self._version:
            return False
        self._row.version, self._row.text = self._row.version + 1, encode(state)
        self._version = self._row.version
        return True


class Receiver:
    """A notifier that may be down, may die with its watcher, and counts what it took, folding by id."""

    name = "hook"

    def __init__(self, taken: list[PageEvent]) -> None:
        self.taken, self.up, self.queue, self.done = taken, True, list[PageEvent](), list[Settled]()

    def wants(self, event: PageEvent) -> bool:
        """All."""
        return event.kind != "update"

    def notify(self, event: PageEvent) -> None:
        """Queue it."""
        self.queue.append(event)
        self.deliver()

    def refresh(self, opened: Sequence[PageEvent], now: float) -> None:  # noqa: ARG002 - the interface
        """Try again."""
        self.deliver()

    def deliver(self) -> None:
        """Deliver what waits, if it is up."""
        while self.up and self.queue:
            event = self.queue.pop(0)
            self.taken.append(event)
            self.done.append(Settled(event.id))

    def settled(self) -> Sequence[Settled]:
        """What was taken."""
        done, self.done = self.done, []
        return done

    def close(self, timeout_seconds: float) -> None:
        """Nothing."""


def two_watchers(store: FakeStore) -> tuple[list[Watcher], list[Receiver], list[PageEvent]]:
    """Two watchers with one memory, and one receiver behind both."""
    row, taken = SharedRow(), list[PageEvent]()
    receivers = [Receiver(taken), Receiver(taken)]
    watchers = [
        Watcher(store, [make_slo()], DEMO, [receiver], sync_views=False, memory=row.memory(f"w{i}"))
        for i, receiver in enumerate(receivers)
    ]
    return watchers, receivers, taken


def incident(store: FakeStore, second: int) -> None:
    """A second of traffic; bad from 20 to 60."""
    bad = 18 if 20 <= second < 60 else 0
    store.add(T0 + second, 50 - bad, bad)


def test_two_watchers_page_once_and_resolve_once() -> None:
    store = FakeStore()
    watchers, _, taken = two_watchers(store)
    for second in range(150):
        incident(store, second)
        for i, watcher in enumerate(watchers):
            watcher.evaluate(T0 + second + 0.3 * i)
    assert [e.kind for e in taken] == ["trigger", "resolve"]
    assert taken[0].dedup_key == taken[1].dedup_key


class RollOut:
    """Two watchers with one memory that know different SLOs of steady traffic, all of which fails."""

    def __init__(self, *slos: Slo) -> None:
        self.stores, self.taken, self.row = [FakeStore() for _ in slos], list[PageEvent](), SharedRow()
        self.slos, self.second = slos, 0
        self.watchers = [self.start(i) for i in range(len(slos))]

    def start(self, i: int) -> Watcher:
        """A new process."""
        receiver, memory = Receiver(self.taken), self.row.memory(f"w{i}")
        return Watcher(self.stores[i], [self.slos[i]], DEMO, [receiver], sync_views=False, memory=memory)

    def run(self, seconds: int, *which: int) -> list[tuple[str, str]]:
        """(kind, severity) of what is told while those watchers evaluate."""
        before = len(self.taken)
        for _ in range(seconds):
            self.second += 1
            for store in self.stores:
                store.add(T0 + self.second, 0, 50)
            for i in which:
                with contextlib.suppress(UnavailableError):
                    self.watchers[i].evaluate(T0 + self.second + 0.3 * i)
        return [(e.kind, e.severity) for e in self.taken[before:]]

    def cut_off(self, error: Exception | None) -> None:
        """ClickHouse is away, or back."""
        for store in self.stores:
            store.broken = error


TICKET: Final = Alerting("ticket", Rule("ticket", 3600, 300, Decimal(1)), ())


@pytest.mark.parametrize("other", [make_slo(name="other"), make_slo(group_by="region"), make_slo(alerting=(TICKET,))])
def test_while_slo_files_are_rolled_out_watchers_do_not_fight(other: Slo) -> None:
    """An SLO, its split or its severity is known to one watcher only; when none knows it any more, its alert is closed."""
    rolling = RollOut(make_slo(), other)
    assert [told for told in rolling.run(700, 0, 1) if "page" in told] == [("trigger", "page")]
    assert rolling.run(230, 1) == []
    assert rolling.run(80, 1) == [("resolve", "page")]
    assert [e for e in rolling.watchers[1].open_events() if e.severity == "page"] == []


def test_who_could_not_speak_while_clickhouse_was_away_is_waited_for() -> None:
    rolling = RollOut(make_slo(), make_slo(name="other"))
    assert rolling.run(30, 0, 1) == [("trigger", "page")]
    rolling.cut_off(UnavailableError("away"))
    assert rolling.run(600, 0, 1) == []
    rolling.cut_off(None)
    assert rolling.run(20, 1) == []
    assert rolling.run(300, 0, 1) == []


def test_one_that_is_started_when_clickhouse_is_back_waits_for_the_others_as_well() -> None:
    """It does not know for how long they could not speak."""
    rolling = RollOut(make_slo(), make_slo(name="other"))
    assert rolling.run(30, 0, 1) == [("trigger", "page")]
    rolling.cut_off(UnavailableError("away"))
    assert rolling.run(600, 0) == []
    rolling.watchers[1] = rolling.start(1)
    rolling.cut_off(None)
    assert rolling.run(20, 1) == []
    assert rolling.run(300, 0, 1) == []


def test_what_a_dead_watcher_had_on_its_way_is_taken_over() -> None:
    store = FakeStore()
    watchers, receivers, taken = two_watchers(store)
    receivers[0].up = False
    for second in range(50):
        incident(store, second)
        watchers[0].evaluate(T0 + second)
    assert taken == []
    for second in range(50, 56):
        incident(store, second)
        watchers[1].evaluate(T0 + second)
    assert taken == [], "the owner was heard of a moment ago"
    for second in range(56, 56 + int(TAKE_OVER_SECONDS) + 5):
        incident(store, second)
        watchers[1].evaluate(T0 + second)
    assert taken[0].kind == "trigger"


def test_a_hanging_receiver_keeps_its_message_with_a_living_owner() -> None:
    """It is slow, not dead: nobody takes its message over, and it arrives once."""
    store = FakeStore()
    watchers, receivers, taken = two_watchers(store)
    for second in range(300):
        incident(store, second)
        receivers[0].up = second > 200
        for watcher in watchers:
            watcher.evaluate(T0 + second)
    assert [e.kind for e in taken] == ["trigger", "resolve"]


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from(["run", "run", "run", "die", "down", "up", "both"])), max_size=60
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_every_page_arrives_and_ids_come_once_while_nobody_dies(steps: list[tuple[int, str]]) -> None:
    """Two watchers with crashes, receivers down and turns in any order: the incident is paged and resolved, in order."""
    store = FakeStore()
    row, taken = SharedRow(), list[PageEvent]()
    made = 0

    def start() -> tuple[Watcher, Receiver]:
        nonlocal made
        made += 1
        receiver = Receiver(taken)
        memory = row.memory(f"w{made}")
        return Watcher(store, [make_slo()], DEMO, [receiver], sync_views=False, memory=memory), receiver

    pair = [start(), start()]
    deaths = 0
    for second in range(60):
        incident(store, second)
        which, what = steps[second] if second < len(steps) else (0, "both")
        if what == "die":
            pair[which], deaths = start(), deaths + 1
        if what in ("down", "up"):
            pair[which][1].up = what == "up"
        for i in (0, 1) if what == "both" else (which,):
            pair[i][0].evaluate(T0 + second)
    for second in range(60, 60 + 2 * int(TAKE_OVER_SECONDS) + 40):
        incident(store, second)
        for watcher, receiver in pair:
            receiver.up = True
            watcher.evaluate(T0 + second)
    ids = [e.id for e in taken]
    kinds = [e.kind for e in taken if ids.count(e.id) >= 1]
    assert {"trigger", "resolve"} <= set(kinds)
    assert len({i for i in ids if "/trigger/" in i}) == 1
    assert len({i for i in ids if "/resolve/" in i}) == 1
    assert kinds.index("trigger") < kinds.index("resolve")
    if not deaths:
        assert len(ids) == len(set(ids)) == 2
    assert row.memory("x").load().outbox == ()


def test_a_crash_between_writing_down_and_telling_loses_nothing(tmp_path: Path) -> None:
    """The page is in the file and nobody was told: the next watcher tells."""
    store, taken = FakeStore(), list[PageEvent]()

    class Dying(Receiver):
        def notify(self, event: PageEvent) -> None:  # noqa: ARG002 - the interface
            raise KeyboardInterrupt

    for second in range(40):
        incident(store, second)
    path = tmp_path / "s.json"
    with pytest.raises(KeyboardInterrupt):
        Watcher(store, [make_slo()], DEMO, [Dying(taken)], sync_views=False, state_file=path).evaluate(T0 + 40)
    assert taken == []
    after = Watcher(store, [make_slo()], DEMO, [Receiver(taken)], sync_views=False, state_file=path)
    assert after.evaluate(T0 + 41) == []
    assert [e.kind for e in taken] == ["trigger"]


def test_a_receiver_that_was_taken_away_holds_nothing_up(tmp_path: Path) -> None:
    store, path = FakeStore(), tmp_path / "s.json"
    FileMemory(path).save(State(outbox=(Message(make_event(), ("gone",), "me", T0),)))
    watcher = Watcher(store, [make_slo()], DEMO, [], sync_views=False, state_file=path)
    watcher.evaluate(T0)
    assert FileMemory(path).load().outbox == ()
