"""Which groups of an SLO stand by themselves: its ``max_groups`` largest ones. The rest is one group, :data:`OTHER`.

A dimension such as ``tenant`` may have hundreds of thousands of values: whatever reads counts by group asks this first.
"""

from typing import Final

from alerts.filters.sql import text_literal
from alerts.slos.model import OTHER, Slo
from telemetry.store.tables import SLI_1M


def largest_sql(slo: Slo, within: str) -> str:
    """The (environment, value) of the largest groups: SQL for a subquery.

    Args:
        slo: whose.
        within: SQL for which of its buckets in ``sli_1m``.
    """
    return (
        f"SELECT environment, value FROM {SLI_1M} WHERE slo = {text_literal(slo.name)} "  # noqa: S608 - names are ours
        f"AND dimension = {text_literal(slo.group_by)} AND {within} GROUP BY environment, value "
        f"HAVING sum(total_paths) > 0 ORDER BY sum(total_paths) DESC, value LIMIT {slo.max_groups} BY environment"
    )


def shown_sql(largest: str) -> str:
    """SQL for the group that a row with ``environment`` and ``value`` belongs to, by a subquery as of :func:`largest_sql`."""
    return f"if((environment, value) IN ({largest}), value, '{OTHER}')"


_KEPT: Final = "has({kept:Array(String)}, concat(slo, '/', environment, '/', value)) DESC, "


def many_shown_sql(
    where: str, slos: str = "{slos:Array(String)}", most: str = "{most:Array(Int64)}", first: str = _KEPT
) -> str:
    """The same for rows of several SLOs at once.

    As it is, it has the parameters ``slos`` and ``most`` (their names and bounds) and ``kept`` (``SLO/ENVIRONMENT/VALUE`` that
    stand by themselves however small they are).

    Args:
        where: SQL, beginning with WHERE, for which rows of ``sli_1m``.
        slos, most: SQL for the SLOs' names and bounds, where there are no parameters.
        first: the beginning of an ORDER BY: what comes before the largest; may be empty.
    """
    return (
        "if((slo, environment, value) IN (SELECT slo, environment, value FROM (SELECT slo, environment, value, "  # noqa: S608
        "toInt64(row_number() OVER (PARTITION BY slo, environment "
        f"ORDER BY {first}paths DESC, value)) AS place FROM ("
        f"SELECT slo, environment, value, sum(total_paths) AS paths FROM {SLI_1M} {where} GROUP BY slo, environment, value "
        f"HAVING paths > 0)) WHERE place <= transform(slo, {slos}, {most}, 1)), "
        f"value, '{OTHER}')"
    )


def paths_sql(slo: Slo, value: str, within: str) -> str:
    """A condition for the rows of ``request_paths AS p`` of a group, beginning with AND; empty if nothing splits the SLO.

    It has the parameter ``value``.

    Args:
        slo: whose group.
        value: which.
        within: for :data:`OTHER`, SQL for the buckets that say which groups are the largest.
    """
    if not slo.group_by:
        return ""
    if value == OTHER:
        return f"AND (p.environment, p.{slo.group_by}) NOT IN ({largest_sql(slo, within)}) "
    return f"AND p.{slo.group_by} = {{value:String}} "
