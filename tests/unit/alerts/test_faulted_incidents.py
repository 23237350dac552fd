"""A few of the incidents of `make faults-alerts`, and that a broken watcher would be found by them."""

import pytest

from alerts.memory import State, TableMemory
from telemetry.store.base import Store
from tests.faults_alerts.incidents import one_receiver, run


def test_faulted_incidents_page_once_and_resolve(store: Store) -> None:
    with one_receiver() as receiver:
        outcomes = [run(seed, store, receiver) for seed in (1, 2)]
    assert all(o.well for o in outcomes), outcomes


def test_a_watcher_without_its_memory_would_be_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that forgets at every restart, and does not know of the other one."""
    state: dict[str, State] = {}
    monkeypatch.setattr(TableMemory, "load", lambda self: state.get(self.instance, State()))

    def save(self: TableMemory, after: State) -> bool:
        state[self.instance] = after
        return True

    monkeypatch.setattr(TableMemory, "save", save)
    with one_receiver() as receiver:
        outcomes = [run(seed, store, receiver) for seed in (1, 2, 3)]
    assert not all(o.well for o in outcomes)
