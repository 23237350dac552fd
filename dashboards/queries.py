"""The SQL of the panels, in the macros of Grafana's ClickHouse datasource.

Every panel over time reads ``path_1m`` / ``hop_1m`` when its points are a minute or more apart and ``request_paths`` when
they are closer: both branches stand in the query, and ClickHouse drops the one whose constant condition is false before
it reads anything (``tests/unit/dashboards/test_sources.py`` counts the rows read). Macros are never nested: the datasource
expands a macro inside another's arguments only since 4.20.

A point stands for a whole bucket. The newest one is left out until its requests can have arrived (:data:`SETTLE_SECONDS`),
and a bucket of which only some minutes have settled is divided by those, so no curve drops at its right end for no reason.
"""

# ruff: noqa: S608 - the parts of these statements are constants of this package; what a reader chooses is quoted

from typing import Final

from telemetry.store.tables import HOP_1M, PATH_1M, REQUEST_PATHS
from telemetry.vocabulary import Outcome

SETTLE_SECONDS: Final = 10
"""How long after its end a request may still be on its way to the store: the engine's default grace for a trace."""

LEVELS: Final = "0.5, 0.9, 0.95, 0.99, 0.999"
P50, P90, P99 = 1, 2, 4  # places of these levels in LEVELS

FAILED_OUTCOMES: Final = (Outcome.EDGE_ERROR, Outcome.API_ERROR, Outcome.TIMEOUT)
"""Outcomes that are somebody's failure on our side of the client. A refused or cancelled request is not one."""
REFUSED_OUTCOMES: Final = (Outcome.THROTTLED, Outcome.BLOCKED)

BUCKET: Final = "INTERVAL $__interval_s second"
BEGIN: Final = f"toStartOfInterval($__fromTime, {BUCKET})"
END: Final = f"toStartOfInterval(least($__toTime, now() - {SETTLE_SECONDS}), INTERVAL least($__interval_s, 60) second)"
IN_RANGE: Final = "start >= $__fromTime AND start <= $__toTime"
ROLLED_UP: Final = "$__interval_s >= 60"
DETAILED: Final = "$__interval_s < 60"
SIGNED: Final = "weight * sign"
"""What a row of ``request_paths`` counts for: one that takes another back counts against it."""
QUANTILE_WEIGHT: Final = "toUInt64(toInt64(round(weight * 1000)) * sign)"
"""The same for quantiles, in 1/1000 of a request and modulo 2^64, as in the roll-ups (migration 0002)."""


def quoted(outcomes: tuple[Outcome, ...]) -> str:
    """Outcomes as the inside of an SQL ``IN (...)``."""
    return ", ".join(f"'{outcome.value}'" for outcome in outcomes)


FAILED: Final = f"outcome IN ({quoted(FAILED_OUTCOMES)})"
REFUSED: Final = f"outcome IN ({quoted(REFUSED_OUTCOMES)})"


def chosen(*variables: str) -> str:
    """The conditions of dashboard variables named as their columns; "All" costs nothing: it becomes ``1=1``."""
    return " AND ".join(f"$__conditionalAll({name} IN (${{{name}:singlequote}}), ${name})" for name in variables)


PLACE: Final = chosen("environment", "pop", "route")
PLACE_AND_OUTCOME: Final = chosen("environment", "pop", "route", "outcome")


def within(column: str) -> str:
    """The condition that ``column`` lies in the buckets drawn."""
    return f"{column} >= {BEGIN} AND {column} < {END}"


def path_rows(rolled_up: str, detailed: str, group: str, *, where: str = PLACE_AND_OUTCOME) -> str:
    """Aggregates over request paths from whichever table suits the interval, without groups that restatements emptied.

    Args:
        rolled_up: select list over ``path_1m``.
        detailed: select list over ``request_paths``, the same names and types.
        group: aliases to group by, empty for one row in all.
        where: further condition, on columns that both tables have.
    """
    by = f" GROUP BY {group}" if group else ""
    return (
        f"SELECT {rolled_up} FROM {PATH_1M} WHERE {ROLLED_UP} AND {within('minute')} AND {where}{by} HAVING sum(paths) > 0\n"
        f"  UNION ALL\n"
        f"  SELECT {detailed} FROM {REQUEST_PATHS} WHERE {DETAILED} AND {within('start')} AND {where}{by} HAVING sum(sign) > 0"
    )


def hop_rows(rolled_up: str, detailed: str, group: str, *, where: str = PLACE) -> str:
    """As :func:`path_rows`, over hops: ``hop_1m``, or ``request_paths`` with its hops joined.

    In ``detailed`` a hop's columns are ``hops.tier``, ``hops.self_ns`` and so on.
    """
    return (
        f"SELECT {rolled_up} FROM {HOP_1M} WHERE {ROLLED_UP} AND {within('minute')} AND {where} GROUP BY {group} "
        f"HAVING sum(paths) > 0\n"
        f"  UNION ALL\n"
        f"  SELECT {detailed} FROM {REQUEST_PATHS} ARRAY JOIN hops\n"
        f"  WHERE {DETAILED} AND {within('start')} AND {where} GROUP BY {group} HAVING sum(sign) > 0"
    )


