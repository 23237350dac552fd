"""A filter's tree to ClickHouse SQL, and the literals that view definitions need.

Views cannot take query parameters, so values are written into their SQL: here and nowhere else, by type.
"""

from typing import Final

from alerts.filters.columns import ARRIVAL, Column
from alerts.filters.syntax import And, Compare, Filter, In, Not, Value

_NEVER: Final = 2**64 - 1


def text_literal(value: str) -> str:
    """A ClickHouse string literal (backslash escapes)."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def to_sql(tree: Filter, table: str = "p") -> str:
    """The condition, in parentheses, over the columns of the table alias ``table``."""
    if isinstance(tree, Compare):
        return f"({column_sql(tree.column, table)} {tree.operator} {_literal(tree.value)})"
    if isinstance(tree, In):
        return f"({column_sql(tree.column, table)} IN ({', '.join(_literal(v) for v in tree.values)}))"
    if isinstance(tree, Not):
        return f"(NOT {to_sql(tree.term, table)})"
    joint = " AND " if isinstance(tree, And) else " OR "
    return f"({joint.join(to_sql(t, table) for t in tree.terms)})"


def column_sql(column: Column, table: str = "p") -> str:
    """The value of a column of ``request_paths AS table``, also of one that is computed from the hops."""
    tier, field = column.hop
    if column.name == ARRIVAL.name:
        offsets = f"{table}.hops.offset_ns"
        return f"if({table}.reached_api AND notEmpty({offsets}), toUInt64(greatest({offsets}[-1], 0)), {_NEVER})"
    if not field:
        return f"{table}.{column.name}"
    tiers, wanted = f"{table}.hops.tier", text_literal(tier)
    if field == "present":
        return f"has({tiers}, {wanted})"
    values = f"{table}.hops.{field}"
    if field == "failed":
        return f"arrayExists((t, v) -> t = {wanted} AND v, {tiers}, {values})"
    gather = "arrayMax" if field == "status" else "arraySum"
    return f"{gather}(arrayMap((t, v) -> if(t = {wanted}, v, 0), {tiers}, {values}))"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else text_literal(value)
