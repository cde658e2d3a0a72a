-- Is everything that Kafka confirmed in the tables?
-- param topic: String =
--     only this topic; empty = all
--
-- One line for what stands beside every answer: whether it stands on everything, and what is still on its way.

SELECT
    multiIf(
        count() = 0, 'nothing yet',
        min(complete) = 0, 'incomplete',
        sum(in_flight) > 0, 'complete so far',
        'complete') AS verdict,
    count() AS partitions,
    sum(present_rows) AS stored_rows,
    sum(missing_rows) AS missing_rows,
    sum(surplus_rows) AS surplus_rows,
    sum(length(gaps) + length(overlaps) + length(holes)) AS breaks,
    sum(in_flight) AS in_flight,
    sum(copies) AS copies,
    sum(buried) AS buried,
    max(observed_at) AS observed_at
FROM completeness
WHERE ({topic:String} = '' OR topic = {topic:String})
  AND (ranges > 0 OR end_offset > 0);
