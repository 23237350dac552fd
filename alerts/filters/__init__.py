"""Filters of SLOs: expressions over the columns of ``request_paths``, and nothing else.

A filter is parsed by us into a small tree, and SQL is written from that tree alone: what the grammar cannot say
(functions, subqueries, other tables, settings) cannot reach ClickHouse. The grammar::

    filter     = and-chain { "or" and-chain }
    and-chain  = term { "and" term }
    term       = "not" term | "(" filter ")" | comparison
    comparison = column ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) literal
               | column [ "not" ] "in" "(" literal { "," literal } ")"
               | boolean-column
    column     = a column of request_paths | api_arrival_ns | TIER.FIELD (gateway.self_ns, edge.failed ...)
    literal    = 'text' | "text" | integer | duration (250ms, 1.5s) | true | false
"""

from alerts.filters.evaluate import matches
from alerts.filters.parse import parse
from alerts.filters.sql import to_sql
from alerts.filters.syntax import Filter, FilterError

__all__ = ["Filter", "FilterError", "matches", "parse", "to_sql"]
