-- Good and total events per SLO, bucket and group. One view per SLO fills it (alerts/sli_views.py creates them).
CREATE TABLE IF NOT EXISTS sli_1m
(
    slo          LowCardinality(String),
    bucket       DateTime('UTC') COMMENT 'start of the bucket; one minute wide unless the policy says otherwise',
    environment  LowCardinality(String),
    dimension    LowCardinality(String) COMMENT 'column that the SLO groups by, empty if none',
    value        LowCardinality(String) COMMENT 'value of that column',
    good         SimpleAggregateFunction(sum, Float64) COMMENT 'weighted',
    total        SimpleAggregateFunction(sum, Float64) COMMENT 'weighted',
    good_paths   SimpleAggregateFunction(sum, UInt64) COMMENT 'stored rows',
    total_paths  SimpleAggregateFunction(sum, UInt64),
    good_squares  SimpleAggregateFunction(sum, Float64) COMMENT 'squared weights: how sure a sampled ratio is',
    total_squares SimpleAggregateFunction(sum, Float64)
)
ENGINE = AggregatingMergeTree
ORDER BY (slo, bucket, environment, dimension, value)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000;

-- Spans that came after their trace was emitted: kept and counted, never mixed into a second path.
CREATE TABLE IF NOT EXISTS late_spans
(
    trace_id    FixedString(16),
    trace_hex   String ALIAS lower(hex(trace_id)),
    span_id     UInt64,
    parent_id   UInt64,
    kind        UInt8,
    start       DateTime64(9, 'UTC'),
    duration_ns UInt64,
    tier        LowCardinality(String),
    component   LowCardinality(String),
    pop         LowCardinality(String),
    status      UInt16,
    arrived     DateTime64(3, 'UTC'),
    stored      DateTime64(3, 'UTC') DEFAULT now64(3),
    topic       LowCardinality(String),
    partition   UInt32,
    block       UInt64,
    writer      LowCardinality(String),
    last_offset UInt64
)
ENGINE = MergeTree
PARTITION BY intDiv(block, 10000)
ORDER BY (toStartOfHour(arrived), trace_id)
TTL toDateTime(arrived) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 10000;
