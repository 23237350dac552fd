"""Request paths as a fleet of three PoPs would leave them, with an incident in one: for tests, and for looking.

The rows are made by ClickHouse itself from numbers and a hash, so the same arguments give the same rows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from telemetry.store.base import Store

INCIDENT_POP = "fra"


@dataclass(frozen=True)
class Sample:
    """What to make.

    Attributes:
        start: of the first request.
        minutes: how long.
        per_second: requests a second at the average.
        incident: first and last minute of the incident, or None: upstream connections of ``fra`` fail.
        block: the ``block`` of the rows.
    """

    start: datetime
    minutes: int = 10
    per_second: int = 20
    incident: tuple[int, int] | None = (4, 7)
    block: int = 1

    @property
    def rows(self) -> int:
        """How many requests that makes."""
        return self.minutes * 60 * self.per_second

    @property
    def end(self) -> datetime:
        """Just after the last request."""
        return self.start + timedelta(minutes=self.minutes)


def insert(store: Store, sample: Sample) -> None:
    """Put the sample's rows into ``request_paths``; the views fill the roll-ups."""
    store.execute(_statement(sample))


def _uniform(salt: int) -> str:
    return f"(cityHash64(number, {salt}) / 18446744073709551616.)"


def _spread(salt: int, median_ms: float, sigma: float) -> str:
    """A log-normal time in nanoseconds (Box and Muller over two hashes)."""
    normal = f"sqrt(-2 * log({_uniform(salt)} + 1e-12)) * cos(6.283185307 * {_uniform(salt + 1)})"
    return f"toUInt64({median_ms * 1e6:.0f} * exp({sigma} * {normal}))"


