"""``edgepath slo`` and ``edgepath watch`` as a person calls them."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import telemetry.store
from alerts import slos
from alerts.sli_views import sync
from telemetry.cli.slo import slo
from telemetry.cli.watch import watch
from telemetry.errors import UnavailableError
from telemetry.store.base import Store
from tests.unit.alerts.alerts_support import FakeStore, append_paths, path_row, write
from tests.unit.alerts.http_receiver import receiving, until
from tests.unit.alerts.test_slo_documents import GOOD


def run(command: Any, *arguments: str) -> Result:
    """What a command did."""
    return CliRunner().invoke(command, arguments)


@pytest.fixture
def opened(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The module's engine in place of the store that a command would open; it stays open."""

    class Shared:
        query, arrow, execute, insert, insert_select = (
            *(store.query, store.arrow, store.execute, store.insert, store.insert_select),
        )

        def close(self) -> None:
            """The fixture closes it."""

    monkeypatch.setattr(telemetry.store, "open_store", lambda *_: Shared())
    return store


def test_check_passes_the_shipped_slos() -> None:
    result = run(slo, "check")
    assert result.exit_code == 0
    assert "ok  edge-availability  objective 0.999  alerts/slos/edge-availability.yaml" in result.output


def test_check_tells_every_problem_of_every_file_and_exits_with_1(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", GOOD.replace("0.999", "99.9").replace("28d", "28"))
    write(tmp_path / "b.yaml", GOOD.replace("0.999", "0.9"))
    result = run(slo, "check", str(tmp_path))
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    assert f"{tmp_path}/a.yaml: spec.objectives[0].target: 99.9 is not a ratio; write 0.999" in told
    assert any(
        line.startswith(f"{tmp_path}/a.yaml: spec.timeWindow[0].duration: 28 is not a duration") for line in told
    )
    assert any("b.yaml: spec.objectives[0]: a-b: the page over 1h/5m can never fire" in line for line in told)


def test_check_as_json(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", GOOD.replace("0.999", "99.9"))
    result = run(slo, "check", "--json", str(path))
    assert result.exit_code == 1
    assert json.loads(result.output) == {
        "ok": False,
        "slos": [],
        "problems": [
            {
                "file": str(path),
                "path": "spec.objectives[0].target",
                "message": "99.9 is not a ratio; write 0.999",
                "note": False,
            }
        ],
    }
    assert json.loads(run(slo, "check", "--json").output)["ok"] is True


def test_check_against_another_policy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", GOOD.replace("0.999", "0.98"))
    assert run(slo, "check", str(path)).exit_code == 0
    assert "policy demo" not in run(slo, "check", str(path)).output
    assert run(slo, "check", "--policy", "demo", str(path)).exit_code == 0
    path = write(tmp_path / "a.yaml", GOOD.replace("0.999", "0.97"))
    assert "in policy demo" in run(slo, "check", "--policy", "demo", str(path)).stderr
    assert "no such policy" in run(slo, "check", "--policy", "nope", str(path)).stderr


def test_status_shows_budgets(opened: Store) -> None:
    now = time.time()
    sync(opened, slos.load(), 60, now - 60)
    common = {"start": int(now - 90) * 10**9, "stored": int(now * 1000)}
    append_paths(
        opened, [path_row(**common)] * 9_996 + [path_row(outcome="edge_error", reached_api=False, **common)] * 4
    )
    lines = json.loads(run(slo, "status", "--data", "x", "--json").output)
    by_name = {line["slo"]: line for line in lines}
    # 0.4 of the budget of the two minutes that are known, which are a small part of the 30 days.
    assert 0.9999 < by_name["edge-availability"]["budget_left"] < 1
    assert by_name["edge-availability"]["burn_1h"] == pytest.approx(0.4)
    assert by_name["edge-availability"]["sli"] == pytest.approx(0.9996)
    assert by_name["edge-availability"]["value"] == "fra"
    assert by_name["edge-latency"]["budget_left"] == 1.0
    table = run(slo, "status", "--data", "x").output
    assert "100.0%" in table
    assert "99.9600%" in table


def test_status_without_data_says_so(opened: Store) -> None:
    assert "no data" in run(slo, "status", "--data", "x").output
    (first, _) = json.loads(run(slo, "status", "--data", "x", "--json").output)
    assert (first["sli"], first["budget_left"], first["total"]) == (None, None, 0)
    assert opened


def test_neither_store_is_one_line_and_a_mend() -> None:
    for command, arguments in ((slo, ["status"]), (watch, [])):
        result = run(command, *arguments)
        assert result.exit_code == 1
        assert (
            result.stderr
            == "Error: name one store: --clickhouse URL for a server, or --data DIR for the embedded one\n"
        )


def test_watch_refuses_what_slo_check_refuses(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", GOOD.replace("0.999", "0.9"))
    result = run(watch, "--slos", str(path), "--data", "x")
    assert result.exit_code == 1
    assert "can never fire" in result.stderr


@pytest.mark.parametrize("url", ["grafana.test", "grafana.test:3000", "ftp://grafana.test", "https://"])
def test_watch_refuses_dashboards_that_are_nowhere(tmp_path: Path, url: str) -> None:
    """Alertmanager refuses an alert whose generatorURL is no URL."""
    result = run(watch, "--data", str(tmp_path / "x"), "--state", str(tmp_path / "s"), "--once", "--dashboards", url)
    assert result.exit_code == 1
    assert "is not the base URL of Grafana or of Edgepath's page (--dashboards); write https://HOST" in result.stderr


def test_watch_once_pages_a_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeStore()
    for second in range(400):
        fake.add(time.time() - second, 10, 10, resolution=60)
    monkeypatch.setattr(telemetry.store, "open_store", lambda *_, **__: fake)
    with receiving() as receiver:
        result = run(
            watch, "--data", "x", "--once", "--webhook", f"{receiver.url}/hook", "--state", str(tmp_path / "s.json"),
            "--dashboards", "http://grafana.test",
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [(b["kind"], b["pop"], b["severity"]) for b in receiver.taken] == [
        ("trigger", "fra", "page"), ("trigger", "fra", "ticket"),
    ]  # fmt: skip
    assert receiver.taken[0]["dashboard_url"].startswith("http://grafana.test/d/edgepath-overview?var-pop=fra")
    assert "PAGE edge-availability fra: 50% errors, burn 500x, edge envoy-fra UF" in result.output


@pytest.mark.parametrize("broken", [UnavailableError("ClickHouse does not answer"), ZeroDivisionError("a defect")])
def test_watch_goes_on_when_it_cannot_evaluate_and_ends_on_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: Exception
) -> None:
    fake = FakeStore(broken=broken)
    monkeypatch.setattr(telemetry.store, "open_store", lambda *_, **__: fake)
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    done: list[Result] = []
    arguments = ["--data", "x", "--interval", "0.1", "--state", str(tmp_path / "s.json")]
    thread = threading.Thread(target=lambda: done.append(run(watch, *arguments)))
    thread.start()
    until(lambda: caplog.text.count("alerts stay as they are") >= 2)
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    thread.join(10)
    assert done[0].exit_code == 0
    assert "watching edge-availability, edge-latency by policy workbook" in done[0].output
    assert ("Traceback" in caplog.text) == isinstance(broken, ZeroDivisionError)
