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
FROM stored_rows
WHERE {topic:String} = '' OR topic = {topic:String}
GROUP BY topic, partition
ORDER BY topic, partition;
