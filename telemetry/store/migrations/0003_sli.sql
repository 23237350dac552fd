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
    good_paths   SimpleAggregateFunction(sum, Int64) COMMENT 'stored rows',
    total_paths  SimpleAggregateFunction(sum, Int64),
    good_squares  SimpleAggregateFunction(sum, Float64) COMMENT 'of the weights: how sure a sampled rate is (alerts/confidence.py)',
    total_squares SimpleAggregateFunction(sum, Float64)
)
ENGINE = AggregatingMergeTree
ORDER BY (slo, bucket, environment, dimension, value)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 50000;

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
SETTINGS non_replicated_deduplication_window = 50000;

-- The ledger of restatements: what late spans changed of a path that was stored before. Made from path_log alone.
CREATE TABLE IF NOT EXISTS corrections
(
    trace_id             FixedString(16),
    trace_hex            String ALIAS lower(hex(trace_id)),
    version              UInt32 COMMENT 'the new one',
    corrected            DateTime64(3, 'UTC'),
    start                DateTime64(9, 'UTC'),
    environment          LowCardinality(String),
    pop                  LowCardinality(String),
    route                LowCardinality(String),
    weight               Float64,
    late_spans           Int64 COMMENT 'spans that the new version has more than the old one',
    delay_ms             Int64 COMMENT 'from the last span of the old version to the last span of the new one',
    old_outcome          LowCardinality(String),
    new_outcome          LowCardinality(String),
    old_complete         Bool,
    new_complete         Bool,
    old_reached_api      Bool,
    new_reached_api      Bool,
    old_total_ns         UInt64,
    new_total_ns         UInt64,
    old_edge_ns          UInt64,
    new_edge_ns          UInt64,
    old_blamed_tier      LowCardinality(String),
    new_blamed_tier      LowCardinality(String),
    old_blamed_component LowCardinality(String),
    new_blamed_component LowCardinality(String),
    topic                LowCardinality(String),
    partition            UInt32,
    block                UInt64,
    writer               LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY intDiv(block, 10000)
ORDER BY (toStartOfHour(corrected), trace_id)
TTL toDateTime(corrected) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 50000;
