-- Why: what was spent of each budget, and what the gateways were told, whenever it changed. Names and meanings:
--      schemas/control.py. `budgets` is each budget as it stands.
-- Blocking: no.

CREATE TABLE IF NOT EXISTS {table:control_limits} {on_cluster}
(
    tenant          LowCardinality(String),
    budget          LowCardinality(String),
    scope           LowCardinality(String),
    name            String CODEC(ZSTD(1)),
    period          LowCardinality(String),
    period_from     LowCardinality(String),
    revision        UInt64 CODEC(Delta, ZSTD(1)),
    limit           Decimal(38, 9) CODEC(ZSTD(1)),
    spent           Decimal(38, 9) CODEC(ZSTD(1)),
    forecast        Nullable(Decimal(38, 9)) CODEC(ZSTD(1)),
    verdict         LowCardinality(String),
    withdrawn       Bool,
    at              DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    clock           LowCardinality(String) DEFAULT 'source',
    rules_version   LowCardinality(String),

    kafka_topic     LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    frame_index     UInt32
)
ENGINE = {engine:MergeTree}
ORDER BY (tenant, budget, scope, name, clock, revision)
TTL toDateTime(at) + INTERVAL 400 DAY
SETTINGS {deduplication:100000};

{distributed:control_limits};

CREATE OR REPLACE VIEW {name:budgets} {on_cluster} AS
SELECT *
FROM {name:control_limits}
ORDER BY tenant, budget, scope, name, clock, revision DESC
LIMIT 1 BY tenant, budget, scope, name, clock;
