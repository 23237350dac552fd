"""What every store does, embedded or on a server: one suite, run over each. Subclasses give the fixture ``store``."""

import itertools
import random
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from telemetry.engine.rows import arrow_file
from telemetry.errors import StoreError
from telemetry.store import schema
from telemetry.store.base import Parameter, Store
from telemetry.store.tables import columns, holds, migrations, stored_columns
from tests.support.inserts import Insert

UNKNOWN_IDENTIFIER, SYNTAX_ERROR, UNKNOWN_TABLE, DIVISION_BY_ZERO = 47, 62, 60, 153
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RECENT = datetime.now(UTC).replace(microsecond=678901) - timedelta(hours=1)
"""A start of paths that the table does not take for expired."""
_numbers = itertools.count(1)

NASTY = (
    "",
    "plain",
    'it\'s "quoted"',
    "back\\slash \\n \\' end\\",
    "line\nbreak\r\ttab",
    "größe 日本語 🦉",
    "{x:String} %(y)s {} $1 ?",
    "'; DROP TABLE request_paths; --",
    "null \x00 byte",
    "\x08\x0c\x1b",
    "\\N",
)

VALUES: tuple[tuple[str, Any], ...] = (
    ("toUInt8(255)", 255),
    ("toInt64(-9223372036854775808)", -(2**63)),
    ("toUInt64(18446744073709551615)", 2**64 - 1),
    ("toUInt32(4294967295)", 2**32 - 1),
    ("toFloat64(0.1)", 0.1),
    ("toFloat32(0.5)", 0.5),
    ("true", True),
    ("'größe'", "größe"),
    ("'a\\0b'", "a\x00b"),
    ("toLowCardinality('x')", "x"),
    ("toFixedString('ab', 4)", b"ab\x00\x00"),
    ("unhex('ff00')::FixedString(2)", b"\xff\x00"),
    ("[1, 2, 3]::Array(UInt8)", [1, 2, 3]),
    ("[]::Array(String)", []),
    ("['a', 'ü']", ["a", "ü"]),
    ("[['a'], []]::Array(Array(String))", [["a"], []]),
    ("['a']::Array(LowCardinality(String))", ["a"]),
    ("(1, 'a')::Tuple(UInt8, String)", (1, "a")),
    ("(1, 'a')::Tuple(n UInt8, s String)", (1, "a")),
    ("[(1, 'a'), (2, 'b')]::Array(Tuple(UInt8, String))", [(1, "a"), (2, "b")]),
    ("map('a', 1, 'b', 2)::Map(String, UInt8)", {"a": 1, "b": 2}),
    ("NULL", None),
    ("NULL::Nullable(String)", None),
    ("'x'::Nullable(String)", "x"),
    ("toDateTime('2026-01-02 03:04:05', 'UTC')", START.replace(microsecond=0)),
    ("toDateTime('2026-01-02 03:04:05', 'UTC')::Nullable(DateTime('UTC'))", START.replace(microsecond=0)),
    ("NULL::Nullable(DateTime('UTC'))", None),
    ("toDateTime('2026-01-02 04:04:05', 'Europe/Berlin')", START.replace(microsecond=0)),
    ("toDateTime64('2026-01-02 03:04:05.678901234', 9, 'UTC')", START),
    ("toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC')", START.replace(microsecond=678000)),
    ("toDateTime64('1969-12-31 23:59:59.5', 3, 'UTC')", datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC)),
    ("[toDateTime('2026-01-02 03:04:05', 'UTC')]", [START.replace(microsecond=0)]),
    ("[toDateTime64('2026-01-02 03:04:05.678901', 6, 'UTC')]", [START]),
)


def block(rows: int = 3, *, token: str = "", number: int | None = None, **fields: Any) -> Insert:
    """Rows for ``path_feed`` that differ in their trace ids; ``fields`` are the same in all."""
    number = next(_numbers) if number is None else number
    one: dict[str, Any] = {
        "start": RECENT,
        "pop": "fra",
        "route": "/v1/charges",
        "outcome": "ok",
        "total_ns": 1_000,
        "edge_ns": 400,
        "weight": 2.0,
        "hops.tier": ["edge", "api"],
        "hops.component": ["e", "a"],
        "hops.pop": ["fra", ""],
        "hops.failed": [False, False],
        "hops.attempts": [1, 0],
        "hops.duration_ns": [1_000, 600],
        "hops.self_ns": [300, 600],
        "hops.retry_ns": [0, 0],
        "hops.network_ns": [100, 0],
        "block": number,
        **fields,
    }
    ids = [number.to_bytes(8) + place.to_bytes(8) for place in range(rows)]
    ids = [one.pop("trace_id")] * rows if "trace_id" in one else ids
    arrays = {name: pa.array([value] * rows) for name, value in one.items()}
    table = pa.table({"trace_id": pa.array(ids, pa.binary(16)), **arrays})
    return Insert("path_feed", tuple(table.column_names), arrow_file([table]), rows, token or f"t/0/{number}/paths")


