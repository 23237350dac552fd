-- Blocks go through path_feed, which stores nothing: request_paths and every roll-up are targets of its views, so that each
-- remembers a block by itself, and a block that one of them lacks can be put there alone (docs/exactly-once.md).
-- Every view but the first marks each block in one row: `blocks` says which of them are counted. The mark stands in the newest of the block's
-- groups, not in one of a drill if there is another: drills are taken away again. 'edgepath-drill' is DRILL_ENVIRONMENT (telemetry/store/tables.py).
-- To be applied while no consumer runs.

-- A block that came over the old views must not come again over the new ones, which do not know it: nobody drives what a fence follows.
INSERT INTO path_log (kind, topic, partition, block, writer)
SELECT 'fence', topic, partition, max(block) + 1, 'schema 8' FROM path_log
WHERE (SELECT count() FROM schema_migrations WHERE number = 8) = 0
GROUP BY topic, partition;

DROP VIEW IF EXISTS path_1m_view;

DROP VIEW IF EXISTS hop_1m_view;

ALTER TABLE path_1m
    ADD COLUMN IF NOT EXISTS blocks SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'hashes of blocks whose mark is here' TTL minute + INTERVAL 10 DAY;

ALTER TABLE hop_1m
    ADD COLUMN IF NOT EXISTS blocks SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'hashes of blocks whose mark is here' TTL minute + INTERVAL 10 DAY;

ALTER TABLE sli_1m
    ADD COLUMN IF NOT EXISTS blocks SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64)) COMMENT 'hashes of blocks whose mark is here' TTL bucket + INTERVAL 10 DAY;

CREATE TABLE IF NOT EXISTS path_feed AS request_paths ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS path_feed_to_request_paths TO request_paths AS
SELECT * FROM path_feed;

CREATE MATERIALIZED VIEW IF NOT EXISTS path_feed_to_path_1m TO path_1m AS
SELECT * EXCEPT (mark), if(rowNumberInAllBlocks() = 0, [mark], []) AS blocks
FROM
(
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
        uniqCombined64State(p.client_hash) AS clients,
        cityHash64(any(p.topic), any(p.partition), any(p.block), any(p.writer)) AS mark
    FROM path_feed AS p
    GROUP BY minute, environment, region, pop, route, method, outcome, blamed_tier, blamed_component, blamed_pop, blame_reason
    ORDER BY environment = 'edgepath-drill', minute DESC
);

CREATE MATERIALIZED VIEW IF NOT EXISTS path_feed_to_hop_1m TO hop_1m AS
SELECT * EXCEPT (mark), if(rowNumberInAllBlocks() = 0, [mark], []) AS blocks
FROM
(
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
        quantilesBFloat16WeightedState(0.5, 0.9, 0.95, 0.99, 0.999)(h.9, toUInt64(toInt64(round(weight * 1000)) * sign)) AS network_quantiles,
        cityHash64(any(topic), any(partition), any(block), any(writer)) AS mark
    FROM
    (
        SELECT start, environment, pop, route, weight, sign, weight * sign AS signed, outcome, blamed_tier, blamed_component,
            blamed_pop, topic, partition, block, writer,
            arrayJoin(arrayZip(`hops.tier`, `hops.component`, `hops.pop`, `hops.failed`, `hops.attempts`, `hops.duration_ns`,
                               `hops.self_ns`, `hops.retry_ns`, `hops.network_ns`)) AS h
        FROM path_feed
    )
    GROUP BY minute, environment, pop, route, tier, component, hop_pop
    ORDER BY environment = 'edgepath-drill', minute DESC
);
