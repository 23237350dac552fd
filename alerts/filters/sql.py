"""A filter's tree to ClickHouse SQL, and the literals that view definitions need.

Views cannot take query parameters, so values are written into their SQL: here and nowhere else, by type.
"""

from alerts.filters.syntax import And, Compare, Filter, In, Not, Value


def text_literal(value: str) -> str:
    """A ClickHouse string literal (backslash escapes)."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def to_sql(tree: Filter, table: str = "p") -> str:
    """The condition, in parentheses, over the columns of the table alias ``table``."""
    if isinstance(tree, Compare):
        return f"({table}.{tree.column.name} {tree.operator} {_literal(tree.value)})"
    if isinstance(tree, In):
        return f"({table}.{tree.column.name} IN ({', '.join(_literal(v) for v in tree.values)}))"
    if isinstance(tree, Not):
        return f"(NOT {to_sql(tree.term, table)})"
    joint = " AND " if isinstance(tree, And) else " OR "
    return f"({joint.join(to_sql(t, table) for t in tree.terms)})"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else text_literal(value)
