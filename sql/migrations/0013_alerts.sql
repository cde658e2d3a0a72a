-- Why: what the rules concluded and what became of it. `alert_transitions` holds every change of state of every alert,
--      `alert_deliveries` one receipt for each channel a transition was sent to. Names and meanings: schemas/alerts.py.
--      `alerts` is each alert as it stands. None of them is deleted by age: they are what an incident is reviewed from.
-- Blocking: no.

CREATE TABLE IF NOT EXISTS {table:alert_transitions} {on_cluster}
(
    alert_id        String CODEC(ZSTD(1)),
    transition      UInt64 CODEC(Delta, ZSTD(1)),
    tenant          LowCardinality(String),
    rule            LowCardinality(String),
    `group`         Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    severity        LowCardinality(String) DEFAULT 'warning',
    previous        LowCardinality(String) DEFAULT 'ok',
    state           LowCardinality(String),
    at              DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    opened_at       Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    clock           LowCardinality(String) DEFAULT 'source',

    -- the evidence
    summary         String CODEC(ZSTD(1)),
    measure         LowCardinality(String),
    unit            LowCardinality(String),
    value           Nullable(Decimal(38, 9)) CODEC(ZSTD(1)),
    threshold       Nullable(Decimal(38, 9)) CODEC(ZSTD(1)),
    clear           Nullable(Decimal(38, 9)) CODEC(ZSTD(1)),
    samples         UInt64,
    samples_needed  UInt64,
    window_from     Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    window_to       Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    completeness    Float64 DEFAULT 1,
    provisional     Bool,
    late            Bool,
    decisions       Array(String) CODEC(ZSTD(1)),
    sql             String CODEC(ZSTD(1)),
    runbook         LowCardinality(String),
    rules_version   LowCardinality(String),

    kafka_topic     LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    frame_index     UInt32
)
ENGINE = {engine:MergeTree}
ORDER BY (tenant, alert_id, transition)
SETTINGS {deduplication:100000};

{distributed:alert_transitions};

CREATE TABLE IF NOT EXISTS {table:alert_deliveries} {on_cluster}
(
    alert_id        String CODEC(ZSTD(1)),
    transition      UInt64 CODEC(Delta, ZSTD(1)),
    channel         LowCardinality(String),
    tenant          LowCardinality(String),
    rule            LowCardinality(String),
    state           LowCardinality(String),
    at              DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    attempts        UInt32,
    status          UInt32,
    receipt         String CODEC(ZSTD(1)),
    reason          String CODEC(ZSTD(1)),

    kafka_topic     LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    frame_index     UInt32
)
ENGINE = {engine:MergeTree}
ORDER BY (tenant, alert_id, transition, channel)
SETTINGS {deduplication:100000};

{distributed:alert_deliveries};

CREATE OR REPLACE VIEW {name:alerts} {on_cluster} AS
SELECT *
FROM {name:alert_transitions}
ORDER BY tenant, alert_id, transition DESC
LIMIT 1 BY tenant, alert_id;
