-- On whose behalf a request came: a merchant, an account. No LowCardinality: there may be hundreds of thousands of them, and a
-- dictionary of so many costs more than the compressed texts. No roll-up has it: sli_1m does, of an SLO that groups by it.
ALTER TABLE request_paths
    ADD COLUMN IF NOT EXISTS tenant String COMMENT 'edgepath.tenant of the hop nearest the API that says it, empty if none does' CODEC(ZSTD(1)) AFTER method;

ALTER TABLE path_log
    ADD COLUMN IF NOT EXISTS tenant String COMMENT 'edgepath.tenant of the hop nearest the API that says it, empty if none does' CODEC(ZSTD(1)) AFTER method;
