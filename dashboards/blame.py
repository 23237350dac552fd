"""The SQL of the panels about who is to blame."""

# ruff: noqa: S608 - the parts of these statements are constants of this package; what a reader chooses is quoted

from typing import Final

from dashboards.queries import FAILED, PLACE_AND_OUTCOME, SIGNED, filled, path_rows, per_second

SERIES: Final = 8
"""How many blamed places are drawn by name; the rest is one series."""

_WHO: Final = "concat(blamed_tier, if(blamed_pop = '', '', concat(' · ', blamed_pop)))"
_WHERE: Final = f"{PLACE_AND_OUTCOME} AND {FAILED} AND blamed_tier != ''"


def blamed_over_time() -> str:
    """Failed requests a second by the tier and PoP blamed; the greatest :data:`SERIES` by name, the rest as "other"."""
    rows = path_rows(
        f"$__timeInterval(minute) AS time, {_WHO} AS who, sum(requests) AS v",
        f"$__timeInterval(start) AS time, {_WHO} AS who, sum({SIGNED}) AS v",
        "time, who",
        where=_WHERE,
    )
    inner = (
        f"SELECT time, if(place <= {SERIES}, who, 'other') AS name, sum(v) AS n FROM (\n"
        f"    SELECT time, who, v, dense_rank() OVER (ORDER BY all_of_it DESC, who) AS place FROM (\n"
        f"      SELECT time, who, v, sum(v) OVER (PARTITION BY who) AS all_of_it FROM (\n  {rows}\n"
        f"  )))\n  GROUP BY time, name"
    )
    return filled(inner, "blamed", per_second())


def blamed_components() -> str:
    """A table of the components blamed for the range's failures, the most blamed first, each with its main reason."""
    place = "blamed_tier AS tier, blamed_pop AS where_, blamed_component AS component, blame_reason AS reason"
    rows = path_rows(
        f"{place}, sum(requests) AS n",
        f"{place}, sum({SIGNED}) AS n",
        "tier, where_, component, reason",
        where=_WHERE,
    )
    return (
        'SELECT tier AS "Tier", where_ AS "PoP", component AS "Component", main AS "Main reason", '
        'failed AS "Failed", failed / sum(failed) OVER () AS "Of all failures" FROM (\n'
        "  SELECT tier, where_, component, argMax(reason, n) AS main, sum(n) AS failed FROM (\n"
        f"  {rows}\n  ) GROUP BY tier, where_, component\n) ORDER BY failed DESC LIMIT 50"
    )
