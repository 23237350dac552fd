"""Values between Python and ClickHouse; tables and columns out of the migrations."""

import re
from pathlib import Path

import pytest

from telemetry.errors import ConfigurationError
from telemetry.store import open_store, tables
from telemetry.store.base import Parameter, Result
from telemetry.store.tables import DEDUPLICATION_WINDOW
from telemetry.store.values import error_code, parameter_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("tab\tnew\nback\\", "tab\\tnew\\nback\\\\"),
        ("it's", "it's"),
        (7, "7"),
        (-(2**63), "-9223372036854775808"),
        (0.1, "0.1"),
        (True, "1"),
        (False, "0"),
        ([], "[]"),
        ([1, 2], "[1,2]"),
        (["a'b", "c\\"], "['a\\'b','c\\\\']"),
        (("a",), "['a']"),
    ],
)
def test_parameter_text(value: Parameter, text: str) -> None:
    """Strings as in TSV, arrays as literals."""
    assert parameter_text(value) == text


@pytest.mark.parametrize(
    ("message", "code"),
    [("Code: 60. DB::Exception: x", 60), ("x Code:241. y Code: 1.", 241), ("nothing", 0), ("", 0)],
)
def test_error_code(message: str, code: int) -> None:
    """The first one; 0 if there is none."""
    assert error_code(message) == code


def test_result() -> None:
    """As maps, and as the one value."""
    result = Result(("a", "b"), [(1, "x"), (2, "y")])
    assert result.dicts() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert Result(("a",), [(5,)]).scalar() == 5
    for wrong in (result, Result(("a",), []), Result(("a", "b"), [(1, 2)])):
        with pytest.raises(ValueError, match="expected one value"):
            wrong.scalar()


class TestMigrations:
    """Numbered, literal, readable SQL."""

    def test_they_are_numbered_without_a_gap(self) -> None:
        assert [number for number, _, _ in tables.migrations()] == list(range(1, len(tables.migrations()) + 1))

    def test_every_statement_may_run_twice(self) -> None:
        """Two at once, or one that was cut short, end in the same schema."""
        for _, name, sql in tables.migrations():
            for statement in tables.statements(sql):
                once = (
                    r"(CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS \w+|ALTER TABLE \w+\s+ADD COLUMN IF NOT EXISTS \w+"
                    r"|DROP VIEW IF EXISTS \w+|INSERT INTO [^;]+ FROM schema_migrations WHERE number = \d+\) = 0)"
                )
                assert re.match(once, statement), (name, statement[:80])
                assert statement.count("ADD COLUMN") == statement.count("ADD COLUMN IF NOT EXISTS"), name

    def test_every_table_deduplicates(self) -> None:
        """One without a window doubles silently when a block is retried."""
        for _, name, sql in tables.migrations():
            for statement in tables.statements(sql):
                if "CREATE TABLE" in statement and "ENGINE = Null" not in statement:
                    window = re.search(r"non_replicated_deduplication_window = (\d+)", statement)
                    assert window, name
                    assert int(window[1]) >= (DEDUPLICATION_WINDOW if "block " in statement else 10_000), name

    def test_statements_are_cut_at_the_end_of_a_line_and_without_comments(self) -> None:
        sql = "-- one; two;\nSELECT 1; \n\n  -- three\nSELECT ';' AS a\n  , 2;\nSELECT 3"
        assert tables.statements(sql) == ["SELECT 1", "SELECT ';' AS a\n  , 2", "SELECT 3"]

    def test_columns(self) -> None:
        """Name to type; nested ones as arrays; no such table is a KeyError."""
        columns = tables.columns("request_paths")
        assert columns["trace_id"] == "FixedString(16)"
        assert columns["start"] == "DateTime64(9, 'UTC')"
        assert columns["hops.failed"] == "Array(Bool)"
        assert "trace_bloom" not in columns
        assert columns["tenant"] == tables.columns("path_log")["tenant"] == "String"  # of a later migration
        with pytest.raises(KeyError):
            tables.columns("no_such_table")


def test_one_store_must_be_named() -> None:
    """Neither and both are told apart from a mistake by ClickHouse."""
    for url, data in ((None, None), ("clickhouse://h", Path("data"))):
        with pytest.raises(ConfigurationError, match="name one store: --clickhouse URL"):
            open_store(url, data)
