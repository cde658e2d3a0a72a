-- Why: an expected cost is only as good as the prices in it. Where a decision has calls and no amount, because none of them
--      has a price or told its usage, the chance of a review alone is no expected cost: it is null, and the reason says so.
--      Where some are missing, it is a lower bound, whichever way they are missing.
-- Blocking: no.

-- Decisions as they stand; a trace that was merged into another is not one.
--
-- expected_cost = automated_cost + expected review cost of the (tenant, agent, task), taken from the closed days before
-- the decision's own day. `expected_state` says how far to trust it: ok, lower_bound (a call has no price), or
-- insufficient: then expected_cost is null and `expected_reason` says why.
CREATE OR REPLACE VIEW {name:decisions} {on_cluster} AS
SELECT
    tenant, decision_key, revision, state, decision_id, day,
    team, environment, session_id, subject, actor, agent, agent_version, task, artifact_id, stage,
    started_at, ended_at, escalated, escalation_reason, reviews, review_verdict, reviewer, overturned, outcome,
    output_class, confidence,
    events, model_calls, tool_calls, tool_errors, retrievals, errors, retries,
    tokens_input, tokens_cache_read, tokens_cache_write, tokens_output, tokens_reasoning,
    cost_model, cost_tool, cost_retrieval, cost_human, cost_rework,
    automated_cost, realized_cost, reported_cost, unpriced_calls, no_usage_calls,
    if(unpriced_calls + no_usage_calls > 0 AND automated_cost = 0, NULL, automated_cost + expected_review_cost) AS expected_cost,
    if(automated_cost > 0, toFloat64(expected_cost) / toFloat64(automated_cost), NULL) AS cost_ratio,
    multiIf(
        isNull(expected_cost),               'insufficient',
        unpriced_calls + no_usage_calls > 0, 'lower_bound',
                                             'ok') AS expected_state,
    multiIf(
        of_day = '',                         'no closed day of this agent and task came before',
        isNull(expected_review_cost),        why_not,
        isNull(expected_cost),               'no call has a price',
        unpriced_calls + no_usage_calls > 0, 'a call has no price',
                                             '') AS expected_reason,
    agent_ms, queue_ms, review_ms, downstream_ms, resolution_ms,
    synthetic_fields
FROM
(
    SELECT *
    FROM {name:decision_facts}
    ORDER BY tenant, decision_key, revision DESC
    LIMIT 1 BY tenant, decision_key
) AS latest
LEFT JOIN
(
    SELECT
        tenant AS of_tenant, agent AS of_agent, task AS of_task, day AS of_day,
        expected_review_cost,
        reason AS why_not
    FROM {name:quality_facts}
    WHERE measure = 'expected_cost'
    ORDER BY of_tenant, of_agent, of_task, of_day, revision DESC
    LIMIT 1 BY of_tenant, of_agent, of_task, of_day
) AS expected
    ON of_tenant = tenant AND of_agent = agent AND of_task = task AND of_day = day
WHERE state != 'merged';
