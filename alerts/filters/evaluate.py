"""A filter's tree on one row in plain Python: what the SQL must agree with."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from alerts.filters.columns import ARRIVAL, Column
from alerts.filters.syntax import And, Compare, Filter, In, Not

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(tree: Filter, row: Mapping[str, Any]) -> bool:
    """Whether the row (column name to value; ``hops.tier`` and its like to lists) passes the filter."""
    if isinstance(tree, Compare):
        return _COMPARE[tree.operator](_value(tree.column, row), tree.value)
    if isinstance(tree, In):
        return _value(tree.column, row) in tree.values
    if isinstance(tree, Not):
        return not matches(tree.term, row)
    return (all if isinstance(tree, And) else any)(matches(t, row) for t in tree.terms)


def _value(column: Column, row: Mapping[str, Any]) -> Any:
    tier, field = column.hop
    if column.name == ARRIVAL.name:
        return max(row["hops.offset_ns"][-1], 0) if row["reached_api"] and row["hops.offset_ns"] else ARRIVAL.high
    if not field:
        return row[column.name]
    if field == "present":
        return tier in row["hops.tier"]
    values = [v for t, v in zip(row["hops.tier"], row[f"hops.{field}"], strict=True) if t == tier]
    if field == "failed":
        return any(values)
    return max(values, default=0) if field == "status" else sum(values)
