-- What happened, in numbers?
-- number: 1b
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only decisions of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     decisions that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     decisions that began before this moment
--
-- Each number twice: as the streams concluded it, and counted again from the raw events of the same decisions. They differ
-- only while events are on their way from one to the other; question 3f names the decisions that do.

WITH
    told AS
    (
        SELECT *
        FROM decisions
        WHERE tenant = {tenant:String}
          AND ({agent:String} = '' OR agent = {agent:String})
          AND started_at >= {since:DateTime64(6, 'UTC')}
          AND started_at < {until:DateTime64(6, 'UTC')}
    ),
    raw AS
    (
        SELECT decision, ts, kind, status, escalation_reason, outcome, review_verdict, event_id
        FROM decision_events
        WHERE tenant = {tenant:String} AND belongs
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    counted AS
    (
        SELECT
            decision,
            count() AS events,
            countIf(kind = 'escalation' OR escalation_reason != '') > 0 AS escalated,
            countIf(kind = 'review') AS reviews,
            countIf(review_verdict NOT IN ('', 'approve')) > 0 AS overturned,
            countIf(kind = 'tool_call') AS tool_calls,
            countIf(kind = 'tool_call' AND status != 'ok') AS tool_errors,
            countIf(kind = 'retrieval') AS retrievals,
            argMaxIf(outcome, (ts, event_id), outcome != '') AS last_outcome
        FROM raw
        WHERE decision IN (SELECT decision_key FROM told)
        GROUP BY decision
    ),
    sums AS
    (
        SELECT
            ['decisions', 'escalations', 'reviews', 'overturned', 'tool calls', 'tool calls with errors', 'retrievals',
             'outcome correct', 'outcome incorrect', 'outcome unknown', 'events'] AS names,
            (SELECT
                [count(), countIf(escalated), sum(reviews), countIf(overturned), sum(tool_calls), sum(tool_errors), sum(retrievals),
                 countIf(outcome = 'correct'), countIf(outcome = 'incorrect'), countIf(outcome = 'unknown'), sum(events)]
            FROM told) AS streams,
            (SELECT
                [count(), countIf(escalated), sum(reviews), countIf(overturned), sum(tool_calls), sum(tool_errors), sum(retrievals),
                 countIf(last_outcome = 'correct'), countIf(last_outcome = 'incorrect'), countIf(last_outcome = 'unknown'), sum(events)]
            FROM counted) AS raw_events
    )
SELECT line.1 AS what, line.2 AS by_streams, line.3 AS by_events
FROM sums
ARRAY JOIN arrayZip(names, streams, raw_events) AS line;
