-- How far the backfill of each SLO's view is. Not in the view's comment: ClickHouse builds a view's deduplication tokens anew
-- after any ALTER of it, so that a block that is driven again would count twice (docs/exactly-once.md).
CREATE TABLE IF NOT EXISTS sli_views
(
    view       String,
    cut_ms     Int64 COMMENT 'which view of that name: rows stored from here on are its own',
    begun_ms   Int64 COMMENT 'when its backfill began, in ms since the epoch',
    backfilled Bool COMMENT 'whether it is done',
    noted      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (view, cut_ms)
SETTINGS non_replicated_deduplication_window = 10000;
