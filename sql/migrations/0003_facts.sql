-- Why: what the streams conclude. Each table holds every revision of its facts as they were produced; the views of the
--      same words without `_facts` show the latest one. Names and meanings are those of schemas/facts.py.
--
--      The order puts the revisions of one decision side by side, so the latest is found without a sort. Facts carry no
--      day of receipt, so they are neither partitioned nor deleted by age: they are the ledger of money.
-- Blocking: no.

CREATE TABLE IF NOT EXISTS {table:decision_facts} {on_cluster}
(
    tenant             LowCardinality(String),
    decision_key       String CODEC(ZSTD(1)),
    revision           UInt64 CODEC(Delta, ZSTD(1)),
    state              LowCardinality(String) DEFAULT 'open',
    merged_into        String,
    decision_id        String CODEC(ZSTD(1)),
    day                LowCardinality(String),

    -- where it belongs, who and what
    team               LowCardinality(String),
    environment        LowCardinality(String),
    session_id         String CODEC(ZSTD(1)),
    subject            String CODEC(ZSTD(1)),
    actor              LowCardinality(String),
    agent              LowCardinality(String),
    agent_version      LowCardinality(String),
    task               LowCardinality(String),
    artifact_id        LowCardinality(String),
    stage              LowCardinality(String),

    -- life
    started_at         DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ended_at           DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    escalated          Bool,
    escalation_reason  LowCardinality(String),
    reviews            UInt32,
    review_verdict     LowCardinality(String),
    reviewer           LowCardinality(String),
    overturned         Bool,
    outcome            LowCardinality(String),
    output_class       LowCardinality(String),
    confidence         Nullable(Float64),

    -- counts
    events             UInt32,
    model_calls        UInt32,
    tool_calls         UInt32,
    tool_errors        UInt32,
    retrievals         UInt32,
    errors             UInt32,
    retries            UInt32,

    -- tokens
    tokens_input       UInt64 CODEC(T64, ZSTD(1)),
    tokens_cache_read  UInt64 CODEC(T64, ZSTD(1)),
    tokens_cache_write UInt64 CODEC(T64, ZSTD(1)),
    tokens_output      UInt64 CODEC(T64, ZSTD(1)),
    tokens_reasoning   UInt64 CODEC(T64, ZSTD(1)),

    -- cost, USD
    cost_model         Decimal(38, 9) CODEC(ZSTD(1)),
    cost_tool          Decimal(38, 9) CODEC(ZSTD(1)),
    cost_retrieval     Decimal(38, 9) CODEC(ZSTD(1)),
    cost_human         Decimal(38, 9) CODEC(ZSTD(1)),
    cost_rework        Decimal(38, 9) CODEC(ZSTD(1)),
    automated_cost     Decimal(38, 9) CODEC(ZSTD(1)),
    realized_cost      Decimal(38, 9) CODEC(ZSTD(1)),
    reported_cost      Nullable(Decimal(38, 9)) CODEC(ZSTD(1)),
    unpriced_calls     UInt32,
    no_usage_calls     UInt32,

    -- resolution time
    agent_ms           Float64,
    queue_ms           Float64,
    review_ms          Float64,
    downstream_ms      Float64,
    resolution_ms      Float64,
    synthetic_fields   Array(LowCardinality(String)),

    -- what this revision takes back; an empty day = nothing
    previous           Tuple(
                           day            String,
                           agent          String,
                           task           String,
                           team           String,
                           escalated      Bool,
                           reviewed       Bool,
                           overturned     Bool,
                           outcome        String,
                           automated_cost Nullable(Decimal(38, 9)),
                           human_cost     Decimal(38, 9)) CODEC(ZSTD(1)),

    kafka_topic        LowCardinality(String),
    kafka_partition    UInt16,
    kafka_offset       UInt64 CODEC(Delta, ZSTD(1)),
    frame_index        UInt32,

    INDEX by_alias decision_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {engine:MergeTree}
ORDER BY (tenant, decision_key, revision)
SETTINGS {deduplication:100000};

{distributed:decision_facts};

CREATE TABLE IF NOT EXISTS {table:cost_facts} {on_cluster}
(
    tenant          LowCardinality(String),
    decision_key    String CODEC(ZSTD(1)),
    event_id        String CODEC(ZSTD(1)),
    revision        UInt64 CODEC(Delta, ZSTD(1)),
    component       LowCardinality(String),
    price_state     LowCardinality(String),
    retracted       Bool,
    ts              DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at     DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    team            LowCardinality(String),
    agent           LowCardinality(String),
    task            LowCardinality(String),
    agent_version   LowCardinality(String),
    credential_id   LowCardinality(String),
    source          LowCardinality(String),
    response_id     String CODEC(ZSTD(1)),
    provider        LowCardinality(String),
    model           LowCardinality(String),
    service_tier    LowCardinality(String),
    tokens          Map(LowCardinality(String), UInt64) CODEC(ZSTD(1)),
    -- finer than money: an hourly rate per million milliseconds does not end after nine digits
    unit_prices     Map(LowCardinality(String), Decimal(38, 18)) CODEC(ZSTD(1)),
    price_key       LowCardinality(String),
    price_id        LowCardinality(String),
    priced_at       Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    cost            Nullable(Decimal(38, 9)) CODEC(ZSTD(1)),
    reported_cost   Nullable(Decimal(38, 9)) CODEC(ZSTD(1)),

    kafka_topic     LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    frame_index     UInt32
)
ENGINE = {engine:MergeTree}
ORDER BY (tenant, decision_key, event_id, revision)
SETTINGS {deduplication:100000};

{distributed:cost_facts};

CREATE TABLE IF NOT EXISTS {table:quality_facts} {on_cluster}
(
    tenant               LowCardinality(String),
    `group`              LowCardinality(String),
    measure              LowCardinality(String) DEFAULT 'expected_cost',
    day                  LowCardinality(String),
    revision             UInt64 CODEC(Delta, ZSTD(1)),
    agent                LowCardinality(String),
    task                 LowCardinality(String),
    state                LowCardinality(String) DEFAULT 'ok',
    reason               String CODEC(ZSTD(1)),
    window_from          LowCardinality(String),
    window_to            LowCardinality(String),
    decisions            UInt64,
    reviewed             UInt64,
    p_review             Nullable(Float64),
    mean_review_cost     Nullable(Decimal(38, 9)),
    expected_review_cost Nullable(Decimal(38, 9)),

    kafka_topic          LowCardinality(String),
    kafka_partition      UInt16,
    kafka_offset         UInt64 CODEC(Delta, ZSTD(1)),
    frame_index          UInt32
)
ENGINE = {engine:MergeTree}
ORDER BY (tenant, measure, `group`, day, revision)
SETTINGS {deduplication:100000};

{distributed:quality_facts};

CREATE TABLE IF NOT EXISTS {table:decision_links} {on_cluster}
(
    tenant          LowCardinality(String),
    decision_id     String CODEC(ZSTD(1)),
    decision_key    String CODEC(ZSTD(1)),
    elected_at      DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),

    kafka_topic     LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    frame_index     UInt32,

    INDEX by_decision decision_key TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {engine:MergeTree}
ORDER BY (tenant, decision_id)
SETTINGS {deduplication:100000};

{distributed:decision_links};

CREATE TABLE IF NOT EXISTS {table:price_versions} {on_cluster}
(
    price_id        String,
    price_key       LowCardinality(String),
    provider        LowCardinality(String),
    model           LowCardinality(String),
    known_from      DateTime64(6, 'UTC'),
    effective_from  DateTime64(6, 'UTC'),
    source          LowCardinality(String),
    unit_prices     Map(LowCardinality(String), Decimal(38, 18)),
    conditions      String,
    match           String,

    kafka_topic     LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    frame_index     UInt32
)
ENGINE = {engine:MergeTree}
ORDER BY (price_key, known_from, effective_from)
SETTINGS {deduplication:100000};

{distributed:price_versions};
