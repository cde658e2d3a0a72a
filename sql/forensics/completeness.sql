-- Was anything lost?
-- number: 8
-- param topic: String =
--     only this topic; empty = all
--
-- Kafka's offsets against the ledger against the rows, per topic and partition. `copies` are events that a client sent
-- again: they were recognised, counted here and not stored again. What is in flight is in Kafka and not yet stored.

SELECT
    topic,
    partition,
    multiIf(
        NOT complete, 'incomplete',
        in_flight > 0, 'complete so far',
        'complete') AS verdict,
    begin_offset,
    end_offset,
    first_offset,
    next_offset,
    in_flight,
    records,
    ticks,
    expected_rows,
    present_rows,
    missing_rows,
    surplus_rows,
    copies,
    buried,
    dead_letters,
    gaps,
    overlaps,
    holes
FROM completeness
WHERE ({topic:String} = '' OR topic = {topic:String})
  AND (ranges > 0 OR end_offset > 0)
ORDER BY topic, partition;
