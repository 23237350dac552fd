-- metric_points: one row a data point of OTLP metrics (opentelemetry-proto, metrics.proto). What a type does not have is 0, empty or,
-- for floats, NaN. metric_log: the log that they come from, in the protocol of docs/exactly-once.md.
CREATE TABLE IF NOT EXISTS metric_points
(
    time             DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    start_time       DateTime64(9, 'UTC') COMMENT 'since when it is accumulated; 1970 if unknown' CODEC(Delta, ZSTD),
    metric           LowCardinality(String),
    unit             LowCardinality(String),
    type             LowCardinality(String) COMMENT 'gauge, sum, histogram, exponential_histogram or summary',
    temporality      LowCardinality(String) COMMENT 'delta or cumulative; empty for gauges and summaries',
    is_monotonic     Bool,
    environment      LowCardinality(String),
    region           LowCardinality(String),
    zone             LowCardinality(String),
    tier             LowCardinality(String),
    component        LowCardinality(String) COMMENT 'service.name',
    pop              LowCardinality(String),
    instance         LowCardinality(String) COMMENT 'service.instance.id',
    scope            LowCardinality(String) COMMENT 'instrumentation scope',
    attributes       Map(LowCardinality(String), String),
    value            Float64 COMMENT 'of gauges and sums',
    flags            UInt32 COMMENT '1: no value was recorded (the series ended)',
    count            UInt64 COMMENT 'of histograms and summaries, as all that follows',
    sum              Float64 COMMENT 'NaN if not given',
    min              Float64 COMMENT 'NaN if not given',
    max              Float64 COMMENT 'NaN if not given',
    bounds           Array(Float64) COMMENT 'upper bounds of all buckets but the last',
    bucket_counts    Array(UInt64),
    scale            Int32 COMMENT 'of exponential histograms: bucket i is (base^i, base^(i + 1)], base = 2^(2^-scale)',
    zero_count       UInt64,
    zero_threshold   Float64,
    positive_offset  Int32,
    positive_counts  Array(UInt64),
    negative_offset  Int32,
    negative_counts  Array(UInt64),
    quantile_levels  Array(Float64) COMMENT 'of summaries',
    quantile_values  Array(Float64),
    exemplars Nested
    (
        time     DateTime64(9, 'UTC'),
        value    Float64,
        trace_id FixedString(16),
        span_id  UInt64
    ),
    arrived          DateTime64(3, 'UTC'),
    stored           DateTime64(3, 'UTC') DEFAULT now64(3),
    topic            LowCardinality(String),
    partition        UInt32,
    block            UInt64,
    writer           LowCardinality(String),
    last_offset      UInt64 COMMENT 'of the record that it came in',
    INDEX time_minmax time TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY intDiv(block, 10000)
ORDER BY (toStartOfHour(time), metric, component, instance, time)
TTL toDateTime(time) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 50000;

CREATE TABLE IF NOT EXISTS metric_log
(
    kind             LowCardinality(String) COMMENT 'point or fence',
    time             DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    start_time       DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    metric           LowCardinality(String),
    unit             LowCardinality(String),
    type             LowCardinality(String),
    temporality      LowCardinality(String),
    is_monotonic     Bool,
    environment      LowCardinality(String),
    region           LowCardinality(String),
    zone             LowCardinality(String),
    tier             LowCardinality(String),
    component        LowCardinality(String),
    pop              LowCardinality(String),
    instance         LowCardinality(String),
    scope            LowCardinality(String),
    attributes       Map(LowCardinality(String), String),
    value            Float64,
    flags            UInt32,
    count            UInt64,
    sum              Float64,
    min              Float64,
    max              Float64,
    bounds           Array(Float64),
    bucket_counts    Array(UInt64),
    scale            Int32,
    zero_count       UInt64,
    zero_threshold   Float64,
    positive_offset  Int32,
    positive_counts  Array(UInt64),
    negative_offset  Int32,
    negative_counts  Array(UInt64),
    quantile_levels  Array(Float64),
    quantile_values  Array(Float64),
    exemplars Nested
    (
        time     DateTime64(9, 'UTC'),
        value    Float64,
        trace_id FixedString(16),
        span_id  UInt64
    ),
    arrived          DateTime64(3, 'UTC'),
    stored           DateTime64(3, 'UTC') DEFAULT now64(3),
    topic            LowCardinality(String),
    partition        UInt32,
    block            UInt64,
    writer           LowCardinality(String),
    last_offset      UInt64,
    INDEX stored_minmax stored TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY intDiv(block, 10000)
ORDER BY (topic, partition, block)
TTL toDateTime(stored) + INTERVAL 2 DAY
SETTINGS non_replicated_deduplication_window = 50000, ttl_only_drop_parts = 1;
