"""A filter's tree on one row in plain Python: what the SQL must agree with."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from alerts.filters.syntax import And, Compare, Filter, In, Not, Value

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(tree: Filter, row: Mapping[str, Value]) -> bool:
    """Whether the row (column name to value) passes the filter."""
    if isinstance(tree, Compare):
        return _COMPARE[tree.operator](row[tree.column.name], tree.value)
    if isinstance(tree, In):
        return row[tree.column.name] in tree.values
    if isinstance(tree, Not):
        return not matches(tree.term, row)
    return (all if isinstance(tree, And) else any)(matches(t, row) for t in tree.terms)
