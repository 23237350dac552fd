"""How a real ClickHouse server deduplicates inserts: every rule that docs/exactly-once.md rests on.

The numbers of rows are those of the table in that document. Statements here are bare: what the product pins on every insert
(``telemetry.store.inserts``) is left out where a rule shows what would happen without it.
"""

import urllib.parse
from collections.abc import Iterator

import httpx
import pytest
from clickhouse_driver import Client

from telemetry.store.address import ServerAddress
from telemetry.store.inserts import PINNED, SETTINGS_QUERY
from telemetry.store.server import ServerStore
from tests.real.parts.clickhouse import ClickHouseServer, connect

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


def insert(
    client: Client, token: str, *, first: int = 0, writer: int = 0, rows: int = 10, **settings: int | str
) -> None:
    """Insert rows, from ``first`` on, with a token."""
    client.execute(
        f"INSERT INTO t (x, writer) SELECT number + {first}, {writer} FROM numbers({rows})",
        settings={**DEDUPLICATE, "insert_deduplication_token": token, **settings},
    )


def blocks_of(rows: int) -> dict[str, int]:
    """Settings that cut an insert into blocks of so many rows."""
    return {"max_block_size": rows, "min_insert_block_size_rows": rows, "max_insert_threads": 1, "max_threads": 1}


def count(client: Client, expression: str = "count() FROM t") -> int:
    """One number out of the database."""
    ((value,),) = client.execute(f"SELECT {expression}")
    return int(value)


def totals(client: Client) -> int:
    """What the view has counted."""
    return count(client, "sum(n) FROM totals")


class TestWindows:
    """What is remembered, where, and for how long."""

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
        assert (count(client), totals(client)) == (10, 20)

    def test_windows_on_both_are_right(self, client: Client) -> None:
        """As Edgepath's tables are made."""
        create(client, window=10, view_window=10)
        for token in ("a", "a", "b", "b", "a"):
            insert(client, token)
        assert (count(client), totals(client)) == (20, 20)

    def test_a_view_is_doubled_without_the_setting(self, client: Client) -> None:
        """The setting's default changed between versions, so it is sent with every insert."""
        create(client, window=10, view_window=10)
        for _ in range(2):
            insert(client, "a", deduplicate_blocks_in_dependent_materialized_views=0)
        assert (count(client), totals(client)) == (10, 20)

    def test_a_token_is_forgotten_after_so_many_blocks(self, client: Client) -> None:
        """In the table and in the view: why a guard must stop who slept for long."""
        create(client, window=3, view_window=3)
        for token in ("a", "b", "c", "a"):
            insert(client, token)
        assert (count(client), totals(client)) == (30, 30)
        insert(client, "d")
        insert(client, "a")
        assert (count(client), totals(client)) == (50, 50)

    def test_the_window_counts_blocks_and_not_inserts(self, client: Client) -> None:
        """An insert into four table partitions spends four places: a window of three has forgotten the first at once."""
        create(client, window=3, partition="x % 4")
        insert(client, "a", rows=8)
        insert(client, "a", rows=8)
        assert count(client) > 8

    def test_deduplication_is_per_table_partition(self, client: Client) -> None:
        """The same token lands twice when the rows lie in different partitions: why a block lies in one."""
        create(client, window=10, partition="intDiv(x, 100)")
        insert(client, "a", writer=1)
        insert(client, "a", writer=2, first=100)
        assert client.execute("SELECT DISTINCT writer FROM t ORDER BY writer") == [(1,), (2,)]

    def test_two_views_spend_two_places_in_their_target(self, client: Client) -> None:
        """Why the window of ``sli_1m`` grows with the number of SLOs; each deduplicates by itself."""
        create(client, window=10, view_window=4)
        client.execute("CREATE MATERIALIZED VIEW w TO totals AS SELECT count() * 100 AS n FROM t")
        for token in ("a", "b", "a", "b"):
            insert(client, token)
        assert (count(client), totals(client)) == (20, 2020)
        insert(client, "c")
        insert(client, "a")
        assert (count(client), totals(client)) == (30, 3030 + 1010)

    def test_a_larger_window_forgets_nothing(self, client: Client) -> None:
        """``alerts.sli_views`` widens one while blocks come in."""
        create(client, window=2, view_window=2)
        insert(client, "a")
        client.execute("ALTER TABLE totals MODIFY SETTING non_replicated_deduplication_window = 5")
        client.execute("ALTER TABLE t MODIFY SETTING non_replicated_deduplication_window = 5")
        for token in ("a", "b", "c", "d", "a"):
            insert(client, token)
        assert (count(client), totals(client)) == (40, 40)

    def test_is_kept_over_merges_and_deletes(self, client: Client) -> None:
        """The parts that a token came with are gone; the token is not."""
        create(client, window=10, view_window=10)
        for token in ("a", "b", "c"):
            insert(client, token)
        client.execute("OPTIMIZE TABLE t FINAL")
        client.execute("OPTIMIZE TABLE totals FINAL")
        for token in ("a", "b", "c"):
            insert(client, token)
        assert (count(client), totals(client)) == (30, 30)
        client.execute("DELETE FROM t WHERE 1")
        insert(client, "a")
        assert (count(client), totals(client)) == (0, 30)

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
        assert (count(after), totals(after)) == (20, 20)


