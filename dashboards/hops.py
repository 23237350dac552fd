"""The SQL of the panels about hops and single requests."""

# ruff: noqa: S608 - the parts of these statements are constants of this package; what a reader chooses is quoted

from typing import Final

from dashboards.queries import (
    FAILED,
    IN_RANGE,
    LEVELS,
    P50,
    P99,
    PLACE,
    PLACE_AND_OUTCOME,
    QUANTILE_WEIGHT,
    SIGNED,
    filled,
    hop_rows,
    path_rows,
)
from telemetry.store.tables import REQUEST_PATHS, holds
from telemetry.vocabulary import DEFAULT_TIERS

TIER_ORDER: Final = "[" + ", ".join(f"'{tier}'" for tier in DEFAULT_TIERS) + "]"

PARTS: Final = (("self", "self_ns"), ("network", "network_ns"), ("retry", "retry_ns"))
"""What a hop's time is made of: the word drawn and its column."""


def _parts(prefix: str, weight: str) -> str:
    sums = ", ".join(f"('{word}', sum({prefix}{column}{weight}))" for word, column in PARTS)
    return f"[{sums}]"


def time_by_hop() -> str:
    """Mean time of a request in each tier over time, split into self, network and retry time.

    The sums are divided by all requests of the bucket, so the stack is the mean total time even when only some requests
    come as far as a tier.
    """
    hops = hop_rows(
        f"$__timeInterval(minute) AS time, toString(tier) AS tier_, arrayJoin({_parts('', '')}) AS part",
        f"$__timeInterval(start) AS time, toString(hops.tier) AS tier_, "
        f"arrayJoin({_parts('hops.', f' * {SIGNED}')}) AS part",
        "time, tier_",
    )
    paths = path_rows(
        "$__timeInterval(minute) AS time, '' AS name, 0. AS ns, sum(requests) AS requests_",
        f"$__timeInterval(start) AS time, '' AS name, 0. AS ns, sum({SIGNED}) AS requests_",
        "time",
        where=PLACE,
    )
    inner = (
        f"SELECT time, name, toNullable(ns / requests_in_all) AS n FROM (\n"
        f"    SELECT time, name, ns, sum(requests_) OVER (PARTITION BY time) AS requests_in_all FROM (\n"
        f"      SELECT time, concat(tier_, ' ', part.1) AS name, toFloat64(part.2) AS ns, 0. AS requests_ FROM (\n"
        f"  {hops}\n  )\n  UNION ALL\n  {paths}\n"
        f"  )) WHERE name != '' AND ns > 0 AND requests_in_all > 0"
    )
    return filled(inner, "part", "n")


def time_by_tier() -> str:
    """Mean time that each tier itself adds to a request over the whole range: self, network and retry time together."""
    hops = hop_rows(
        "toString(tier) AS name, sum(self_ns) + sum(network_ns) + sum(retry_ns) AS ns, 0. AS requests_",
        "toString(hops.tier) AS name, "
        f"sum((hops.self_ns + hops.network_ns + hops.retry_ns) * {SIGNED}) AS ns, 0. AS requests_",
        "name",
    )
    paths = path_rows(
        "'' AS name, 0. AS ns, sum(requests) AS requests_",
        f"'' AS name, 0. AS ns, sum({SIGNED}) AS requests_",
        "name",
        where=PLACE,
    )
    return (
        f'SELECT name AS "Tier", ns / requests_in_all AS "Time per request" FROM (\n'
        f"  SELECT name, ns, sum(requests_) OVER () AS requests_in_all FROM (\n  {hops}\n  UNION ALL\n  {paths}\n  )\n"
        f") WHERE name != '' AND requests_in_all > 0 ORDER BY indexOf({TIER_ORDER}, name)"
    )


def hop_table() -> str:
    """One row a hop: how often, how slow by itself, how often failed, how often to blame."""
    rows = hop_rows(
        f"toString(tier) AS tier_, toString(hop_pop) AS pop_, toString(component) AS component_, sum(requests) AS n, "
        f"quantilesBFloat16WeightedMerge({LEVELS})(self_quantiles) AS q, "
        f"quantilesBFloat16WeightedMerge({LEVELS})(network_quantiles) AS net, "
        f"sum(failed) AS n_failed, sum(blamed) AS n_blamed, sum(attempts) AS n_attempts",
        f"toString(hops.tier) AS tier_, toString(hops.pop) AS pop_, toString(hops.component) AS component_, "
        f"sum({SIGNED}) AS n, quantilesBFloat16Weighted({LEVELS})(hops.self_ns, {QUANTILE_WEIGHT}) AS q, "
        f"quantilesBFloat16Weighted({LEVELS})(hops.network_ns, {QUANTILE_WEIGHT}) AS net, "
        f"sumIf({SIGNED}, hops.failed) AS n_failed, "
        f"sumIf({SIGNED}, {FAILED} AND hops.tier = blamed_tier AND hops.component = blamed_component "
        f"AND hops.pop = blamed_pop) AS n_blamed, sum(hops.attempts * {SIGNED}) AS n_attempts",
        "tier_, pop_, component_",
    )
    return (
        'SELECT tier_ AS "Tier", pop_ AS "PoP", component_ AS "Component", n AS "Requests", '
        f'q[{P50}] AS "Self p50", q[{P99}] AS "Self p99", net[{P99}] AS "Network p99", '
        f'n_attempts / n AS "Attempts", n_failed / n AS "Answered with an error", '
        f'n_blamed / n AS "Blamed" FROM (\n  {rows}\n)\n'
        f"ORDER BY indexOf({TIER_ORDER}, tier_), pop_, component_ LIMIT 200"
    )


_REQUEST: Final = (
    'start AS "Time", trace_hex AS "Trace", concat(method, \' \', route) AS "Request", '
    'pop AS "PoP", outcome AS "Outcome", '
)
_BLAMED: Final = (
    "concat(if(blamed_component = '', blamed_tier, blamed_component), "
    "if(blame_reason = '', '', concat(': ', blame_reason)))"
)


def slowest_requests() -> str:
    """The requests with the longest edge time in the range."""
    return (
        f'SELECT {_REQUEST}edge_ns AS "Edge time", total_ns AS "Total" FROM {REQUEST_PATHS}\n'
        f"WHERE {IN_RANGE} AND {holds(IN_RANGE)} AND {PLACE_AND_OUTCOME}\n"
        f"ORDER BY edge_ns DESC LIMIT 20"
    )


def failed_requests() -> str:
    """The newest failed requests of the range."""
    return (
        f'SELECT {_REQUEST}{_BLAMED} AS "Blamed", total_ns AS "Total" FROM {REQUEST_PATHS}\n'
        f"WHERE {IN_RANGE} AND {holds(IN_RANGE)} AND {PLACE_AND_OUTCOME} AND {FAILED}\n"
        f"ORDER BY start DESC LIMIT 20"
    )
