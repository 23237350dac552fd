"""Macro and variable expansion against what grafana-clickhouse-datasource 4.20 does (its ``macros_test.go``)."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.errors import MalformedError
from telemetry.web.macros import ALL, Context, expand, string_literal
from telemetry.web.timerange import TimeRange

FROM, TO = (
    1415792726_123,
    1447328726_371,
)  # 2014-11-12T11:45:26.123Z, 2015-11-12T11:45:26.371Z, as in the datasource's tests


def context(interval_ms: int = 10_000, options: Sequence[str] = (), **values: Sequence[str]) -> Context:
    """A context with these variables."""
    return Context(TimeRange(FROM, TO), interval_ms, values, lambda _: options)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("$__fromTime", "toDateTime(1415792726)"),
        ("$__toTime", "toDateTime(1447328726)"),
        ("$__fromTime_ms", "fromUnixTimestamp64Milli(1415792726123)"),
        ("$__toTime_ms", "fromUnixTimestamp64Milli(1447328726371)"),
        ("$__timeFilter(c)", "c >= toDateTime(1415792726) AND c <= toDateTime(1447328726)"),
        (
            "$__timeFilter_ms(c)",
            "c >= fromUnixTimestamp64Milli(1415792726123) AND c <= fromUnixTimestamp64Milli(1447328726371)",
        ),
        ("$__timeFrom(c)", "c >= toDateTime(1415792726)"),
        ("$__timeTo(c)", "c <= toDateTime(1447328726)"),
        ("$__dateFilter(d)", "d >= toDate('2014-11-12') AND d <= toDate('2015-11-12')"),
        (
            "$__dateTimeFilter(d, t)",
            "(d >= toDate('2014-11-12') AND d <= toDate('2015-11-12')) AND "
            "(t >= toDateTime(1415792726) AND t <= toDateTime(1447328726))",
        ),
        ("$__timeInterval(c)", "toStartOfInterval(toDateTime(c), INTERVAL 10 second)"),
        ("$__timeInterval_ms(c)", "toStartOfInterval(toDateTime64(c, 3), INTERVAL 10000 millisecond)"),
        ("$__interval_s", "10"),
        ("$__interval_ms", "10000"),
        ("$__timeGroup(c, 5m)", "toStartOfInterval(toDateTime(c), INTERVAL 300 second)"),
        ("$__timeGroup(c, '1h')", "toStartOfInterval(toDateTime(c), INTERVAL 3600 second)"),
        (
            "$__timeFilter(cast(f(a, ')') as x))",
            "cast(f(a, ')') as x) >= toDateTime(1415792726) AND cast(f(a, ')') as x)",
        ),
        ("($__toTime - $__fromTime)", "(toDateTime(1447328726) - toDateTime(1415792726))"),
        ("least($__interval_s, 60)", "least(10, 60)"),
        ("$__unknown(x) $other ${other} 'a$'", "$__unknown(x) $other ${other} 'a$'"),
    ],
)
def test_macros_expand_as_the_datasource_expands_them(sql: str, expected: str) -> None:
    """Macro by macro; an unknown one is left for ClickHouse to name."""
    assert expand(sql, context()).startswith(expected)


def test_an_interval_is_at_least_a_second() -> None:
    """``math.Max(ctx.Interval.Seconds(), 1)``."""
    assert expand("$__interval_s $__timeInterval(c)", context(20)) == (
        "1 toStartOfInterval(toDateTime(c), INTERVAL 1 second)"
    )


@pytest.mark.parametrize(
    "sql", ["$__timeFilter()", "$__timeFilter(a, b)", "$__timeFilter", "$__timeGroup(a)", "$__dt(a)"]
)
def test_wrong_arguments_are_an_error(sql: str) -> None:
    """As in the datasource: the count is named."""
    with pytest.raises(MalformedError, match=r"\$__\w+ takes \d arguments, got \d"):
        expand(sql, context())


def test_an_open_parenthesis_is_an_error() -> None:
    """Not an endless search."""
    with pytest.raises(MalformedError, match="not closed"):
        expand("$__timeFilter(a", context())


@pytest.mark.parametrize(
    ("values", "expected"),
    [((ALL,), "1=1"), (("",), "1=1"), (("fra",), "pop IN ('fra')"), (("fra", "iad"), "pop IN ('fra','iad')")],
)
def test_all_costs_nothing(values: Sequence[str], expected: str) -> None:
    """``$__conditionalAll``: the condition, or ``1=1`` for "All" and for nothing."""
    assert expand("$__conditionalAll(pop IN (${pop:singlequote}), $pop)", context(pop=values)) == expected


def test_all_without_the_macro_is_every_option() -> None:
    """As Grafana does for a variable without a value of its own for "All"."""
    assert expand("pop IN (${pop:singlequote})", context(options=("a", "b'"), pop=(ALL,))) == "pop IN ('a','b\\'')"


@pytest.mark.parametrize("sql", ["$pop", "${pop}", "${pop:raw}", "[[pop]]", "${pop:csv}"])
def test_a_variable_without_quotes_is_refused(sql: str) -> None:
    """Its value would become SQL."""
    with pytest.raises(MalformedError, match=r"\$\{pop:singlequote\}"):
        expand(sql, context(pop=("x",)))


@pytest.mark.parametrize(
    "value", ["$__fromTime", "${route:singlequote}", "$__conditionalAll(1, $route)", "$route", "[[route]]"]
)
def test_what_a_value_says_is_not_expanded_again(value: str) -> None:
    """One pass: a value stays the text that it is."""
    sql = "$__conditionalAll(pop = ${pop:singlequote}, $pop)"

    assert expand(sql, context(pop=(value,), route=("secret",))) == f"pop = '{value}'"


@given(st.text())
def test_a_literal_cannot_be_left(value: str) -> None:
    """Read as ClickHouse reads it, the literal ends at its last quote and nowhere before, and means the value."""
    literal = string_literal(value)
    inner, out, i = literal[1:-1], [], 0
    backslash = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "0": "\0"}
    while i < len(inner):
        assert inner[i] != "'"
        if inner[i] == "\\":
            i += 1
            out.append(backslash.get(inner[i], inner[i]))
        else:
            out.append(inner[i])
        i += 1

    assert literal[0] == literal[-1] == "'"
    assert "".join(out) == value


@given(st.text(alphabet="$_{}()[],:'\\`\" abtimeFilterfromTsinglequote", max_size=60))
def test_no_template_breaks_the_expansion(sql: str) -> None:
    """Any text expands or is refused, quickly."""
    try:
        expanded: Any = expand(sql, context(a=("x",)))
    except MalformedError:
        return
    assert isinstance(expanded, str)
