-- Is anything stored twice?
-- number: 8c
-- param topic: String =
--     only this topic; empty = all
--
-- Physical copies: rows of the same place in Kafka. There are none, or a guard failed; it says nothing of events that
-- a client sent again (8a, 8b).

SELECT
    topic,
    partition,
    count() AS rows,
    -- a record has at most 1 MiB, so it cannot hold 2^20 lines
    rows - uniqExact(bitShiftLeft(offset, 20) + line) AS duplicates
FROM
(
    SELECT kafka_topic AS topic, kafka_partition AS partition, kafka_offset AS offset, frame_index AS line FROM events
    UNION ALL
    SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM payloads
    UNION ALL
    SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM decision_facts
    UNION ALL
    SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM cost_facts
    UNION ALL
    SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM quality_facts
    UNION ALL
    SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM decision_links
    UNION ALL
    SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM price_versions
    UNION ALL
    SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM dead_letters
)
WHERE {topic:String} = '' OR topic = {topic:String}
GROUP BY topic, partition
ORDER BY topic, partition;
