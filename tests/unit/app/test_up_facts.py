"""What ``edgepath up`` says of itself, without starting it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from telemetry.app.settings import UpSettings
from telemetry.app.up import Up
from telemetry.cli import up as command
from telemetry.cli.screen import Screen
from telemetry.errors import StoreError
from telemetry.feeds.otlp import Counters
from telemetry.web.app import create_app
from tests.unit.app.test_workers import Driven, defect
from tests.unit.web.test_app import NotedStore


def made(folder: Path, paths: tuple[str, ...] = (), metrics: str = "") -> tuple[Any, Driven]:
    """One whose loops say this, and its watcher."""
    up, watch = Up(UpSettings(folder)), Driven()
    counts: dict[str, Any] = {"paths": 1, "spans": 2, "late_spans": 0, "rejected_records": 0}
    parts: Any = {
        "pipeline": SimpleNamespace(status=lambda: SimpleNamespace(**counts, troubles=paths)),
        "metrics": SimpleNamespace(status=lambda: SimpleNamespace(points=3, trouble=metrics)),
        "counters": Counters(),
        "_watch": watch.loop,
    }
    vars(up).update(parts)
    return up, watch


def test_a_defect_of_the_watcher_is_on_the_screen_and_the_page_and_in_the_probe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And gone from there when it has stayed away."""
    up, watch = made(tmp_path)
    client = TestClient(create_app(NotedStore(), status=up._status, troubles=lambda: up.facts().troubles))
    assert client.get("/readyz").status_code == 200
    watch.step(defect())
    said = "the evaluation of SLOs failed: ZeroDivisionError: of [card]"
    assert (client.get("/readyz").status_code, client.get("/readyz").json()["reasons"]) == (503, [said])
    assert client.get("/api/state").json()["status"]["trouble"] == said
    Screen().line(up.facts(), lambda: (0.0, None, None))
    assert said in capsys.readouterr().out
    watch.step(seconds=1)
    watch.step(seconds=61)
    assert client.get("/readyz").status_code == 200
    assert "trouble" not in client.get("/api/state").json()["status"]


def test_all_that_does_not_go_as_it_should_is_told_at_once(tmp_path: Path) -> None:
    up, watch = made(tmp_path, ("blocks cannot be stored: full", "a defect"), "full")
    watch.step(StoreError("full"))
    assert up.facts().troubles == (
        "blocks cannot be stored: full", "a defect", "the evaluation of SLOs failed: full", "metrics are not stored: full",
    )  # fmt: skip
    assert up.facts().trouble == "; ".join(up.facts().troubles)


def test_a_figure_that_cannot_be_read_for_the_screen_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A store that refuses one question may still store paths; it is said once."""
    drawn: list[int] = []

    def line(*_: object) -> None:
        drawn.append(1)
        if len(drawn) < 4:
            raise StoreError("memory limit exceeded")

    running: Any = SimpleNamespace(
        settings=SimpleNamespace(run_seconds=None), check=lambda: None, facts=lambda: None, recent=None
    )
    screen: Any = SimpleNamespace(live=lambda: None, line=line)
    stopping: Any = SimpleNamespace(wait=lambda _: len(drawn) >= 4)
    command._watch_until_done(running, screen, stopping)
    assert caplog.text.count("the live line cannot be drawn: memory limit exceeded") == 1