def counts(store: Store) -> tuple[int, float, float]:
    """Rows of the table, requests of its first roll-up, requests of the API's hops in the second."""
    return (
        store.query("SELECT count() FROM request_paths").scalar(),
        store.query("SELECT sum(requests) FROM path_1m").scalar(),
        store.query("SELECT sum(requests) FROM hop_1m WHERE tier = 'api'").scalar(),
    )


class StoreContract:
    """The suite. ``store``: an open store with the schema applied and no rows, for each test a new one."""

    @pytest.mark.parametrize(("expression", "expected"), VALUES, ids=[expression for expression, _ in VALUES])
    def test_values(self, store: Store, expression: str, expected: Any) -> None:
        """Every type comes as the plain Python value that ``Result`` promises."""
        result = store.query(f"SELECT {expression} AS value, 7 AS other")
        assert result.columns == ("value", "other")
        ((value, _),) = result.rows
        assert value == expected
        assert type(value) is type(expected)
        if isinstance(value, datetime):
            assert value.tzinfo is UTC

    def test_no_rows(self, store: Store) -> None:
        """Columns are there all the same."""
        result = store.query("SELECT trace_id, start FROM request_paths")
        assert (result.columns, result.rows) == (("trace_id", "start"), [])

    def test_many_rows(self, store: Store) -> None:
        """More than one of ClickHouse's blocks, in order."""
        rows = store.query("SELECT number, toString(number) FROM numbers(200000) ORDER BY number").rows
        assert len(rows) == 200_000
        assert rows[199_999] == (199_999, "199999")

    @pytest.mark.parametrize("value", NASTY, ids=range(len(NASTY)))
    def test_a_string_parameter_comes_back_as_it_is(self, store: Store, value: str) -> None:
        """Whatever stands in it: it is a value and never SQL."""
        assert store.query("SELECT {v:String} AS v", {"v": value}).scalar() == value
        assert store.query("SELECT length({v:String}) AS v", {"v": value}).scalar() == len(value.encode())

    def test_array_parameters(self, store: Store) -> None:
        """Strings of any content, numbers, none at all."""
        cases: tuple[tuple[str, Parameter], ...] = (
            ("Array(String)", list(NASTY)),
            ("Array(String)", []),
            ("Array(String)", [""]),
            ("Array(UInt64)", [0, 2**64 - 1]),
            ("Array(Int64)", [-1, 2]),
        )
        for kind, value in cases:
            assert store.query(f"SELECT {{v:{kind}}} AS v", {"v": value}).scalar() == value
        assert store.query("SELECT {v:Array(String)} AS v", {"v": ("a", "b")}).scalar() == ["a", "b"]

    def test_number_parameters(self, store: Store) -> None:
        """Integers of any size, floats exactly, booleans."""
        cases: tuple[tuple[str, Parameter], ...] = (
            ("UInt64", 2**64 - 1),
            ("Int64", -(2**63)),
            ("Float64", 0.1),
            ("Float64", 1e300),
            ("Float64", -2.5e-8),
            ("Bool", True),
        )
        for kind, value in cases:
            assert store.query(f"SELECT {{v:{kind}}} AS v", {"v": value}).scalar() == value

    def test_parameters_of_a_statement(self, store: Store) -> None:
        """:meth:`execute` takes them too."""
        store.execute("INSERT INTO path_feed (start, route) SELECT now(), {r:String}", {"r": NASTY[3]})
        assert store.query("SELECT route FROM request_paths").scalar() == NASTY[3]

    @pytest.mark.parametrize(
        ("sql", "code"),
        [
            ("SELECT nothing_like_it FROM request_paths", UNKNOWN_IDENTIFIER),
            ("SELECT FROM WHERE", SYNTAX_ERROR),
            ("SELECT 1 FROM no_such_table", UNKNOWN_TABLE),
            ("SELECT intDiv(1, number - 70000) FROM numbers(100000)", DIVISION_BY_ZERO),
        ],
    )
    def test_a_refused_statement(self, store: Store, sql: str, code: int) -> None:
        """A StoreError with ClickHouse's code, in one line; the next statement is not touched by it."""
        for run in (store.query, store.execute):
            with pytest.raises(StoreError) as caught:
                run(sql)
            assert caught.value.code == code
            assert "\n" not in str(caught.value)
            assert caught.value.__cause__ is not None
            assert store.query("SELECT 1").scalar() == 1

    def test_a_missing_parameter_is_refused(self, store: Store) -> None:
        """As a StoreError, like all else."""
        with pytest.raises(StoreError):
            store.query("SELECT {v:String}", {"w": "x"})

    def test_append_lands_in_table_and_views(self, store: Store) -> None:
        """Rows as they are, roll-ups weighted."""
        block(3).into(store)
        assert counts(store) == (3, 6.0, 6.0)
        ((start, pop, tiers),) = store.query("SELECT DISTINCT start, pop, hops.tier FROM request_paths").rows
        assert (start, pop, tiers) == (RECENT, "fra", ["edge", "api"])

    def test_append_with_the_same_token_changes_nothing(self, store: Store) -> None:
        """Not in the table and not in the views; however often, and with other blocks between."""
        first, second = block(3), block(2)
        for one in (first, first, second, first, second, second, first):
            one.into(store)
        assert counts(store) == (5, 10.0, 10.0)

    def test_the_first_with_a_token_wins(self, store: Store) -> None:
        """A block of another writer with the same token is dropped whole."""
        block(3, number=5, token="t", writer="one").into(store)
        block(7, number=5, token="t", writer="two").into(store)
        assert store.query("SELECT writer, count() FROM request_paths GROUP BY writer").rows == [("one", 3)]
        assert counts(store) == (3, 6.0, 6.0)

    def test_equal_rows_with_other_tokens_are_all_kept(self, store: Store) -> None:
        """It is the token that tells blocks apart, not what is in them."""
        block(3, number=5, token="a").into(store)
        block(3, number=5, token="b").into(store)
        assert counts(store) == (6, 12.0, 12.0)

    def test_a_nasty_token(self, store: Store) -> None:
        """Topics are named by others."""
        for token in NASTY[2:5]:
            one = block(1, token=token)
            one.into(store)
            one.into(store)
        assert counts(store)[0] == 3

    def test_a_large_block_is_one_block(self, store: Store) -> None:
        """Larger than every default block size: it must not be cut, or a retry would double a part of it."""
        one = block(150_000)
        one.into(store)
        one.into(store)
        assert counts(store) == (150_000, 300_000.0, 300_000.0)

    def test_a_block_for_no_table(self, store: Store) -> None:
        """Refused, with the code, and the store goes on."""
        one = block(1)
        with pytest.raises(StoreError) as caught:
            replace(one, table="no_such_table").into(store)
        assert caught.value.code == UNKNOWN_TABLE
        one.into(store)
        assert counts(store)[0] == 1

    def test_a_block_with_a_wrong_column(self, store: Store) -> None:
        """Refused whole."""
        with pytest.raises(StoreError):
            block(1, no_such_column=1).into(store)
        assert counts(store)[0] == 0

    def test_a_guard_that_does_not_hold(self, store: Store) -> None:
        """Nothing is inserted, nothing raised, and the token is not spent; with its parameters it is the server's to judge."""
        one = block(2, number=5)

        def insert(limit: int) -> None:
            store.insert(
                one.table,
                one.columns,
                one.arrow,
                token="t",
                where="(SELECT count() FROM request_paths WHERE route != {r:String}) < {n:UInt64}",
                parameters={"n": limit, "r": NASTY[7]},
            )

        insert(0)
        assert counts(store) == (0, 0, 0)
        insert(1)
        assert counts(store) == (2, 4.0, 4.0)
        insert(1)
        insert(100)
        assert counts(store) == (2, 4.0, 4.0)

    def test_insert_select(self, store: Store) -> None:
        """One block, with its token, into the table and its views; parameters and all."""
        block(150_000, number=7).into(store)
        copied = [name for name in stored_columns("request_paths") if name != "block"]
        for token in ("t", "t", "u", "t"):
            store.insert_select(
                "path_feed",
                ["block", *copied],
                "SELECT {n:UInt64}, " + ", ".join(f"`{n}`" for n in copied) + " FROM request_paths WHERE block = 7",
                token=token,
                parameters={"n": 8},
            )
        assert counts(store) == (450_000, 900_000.0, 900_000.0)
        with pytest.raises(StoreError) as caught:
            store.insert_select("request_paths", ["block"], "SELECT nothing_like_it FROM request_paths", token="v")
        assert caught.value.code == UNKNOWN_IDENTIFIER

    def test_arrow(self, store: Store) -> None:
        """Nothing is rounded, and bytes stay what they are."""
        table = store.arrow(
            "SELECT {s:String} AS s, unhex('ff00')::FixedString(3) AS f, "
            "toDateTime64('2026-01-02 03:04:05.123456789', 9, 'UTC') AS t, "
            "[toUInt64(18446744073709551615)] AS n FROM numbers(2)",
            {"s": NASTY[8]},
        )
        assert table.column_names == ["s", "f", "t", "n"]
        row = table.to_pylist()[1]
        assert (row["s"], row["f"], row["n"]) == (NASTY[8].encode(), b"\xff\x00\x00", [2**64 - 1])
        assert row["t"].value % 10**9 == 123_456_789
        assert store.arrow("SELECT number FROM numbers(0)").num_rows == 0

    def test_a_quantile_state_gives_back_what_it_was_given(self, store: Store) -> None:
        """Weights modulo 2^64: after all that was taken back, merged or not, the quantiles are as if it had never been there.

        Random values over twelve orders of magnitude, zeros and the largest included; what is taken back lies below, above
        and in the same buckets as what stays.
        """
        levels = "(0.5, 0.9, 0.95, 0.99, 0.999)"
        kind = f"AggregateFunction(quantilesBFloat16Weighted{levels}, UInt64, UInt64)"
        chance = random.Random(7)
        store.execute(f"CREATE TABLE states (g UInt32, s {kind}) ENGINE = AggregatingMergeTree ORDER BY g")
        wanted = {}
        for group in range(40):
            values = [
                (
                    chance.choice((0, 2**64 - 1, int(10 ** chance.uniform(0, 12)))),
                    chance.choice((0.001, 1.0, 2.5, 4096.0)),
                )
                for _ in range(chance.choice((1, 3, 200)))
            ]
            stay = values[: max(1, len(values) // 3)]
            back = values[len(stay) :] + chance.sample(stay, len(stay) // 2)
            wanted[group] = stay
            for sign, rows in ((1, stay), (1, back), (-1, back)):
                if rows:
                    store.execute(
                        f"INSERT INTO states SELECT {group}, quantilesBFloat16WeightedState{levels}(v.1, "
                        f"toUInt64(toInt64(round(v.2 * 1000)) * {sign})) FROM "
                        f"(SELECT arrayJoin({[tuple(r) for r in rows]}::Array(Tuple(UInt64, Float64))) AS v)"
                    )
        for turn in range(2):
            merged = store.query(f"SELECT g, quantilesBFloat16WeightedMerge{levels}(s) FROM states GROUP BY g").rows
            for group, quantiles in merged:
                ((plain,),) = store.query(
                    f"SELECT quantilesBFloat16Weighted{levels}(v.1, toUInt64(round(v.2 * 1000))) FROM (SELECT arrayJoin("
                    f"{[tuple(r) for r in wanted[group]]}::Array(Tuple(UInt64, Float64))) AS v)"
                ).rows
                assert quantiles == plain, (turn, group)
            store.execute("OPTIMIZE TABLE states FINAL")

    def test_what_holds_after_a_restatement(self, store: Store) -> None:
        """Rows in other blocks, in other table partitions, before and after merges: lists, look-ups and sums agree."""

        def told() -> list[Any]:
            return [
                store.query(
                    "SELECT trace_id, version, outcome FROM request_paths "
                    f"WHERE start > 0 AND {holds('start > 0')} ORDER BY trace_id"
                ).rows,
                store.query(
                    "SELECT trace_id, version, outcome FROM request_paths FINAL WHERE sign = 1 ORDER BY trace_id"
                ).rows,
                store.query("SELECT sum(sign), sum(weight * sign) FROM request_paths").rows,
                store.query("SELECT sum(paths), sum(requests) FROM path_1m").rows,
            ]

        ids: dict[str, Any] = {"trace_id": b"\x07" * 16}
        block(3, number=1).into(store)
        block(1, number=2, outcome="timeout", version=1, **ids).into(store)
        before = told()
        block(1, number=2, outcome="timeout", version=1, sign=-1, token="a", **ids).into(store)
        block(1, number=30_000, outcome="ok", version=2, token="b", **ids).into(store)
        block(1, number=70_000, outcome="ok", version=2, sign=-1, token="c", **ids).into(store)
        block(1, number=3, outcome="edge_error", version=3, token="d", **ids).into(store)
        after = told()
        assert after[0] == after[1] == [*before[0][:3], (ids["trace_id"], 3, "edge_error")]
        assert after[2] == after[3] == [(4, 8.0)] == before[2] == before[3]
        store.execute("OPTIMIZE TABLE request_paths FINAL")
        assert told() == after

    def test_migrations_are_idempotent(self, store: Store) -> None:
        """A second time applies nothing and loses nothing."""
        block(1).into(store)
        assert schema.apply(store) == []
        assert schema.applied(store) == {number for number, _, _ in migrations()}
        assert counts(store)[0] == 1

    def test_a_database_from_before_there_were_tenants(self, store: Store) -> None:
        """It gets the column, in the log too; its rows stay, and an old writer's blocks still land."""
        for table in ("request_paths", "path_log"):
            store.execute(f"ALTER TABLE {table} DROP COLUMN tenant")
        store.execute("TRUNCATE TABLE schema_migrations")
        store.execute("INSERT INTO schema_migrations (number, name) SELECT number + 1, '' FROM numbers(5)")
        store.execute("INSERT INTO path_feed (trace_id, start) SELECT toString(number), now() FROM numbers(2)")
        assert schema.apply(store)[0] == "0006_tenant"
        block(1).into(store)
        block(1, tenant="acct_1").into(store)
        found = store.query("SELECT tenant, count() FROM request_paths GROUP BY tenant ORDER BY tenant").rows
        assert found == [("", 3), ("acct_1", 1)]
        assert store.query("SELECT count() FROM path_log WHERE tenant != ''").scalar() == 0

    def test_what_is_fed_is_what_is_stored(self, store: Store) -> None:
        """A column that one of the two lacks, or that the view between them does not know, would be lost without a word."""
        fed, stored, between = (
            store.query(
                "SELECT groupArray((name, type)) FROM (SELECT name, type FROM system.columns "
                "WHERE database = currentDatabase() AND table = {table:String} AND default_kind != 'ALIAS' ORDER BY position)",
                {"table": table},
            ).scalar()
            for table in ("path_feed", "request_paths", "path_feed_to_request_paths")
        )
        assert fed == stored == between

    def test_migrations_go_on_where_they_were_cut_short(self, store: Store) -> None:
        """Tables are there but the ledger was not written: the same schema again."""
        store.execute("TRUNCATE TABLE schema_migrations")
        assert schema.apply(store) == [f"{number:04d}_{name}" for number, name, _ in migrations()]
        assert schema.apply(store) == []

    @pytest.mark.parametrize(
        "table",
        [
            "request_paths",
            "path_log",
            "path_1m",
            "hop_1m",
            "sli_1m",
            "late_spans",
            "corrections",
            "metric_log",
            "metric_points",
        ],
    )
    def test_the_tables_are_those_that_the_code_knows(self, store: Store, table: str) -> None:
        """Names and types, as ``telemetry.store.tables`` reads them out of the migrations."""
        rows = store.query(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {t:String}",
            {"t": table},
        ).rows
        plain = {name: kind.replace(" ", "") for name, kind in rows}
        known = {name: kind.replace(" ", "") for name, kind in columns(table).items()}
        assert plain == known

    def test_several_threads_at_once(self, store: Store) -> None:
        """Reads, writes and refusals side by side: each thread gets its own answers."""
        failures: list[str] = []

        def work(thread: int) -> None:
            for turn in range(8):
                value = f"thread {thread} turn {turn}"
                if store.query("SELECT {v:String} AS v", {"v": value}).scalar() != value:
                    failures.append(value)
                block(2).into(store)
                try:
                    store.query("SELECT throwIf(number = 5000, {v:String}) FROM numbers(10000)", {"v": value})
                except StoreError as error:
                    if value not in str(error):
                        failures.append(f"{value}: {error}")
                else:
                    failures.append(f"{value} was not refused")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert failures == []
        assert counts(store)[0] == 8 * 8 * 2

    def test_close_twice(self, store: Store) -> None:
        """The second time does nothing."""
        store.close()
        store.close()
