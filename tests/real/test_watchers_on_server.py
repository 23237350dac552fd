"""Watchers as processes on a real ClickHouse server that is killed, hangs or is slow, with a receiver that misbehaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from alerts.memory import State, TableMemory
from alerts.sli_views import sync
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from tests.faults.proxy import LOOPBACK, LoopThread, Proxy
from tests.real.parts.clickhouse import ClickHouseServer
from tests.real.parts.processes import free_ports
from tests.unit.alerts.alerts_support import append_paths, make_slo, path_row, write
from tests.unit.alerts.http_receiver import Receiver, receiving, until

POLICY = """\
apiVersion: edgepath/v1
kind: BurnRatePolicy
metadata: {name: quick}
spec:
  source: for this test
  period: 30d
  resolution: 5s
  interval: 1s
  delay: 0s
  minBadEvents: 5
  minBadPaths: 5
  keepFiring: 2s
  rules: [{severity: page, long: 30s, short: 10s, factor: 50}]
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where pages go."""
    with receiving() as server:
        yield server


@pytest.fixture
def server_store(own_clickhouse: ClickHouseServer) -> Iterator[ServerStore]:
    """A store on a server that may be killed."""
    store = ServerStore(ServerAddress.parse(own_clickhouse.url))
    try:
        schema.apply(store)
        yield store
    finally:
        store.close()


class Watch:
    """``edgepath watch`` as a process."""

    def __init__(self, url: str, receiver: Receiver, folder: Path, name: str, *more: str) -> None:
        policy = write(folder / "policy.yaml", POLICY)
        command = [sys.executable, "-c", "from telemetry.cli import main; main()", "watch", "--policy", str(policy)]
        command += ["--state", str(folder / f"{name}.json"), "--interval", "0.5", "--blind-after", "5s", *more]
        environment = {**os.environ, "EDGEPATH_CLICKHOUSE": url, "EDGEPATH_WEBHOOK": f"{receiver.url}/hook"}
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)

    def ready(self) -> "Watch":
        """Wait until it watches."""
        until(lambda: "watching" in self.log.read_text(), 60)
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        self.process.send_signal(number)
        self.process.wait(30)

    def holds(self) -> tuple[int, int]:
        """How many threads and open files (connections among them) it has."""
        process = Path(f"/proc/{self.process.pid}")
        return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


def feed(store: ServerStore, bad: int) -> None:
    """Paths of now."""
    now = time.time()
    common = {"start": int(now * 10**9), "total_ns": 0, "stored": int(now * 1000), "arrived": int(now * 1000)}
    append_paths(store, [path_row(**common)] * 10 + [path_row(outcome="edge_error", **common)] * bad)


def test_two_watchers_page_once_whatever_happens_to_them(
    own_clickhouse: ClickHouseServer, server_store: ServerStore, receiver: Receiver, tmp_path: Path
) -> None:
    """One is killed with the page on its way to a receiver that hangs; the other one delivers it, once, and resolves it."""
    for later in (-20, 0):
        sync(server_store, [make_slo()], 5, time.time() + later)
    receiver.answers = [(0, {}), (503, {"Retry-After": "0"}), (429, {"Retry-After": "1"})]
    watchers = [Watch(own_clickhouse.url, receiver, tmp_path, name).ready() for name in ("one", "two")]
    try:
        begun = time.monotonic()
        while not receiver.bodies and time.monotonic() - begun < 60:
            feed(server_store, 8)
            time.sleep(0.5)  # the pace of the traffic
        state = TableMemory(server_store).load()
        assert len(state.outbox) == 1
        logs = {w: w.log.read_text() for w in watchers}
        owner = next(w for w in watchers if "PAGE edge-availability" in logs[w])
        owner.stop(signal.SIGKILL)
        until(lambda: receiver.taken != [], 120)
        assert [b["kind"] for b in receiver.taken] == ["trigger"]
        while len(receiver.taken) < 2 and time.monotonic() - begun < 240:
            feed(server_store, 0)
            time.sleep(0.5)  # as above
        assert [b["kind"] for b in receiver.taken] == ["trigger", "resolve"]
        assert len({b["dedup_key"] for b in receiver.taken}) == 1
        until(lambda: TableMemory(server_store).load().outbox == (), 30)
    finally:
        for watcher in watchers:
            if watcher.process.poll() is None:
                watcher.stop()


def test_the_log_of_states_on_a_real_server(server_store: ServerStore) -> None:
    """The compare-and-set of two watchers: a version is written once."""
    one, two = TableMemory(server_store), TableMemory(server_store)
    assert one.load() == two.load() == State()
    assert [one.save(State()), two.save(State())] == [True, False]
    two.load()
    assert two.save(State())


def test_a_watcher_may_start_while_clickhouse_is_away(
    own_clickhouse: ClickHouseServer, receiver: Receiver, tmp_path: Path
) -> None:
    """It tells its blindness, makes the schema when the server is back, resolves, and evaluates."""
    url = own_clickhouse.url
    own_clickhouse.kill()
    watcher = Watch(url, receiver, tmp_path, "one").ready()
    try:
        until(lambda: receiver.taken != [], 90)
        assert [(b["kind"], b["cause"]) for b in receiver.taken] == [("trigger", "unreachable")]
        own_clickhouse.start()
        until(lambda: len(receiver.taken) == 2, 90)
        assert [(b["kind"], b["cause"]) for b in receiver.taken][1] == ("resolve", "unreachable")
        store = ServerStore(ServerAddress.parse(url))
        try:
            until(lambda: _views(store) >= 2, 60)
            begun = time.monotonic()
            while len(receiver.taken) < 3 and time.monotonic() - begun < 90:
                feed(store, 8)
                time.sleep(0.5)  # the pace of the traffic
        finally:
            store.close()
        assert [(b["kind"], b["cause"]) for b in receiver.taken][2] == ("trigger", "burn-rate")
        assert watcher.process.poll() is None
    finally:
        watcher.stop()


def _views(store: ServerStore) -> int:
    """How many SLOs are counted."""
    found = store.query("SELECT count() FROM system.tables WHERE startsWith(name, 'sli_1m_view_')").scalar()
    return int(found)


def test_clickhouse_away_is_paged_and_resolved(
    own_clickhouse: ClickHouseServer, server_store: ServerStore, receiver: Receiver, tmp_path: Path
) -> None:
    """The server is gone for longer than --blind-after: one page that says so, and a resolve when it is back."""
    assert server_store
    watcher = Watch(own_clickhouse.url, receiver, tmp_path, "one").ready()
    try:
        until(lambda: TableMemory(server_store).load() is not None, 30)
        own_clickhouse.kill()
        until(lambda: receiver.taken != [], 150)
        assert [(b["kind"], b["cause"]) for b in receiver.taken] == [("trigger", "unreachable")]
        own_clickhouse.start()
        until(lambda: len(receiver.taken) == 2, 90)
        assert [(b["kind"], b["cause"]) for b in receiver.taken][1] == ("resolve", "unreachable")
    finally:
        watcher.stop()


def test_of_two_watchers_one_tells_that_clickhouse_is_away(
    own_clickhouse: ClickHouseServer, server_store: ServerStore, receiver: Receiver, tmp_path: Path
) -> None:
    """And that it is back; also if it hangs, and whoever is left if one dies."""
    ports = free_ports(2)
    peers = [part for port in ports for part in ("--peer", f"http://127.0.0.1:{port}")]
    watchers = [
        Watch(own_clickhouse.url, receiver, tmp_path, f"w{port}", "--observe", f"127.0.0.1:{port}", *peers).ready()
        for port in ports
    ]

    def told() -> list[tuple[str, str]]:
        return [(b["kind"], b["cause"]) for b in receiver.taken]

    try:
        until(lambda: _views(server_store) >= 2, 60)
        until(lambda: all(_ready(port) for port in ports), 60)
        page = [("trigger", "unreachable"), ("resolve", "unreachable")]
        own_clickhouse.kill()
        until(lambda: told() == page[:1], 60)
        time.sleep(8)  # the other one is due as well by now
        assert told() == page[:1]
        own_clickhouse.start()
        until(lambda: told() == page, 60)
        until(lambda: all(_ready(port) for port in ports), 60)
        assert told() == page
        own_clickhouse.process.send(signal.SIGSTOP)
        until(lambda: told() == page + page[:1], 30)
        time.sleep(8)  # as above
        assert told() == page + page[:1]
        teller = next(w for w, port in zip(watchers, ports, strict=True) if _metric(port, "outage_told"))
        teller.stop(signal.SIGKILL)
        own_clickhouse.process.send(signal.SIGCONT)
        until(lambda: told() == page + page, 30)
    finally:
        own_clickhouse.process.send(signal.SIGCONT)
        for watcher in watchers:
            if watcher.process.poll() is None:
                watcher.stop()


def _ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200


def _metric(port: int, name: str) -> float:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    (line,) = (one for one in text.splitlines() if one.startswith(f"edgepath_watch_{name} "))
    return float(line.rpartition(" ")[2])


def test_a_clickhouse_that_hangs_is_paged_on_time(
    own_clickhouse: ClickHouseServer, server_store: ServerStore, receiver: Receiver, tmp_path: Path
) -> None:
    """The process is stopped and answers nothing, though its port takes connections: the page does not wait for it.

    When it goes on, the watcher goes on, with what it had: one evaluation, one connection.
    """
    watcher = Watch(own_clickhouse.url, receiver, tmp_path, "one").ready()
    try:
        until(lambda: _views(server_store) >= 2 and TableMemory(server_store).load() is not None, 60)
        threads, files = watcher.holds()
        own_clickhouse.process.send(signal.SIGSTOP)
        stopped = time.monotonic()
        until(lambda: receiver.taken != [], 30)
        assert 4 <= time.monotonic() - stopped <= 5 + 0.5 + 4, (
            "--blind-after, an interval, and some time to be delivered"
        )
        assert [(b["kind"], b["cause"]) for b in receiver.taken] == [("trigger", "unreachable")]
        time.sleep(10)  # many intervals: nothing may pile up, and nobody is told again
        assert len(receiver.bodies) == 1
        more_threads, more_files = watcher.holds()
        assert more_threads <= threads + 1, "the notifier's"
        assert more_files <= files + 1, "its connection; the one to ClickHouse is tried anew in place of the old one"
        own_clickhouse.process.send(signal.SIGCONT)
        until(lambda: len(receiver.taken) == 2, 30)
        assert [(b["kind"], b["cause"]) for b in receiver.taken][1] == ("resolve", "unreachable")
        begun = time.monotonic()
        while len(receiver.taken) < 3 and time.monotonic() - begun < 90:
            feed(server_store, 8)
            time.sleep(0.5)  # the pace of the traffic
        assert [(b["kind"], b["cause"]) for b in receiver.taken][2] == ("trigger", "burn-rate")
    finally:
        own_clickhouse.process.send(signal.SIGCONT)
        watcher.stop()


def test_a_watcher_that_starts_while_clickhouse_hangs_says_so_on_time(
    own_clickhouse: ClickHouseServer, receiver: Receiver, tmp_path: Path
) -> None:
    """It cannot even open it."""
    own_clickhouse.process.send(signal.SIGSTOP)
    begun = time.monotonic()
    watcher = Watch(own_clickhouse.url, receiver, tmp_path, "one")
    try:
        until(lambda: receiver.taken != [], 30)
        assert [(b["kind"], b["cause"]) for b in receiver.taken] == [("trigger", "unreachable")]
        assert time.monotonic() - begun <= 5 + 0.5 + 10, "--blind-after, an interval, and its own start"
        own_clickhouse.process.send(signal.SIGCONT)
        until(lambda: len(receiver.taken) == 2, 30)
        assert [(b["kind"], b["cause"]) for b in receiver.taken][1] == ("resolve", "unreachable")
    finally:
        own_clickhouse.process.send(signal.SIGCONT)
        watcher.stop()


def test_a_watcher_may_be_stopped_while_clickhouse_hangs(
    own_clickhouse: ClickHouseServer, server_store: ServerStore, receiver: Receiver, tmp_path: Path
) -> None:
    """It does not wait for the answer longer than ``--drain``, and who comes next resolves what it had told."""
    first = Watch(own_clickhouse.url, receiver, tmp_path, "one", "--drain", "1s").ready()
    try:
        until(lambda: _views(server_store) >= 2 and TableMemory(server_store).load() is not None, 60)
        own_clickhouse.process.send(signal.SIGSTOP)
        until(lambda: receiver.taken != [], 30)
        begun = time.monotonic()
        first.stop()
        assert time.monotonic() - begun < 5
        assert first.process.returncode == 1
        assert "not stopped within 1 s, something does not answer: ended; open alerts" in first.log.read_text()
        second = Watch(own_clickhouse.url, receiver, tmp_path, "one")
        try:
            time.sleep(10)  # blind for longer than it takes to page
            own_clickhouse.process.send(signal.SIGCONT)
            until(lambda: len(receiver.taken) == 2, 60)
            time.sleep(2)
            assert [(b["kind"], b["cause"]) for b in receiver.taken] == [
                ("trigger", "unreachable"),
                ("resolve", "unreachable"),
            ]
        finally:
            second.stop()
        assert second.process.returncode == 0
    finally:
        own_clickhouse.process.send(signal.SIGCONT)
        first.stop()


@pytest.fixture
def proxy(own_clickhouse: ClickHouseServer) -> Iterator[Proxy]:
    """Stands before the port on which the server is asked."""
    loop = LoopThread()
    made = Proxy(loop, own_clickhouse.tcp_port)
    try:
        yield made
    finally:
        made.close()
        loop.close()


def test_a_line_that_swallows_is_paged_and_a_slow_one_is_not(
    own_clickhouse: ClickHouseServer, server_store: ServerStore, proxy: Proxy, receiver: Receiver, tmp_path: Path
) -> None:
    """Statements of a second or two: evaluations take longer than ``--blind-after`` in all, and page what is there to page."""
    given = urlsplit(own_clickhouse.url)
    url = given._replace(netloc=f"{given.username}:{given.password}@{LOOPBACK}:{proxy.port}").geturl()
    watcher = Watch(url, receiver, tmp_path, "one").ready()
    try:
        until(lambda: _views(server_store) >= 2, 60)
        with proxy.slow(delay_seconds=0.2):  # of a chunk; a statement has six
            begun = time.monotonic()
            while not receiver.taken and time.monotonic() - begun < 120:
                feed(server_store, 8)
                time.sleep(0.5)  # the pace of the traffic
            assert [(b["kind"], b["cause"]) for b in receiver.taken] == [("trigger", "burn-rate")]
        with proxy.hanging():
            begun = time.monotonic()
            until(lambda: any(b["cause"] == "unreachable" for b in receiver.taken), 30)
            assert time.monotonic() - begun <= 5 + 0.5 + 4
            proxy.cut()  # as if the line had forgotten its connections
        until(lambda: any(b["cause"] == "unreachable" and b["kind"] == "resolve" for b in receiver.taken), 30)
    finally:
        watcher.stop()
