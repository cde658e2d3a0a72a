-- Which ranges hold other rows than were written?
-- number: 8e
-- param topic: String =
--     only this topic; empty = all
--
-- Where completeness tells missing or surplus rows, this names the offsets. No row = every range holds what the ledger says.

WITH
    counted AS
    (
        SELECT topic, partition, ledger.first AS first, count() AS present
        FROM (SELECT topic, partition, offset FROM stored_rows WHERE {topic:String} = '' OR topic = {topic:String}) AS rows
        ASOF INNER JOIN (SELECT topic, partition, first FROM ranges) AS ledger
            ON ledger.topic = rows.topic AND ledger.partition = rows.partition AND rows.offset >= ledger.first
        GROUP BY topic, partition, first
    )
SELECT
    topic,
    partition,
    ranges.first AS first_offset,
    ranges.last AS last_offset,
    ranges.rows AS expected_rows,
    counted.present AS present_rows,
    ranges.written_at AS written_at
FROM ranges
LEFT JOIN counted ON counted.topic = ranges.topic AND counted.partition = ranges.partition AND counted.first = ranges.first
WHERE ({topic:String} = '' OR topic = {topic:String})
  AND ranges.rows != counted.present
ORDER BY topic, partition, first_offset;
