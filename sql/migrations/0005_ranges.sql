-- Why: the ledger that proves nothing was lost and nothing counted twice. The sink appends one row to `ranges` for each
--      range of offsets it wrote, under the token of that range, and notes in `topic_offsets` what Kafka holds.
--      Row counts are proven from here and not from the tables, because ClickHouse may merge rows of one block.
-- Blocking: no.

CREATE TABLE IF NOT EXISTS {table:ranges} {on_cluster}
(
    topic        LowCardinality(String),
    partition    UInt16,
    first        UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'first offset of the range; the next range begins at last + 1',
    last         UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'last offset, itself in the range',
    records      UInt32 COMMENT 'Kafka records read, ticks among them',
    ticks        UInt32 COMMENT 'records that only tell the time',
    rows         UInt32 COMMENT 'rows written to the topic''s table',
    copies       UInt32 COMMENT 're-sent events that were not written again',
    buried       UInt32 COMMENT 'lines or records that became dead letters',
    copied       Array(Tuple(
                     kafka_offset UInt64,
                     frame_index  UInt32,
                     event_id     String)) CODEC(ZSTD(1)) COMMENT 'where the copies lay',
    producers    Array(Tuple(
                     producer  String,
                     first_seq Int64,
                     last_seq  Int64,
                     frames    UInt64)) CODEC(ZSTD(1)) COMMENT 'the numbers that producers gave their frames',
    encoder      LowCardinality(String) COMMENT 'version of the encoder that made the rows',
    begin_offset UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'first offset that Kafka still held then',
    end_offset   UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'the offset that Kafka would give next then',
    written_at   DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = {engine:MergeTree}
ORDER BY (topic, partition, first)
TTL toDateTime(written_at) + INTERVAL 190 DAY
SETTINGS {deduplication:100000};

{distributed:ranges};

CREATE TABLE IF NOT EXISTS {table:topic_offsets} {on_cluster}
(
    topic        LowCardinality(String),
    partition    UInt16,
    begin_offset UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'first offset that Kafka holds',
    end_offset   UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'the offset that Kafka will give next',
    committed    UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'the offset that the sink will read next',
    at           DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = {engine:MergeTree}
ORDER BY (topic, partition, at)
TTL toDateTime(at) + INTERVAL 7 DAY
SETTINGS {deduplication:100000};

{distributed:topic_offsets};
