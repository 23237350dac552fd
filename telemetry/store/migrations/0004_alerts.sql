-- What the watchers know, a whole state a row. Version n is written once, by whoever comes first: its number is the token.
CREATE TABLE IF NOT EXISTS alert_state
(
    version UInt64,
    writer  String,
    stored  DateTime64(3, 'UTC') DEFAULT now64(3),
    state   String CODEC(ZSTD)
)
ENGINE = MergeTree
ORDER BY version
SETTINGS non_replicated_deduplication_window = 10000;

-- Every trigger and resolve, as it was sent: for budget reports.
CREATE TABLE IF NOT EXISTS alert_events
(
    at          DateTime64(3, 'UTC'),
    kind        LowCardinality(String) COMMENT 'trigger, update or resolve',
    cause       LowCardinality(String),
    dedup_key   String,
    started     DateTime64(3, 'UTC'),
    slo         LowCardinality(String),
    service     LowCardinality(String),
    environment LowCardinality(String),
    value       LowCardinality(String),
    severity    LowCardinality(String),
    summary     String
)
ENGINE = ReplacingMergeTree
ORDER BY (dedup_key, started, kind, at)
TTL toDateTime(at) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000;
