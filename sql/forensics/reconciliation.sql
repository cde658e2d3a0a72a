-- Do the decisions agree with the raw events?
-- number: 3f
-- param tenant: String = default
--     whose decisions
-- param since: DateTime64(6, 'UTC') = today-30d
--     decisions that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     decisions that began before this moment
--
-- What streams concluded against what the raw events and the priced leaves add up to. No row = they agree. While events
-- are in flight a decision may stand here for a moment. Events that belong to no decision are not asked for: deployments,
-- policies and sessions without one, and reviews, outcomes and corrections whose decision is not known.

WITH
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
            min(ts) AS began,
            count() AS events,
            countIf(kind = 'escalation' OR escalation_reason != '') > 0 AS escalated,
            countIf(kind = 'review') AS reviews,
            countIf(review_verdict NOT IN ('', 'approve')) > 0 AS overturned,
            countIf(kind = 'tool_call') AS tool_calls,
            countIf(kind = 'tool_call' AND status != 'ok') AS tool_errors,
            countIf(kind = 'retrieval') AS retrievals,
            argMaxIf(outcome, (ts, event_id), outcome != '') AS last_outcome
        FROM raw
        GROUP BY decision
    ),
    paid AS
    (
        SELECT decision_key, sum(cost) AS cost
        FROM costs
        WHERE tenant = {tenant:String}
        GROUP BY decision_key
    ),
    told AS
    (
        SELECT * FROM decisions WHERE tenant = {tenant:String}
    ),
    compared AS
    (
        SELECT
            if(told.decision_key != '', told.decision_key, counted.decision) AS decision_key,
            if(told.decision_key != '', told.started_at, counted.began) AS started_at,
            arrayFilter(line -> line.2 != line.3, [
                ('events', toString(told.events), toString(counted.events)),
                ('escalated', toString(toUInt8(told.escalated)), toString(counted.escalated)),
                ('reviews', toString(told.reviews), toString(counted.reviews)),
                ('overturned', toString(toUInt8(told.overturned)), toString(counted.overturned)),
                ('tool_calls', toString(told.tool_calls), toString(counted.tool_calls)),
                ('tool_errors', toString(told.tool_errors), toString(counted.tool_errors)),
                ('retrievals', toString(told.retrievals), toString(counted.retrievals)),
                ('outcome', toString(told.outcome), toString(counted.last_outcome)),
                ('realized_cost', toString(told.realized_cost), toString(coalesce(paid.cost, 0)))]) AS differences
        FROM told
        FULL JOIN counted ON counted.decision = told.decision_key
        LEFT JOIN paid ON paid.decision_key = told.decision_key
    )
SELECT decision_key, started_at, line.1 AS what, line.2 AS by_streams, line.3 AS by_events
FROM compared
ARRAY JOIN differences AS line
WHERE started_at >= {since:DateTime64(6, 'UTC')}
  AND started_at < {until:DateTime64(6, 'UTC')}
ORDER BY started_at, decision_key, what;
