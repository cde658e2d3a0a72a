-- Why: rates, bands and quantiles of groups beside their expected cost, the drift of distributions, and verdicts on canaries.
--      Names and meanings: schemas/facts.py and schemas/judgement.py. `drift`, `quality` and `canaries` are each as it stands.
-- Blocking: no.

ALTER TABLE {both:quality_facts} {on_cluster}
    ADD COLUMN IF NOT EXISTS clock LowCardinality(String) DEFAULT 'source' AFTER expected_review_cost,
    ADD COLUMN IF NOT EXISTS samples UInt64 AFTER clock,
    ADD COLUMN IF NOT EXISTS part UInt64 AFTER samples,
    ADD COLUMN IF NOT EXISTS value Nullable(Float64) AFTER part,
    ADD COLUMN IF NOT EXISTS low Nullable(Float64) AFTER value,
    ADD COLUMN IF NOT EXISTS high Nullable(Float64) AFTER low,
    ADD COLUMN IF NOT EXISTS band LowCardinality(String) AFTER high,
    ADD COLUMN IF NOT EXISTS p50 Nullable(Float64) AFTER band,
    ADD COLUMN IF NOT EXISTS p95 Nullable(Float64) AFTER p50,
    ADD COLUMN IF NOT EXISTS p99 Nullable(Float64) AFTER p95,
    ADD COLUMN IF NOT EXISTS at Nullable(DateTime64(6, 'UTC')) AFTER p99;

CREATE TABLE IF NOT EXISTS {table:drift_facts} {on_cluster}
(
    tenant           LowCardinality(String),
    agent            LowCardinality(String),
    about            LowCardinality(String),
    day              LowCardinality(String),
    artifact         LowCardinality(String),
    revision         UInt64 CODEC(Delta, ZSTD(1)),
    clock            LowCardinality(String) DEFAULT 'source',
    baseline         LowCardinality(String),
    pinned           Bool,
    before           UInt64,
    now              UInt64,
    shift            LowCardinality(String),
    psi              Nullable(Float64),
    jensen_shannon   Nullable(Float64),
    by_chance        Nullable(Float64),
    ks               Nullable(Float64),
    wasserstein      Nullable(Float64),
    moved            Array(Tuple(name String, before Float64, now Float64, adds Float64)) CODEC(ZSTD(1)),
    sequential       LowCardinality(String),
    sequential_since Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),

    kafka_topic      LowCardinality(String),
    kafka_partition  UInt16,
    kafka_offset     UInt64 CODEC(Delta, ZSTD(1)),
    frame_index      UInt32
)
ENGINE = {engine:MergeTree}
ORDER BY (tenant, agent, clock, about, day, artifact, revision)
SETTINGS {deduplication:100000};

{distributed:drift_facts};

CREATE TABLE IF NOT EXISTS {table:canary_verdicts} {on_cluster}
(
    tenant          LowCardinality(String),
    plan            LowCardinality(String),
    agent           LowCardinality(String),
    candidate       LowCardinality(String),
    control         LowCardinality(String),
    stage           UInt32,
    share           Float64,
    revision        UInt64 CODEC(Delta, ZSTD(1)),
    clock           LowCardinality(String) DEFAULT 'source',
    verdict         LowCardinality(String),
    guardrail       LowCardinality(String),
    reason          String CODEC(ZSTD(1)),
    at              DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    stage_from      DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    guardrails      Array(Tuple(name String, state String, candidate Nullable(Float64), control Nullable(Float64),
                        limit Nullable(Float64), candidate_samples UInt64, control_samples UInt64, needed UInt64)) CODEC(ZSTD(1)),
    sql             String CODEC(ZSTD(1)),
    rules_version   LowCardinality(String),

    kafka_topic     LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    frame_index     UInt32
)
ENGINE = {engine:MergeTree}
ORDER BY (tenant, plan, agent, candidate, clock, revision)
SETTINGS {deduplication:100000};

{distributed:canary_verdicts};

CREATE OR REPLACE VIEW {name:quality} {on_cluster} AS
SELECT *
FROM {name:quality_facts}
WHERE measure != 'expected_cost'
ORDER BY tenant, measure, `group`, agent, task, clock, day, kafka_offset DESC, frame_index DESC
LIMIT 1 BY tenant, measure, agent, task, clock, day;

CREATE OR REPLACE VIEW {name:drift} {on_cluster} AS
SELECT *
FROM {name:drift_facts}
ORDER BY tenant, agent, clock, about, day, artifact, kafka_offset DESC, frame_index DESC
LIMIT 1 BY tenant, agent, clock, about, day, artifact;

CREATE OR REPLACE VIEW {name:canaries} {on_cluster} AS
SELECT *
FROM {name:canary_verdicts}
ORDER BY tenant, plan, agent, candidate, clock, kafka_offset DESC, frame_index DESC
LIMIT 1 BY tenant, plan, agent, candidate, clock;

CREATE OR REPLACE VIEW {name:stored_rows} {on_cluster} AS
SELECT kafka_topic AS topic, kafka_partition AS partition, kafka_offset AS offset, frame_index AS line FROM {name:events}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:payloads}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:decision_facts}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:cost_facts}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:quality_facts}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:drift_facts}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:canary_verdicts}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:decision_links}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:price_versions}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:alert_transitions}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:alert_deliveries}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:control_limits}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:dead_letters};
