"""Filters: what can be said, what cannot, and that SQL and Python agree."""

import contextlib
import re
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from alerts.filters import Filter, FilterError, matches, parse, to_sql
from alerts.filters.columns import COLUMNS, GROUPABLE, HOP_FIELDS, Column, filterable, hop_column
from alerts.filters.syntax import And, Compare, In, Not, Operator, Or, Value, columns_of
from telemetry.store.base import Store
from telemetry.store.tables import REQUEST_PATH_COLUMNS
from telemetry.vocabulary import Outcome

# An SQL reader of its own: everything a compiled filter may hold, and nothing more.
_TEXT = r"'(?:[^'\\]|\\\\|\\')*'"
# Computed columns: whole expressions, of which only the tier and the field differ.
_COMPUTED = "|".join((
    re.escape("if(p.reached_api AND notEmpty(p.hops.offset_ns), toUInt64(greatest(p.hops.offset_ns[-1], 0)), ") + r"\d+\)",
    rf"has\(p\.hops\.tier, {_TEXT}\)",
    rf"arrayExists\(\(t, v\) -> t = {_TEXT} AND v, p\.hops\.tier, p\.hops\.failed\)",
    rf"(?:arraySum|arrayMax)\(arrayMap\(\(t, v\) -> if\(t = {_TEXT}, v, 0\), p\.hops\.tier, p\.hops\.\w+\)\)",
))  # fmt: skip
_SAFE = re.compile(
    rf"{_COMPUTED}|"
    r"\(|\)|, | AND | OR |NOT | IN | (?:=|!=|<|<=|>|>=) |true|false|-?\d+|p\.(?P<column>\w+)|'(?:[^'\\]|\\\\|\\')*'"
)


def assert_safe(sql: str) -> None:
    """The SQL is made of the grammar's parts alone, with balanced parentheses and known columns."""
    at = depth = 0
    while at < len(sql):
        part = _SAFE.match(sql, at)
        assert part, f"{sql[at : at + 20]!r} in {sql!r}"
        assert part["column"] is None or part["column"] in COLUMNS
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        assert depth >= 0
        at = part.end()
    assert depth == 0


_WORDS = [
    "outcome", "pop", "status", "edge_ns", "reached_api", "weight", "and", "or", "not", "in", "(", ")", ",", "=", "!=",
    "<", "<=", ">", ">=", "'ok'", '"fra"', "''", "200", "-1", "250ms", "1.5s", "true", "false", "select", "sleep(3)", ";",
    "gateway.self_ns", "edge.failed", "x'y.self_ns", "balancer.present", "api_arrival_ns", "api.status",
    "--", "/*", "\\", "'", '"', "file('/etc/passwd')", "\x00", "0x1f", "NULL", "`pop`", "{x:String}", "union all",
]  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join)))
@example("pop = '\\' or 1=1 --'")
@example("pop = 'x' or sleep(3)")
@example("pop in ((select 1))")
@example("outcome = 'ok' settings max_threads = 1")
@settings(max_examples=600, deadline=None)
def test_random_text_never_gives_sql_outside_of_the_grammar(text: str) -> None:
    with contextlib.suppress(FilterError):
        assert_safe(to_sql(parse(text)))


def _value(column: Column) -> st.SearchStrategy[Value]:
    if column.kind == "boolean":
        return st.booleans()
    if column.kind == "text":
        free = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="'\""), max_size=8)
        return st.sampled_from(column.choices) if column.choices else st.sampled_from(["fra", "iad", ""]) | free
    edges = [column.low, column.high, 0, 1, 200]
    return st.sampled_from(edges) | st.integers(column.low, column.high)


_HOPS = [c for t in ("edge", "gateway") for f in HOP_FIELDS if isinstance(c := hop_column(f"{t}.{f}"), Column)]


@st.composite
def _comparisons(draw: st.DrawFn) -> Filter:
    column = draw(st.sampled_from([*COLUMNS.values(), *_HOPS]))
    if draw(st.booleans()):
        return In(column, tuple(draw(st.lists(_value(column), min_size=1, max_size=4))))
    ordered: list[Operator] = ["=", "!=", "<", "<=", ">", ">="]
    operator = draw(st.sampled_from(ordered if column.kind in ("integer", "duration") else ordered[:2]))
    return Compare(column, operator, draw(_value(column)))


