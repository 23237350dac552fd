-- One wide row a request: the canonical line of the way it took.
-- A block is one insert and must lie in one partition that follows from the block number alone (docs/architecture.md).
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
    last_offset      UInt64,
    INDEX trace_bloom trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX start_minmax start TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY intDiv(block, 10000)
ORDER BY (toStartOfHour(start), route, start)
TTL toDateTime(start) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000;