class TestTokens:
    """What a token stands for."""

    def test_the_first_writer_of_a_token_wins(self, client: Client) -> None:
        """Other rows under the same token are dropped whole, in the table and in the view, without a word."""
        create(client, window=10, view_window=10)
        insert(client, "a", writer=1)
        insert(client, "a", writer=2, first=100, rows=7)
        assert client.execute("SELECT DISTINCT writer FROM t") == [(1,)]
        assert (count(client), totals(client)) == (10, 10)

    def test_other_blocks_under_one_token_are_doubled(self, client: Client) -> None:
        """1,000 rows in blocks of 250, again in blocks of 100: blocks have numbers under the token. 600 rows are doubled."""
        create(client, window=100)
        insert(client, "a", rows=1_000, **blocks_of(250))
        insert(client, "a", rows=1_000, **blocks_of(100))
        assert count(client) == 1_600

    def test_other_blocks_under_one_token_are_lost(self, client: Client) -> None:
        """500 rows in blocks of 100, then all 1,000 in blocks of 250: the second half is taken for known. 500 rows are lost."""
        create(client, window=100)
        insert(client, "a", rows=500, **blocks_of(100))
        insert(client, "a", rows=1_000, **blocks_of(250))
        assert count(client) == 500

    def test_an_insert_of_no_rows_spends_no_token(self, client: Client) -> None:
        """A guard that did not hold leaves the block to be written."""
        create(client, window=10, view_window=10)
        insert(client, "a", rows=0)
        insert(client, "a")
        assert (count(client), totals(client)) == (10, 10)

    def test_a_view_that_missed_a_block_gets_it_from_the_tables_own_rows(self, client: Client) -> None:
        """The table drops what it has, the view's target takes what it has not; a third time changes nothing."""
        create(client, window=10, view_window=10)
        client.execute("DROP VIEW v")
        insert(client, "a")
        client.execute("CREATE MATERIALIZED VIEW v TO totals AS SELECT count() AS n FROM t")
        assert (count(client), totals(client)) == (10, 0)
        for _ in range(2):
            client.execute("INSERT INTO t SELECT * FROM t", settings={**DEDUPLICATE, "insert_deduplication_token": "a"})
            assert (count(client), totals(client)) == (10, 10)

    def test_a_view_that_was_altered_is_another_one(self, own_clickhouse: ClickHouseServer) -> None:
        """Even by a comment; and a third one after the server's next start. Its tables may be altered."""
        before = connect(own_clickhouse.url)
        create(before, window=10, view_window=10)
        insert(before, "a")
        for table in ("t", "totals"):
            before.execute(f"ALTER TABLE {table} MODIFY COMMENT 'x'")
        before.execute("ALTER TABLE t ADD COLUMN y UInt8")
        statement = "INSERT INTO t (x, writer) SELECT x, writer FROM t"
        again = {**DEDUPLICATE, "insert_deduplication_token": "a"}
        before.execute(statement, settings=again)
        assert (count(before), totals(before)) == (10, 10)
        before.execute("ALTER TABLE v MODIFY COMMENT 'x'")
        before.execute(statement, settings=again)
        assert (count(before), totals(before)) == (10, 20)
        insert(before, "b", first=10)
        own_clickhouse.kill()
        own_clickhouse.start()
        after = connect(own_clickhouse.url)
        after.execute(
            "INSERT INTO t (x, writer) SELECT x, writer FROM t WHERE x >= 10",
            settings={**again, "insert_deduplication_token": "b"},
        )
        assert (count(after), totals(after)) == (20, 40)

    def test_a_view_that_was_renamed_is_another_one(self, client: Client) -> None:
        create(client, window=10, view_window=10)
        insert(client, "a")
        client.execute("RENAME TABLE v TO w")
        insert(client, "a")
        assert (count(client), totals(client)) == (10, 20)


class TestWhatIsPinned:
    """The settings that the product sends with every insert."""

    def test_the_server_is_asked_for_the_names_that_it_knows(self, clickhouse_url: str) -> None:
        """A setting that it does not know would fail every insert; those that matter are there."""
        store = ServerStore(ServerAddress.parse(clickhouse_url))
        known = {name for (name,) in store.query(SETTINGS_QUERY, {"names": [*PINNED, "no_such_setting"]}).rows}
        assert known <= set(PINNED)
        assert {"insert_deduplicate", "deduplicate_blocks_in_dependent_materialized_views", "async_insert"} <= known
        store.close()

    def test_a_setting_that_it_does_not_know_is_refused(self, clickhouse_url: str) -> None:
        """Why it is asked."""
        address = ServerAddress.parse(clickhouse_url)
        answer = httpx.post(
            f"{address.http_url}/?{urllib.parse.urlencode({'no_such_setting': 1})}",
            content="SELECT 1",
            auth=(address.user, address.password),
            trust_env=False,
        )
        assert answer.headers["X-ClickHouse-Exception-Code"] == "115"
