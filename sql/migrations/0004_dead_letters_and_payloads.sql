-- Why: what could not be used, whole, so that it can be looked at, mended and replayed; and the bodies of tenants that
--      opted in, apart from the hot table and for a shorter time.
--      A dead letter may be buried twice (its id says so): answers count ids, never rows.
-- Blocking: no.

CREATE TABLE IF NOT EXISTS {table:dead_letters} {on_cluster}
(
    id              String CODEC(ZSTD(1)),
    consumer        LowCardinality(String),
    topic           LowCardinality(String),
    partition       UInt16,
    offset          UInt64 CODEC(Delta, ZSTD(1)),
    `index`         Int32 DEFAULT -1,
    tenant          LowCardinality(String),
    stage           LowCardinality(String) DEFAULT 'processing',
    code            LowCardinality(String),
    reason          String CODEC(ZSTD(1)),
    first_seen      DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    raw             String CODEC(ZSTD(3)),
    headers         Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    replays         UInt32,

    kafka_topic     LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    frame_index     UInt32
)
ENGINE = {engine:MergeTree}
ORDER BY (topic, partition, offset, `index`)
TTL toDateTime(first_seen) + INTERVAL 190 DAY
SETTINGS ttl_only_drop_parts = 1, {deduplication:100000};

{distributed:dead_letters};

CREATE TABLE IF NOT EXISTS {table:payloads} {on_cluster}
(
    tenant          LowCardinality(String),
    event_id        String CODEC(ZSTD(1)),
    ts              DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at     DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    name            LowCardinality(String),
    body            String CODEC(ZSTD(3)),

    kafka_topic     LowCardinality(String),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD(1)),
    frame_index     UInt32
)
ENGINE = {engine:MergeTree}
PARTITION BY toDate(received_at)
ORDER BY (tenant, event_id, name)
TTL toDateTime(received_at) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, {deduplication:100000};

{distributed:payloads};
