"""The block log on a real ClickHouse server: its contract, and writers that sleep, wake, race and are cut off."""

import contextlib
import itertools
import random
import shutil
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from alerts.sli_views import sync
from alerts.slos import Slo, load
from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.model import Block, Lease
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables
from telemetry.errors import FencedError, UnavailableError
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.base import Parameter, Store
from telemetry.store.http import HttpClient
from telemetry.store.server import ServerStore
from tests.real.parts.clickhouse import ClickHouseServer
from tests.support.blocklog_contract import BlockLogContract, log_of, logged, sums, tables_of
from tests.support.log_blocks import TOPIC, block_of, late, path, restated
from tests.support.metrics_contract import MetricsContract
from tests.support.verify_contract import VerifyBasics, differing, verified
from tests.support.waiting import wait_until

TABLES = ("path_log", "request_paths", "path_1m", "hop_1m", "late_spans", "corrections")


STALE_PATHS = replace(PATHS, stale_blocks=2)
"""The log of paths, whose tables are trusted to remember two blocks only."""


def opened(url: str) -> ServerStore:
    """A store with the schema."""
    store = ServerStore(ServerAddress.parse(url))
    schema.apply(store)
    return store


@pytest.fixture
def store(clickhouse_url: str) -> Iterator[Store]:
    """A new database with the schema on a real server."""
    with contextlib.closing(opened(clickhouse_url)) as store:
        yield store


