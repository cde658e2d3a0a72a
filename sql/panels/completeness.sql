-- Is everything that Kafka confirmed in the tables?
-- param topic: String =
--     only this topic; empty = all
--
-- One line for what stands beside every answer: whether it stands on everything, and what is still on its way.

SELECT
    multiIf(
        count() = 0, 'nothing yet',
        min(c.complete) = 0, 'incomplete',
        sum(c.in_flight) > 0, 'complete so far',
        'complete') AS verdict,
    count() AS partitions,
    sum(c.present_rows) AS stored_rows,
    sum(c.missing_rows) AS missing_rows,
    sum(c.surplus_rows) AS surplus_rows,
    sum(length(c.gaps) + length(c.overlaps) + length(c.holes)) AS breaks,
    sum(c.in_flight) AS in_flight,
    sum(c.copies) AS copies,
    sum(c.buried) AS buried,
    max(c.observed_at) AS observed_at
FROM completeness AS c
WHERE ({topic:String} = '' OR topic = {topic:String})
  AND (ranges > 0 OR end_offset > 0);