def _statement(sample: Sample) -> str:
    first, last = sample.incident or (0, 0)
    start = sample.start.astimezone(UTC)
    period_ns = 60_000_000_000 // (60 * sample.per_second)
    zero = int(start.timestamp()) * 10**9
    return f"""
INSERT INTO path_feed (trace_id, start, environment, region, pop, route, method, status, outcome, reached_api, complete,
    gaps, blamed_tier, blamed_component, blamed_pop, blame_reason, total_ns, edge_ns, api_ns, network_ns, retry_ns,
    unattributed_ns, attempts, retries, weight, spans, client_hash, hops.tier, hops.component, hops.pop, hops.span_id,
    hops.offset_ns, hops.duration_ns, hops.self_ns, hops.retry_ns, hops.network_ns, hops.unattributed_ns, hops.status,
    hops.flags, hops.error, hops.attempts, hops.failed, arrived, partition, block, writer, last_offset)
WITH
    {zero} + number * {period_ns} + cityHash64(number, 1) % {period_ns} AS at,
    intDiv(at - {zero}, 60000000000) AS minute_,
    {_uniform(2)} AS u_pop, {_uniform(3)} AS u_route, {_uniform(4)} AS u_bad, {_uniform(5)} AS u_retry,
    multiIf(u_pop < 0.45, 'fra', u_pop < 0.8, 'iad', 'sin') AS pop_,
    multiIf(u_route < 0.42, '/v1/charges', u_route < 0.55, '/v1/charges/{{id}}', u_route < 0.7, '/v1/customers/{{id}}',
            u_route < 0.8, '/v1/refunds', u_route < 0.9, '/v1/payment_intents', u_route < 0.97, '/v1/balance',
            '/v1/webhook_endpoints') AS route_,
    pop_ = '{INCIDENT_POP}' AND minute_ >= {first} AND minute_ < {last} AS incident,
    (incident AND u_bad < 0.22) AS cut,
    multiIf(cut, 'edge_error', u_bad > 0.9994, 'api_error', u_bad > 0.999, 'timeout', u_bad > 0.985, 'throttled',
            u_bad > 0.983, 'blocked', u_bad > 0.95, 'client_error', u_bad > 0.9495, 'cancelled', 'ok') AS outcome_,
    multiIf(cut OR outcome_ = 'blocked', 2, outcome_ = 'throttled', 4, 5) AS n,
    (cut OR u_retry < if(incident, 0.3, 0.006)) AS retried,
    [{_spread(10, 0.4, 0.3)}, {_spread(12, 0.9, 0.4)}, {_spread(14, 0.3, 0.4)}, {_spread(16, 1.6, 0.5)},
     toUInt64({_spread(18, 24, 0.6)} * if(route_ = '/v1/charges', 2.2, 1) * if(outcome_ = 'timeout', 40, 1))] AS self_all,
    [toUInt64({_spread(20, 9, 0.5)} * if(pop_ = 'sin', 2.4, 1)), {_spread(22, 3.2, 0.4)}, {_spread(24, 0.6, 0.4)},
     {_spread(26, 0.8, 0.4)}, toUInt64(0)] AS network_all,
    [toUInt64(0), if(retried, {_spread(28, 60, 0.5)}, 0), toUInt64(0), toUInt64(0), toUInt64(0)] AS retry_all,
    arraySlice(self_all, 1, n) AS self_, arraySlice(retry_all, 1, n) AS retry_,
    arrayMap((x, i) -> if(i = n, 0, x), arraySlice(network_all, 1, n), arrayEnumerate(arraySlice(network_all, 1, n))) AS net_,
    arrayMap((s, r, w) -> s + r + w, self_, retry_, net_) AS own,
    arrayReverse(arrayCumSum(arrayReverse(own))) AS duration,
    arrayMap(i -> toInt64(arraySum(arrayMap((r, s, w, j) -> if(j < i, r + intDiv(s + w, 2), 0), retry_, self_, net_,
        arrayEnumerate(own)))), arrayEnumerate(own)) AS offsets,
    multiIf(outcome_ = 'ok', 200, outcome_ = 'client_error', 402, outcome_ = 'throttled', 429, outcome_ = 'blocked', 403,
            outcome_ = 'edge_error', 503, outcome_ = 'api_error', 500, outcome_ = 'timeout', 504, 0) AS status_,
    multiIf(cut OR outcome_ = 'blocked', 2, outcome_ = 'throttled', 4, outcome_ = 'ok', 0, 5) AS culprit,
    arraySlice(['client', 'edge', 'balancer', 'gateway', 'api'], 1, n) AS tiers,
    arraySlice(['load-generator', concat('edge-', pop_), 'balancer-1', 'gateway', 'payments-api'], 1, n) AS components,
    arraySlice(['', pop_, 'eu-1a', 'eu-1a', 'eu-1a'], 1, n) AS pops
SELECT reinterpretAsFixedString(sipHash128(number, {zero})), fromUnixTimestamp64Nano(toInt64(at), 'UTC'), 'production',
    if(pop_ = 'iad', 'us-east-1', 'eu-central-1'), pop_, route_,
    if(route_ LIKE '%id%' OR route_ = '/v1/balance', 'GET', 'POST'), status_, outcome_, n = 5, u_pop > 0.0004,
    if(u_pop > 0.0004, [], ['client']),
    if(culprit = 0, '', tiers[culprit]), if(culprit = 0, '', components[culprit]), if(culprit = 0, '', pops[culprit]),
    multiIf(cut, 'UF', outcome_ = 'blocked', 'access denied', outcome_ = 'throttled', 'rate limit', culprit = 0, '',
            concat('status ', toString(status_))),
    duration[1], duration[1] - if(n = 5, duration[5], 0), if(n = 5, duration[5], 0), arraySum(net_), arraySum(retry_), 0,
    n - 1 + if(retried, 1 + cut, 0), if(retried, 1 + cut, 0), 1., n * 2 - 1, cityHash64(number) % 5000,
    tiers, components, pops, arrayMap(i -> cityHash64(number, i, 'span'), arrayEnumerate(own)), offsets, duration, self_,
    retry_, net_, arrayMap(x -> 0, own),
    arrayMap(i -> status_, own), arrayMap(i -> if(cut AND i = 2, 'UF,URX', ''), arrayEnumerate(own)),
    arrayMap(i -> if(i = culprit, multiIf(cut, 'upstream_connect', outcome_ = 'timeout', 'timeout', toString(status_)), ''),
        arrayEnumerate(own)),
    arrayMap(i -> if(i = n AND NOT cut, 0, if(i = 2 AND retried, 2 + cut, 1)), arrayEnumerate(own)),
    arrayMap(i -> outcome_ != 'ok' AND i <= culprit, arrayEnumerate(own)),
    fromUnixTimestamp64Nano(toInt64(at + duration[1] + 1200000000), 'UTC'), 0, {sample.block}, 'sample', number
FROM numbers({sample.rows})
"""