def _terms(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return inner.map(Not) | several.map(And) | several.map(Or)


filters = st.recursive(_comparisons(), _terms, max_leaves=6)


def row_from(seed: int) -> dict[str, Any]:
    """A row that often meets a filter's own values."""
    random = Random(seed)
    pools: dict[str, list[Value]] = {"boolean": [True, False], "text": ["fra", "iad", "", "o'k\\"]}
    row: dict[str, Any] = {
        c.name: random.choice(c.choices or pools.get(c.kind) or [c.low, c.high, 0, 1, 200])
        for c in COLUMNS.values()
        if c.name in REQUEST_PATH_COLUMNS
    }
    hops = [random.choice(["client", "edge", "gateway"]) for _ in range(random.randrange(4))]
    for field in ("tier", "offset_ns", *HOP_FIELDS):
        if field == "present":
            continue
        few: list[Value] = [True, False] if field == "failed" else [0, 1, 200, 10**6]
        row[f"hops.{field}"] = hops if field == "tier" else [random.choice(few) for _ in hops]
    return row


def written(tree: Filter) -> str:
    """A filter as a person would write it."""
    if isinstance(tree, Compare):
        return f"{tree.column.name} {tree.operator} {_literal(tree.column, tree.value)}"
    if isinstance(tree, In):
        return f"{tree.column.name} in ({', '.join(_literal(tree.column, v) for v in tree.values)})"
    if isinstance(tree, Not):
        return f"not ({written(tree.term)})"
    return (" and " if isinstance(tree, And) else " or ").join(f"({written(t)})" for t in tree.terms)


def _literal(column: Column, value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if column.kind == "duration" and isinstance(value, int):
        return "0" if value <= 0 else f"{value // 10**9}s" if value % 10**9 == 0 and value else f"{value}ns"
    return f"'{value}'" if isinstance(value, str) else str(value)


def _writable(tree: Filter) -> bool:
    """Negative durations and those of more than 15 digits cannot be written."""
    if isinstance(tree, Compare | In):
        values = tree.values if isinstance(tree, In) else (tree.value,)
        return tree.column.kind != "duration" or all(0 <= v < 10**15 for v in values if isinstance(v, int))
    return all(_writable(t) for t in ((tree.term,) if isinstance(tree, Not) else tree.terms))


@given(filters.filter(_writable))
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_back(tree: Filter) -> None:
    assert parse(written(tree)) == tree


@given(st.lists(filters, min_size=4, max_size=4), st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
@settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_sql_and_python_agree(module_store: Store, trees: list[Filter], seeds: list[int]) -> None:
    """ClickHouse's engine and plain Python say the same about the same rows."""

    found = [row_from(seed) for seed in seeds]

    def cast(name: str, value: Any) -> str:
        kind = REQUEST_PATH_COLUMNS[name].replace("LowCardinality(String)", "String")
        if isinstance(value, list):
            inner = ", ".join(f"'{v}'" if isinstance(v, str) else str(v).lower() for v in value)
            return f"CAST([{inner}], '{kind}') AS `{name}`"
        text = str(value).replace("\\", "\\\\").replace("'", "\\'")
        return f"CAST('{text}', '{kind}') AS {name}"

    table = " UNION ALL ".join(
        f"SELECT {i} AS row, {', '.join(cast(n, v) for n, v in row.items())}" for i, row in enumerate(found)
    )
    for tree in trees:
        assert_safe(to_sql(tree))
    conditions = ", ".join(f"toInt64({to_sql(tree)}) AS f{i}" for i, tree in enumerate(trees))
    got = module_store.query(f"SELECT {conditions} FROM ({table}) AS p ORDER BY row").rows
    assert got == [tuple(int(matches(tree, row)) for tree in trees) for row in found]


GOOD = {
    "outcome = 'ok'": "(p.outcome = 'ok')",
    "edge_ns < 250ms": "(p.edge_ns < 250000000)",
    "edge_ns<1.5s and status>=500": "((p.edge_ns < 1500000000) AND (p.status >= 500))",
    "total_ns > 0": "(p.total_ns > 0)",
    "reached_api": "(p.reached_api = true)",
    "not reached_api": "(NOT (p.reached_api = true))",
    "reached_api != true": "(p.reached_api != true)",
    'pop not in ("fra", "o\\k")': "(NOT (p.pop IN ('fra', 'o\\\\k')))",
    "reached_api or complete and status = 200": "((p.reached_api = true) OR ((p.complete = true) AND (p.status = 200)))",
    "unattributed_ns >= 0": "(p.unattributed_ns >= 0)",
    "gateway.self_ns < 50ms": "(arraySum(arrayMap((t, v) -> if(t = 'gateway', v, 0), p.hops.tier, p.hops.self_ns)) < 50000000)",
    "edge.failed": "(arrayExists((t, v) -> t = 'edge' AND v, p.hops.tier, p.hops.failed) = true)",
    "my-tier.present": "(has(p.hops.tier, 'my-tier') = true)",
}


@pytest.mark.parametrize(("text", "sql"), GOOD.items())
def test_filters_become_sql(text: str, sql: str) -> None:
    assert to_sql(parse(text)) == sql


BAD = {
    "": "at character 1: expected a column, found the end",
    "outcom = 'ok'": "at character 1: outcom is not a column that filters can use; did you mean outcome?",
    "outcome = 'okay'": f"at character 11: 'okay' is no outcome; there are {', '.join(Outcome)}",
    "outcome < 'ok'": "at character 9: outcome has no order; use =, != or in",
    "edge_ns < 250": "at character 11: edge_ns is compared with a duration with its unit, e.g. 250ms, found 250",
    "edge_ns < 250 ms": "at character 11: edge_ns is compared with a duration with its unit, e.g. 250ms, found 250",
    "edge_ns < 0.5ns": "at character 11: 0.5ns is not a whole number of nanoseconds",
    "status = 200ms": "at character 10: status is compared with a whole number, found 200ms",
    "status = 70000": "at character 10: 70000 is outside of what status can be",
    "status = -1": "at character 10: -1 is outside of what status can be",
    "status = 2.5": "at character 10: cannot read '2.5'",
    "pop = fra": "at character 7: pop is compared with a text in quotes, e.g. 'ok', found fra",
    "pop = 'fra": 'at character 7: cannot read "\'fra"',
    "pop": "at character 4: expected a comparison of pop (=, !=, <, in ...), found the end",
    "pop not = 'x'": "at character 9: expected in after not, found =",
    "pop in ()": "at character 9: pop is compared with a text in quotes, e.g. 'ok', found )",
    "pop in ('a'": "at character 12: expected ), found the end",
    "(reached_api": "at character 13: expected ), found the end",
    "reached_api complete": "at character 13: expected and, or or the end, found complete",
    "lower(pop) = 'x'": "at character 1: lower is not a column that filters can use",
    "reached_api; drop table sli_1m": "at character 12: cannot read '; drop table'",
    "gatway.self_ns < 1ms": "at character 1: gatway is no tier; did you mean gateway?",
    "gateway.selfish < 1ms": "at character 1: selfish is nothing that a hop has; there are self_ns, retry_ns",
    "weight > 1": "at character 1: weight is not a column that filters can use",
    "not " * 60 + "reached_api": "nested deeper than 40",
    "reached_api and " * 400 + "complete": "characters are too many; at most 4000",
}


@pytest.mark.parametrize("text", BAD)
def test_errors_name_the_place_and_the_mend(text: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert BAD[text] in str(caught.value)


def test_columns_come_from_the_schema() -> None:
    """Texts, integers and booleans can be filtered on; the store's bookkeeping, times, floats and arrays cannot."""
    assert {"outcome", "pop", "route", "status", "edge_ns", "reached_api", "blamed_tier"} <= set(COLUMNS)
    assert not {"stored", "start", "weight", "block", "writer", "gaps", "hops.tier", "trace_id"} & set(COLUMNS)
    assert {"pop", "route", "region", "method"} <= set(GROUPABLE)
    assert not {"outcome", "environment", "blamed_tier"} & set(GROUPABLE)
    assert filterable({"evil; drop": "String", "n": "Int8"}) == {"n": Column("n", "integer", -128, 127)}


def test_columns_of_a_filter() -> None:
    found = columns_of(parse("not (pop = 'a' or status in (1, 2)) and complete and edge.failed"))
    assert {c.name for c in found} == {"pop", "status", "complete", "edge.failed"}


def test_python_evaluates_a_row() -> None:
    row: dict[str, Any] = {"pop": "fra", "status": 503}
    assert matches(parse("pop = 'fra' and not status < 500"), row)
    assert not matches(parse("pop in ('iad') or status != 503"), row)


def test_a_path_that_never_arrived_is_under_no_arrival_threshold() -> None:
    """Time to the first API: a lost request must not count as a fast one."""
    tree = parse("api_arrival_ns < 200ms")
    assert matches(tree, {"reached_api": True, "hops.offset_ns": [0, 10**6]})
    assert not matches(tree, {"reached_api": True, "hops.offset_ns": [0, 10**9]})
    assert not matches(tree, {"reached_api": False, "hops.offset_ns": [0, 10**6]})
