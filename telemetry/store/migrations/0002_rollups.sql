-- Minute roll-ups, filled by views. Every count and quantile is weighted by the sampling weight; quantile states are
-- quantilesBFloat16Weighted (mergeable, deterministic, within 0.4 % of the value) with the weight in 1/1000 of a request.
-- A row with sign = -1 takes back what the row that it repeats has added: sums are multiplied by the sign, and so is the weight in
-- a quantile state, modulo 2^64: the weights of a bucket add up to what they were (tests/support/store_contract.py proves it).
-- `clients` cannot subtract: a client of a path that was restated may be counted in its old group as well.
CREATE TABLE IF NOT EXISTS path_1m
(
    minute           DateTime('UTC'),
    environment      LowCardinality(String),
    region           LowCardinality(String),
    pop              LowCardinality(String),
    route            LowCardinality(String),
    method           LowCardinality(String),
    outcome          LowCardinality(String),
    blamed_tier      LowCardinality(String),
    blamed_component LowCardinality(String),
    blamed_pop       LowCardinality(String),
    blame_reason     LowCardinality(String),
    requests         SimpleAggregateFunction(sum, Float64) COMMENT 'weighted',
    paths            SimpleAggregateFunction(sum, Int64) COMMENT 'stored rows',
    complete         SimpleAggregateFunction(sum, Int64),
    attempts         SimpleAggregateFunction(sum, Float64),
    retries          SimpleAggregateFunction(sum, Float64),
    total_ns         SimpleAggregateFunction(sum, Float64),
    edge_ns          SimpleAggregateFunction(sum, Float64),
    api_ns           SimpleAggregateFunction(sum, Float64),
    network_ns       SimpleAggregateFunction(sum, Float64),
    retry_ns         SimpleAggregateFunction(sum, Float64),
    total_quantiles  AggregateFunction(quantilesBFloat16Weighted(0.5, 0.9, 0.95, 0.99, 0.999), UInt64, UInt64),
    edge_quantiles   AggregateFunction(quantilesBFloat16Weighted(0.5, 0.9, 0.95, 0.99, 0.999), UInt64, UInt64),
    clients          AggregateFunction(uniqCombined64, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (minute, environment, region, pop, route, method, outcome, blamed_tier, blamed_component, blamed_pop,
          blame_reason)
TTL minute + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 50000;

CREATE MATERIALIZED VIEW IF NOT EXISTS path_1m_view TO path_1m AS
SELECT
    toStartOfMinute(toDateTime(start, 'UTC')) AS minute,
    environment, region, pop, route, method, outcome, blamed_tier, blamed_component, blamed_pop, blame_reason,
    sum(p.weight * p.sign) AS requests,
    sum(p.sign) AS paths,
    sumIf(p.sign, p.complete) AS complete,
    sum(p.attempts * p.weight * p.sign) AS attempts,
    sum(p.retries * p.weight * p.sign) AS retries,
    sum(p.total_ns * p.weight * p.sign) AS total_ns,
    sum(p.edge_ns * p.weight * p.sign) AS edge_ns,
    sum(p.api_ns * p.weight * p.sign) AS api_ns,
    sum(p.network_ns * p.weight * p.sign) AS network_ns,
    sum(p.retry_ns * p.weight * p.sign) AS retry_ns,
    quantilesBFloat16WeightedState(0.5, 0.9, 0.95, 0.99, 0.999)(p.total_ns, toUInt64(toInt64(round(p.weight * 1000)) * p.sign)) AS total_quantiles,
    quantilesBFloat16WeightedState(0.5, 0.9, 0.95, 0.99, 0.999)(p.edge_ns, toUInt64(toInt64(round(p.weight * 1000)) * p.sign)) AS edge_quantiles,
    uniqCombined64State(p.client_hash) AS clients
FROM request_paths AS p
GROUP BY minute, environment, region, pop, route, method, outcome, blamed_tier, blamed_component, blamed_pop, blame_reason;

CREATE TABLE IF NOT EXISTS hop_1m
(
    minute           DateTime('UTC'),
    environment      LowCardinality(String),
    pop              LowCardinality(String) COMMENT 'PoP of the path',
    route            LowCardinality(String),
    tier             LowCardinality(String),
    component        LowCardinality(String),
    hop_pop          LowCardinality(String) COMMENT 'PoP or zone of the hop itself',
    requests         SimpleAggregateFunction(sum, Float64),
    paths            SimpleAggregateFunction(sum, Int64) COMMENT 'stored rows',
    failed           SimpleAggregateFunction(sum, Float64) COMMENT 'requests that this hop answered with an error, its own or passed on',
    blamed           SimpleAggregateFunction(sum, Float64) COMMENT 'failed requests (edge_error, api_error, timeout) that this hop is blamed for',
    attempts         SimpleAggregateFunction(sum, Float64),
    duration_ns      SimpleAggregateFunction(sum, Float64),
    self_ns          SimpleAggregateFunction(sum, Float64),
    retry_ns         SimpleAggregateFunction(sum, Float64),
    network_ns       SimpleAggregateFunction(sum, Float64),
    self_quantiles   AggregateFunction(quantilesBFloat16Weighted(0.5, 0.9, 0.95, 0.99, 0.999), UInt64, UInt64),
    network_quantiles AggregateFunction(quantilesBFloat16Weighted(0.5, 0.9, 0.95, 0.99, 0.999), UInt64, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (minute, environment, pop, route, tier, component, hop_pop)
TTL minute + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 50000;

CREATE MATERIALIZED VIEW IF NOT EXISTS hop_1m_view TO hop_1m AS
SELECT
    toStartOfMinute(toDateTime(start, 'UTC')) AS minute,
    environment, pop, route,
    h.1 AS tier,
    h.2 AS component,
    h.3 AS hop_pop,
    sum(signed) AS requests,
    sum(sign) AS paths,
    sumIf(signed, h.4) AS failed,
    sumIf(signed, outcome IN ('edge_error', 'api_error', 'timeout') AND h.1 = blamed_tier AND h.2 = blamed_component
        AND h.3 = blamed_pop) AS blamed,
    sum(signed * h.5) AS attempts,
    sum(signed * h.6) AS duration_ns,
    sum(signed * h.7) AS self_ns,
    sum(signed * h.8) AS retry_ns,
    sum(signed * h.9) AS network_ns,
    quantilesBFloat16WeightedState(0.5, 0.9, 0.95, 0.99, 0.999)(h.7, toUInt64(toInt64(round(weight * 1000)) * sign)) AS self_quantiles,
    quantilesBFloat16WeightedState(0.5, 0.9, 0.95, 0.99, 0.999)(h.9, toUInt64(toInt64(round(weight * 1000)) * sign)) AS network_quantiles
FROM
(
    SELECT start, environment, pop, route, weight, sign, weight * sign AS signed, outcome, blamed_tier, blamed_component,
        blamed_pop,
        arrayJoin(arrayZip(`hops.tier`, `hops.component`, `hops.pop`, `hops.failed`, `hops.attempts`, `hops.duration_ns`,
                           `hops.self_ns`, `hops.retry_ns`, `hops.network_ns`)) AS h
    FROM request_paths
)
GROUP BY minute, environment, pop, route, tier, component, hop_pop;