def filled(inner: str, name: str, value: str) -> str:
    """Long rows (time, ``name``, value), with a row for every bucket of every name; ``value`` is over column ``n``.

    A bucket without rows counts as zero, or as nothing at all when ``n`` is Nullable.
    """
    return (
        f"SELECT time, name AS {name}, {value} AS value FROM (\n"
        f"  SELECT time, name, n FROM (\n  {inner}\n  )\n"
        f"  ORDER BY name, time WITH FILL FROM {BEGIN} TO {END} STEP $__interval_s\n"
        f") WHERE name != '' ORDER BY time, {name}"
    )


def per_second(value: str = "n") -> str:
    """``value`` of a bucket divided by the seconds of it that have settled."""
    return f"{value} / least($__interval_s, toUInt32({END}) - toUInt32(time))"


def named(column: str) -> str:
    """A name column fit to be a label: an unknown name says so."""
    return f"if({column} = '', 'unknown', toString({column}))"


def rate_by(column: str, *, where: str = PLACE_AND_OUTCOME) -> str:
    """Requests a second over time, one series a value of ``column``."""
    inner = path_rows(
        f"$__timeInterval(minute) AS time, {named(column)} AS name, sum(requests) AS n",
        f"$__timeInterval(start) AS time, {named(column)} AS name, sum({SIGNED}) AS n",
        "time, name",
        where=where,
    )
    return filled(inner, column, per_second())


def ratio_by(column: str, rolled_up: str, detailed: str) -> str:
    """A share of requests over time, one series a value of ``column``; the arguments are weighted sums to divide."""
    inner = path_rows(
        f"$__timeInterval(minute) AS time, {named(column)} AS name, toNullable({rolled_up} / sum(requests)) AS n",
        f"$__timeInterval(start) AS time, {named(column)} AS name, toNullable({detailed} / sum({SIGNED})) AS n",
        "time, name",
    )
    return filled(inner, column, "n")


def quantile_by(column: str, place: int) -> str:
    """One quantile of edge time over time, one series a value of ``column``."""
    inner = path_rows(
        f"$__timeInterval(minute) AS time, {named(column)} AS name, "
        f"toNullable(quantilesBFloat16WeightedMerge({LEVELS})(edge_quantiles)[{place}]) AS n",
        f"$__timeInterval(start) AS time, {named(column)} AS name, "
        f"toNullable(quantilesBFloat16Weighted({LEVELS})(edge_ns, {QUANTILE_WEIGHT})[{place}]) AS n",
        "time, name",
    )
    return filled(inner, column, "n")


def edge_quantiles() -> str:
    """p50, p90 and p99 of edge time over time, a column each."""
    inner = path_rows(
        f"$__timeInterval(minute) AS time, quantilesBFloat16WeightedMerge({LEVELS})(edge_quantiles) AS q",
        f"$__timeInterval(start) AS time, quantilesBFloat16Weighted({LEVELS})(edge_ns, {QUANTILE_WEIGHT}) AS q",
        "time",
    )
    return (
        f"SELECT time, toNullable(q[{P50}]) AS p50, toNullable(q[{P90}]) AS p90, toNullable(q[{P99}]) AS p99 FROM (\n"
        f"  {inner}\n) ORDER BY time WITH FILL FROM {BEGIN} TO {END} STEP $__interval_s"
    )


def totals(name_rolled_up: str, name_detailed: str, group: str) -> str:
    """Per group over the whole range: n, failed, refused, retried, complete rows and rows, edge quantiles, first second."""
    return path_rows(
        f"{name_rolled_up}sum(requests) AS n, sumIf(requests, {FAILED}) AS n_failed, "
        f"sumIf(requests, {REFUSED}) AS n_refused, sum(retries) AS n_retries, sum(complete) AS n_complete, "
        f"sum(paths) AS n_paths, quantilesBFloat16WeightedMerge({LEVELS})(edge_quantiles) AS q, "
        f"toUInt32(min(minute)) AS first",
        f"{name_detailed}sum({SIGNED}) AS n, sumIf({SIGNED}, {FAILED}) AS n_failed, "
        f"sumIf({SIGNED}, {REFUSED}) AS n_refused, sum(retries * {SIGNED}) AS n_retries, sumIf(sign, complete) AS n_complete, "
        f"sum(sign) AS n_paths, quantilesBFloat16Weighted({LEVELS})(edge_ns, {QUANTILE_WEIGHT}) AS q, "
        f"toUInt32(toDateTime(min(start))) AS first",
        group,
    )


def total(value: str, name: str) -> str:
    """One number over the whole range; no row without requests."""
    return f"SELECT {value} AS {name} FROM (\n  {totals('', '', '')}\n) WHERE n > 0"


def table_by(column: str, title: str) -> str:
    """A table with one row a value of ``column``: rate, failed and refused share, retries, edge time.

    The rate counts from the first request in the range on, so a range longer than the data does not dilute it.
    """
    select = f"{named(column)} AS name, "
    return (
        f'SELECT name AS "{title}", n / greatest(1, toUInt32({END}) - min(first) OVER ()) AS "Requests/s", '
        f'n_failed / n AS "Failed", n_refused / n AS "Refused", n_retries / n AS "Retries", '
        f'q[{P50}] AS "Edge p50", q[{P99}] AS "Edge p99" FROM (\n'
        f"  {totals(select, select, 'name')}\n) WHERE n > 0 ORDER BY n DESC LIMIT 200"
    )
