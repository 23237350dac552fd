-- request_paths: one wide row a request, the canonical line of the way it took.
-- path_log: the write-ahead log of everything that the partitions of the feed emitted. Every other table is a function of its
-- rows; no view hangs on it. docs/exactly-once.md has the protocol.
-- A block is one insert and must lie in one partition that follows from the block number alone.
CREATE TABLE IF NOT EXISTS request_paths
(
    trace_id         FixedString(16),
    trace_hex        String ALIAS lower(hex(trace_id)),
    start            DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    environment      LowCardinality(String),
    region           LowCardinality(String),
    pop              LowCardinality(String) COMMENT 'PoP of the edge hop',
    route            LowCardinality(String),
    method           LowCardinality(String),
    status           UInt16 COMMENT 'HTTP status nearest the client, 0 if none was seen',
    outcome          LowCardinality(String),
    reached_api      Bool,
    complete         Bool COMMENT 'nothing is missing between the first and the last hop',
    gaps             Array(LowCardinality(String)) COMMENT 'what is missing, e.g. client, before:gateway, after:edge',
    blamed_tier      LowCardinality(String),
    blamed_component LowCardinality(String),
    blamed_pop       LowCardinality(String),
    blame_reason     LowCardinality(String),
    total_ns         UInt64,
    edge_ns          UInt64 COMMENT 'total - inbound duration of the API hop: what the traffic team adds',
    api_ns           UInt64,
    network_ns       UInt64,
    retry_ns         UInt64,
    unattributed_ns  Int64 COMMENT 'sum of negative network times; self + retry + network of all hops + this = total',
    attempts         UInt32 COMMENT 'outbound attempts of all hops',
    retries          UInt32 COMMENT 'attempts that did not answer',
    weight           Float64 COMMENT 'requests that this sampled path stands for',
    spans            UInt32,
    client_hash      UInt64 COMMENT 'hash of the client address: for counting distinct clients only',
    hops Nested
    (
        tier            LowCardinality(String),
        component       LowCardinality(String),
        pop             LowCardinality(String),
        span_id         UInt64,
        offset_ns       Int64,
        duration_ns     UInt64,
        self_ns         UInt64,
        retry_ns        UInt64,
        network_ns      UInt64,
        unattributed_ns Int64,
        status          UInt16,
        flags           LowCardinality(String),
        error           LowCardinality(String),
        attempts        UInt16,
        failed          Bool
    ),
    arrived          DateTime64(3, 'UTC') COMMENT 'arrival of the last span that contributed',
    stored           DateTime64(3, 'UTC') DEFAULT now64(3),
    topic            LowCardinality(String) COMMENT 'Kafka topic, or journal',
    partition        UInt32,
    block            UInt64,
    writer           LowCardinality(String),
    last_offset      UInt64 COMMENT 'of the last record that contributed',
    sign             Int8 DEFAULT 1 COMMENT '-1 takes the row back that is equal to it but for its block: see version',
    version          UInt32 DEFAULT 1 COMMENT 'a path that late spans restated comes again with the next one',
    INDEX trace_bloom trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX start_minmax start TYPE minmax GRANULARITY 1
)
ENGINE = VersionedCollapsingMergeTree(sign, version)
PARTITION BY intDiv(block, 10000)
ORDER BY (toStartOfHour(start), route, start, trace_id)
TTL toDateTime(start) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 50000;

-- kind: 'path' is a row of request_paths; 'late' a span of a trace that was emitted before (in trace_id, start, arrived,
-- total_ns, parent_id, span_kind and the one element of hops); 'fence' says that a writer took the partition over.
-- Rows are kept for longer than Kafka keeps records (7 days by default): a consumer that resumes must find what was emitted.
CREATE TABLE IF NOT EXISTS path_log
(
    kind             LowCardinality(String) COMMENT 'path, late or fence',
    trace_id         FixedString(16),
    trace_hex        String ALIAS lower(hex(trace_id)),
    start            DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    environment      LowCardinality(String),
    region           LowCardinality(String),
    pop              LowCardinality(String) COMMENT 'PoP of the edge hop',
    route            LowCardinality(String),
    method           LowCardinality(String),
    status           UInt16 COMMENT 'HTTP status nearest the client, 0 if none was seen',
    outcome          LowCardinality(String),
    reached_api      Bool,
    complete         Bool COMMENT 'nothing is missing between the first and the last hop',
    gaps             Array(LowCardinality(String)) COMMENT 'what is missing, e.g. client, before:gateway, after:edge',
    blamed_tier      LowCardinality(String),
    blamed_component LowCardinality(String),
    blamed_pop       LowCardinality(String),
    blame_reason     LowCardinality(String),
    total_ns         UInt64,
    edge_ns          UInt64 COMMENT 'total - inbound duration of the API hop: what the traffic team adds',
    api_ns           UInt64,
    network_ns       UInt64,
    retry_ns         UInt64,
    unattributed_ns  Int64 COMMENT 'sum of negative network times; self + retry + network of all hops + this = total',
    attempts         UInt32 COMMENT 'outbound attempts of all hops',
    retries          UInt32 COMMENT 'attempts that did not answer',
    weight           Float64 COMMENT 'requests that this sampled path stands for',
    spans            UInt32,
    client_hash      UInt64 COMMENT 'hash of the client address: for counting distinct clients only',
    hops Nested
    (
        tier            LowCardinality(String),
        component       LowCardinality(String),
        pop             LowCardinality(String),
        span_id         UInt64,
        offset_ns       Int64,
        duration_ns     UInt64,
        self_ns         UInt64,
        retry_ns        UInt64,
        network_ns      UInt64,
        unattributed_ns Int64,
        status          UInt16,
        flags           LowCardinality(String),
        error           LowCardinality(String),
        attempts        UInt16,
        failed          Bool
    ),
    arrived          DateTime64(3, 'UTC') COMMENT 'arrival of the last span that contributed',
    stored           DateTime64(3, 'UTC') DEFAULT now64(3),
    topic            LowCardinality(String) COMMENT 'Kafka topic, or journal',
    partition        UInt32,
    block            UInt64,
    writer           LowCardinality(String),
    last_offset      UInt64 COMMENT 'of the last record that contributed',
    sign             Int8 DEFAULT 1 COMMENT '-1 takes the row back that is equal to it but for its block: see version',
    version          UInt32 DEFAULT 1 COMMENT 'a path that late spans restated comes again with the next one',
    parent_id        UInt64 COMMENT 'of a late span',
    span_kind        UInt8 COMMENT 'of a late span: OTLP SpanKind',
    span_data        String COMMENT 'spans that made the path, for restating it' CODEC(ZSTD(3)) TTL toDateTime(stored) + INTERVAL 2 DAY,
    INDEX trace_bloom trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX offset_minmax last_offset TYPE minmax GRANULARITY 1,
    INDEX stored_minmax stored TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY intDiv(block, 10000)
ORDER BY (topic, partition, block)
TTL toDateTime(stored) + INTERVAL 8 DAY
SETTINGS non_replicated_deduplication_window = 50000, ttl_only_drop_parts = 1;