def forget(store: Store) -> None:
    """As if so many blocks had come in that no table remembers a token: the windows are made small, and then filled."""
    for table in TABLES:
        store.execute(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 2")
    log = BlockLog(SqlLogTables(store, PATHS, "others"))
    lease = log.take_over(0)
    for number in range(lease.next_number, lease.next_number + 3):
        block = block_of(lease, number, [path(10**6 + number, start=10**18)], topic="others")
        log.append(block)


def rows_of(store: Store, topic: str = TOPIC) -> tuple[int, int, float]:
    """Rows of a topic in the log and in ``request_paths``, and requests of all topics in the first roll-up."""
    return (
        store.query("SELECT count() FROM path_log WHERE topic = {t:String} AND kind = 'path'", {"t": topic}).scalar(),
        store.query("SELECT count() FROM request_paths WHERE topic = {t:String}", {"t": topic}).scalar(),
        store.query("SELECT sum(requests) FROM path_1m WHERE minute > '2020-01-01'").scalar(),
    )


class TestServerLog(BlockLogContract):
    """Over HTTP."""


class TestServerMetrics(MetricsContract):
    """Over HTTP."""


class TestZombies:
    """A process that stalled, lost its partition and wakes: as long afterwards as it likes."""

    def test_it_wakes_when_no_token_is_remembered(self, store: Store) -> None:
        """The guard stops it, which the server evaluates: the token alone would not, as the same rows without a guard show."""
        log, other = log_of(store), log_of(store)
        lease = log.take_over(0)
        log.append(block_of(lease, 2, [path(1)]))
        new = other.take_over(0)
        other.append(block_of(new, 4, [path(2)]))
        forget(store)
        zombie = block_of(lease, 3, [path(2), path(3)])
        with pytest.raises(FencedError):
            log.append(zombie)
        before = rows_of(store)
        assert before[:2] == (2, 2)
        store.insert("path_log", zombie.columns, zombie.arrow, token=f"{TOPIC}/0/3/after {lease.writer}")
        assert rows_of(store)[0] == 4

    def test_its_retry_comes_when_no_token_is_remembered(self, store: Store) -> None:
        """It is still the owner, and what it sends again is there: neither the log nor the tables get it twice."""
        log = log_of(store)
        lease = log.take_over(0)
        block = block_of(lease, 2, [path(1), path(2)])
        log.append(block)
        stale = BlockLog(SqlLogTables(store, STALE_PATHS, TOPIC))
        stale._tried[lease.writer] = 2
        forget(store)
        before = rows_of(store)
        stale.append(block)
        assert stale.stale_takeovers == 0
        assert rows_of(store) == before
        assert stale.take_over(0).next_number == 4
        assert rows_of(store) == before

    def test_a_stale_block_that_is_not_everywhere_is_told(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        """It may be on its way to where it is not, by a statement whose token is forgotten: it stays away, and that is said."""
        lease = log_of(store).take_over(0)
        log_of(store).append(block_of(lease, 2, [path(1), path(2)]))
        forget(store)
        store.execute("TRUNCATE TABLE hop_1m")
        before = rows_of(store)
        stale = BlockLog(SqlLogTables(store, STALE_PATHS, TOPIC))
        stale.take_over(0)
        assert stale.stale_takeovers == 1
        assert rows_of(store) == before
        assert store.query("SELECT sum(paths) FROM hop_1m").scalar() == 0
        assert "block 2 of partition 0 is not in path_feed_to_hop_1m" in caplog.text

    def test_a_stale_block_that_was_never_driven_is_driven(self, store: Store) -> None:
        """Its rows are not there, so there is nothing to double."""
        lease = log_of(store).take_over(0)
        tables_of(store).write(block_of(lease, 2, [path(1)]), lease.writer)
        forget(store)
        before = rows_of(store)
        stale = BlockLog(SqlLogTables(store, STALE_PATHS, TOPIC))
        stale.take_over(0)
        assert stale.stale_takeovers == 0
        assert rows_of(store) == (before[0], before[1] + 1, before[2] + 2.0)

    def test_its_drive_comes_when_no_token_is_remembered(self, store: Store) -> None:
        """After the next block is in the log, a drive has no effect."""
        log = log_of(store)
        lease = log.take_over(0)
        log.append(block_of(lease, 2, [path(1)]))
        head = tables_of(store).head(0)
        log_of(store).take_over(0)
        forget(store)
        before = rows_of(store)
        tables_of(store).drive(0, head, "request_paths", again=False)
        assert rows_of(store) == before

    @pytest.mark.parametrize("same_token", [True, False])
    def test_its_block_has_passed_the_guard_and_comes_after_the_fence(
        self, store: Store, clickhouse_url: str, same_token: bool
    ) -> None:
        """The body stops half-way, the partition is taken over, the rest comes: the token drops it.

        With another token it lands: so the guard was evaluated before, and the token is needed.
        """
        lease = log_of(store).take_over(0)
        block = block_of(lease, 2, [path(n, span_data=random.Random(n).randbytes(3_000)) for n in range(1, 300)])
        with HalfSent(clickhouse_url, store, block, lease, "" if same_token else "other") as half:
            new = log_of(store).take_over(0)
            assert new.next_number == 3
            assert half.finish().startswith(b"HTTP/1.1 200 OK")
        writers = {w for (w,) in store.query("SELECT DISTINCT writer FROM path_log WHERE block = 2").rows}
        assert writers == ({new.writer} if same_token else {new.writer, lease.writer})

    def test_its_drive_has_passed_the_guard_and_comes_after_the_fence(self, store: Store, clickhouse_url: str) -> None:
        """Two drives of one block at once, the fence between them: the token drops the second, in every table."""
        lease = log_of(store).take_over(0)
        block = block_of(lease, 2, [path(n) for n in range(6)])
        with contextlib.closing(SlowDrives(ServerAddress.parse(clickhouse_url))) as slow, ThreadPoolExecutor(1) as pool:
            late = pool.submit(BlockLog(SqlLogTables(slow, PATHS, TOPIC)).append, block)
            running = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT%sleepEachRow%'"
            wait_until(lambda: store.query(running).scalar())
            log_of(store).take_over(0)
            assert sums(store) == (6, 12.0, 12.0)
            assert not late.done()
            late.result(60)
        assert sums(store) == (6, 12.0, 12.0)
        assert logged(store) == [(1, "fence", 1), (2, "path", 6), (3, "fence", 1)]


class HalfSent:
    """An insert of a block whose body stops half-way, as a stalled process leaves it, after its guard was evaluated."""

    def __init__(self, url: str, store: Store, block: Block, lease: Lease, token: str) -> None:
        sent: list[tuple[str, bytes, Mapping[str, str], Mapping[str, Parameter]]] = []

        class Caught(HttpClient):
            def run(self, sql: str, body: bytes = b"", **more: Mapping[str, str]) -> bytes:  # type: ignore[override]
                sent.append((sql, body, more["settings"], more["parameters"]))
                return b""

        address = ServerAddress.parse(url)
        with contextlib.closing(ServerStore(address)) as caught:
            caught._http = Caught(address, connect_seconds=5, answer_seconds=5)
            tables_of(caught).write(block, lease.writer)
        ((sql, body, settings, parameters),) = sent
        asked = {**settings, "database": address.database, "wait_end_of_query": "1"}
        asked |= {f"param_{name}": str(value) for name, value in parameters.items()}
        asked |= {"insert_deduplication_token": token} if token else {}
        whole = sql.encode() + b"\n" + body
        self._rest = whole[len(whole) // 2 :]
        assert len(whole) // 2 > 262_144, "the server reads so much before it looks at the statement"
        self._connection = socket.create_connection((address.host, address.http_port), timeout=60)
        head = (
            f"POST /?{urllib.parse.urlencode(asked)} HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {address.user}\r\n"
            f"X-ClickHouse-Key: {address.password}\r\nContent-Length: {len(whole)}\r\n\r\n"
        )
        self._connection.sendall(head.encode() + whole[: len(whole) // 2])
        mine = "SELECT max(read_rows) FROM system.processes WHERE query LIKE 'INSERT INTO path_log % FROM input(%'"
        wait_until(lambda: store.query(mine).scalar() > 0)  # the guard has read the log

    def __enter__(self) -> "HalfSent":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def finish(self) -> bytes:
        """Send the rest; the answer."""
        self._connection.sendall(self._rest)
        return self._connection.recv(4_000)


class SlowDrives(ServerStore):
    """A server on which drives take seconds, between their guard and their first row."""

    def insert_select(
        self,
        table: str,
        columns: Sequence[str],
        select: str,
        *,
        token: str,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """Slowly."""
        slow = select.replace(" WHERE ", " WHERE sleepEachRow(0.5) = 0 AND ", 1)
        super().insert_select(table, columns, slow, token=token, parameters=parameters)


class Appender:
    """A process that takes over and appends, over and over, beside others that do the same; it may be away for a while.

    Attributes:
        acknowledged: ids of paths in blocks that were stored.
        disowned: ids of paths in blocks that were not, for certain.
    """

    def __init__(self, store: Store, ids: Iterator[int], seed: int) -> None:
        self._log = log_of(store)
        self._ids = ids
        self._chance = random.Random(seed)
        self.acknowledged: set[int] = set()
        self.disowned: set[int] = set()

    def run(self, blocks: int, give_up: threading.Event) -> None:
        """Append so many blocks."""
        lease: Lease | None = None
        while blocks and not give_up.is_set():
            try:
                if lease is None or self._chance.random() < 0.1:
                    lease = self._log.take_over(0)
                numbers = [next(self._ids) for _ in range(self._chance.randint(1, 20))]
                self._append(block_of(lease, lease.next_number, [path(n) for n in numbers]), give_up)
                lease = Lease(0, lease.writer, lease.next_number + 1)
                self.acknowledged |= set(numbers)
                blocks -= 1
            except FencedError:
                lease = None
                self.disowned |= set(numbers)
            except UnavailableError:
                lease = None
                give_up.wait(0.05)

    def _append(self, block: Block, give_up: threading.Event) -> None:
        while True:
            try:
                self._log.append(block)
            except UnavailableError:
                if give_up.wait(0.05):
                    raise
            else:
                return


def in_agreement(store: Store, appenders: Sequence[Appender], slos: Sequence[Slo] = ()) -> int:
    """Check that the tables follow the log, and the log what the appenders were told; how many paths there are."""
    log_of(store).take_over(0)  # drives the last block
    ids = {
        table: [int.from_bytes(t) for (t,) in store.query(f"SELECT trace_id FROM {table} WHERE {where}").rows]
        for table, where in (("path_log", "kind = 'path'"), ("request_paths", "1"))
    }
    found = set(ids["path_log"])
    assert sorted(ids["path_log"]) == sorted(ids["request_paths"]) == sorted(found)
    for appender in appenders:
        assert appender.acknowledged <= found
        assert not appender.disowned & found
    writers = store.query("SELECT block FROM path_log GROUP BY block HAVING uniqExact(writer) > 1").rows
    assert writers == []
    assert sums(store) == (len(found), 2.0 * len(found), 2.0 * len(found))
    assert differing(verified(store, slos=slos)) == {}
    return len(found)


def test_several_that_believe_to_have_the_partition(store: Store) -> None:
    """Three processes take it from one another all the time: every path is stored once or not at all, as they were told."""
    ids, give_up = itertools.count(1), threading.Event()
    appenders, rounds = [Appender(store, ids, seed) for seed in range(3)], 0
    # Who overtakes whom is the scheduler's choice: on until somebody was overtaken between its lease and its block.
    while rounds < 10 and not any(appender.disowned for appender in appenders):
        rounds += 1
        with ThreadPoolExecutor(3) as pool:
            done = [pool.submit(appender.run, 8, give_up) for appender in appenders]
            for each in done:
                each.result(120)
    assert in_agreement(store, appenders) >= 24
    assert any(appender.disowned for appender in appenders)


def reached(appenders: Sequence[Appender], goal: int) -> bool:
    """Whether so many paths are acknowledged."""
    return sum(len(appender.acknowledged) for appender in appenders) >= goal


@pytest.mark.timeout(180)
def test_the_server_is_killed_again_and_again(own_clickhouse: ClickHouseServer) -> None:
    """SIGKILL while two processes append; what was acknowledged is there, in all tables, and nothing is there twice."""
    store, slos = opened(own_clickhouse.url), load()
    for now in (time.time() - 3600, time.time()):  # their cut lies in the past
        sync(store, slos, 60, now)
    chance, ids, give_up = random.Random(5), itertools.count(1), threading.Event()
    appenders = [Appender(store, ids, seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(appender.run, 10**6, give_up) for appender in appenders]
        for _ in range(4):
            goal = sum(len(a.acknowledged) for a in appenders) + chance.randint(10, 80)
            wait_until(partial(reached, appenders, goal))
            own_clickhouse.kill()
            own_clickhouse.start()
        give_up.set()
        for each in done:
            each.result(60)
    assert in_agreement(store, appenders, slos) > 40
    store.close()


def test_a_block_driven_again_after_a_restart_counts_once(own_clickhouse: ClickHouseServer) -> None:
    """In every roll-up and SLI, whatever its views have been through since they were made."""
    store, slos = opened(own_clickhouse.url), load()
    for now in (time.time() - 3600, time.time()):
        sync(store, slos, 60, now)
    lease = log_of(store).take_over(0)
    log_of(store).append(block_of(lease, lease.next_number, [path(n) for n in range(1, 6)]))
    own_clickhouse.kill()
    own_clickhouse.start()
    log_of(store).take_over(0)
    assert store.query("SELECT slo, sum(total_paths) FROM sli_1m GROUP BY slo ORDER BY slo").rows == [
        (slo.name, 5) for slo in sorted(slos, key=lambda slo: slo.name)
    ]
    assert differing(verified(store, slos=slos)) == {}
    store.close()


TORN = ("request_paths", "path_1m", "hop_1m", "sli_1m", "late_spans", "corrections")


@pytest.mark.parametrize("table", TORN)
def test_a_block_that_a_killed_server_holds_for_stored_is_put_there(
    own_clickhouse: ClickHouseServer, table: str
) -> None:
    """ClickHouse notes a token before it has the rows. Killed just then, it drops the block whenever it comes again.

    What such a server has on its disk is made by hand: all is stored, it is killed, and the last part of one table taken away.
    """
    store, slos = opened(own_clickhouse.url), load()
    for now in (time.time() - 3600, time.time()):
        sync(store, slos, 60, now)
    log = log_of(store)
    lease = log.take_over(0)
    old = path(1, outcome="edge_error", pop="ams")
    log.append(block_of(lease, 2, [old, path(2)]))
    block = block_of(lease, 3, [path(3), late(1, 77), *restated(old, outcome="ok")])
    log.append(block)
    before = everything(store)
    kept = "SELECT path FROM system.parts WHERE active AND database = currentDatabase() AND table = {t:String}"
    parts = f"{kept} AND max_block_number = (SELECT max(max_block_number) FROM ({kept.replace('path', '*', 1)}))"
    gone = [Path(str(folder)) for (folder,) in store.query(parts, {"t": table}).rows]
    own_clickhouse.kill()
    for folder in gone:
        shutil.rmtree(folder)
    own_clickhouse.start()
    assert everything(store) != before
    taker = log_of(store)
    taker.take_over(0)
    assert everything(store) == before
    assert taker.mended_parts >= 1
    assert taker.stale_takeovers == 0
    again = log_of(store)
    again._tried[lease.writer] = 3
    with pytest.raises(FencedError):
        again.append(block_of(lease, 4, [path(9)]))
    log_of(store).take_over(0)
    assert everything(store) == before
    assert differing(verified(store, slos=slos)) == {}
    store.close()


def everything(store: Store) -> dict[str, object]:
    """All that was counted, whatever block it came in."""
    sums_of = {
        "request_paths": "sum(sign), sum(sign * total_ns), uniqExact(trace_id)",
        "path_1m": "sum(requests), sum(paths), sum(total_ns)",
        "hop_1m": "sum(requests), sum(paths), sum(self_ns)",
        "sli_1m": "sum(good), sum(total), sum(total_paths)",
        "late_spans": "count()",
        "corrections": "count()",
    }
    return {table: store.query(f"SELECT {what} FROM {table}").rows for table, what in sums_of.items()}


class TestVerifyServer(VerifyBasics):
    """Over the native protocol."""
