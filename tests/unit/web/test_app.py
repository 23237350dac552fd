"""The page's answers, over a store that writes down what it is asked."""

import gzip
import json
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from telemetry.errors import StoreError, UnavailableError
from telemetry.store.base import Parameter, Result
from telemetry.web.app import create_app
from tests.support.unused_store import UnusedStore

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


class NotedStore(UnusedStore):
    """A store that answers one row and keeps the questions."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        assert not parameters
        self.asked.append(sql)
        if self.error:
            raise self.error
        return Result(("one",), [(1,)])


@pytest.fixture
def store() -> NotedStore:
    return NotedStore()


@pytest.fixture
def client(store: NotedStore) -> TestClient:
    """The page over the generated dashboards."""
    pages = [{"slo": "edge-availability", "severity": "page", "summary": "<b>fra</b>", "since": NOW.isoformat()}]
    app = create_app(
        store, title="Edgepath", status=lambda: {"paths stored": "12"}, pages=lambda: pages, now=lambda: NOW
    )
    return TestClient(app, follow_redirects=False)


def test_the_root_leads_to_the_overview(client: TestClient) -> None:
    """And the page is served there; an unknown one is a 404 that still draws its head."""
    root = client.get("/")

    assert (root.status_code, root.headers["location"]) == (302, "/d/edgepath-overview")
    assert "<main" in client.get("/d/edgepath-path?from=now-5m").text
    assert client.get("/d/none").status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/d/edgepath-path", "/api/state", "/static/js/main.js", "/api/boards/none", "/nowhere"]
)
def test_every_answer_is_guarded(client: TestClient, path: str) -> None:
    """Only our own scripts run, nothing is sniffed, framed or posted elsewhere."""
    headers = client.get(path).headers

    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] in {"no-store", "no-cache"}


def test_static_files_are_whole_and_their_own(client: TestClient) -> None:
    """What the page and its modules load is there, and nothing comes from another host."""
    page = client.get("/d/edgepath-overview").text
    wanted = re.findall(r'(?:src|href)="(/[^"]*\.(?:js|css|svg))"', page)
    while wanted:
        path = wanted.pop()
        answer = client.get(path)
        assert answer.status_code == 200, path
        if "/vendor/" not in path:
            assert not re.search(r"https?://(?!www\.w3\.org)", answer.text)
            base = path.rsplit("/", 1)[0]
            found = re.findall(r'from "(\.[^"]+)"', answer.text)
            wanted += [str(Path("/", *_resolve(base, name))) for name in found]
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


def _resolve(base: str, name: str) -> list[str]:
    parts = base.strip("/").split("/")
    for part in name.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return parts


def test_plotly_comes_from_the_installed_package(client: TestClient) -> None:
    """Packed for who takes it packed."""
    packed = client.get("/vendor/plotly.js", headers={"accept-encoding": "gzip"})
    plain = client.get("/vendor/plotly.js", headers={"accept-encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert b"plotly.js v" in plain.content[:500]
    assert packed.text == plain.text
    assert len(gzip.compress(plain.content, 1)) > 100_000


def test_the_dashboard_says_its_layout_and_variables(client: TestClient) -> None:
    """Without the SQL of either."""
    boards = client.get("/api/boards").json()
    board = client.get("/api/boards/edgepath-path").json()

    assert boards["title"] == "Edgepath"
    assert [b["uid"] for b in boards["boards"]] == ["edgepath-overview", "edgepath-path"]
    assert [v["name"] for v in board["variables"]] == ["environment", "pop", "route", "outcome", "trace"]
    assert "SELECT" not in json.dumps(board)


def test_a_panel_runs_its_own_query_with_limits(client: TestClient, store: NotedStore) -> None:
    """Expanded, reading only, with an end to time, rows and memory."""
    answer = client.get("/api/boards/edgepath-overview/panels/1?from=now-1h&to=now&var-pop=fra&var-pop=i'ad")

    (sql,) = store.asked
    assert answer.json()["interval_ms"] == 60_000
    assert (answer.json()["from"], answer.json()["to"]) == (1777892400000, 1777896000000)
    assert "pop IN ('fra','i\\'ad')" in sql
    assert "route IN" not in sql
    assert "$__" not in sql
    assert sql.endswith(
        "SETTINGS readonly = 1, max_execution_time = 20, max_result_rows = 50000, result_overflow_mode = 'throw', "
        "max_memory_usage = 2000000000"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/api/boards/none",
        "/api/boards/none/panels/1",
        "/api/boards/edgepath-overview/panels/999",
        "/api/boards/edgepath-overview/panels/x",
        "/api/boards/edgepath-overview/query?sql=SELECT+1",
        "/api/query",
    ],
)
def test_only_panels_can_be_asked_for(client: TestClient, store: NotedStore, path: str) -> None:
    """There is no way to bring in SQL."""
    assert client.get(path).status_code == 404
    assert client.post("/api/boards/edgepath-overview/panels/1", content="SELECT 1").status_code == 405
    assert store.asked == []


@pytest.mark.parametrize(
    "query", ["from=bad", "to=now-2h", "var-outcome=nonsense", "var-pop=" + "x" * 2001, "from=now-9y"]
)
def test_a_bad_address_is_a_400_with_a_reason(client: TestClient, store: NotedStore, query: str) -> None:
    """Before anything is asked of the store."""
    answer = client.get(f"/api/boards/edgepath-overview/panels/1?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"]
    assert store.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreError("no such column", 47), 500), (UnavailableError("ClickHouse does not answer"), 503)],
)
def test_a_stores_error_is_told(client: TestClient, store: NotedStore, error: Exception, status: int) -> None:
    """The panel shows the message; the health says so too."""
    store.error = error
    answer = client.get("/api/boards/edgepath-overview/panels/1")

    assert (answer.status_code, answer.json()) == (status, {"error": str(error)})
    assert client.get("/healthz").status_code == 503


def test_state_and_health(client: TestClient) -> None:
    """Open pages, facts, and whether the store answers."""
    state = client.get("/api/state").json()

    assert state["pages"][0]["slo"] == "edge-availability"
    assert state["status"] == {"paths stored": "12"}
    assert client.get("/healthz").json() == {"status": "ok", "paths stored": "12"}


def test_what_does_not_go_as_it_should_is_told_to_whoever_looks(store: NotedStore) -> None:
    """As a consumer's and a watcher's probe: a status for machines, reasons for people."""
    troubles = ["the evaluation of SLOs failed: ZeroDivisionError: x"]
    client = TestClient(create_app(store, troubles=lambda: troubles))

    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ok": False, "reasons": troubles})
    troubles.clear()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "reasons": []})
    store.error = UnavailableError("ClickHouse does not answer")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (
        503,
        ["the page cannot ask ClickHouse: ClickHouse does not answer"],
    )


def test_options_are_listed(client: TestClient, store: NotedStore) -> None:
    """The query variables by their queries, the fixed list as it is."""
    found = client.get("/api/boards/edgepath-overview/options").json()

    assert found["pop"] == ["1"]
    assert "edge_error" in found["outcome"]
    assert len(store.asked) == 3


def test_a_query_at_a_time_for_each_of_four(store: NotedStore) -> None:
    """More wait: many open tabs do not become many queries at once."""
    running, most, lock = 0, 0, threading.Lock()
    four = threading.Barrier(4, timeout=10)

    class Slow(NotedStore):
        def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            four.wait()
            with lock:
                running -= 1
            return super().query(sql, parameters)

    with TestClient(create_app(Slow(), now=lambda: NOW)) as client:
        answers: list[Any] = []

        def ask() -> None:
            answers.append(client.get("/api/boards/edgepath-overview/panels/1").status_code)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    assert answers == [200] * 8
    assert most == 4
    assert store.asked == []
