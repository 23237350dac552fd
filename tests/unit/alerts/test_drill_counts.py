"""What a drill looks for in the tables, however often its paths were restated."""

import uuid

import pytest

from alerts import drill
from alerts.slos.model import DRILL_ENVIRONMENT
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import T0, append_paths, path_row


def test_restated_paths_count_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill that took a restated path for two would end before its last ones are stored, and leave them behind."""
    monkeypatch.setattr(drill, "TableMemory", lambda _: None)
    runner = drill.Runner(store, "http://nowhere")
    name = f"drill-{uuid.uuid4().hex[:6]}"
    ours = {"environment": DRILL_ENVIRONMENT, "pop": name, "outcome": "edge_error", "start": int(T0) * 10**9}
    rows = [path_row(**ours) for _ in range(drill.BAD - 1)]
    append_paths(store, rows)
    append_paths(store, [{**rows[0], "sign": -1}, {**rows[0], "version": 2}, path_row(**(ours | {"pop": "other"}))])
    runner._sent = drill.BAD
    assert (runner._all_stored(name), runner._stored(name)) == ("", "")
    append_paths(store, [path_row(**ours)])
    assert (runner._all_stored(name), runner._stored(name)) == ("all", f"{drill.BAD} bad of {drill.BAD}")
