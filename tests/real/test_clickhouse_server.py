"""The ClickHouse server part itself, and the rules of its insert deduplication that exactly-once rests on."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from telemetry.store.chdb import ChdbEngine
from tests.real.parts.clickhouse import ClickHouseServer, connect

AUTHENTICATION_FAILED = 516
# Both are set on every insert that the product makes (telemetry.store.inserts).
DEDUPLICATE = {"insert_deduplicate": 1, "deduplicate_blocks_in_dependent_materialized_views": 1}


@pytest.fixture
def client(clickhouse_url: str) -> Iterator[Client]:
    """clickhouse-driver on an empty database."""
    client = connect(clickhouse_url)
    yield client
    client.disconnect()


def create(client: Client, *, window: int, view_window: int | None = None, partition: str = "tuple()") -> None:
    """Make the table ``t`` with a deduplication window, and a view into ``totals`` when that has one too."""
    client.execute(
        f"CREATE TABLE t (x UInt64, writer UInt8) ENGINE = MergeTree PARTITION BY {partition} ORDER BY x "
        f"SETTINGS non_replicated_deduplication_window = {window}"
    )
    if view_window is not None:
        client.execute(
            "CREATE TABLE totals (n SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY () "
            f"SETTINGS non_replicated_deduplication_window = {view_window}"
        )
        client.execute("CREATE MATERIALIZED VIEW v TO totals AS SELECT count() AS n FROM t")


def insert(client: Client, token: str, *, first: int = 0, writer: int = 0, **settings: int) -> None:
    """Insert ten rows, from ``first`` on, as one block with a token."""
    client.execute(
        f"INSERT INTO t SELECT number + {first}, {writer} FROM numbers(10)",
        settings={**DEDUPLICATE, "insert_deduplication_token": token, **settings},
    )


def count(client: Client, expression: str = "count() FROM t") -> int:
    """One number out of the database."""
    ((value,),) = client.execute(f"SELECT {expression}")
    return int(value)


class TestTheServer:
    """It is a whole ClickHouse server."""

    def test_speaks_the_native_protocol(self, client: Client) -> None:
        """clickhouse-driver reads a typed answer, and the server is new enough."""
        ((version, forty_two),) = client.execute("SELECT version(), toUInt8(42)")
        assert int(version.split(".")[0]) >= 25
        assert forty_two == 42

    def test_takes_an_insert_from_chdb(self, client: Client, clickhouse_url: str, tmp_path: Path) -> None:
        """chDB's remote() lands rows in a table here: the way that blocks take."""
        create(client, window=10)
        parts = urlsplit(clickhouse_url)
        database = parts.path.strip("/")
        target = f"remote('{parts.hostname}:{parts.port}', '{database}', 't', '{parts.username}', '{parts.password}')"
        engine = ChdbEngine(tmp_path / "chdb")
        try:
            for _ in range(2):
                engine.run(
                    f"INSERT INTO FUNCTION {target} SELECT number, 0 FROM numbers(10) "
                    "SETTINGS insert_deduplication_token = 'a'"
                )
        finally:
            engine.close()
        assert count(client) == 10

    def test_refuses_a_wrong_password_and_goes_on(self, client: Client, clickhouse_url: str) -> None:
        """The password counts, or a test of wrong credentials would prove nothing; the others are still served."""
        parts = urlsplit(clickhouse_url)
        wrong = parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":wrong@")).geturl()
        with pytest.raises(ServerException) as caught:
            connect(wrong).execute("SELECT 1")
        assert caught.value.code == AUTHENTICATION_FAILED
        assert count(client, "1") == 1

    def test_survives_garbage_and_a_cut_connection(self, client: Client, clickhouse_url: str) -> None:
        """What a fault does to one connection must not end the server."""
        parts = urlsplit(clickhouse_url)
        assert parts.hostname
        assert parts.port
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as garbage:
            garbage.sendall(b"\x07garbage" * 100)
            assert garbage.recv(1000) is not None
        cut = connect(clickhouse_url)
        cut.execute("SELECT 1")
        # Linger of zero seconds: close() sends a reset.
        cut.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        cut.connection.socket.close()
        assert count(client, "1") == 1
        assert count(connect(clickhouse_url), "1") == 1


class TestDeduplication:
    """What a repeated token does: what "Delivery" in docs/architecture.md rests on."""

    def test_window_zero_ignores_the_token(self, client: Client) -> None:
        """A table whose window is left at its default doubles without a word."""
        create(client, window=0)
        insert(client, "a")
        insert(client, "a")
        assert count(client) == 20

    def test_a_view_without_a_window_is_doubled(self, client: Client) -> None:
        """The table is right and the roll-up is wrong: every target needs its own window."""
        create(client, window=10, view_window=0)
        insert(client, "a")
        insert(client, "a")
        assert (count(client), count(client, "sum(n) FROM totals")) == (10, 20)

    def test_windows_on_both_are_right(self, client: Client) -> None:
        """As Edgepath's tables are made."""
        create(client, window=10, view_window=10)
        for token in ("a", "a", "b", "b", "a"):
            insert(client, token)
        assert (count(client), count(client, "sum(n) FROM totals")) == (20, 20)

    def test_a_view_is_doubled_without_the_setting(self, client: Client) -> None:
        """The setting's default changed between versions, so it is sent with every insert."""
        create(client, window=10, view_window=10)
        for _ in range(2):
            insert(client, "a", deduplicate_blocks_in_dependent_materialized_views=0)
        assert (count(client), count(client, "sum(n) FROM totals")) == (10, 20)

    def test_the_first_writer_of_a_token_wins(self, client: Client) -> None:
        """Other rows under the same token are dropped whole, in the table and in the view."""
        create(client, window=10, view_window=10)
        insert(client, "a", writer=1)
        insert(client, "a", writer=2, first=100)
        assert client.execute("SELECT DISTINCT writer FROM t") == [(1,)]
        assert count(client, "sum(n) FROM totals") == 10

    def test_deduplication_is_per_table_partition(self, client: Client) -> None:
        """The same token lands twice when the rows lie in different partitions: why a block lies in one."""
        create(client, window=10, partition="intDiv(x, 100)")
        insert(client, "a", writer=1)
        insert(client, "a", writer=2, first=100)
        assert client.execute("SELECT DISTINCT writer FROM t ORDER BY writer") == [(1,), (2,)]

    def test_is_kept_over_a_crash(self, own_clickhouse: ClickHouseServer) -> None:
        """SIGKILL, the same data directory again: the token is still known, and the rows are there."""
        before = connect(own_clickhouse.url)
        create(before, window=10, view_window=10)
        insert(before, "a")
        own_clickhouse.kill()
        own_clickhouse.start()
        after = connect(own_clickhouse.url)
        insert(after, "a")
        insert(after, "b", first=10)
        assert (count(after), count(after, "sum(n) FROM totals")) == (20, 20)
