-- Why: the hot table, one row per event. A typed column for what is asked every day, two maps for the rest; names and
--      meanings are those of schemas/events.py, so a line of `agent.events` is read as it is.
--
--      Partition and retention go by the day of receipt: a wild clock makes no partitions, and a replay of old data is
--      not deleted as it arrives. Nothing here may depend on the clock of the insert: a repeated insert must be the
--      identical one, or its token would not hold it back.
--      The order serves the daily question (a tenant's agent over a time range). A single decision, trace or event is
--      found by the Bloom filters, which skip all but a few of the granules.
-- Blocking: no.

CREATE TABLE IF NOT EXISTS {table:events} {on_cluster}
(
    -- identity of the record
    event_id                String CODEC(ZSTD(1)),
    schema_version          UInt16 DEFAULT 1,
    source                  LowCardinality(String),
    emitter_version         LowCardinality(String),

    -- time
    ts                      DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    duration_ms             Float64 CODEC(ZSTD(1)),
    received_at             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    clock                   LowCardinality(String) DEFAULT 'source',

    -- where it belongs
    tenant                  LowCardinality(String),
    team                    LowCardinality(String),
    environment             LowCardinality(String),
    session_id              String CODEC(ZSTD(1)),
    decision_key            String CODEC(ZSTD(1)),
    decision_id             String CODEC(ZSTD(1)),
    trace_id                String CODEC(ZSTD(1)),
    span_id                 String CODEC(ZSTD(1)),
    parent_span_id          String CODEC(ZSTD(1)),
    sequence                UInt64 CODEC(Delta, ZSTD(1)),

    -- who
    subject                 String CODEC(ZSTD(1)),
    actor                   LowCardinality(String),
    act_chain               Array(String) CODEC(ZSTD(1)),
    credential_id           LowCardinality(String),
    authorization           LowCardinality(String),

    -- what ran
    kind                    LowCardinality(String),
    name                    LowCardinality(String),
    agent                   LowCardinality(String),
    agent_version           LowCardinality(String),
    runtime                 LowCardinality(String),
    task                    LowCardinality(String),
    step                    LowCardinality(String),
    artifact_id             LowCardinality(String),
    prompt_version          LowCardinality(String),
    model_config_id         LowCardinality(String),
    stage                   LowCardinality(String),

    -- model call
    response_id             String CODEC(ZSTD(1)),
    provider                LowCardinality(String),
    model_requested         LowCardinality(String),
    model_served            LowCardinality(String),
    tokens_input            UInt64 CODEC(T64, ZSTD(1)),
    tokens_cache_read       UInt64 CODEC(T64, ZSTD(1)),
    tokens_cache_write_5m   UInt64 CODEC(T64, ZSTD(1)),
    tokens_cache_write_1h   UInt64 CODEC(T64, ZSTD(1)),
    tokens_input_audio      UInt64 CODEC(T64, ZSTD(1)),
    tokens_cache_read_audio UInt64 CODEC(T64, ZSTD(1)),
    tokens_input_image      UInt64 CODEC(T64, ZSTD(1)),
    tokens_output           UInt64 CODEC(T64, ZSTD(1)),
    tokens_reasoning        UInt64 CODEC(T64, ZSTD(1)),
    tokens_output_audio     UInt64 CODEC(T64, ZSTD(1)),
    tokens_output_image     UInt64 CODEC(T64, ZSTD(1)),
    tokens_total            UInt64 CODEC(T64, ZSTD(1)),
    requests                UInt64 CODEC(T64, ZSTD(1)),
    usage_source            LowCardinality(String),
    usage_quality           LowCardinality(String),
    completion_state        LowCardinality(String),
    service_tier            LowCardinality(String),
    time_to_first_token_ms  Nullable(Float64) CODEC(ZSTD(1)),
    finish_reason           LowCardinality(String),

    -- tool / retrieval
    tool                    LowCardinality(String),
    target_system           LowCardinality(String),
    attempt                 UInt32,
    retrieved               Array(Tuple(
                                chunk_id    String,
                                doc_id      String,
                                doc_version String,
                                score       Nullable(Float64),
                                rank        UInt32)) CODEC(ZSTD(1)),
    relevant                Array(String) CODEC(ZSTD(1)),

    -- result
    status                  LowCardinality(String) DEFAULT 'ok',
    error_type              LowCardinality(String),
    retry_class             LowCardinality(String),
    output_class            LowCardinality(String),
    confidence              Nullable(Float64) CODEC(ZSTD(1)),

    -- decision life
    escalation_reason       LowCardinality(String),
    queue_entered_at        Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    reviewer                LowCardinality(String),
    review_verdict          LowCardinality(String),
    review_minutes          Nullable(Float64) CODEC(ZSTD(1)),
    outcome                 LowCardinality(String),
    correction_key          String CODEC(ZSTD(1)),

    -- money
    reported_cost           Nullable(Decimal(38, 9)) CODEC(ZSTD(1)),
    tool_cost               Nullable(Decimal(38, 9)) CODEC(ZSTD(1)),

    -- the rest
    attributes              Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    measures                Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    payload_ref             String CODEC(ZSTD(1)),
    synthetic_fields        Array(LowCardinality(String)),

    -- position in Kafka: a second identity, independent of event_id
    kafka_topic             LowCardinality(String),
    kafka_partition         UInt16,
    kafka_offset            UInt64 CODEC(Delta, ZSTD(1)),
    frame_index             UInt32 CODEC(Delta, ZSTD(1)),

    INDEX by_event    event_id     TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_decision decision_key TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_alias    decision_id  TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_trace    trace_id     TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_offset   kafka_offset TYPE minmax              GRANULARITY 4
)
ENGINE = {engine:MergeTree}
PARTITION BY toDate(received_at)
ORDER BY (tenant, agent, kind, ts)
TTL toDateTime(received_at) + INTERVAL 190 DAY
SETTINGS ttl_only_drop_parts = 1, {deduplication:100000};

{distributed:events};
