-- Why: what people ask. Facts come in revisions; these views show the latest one, with what it costs.
--
--      `LIMIT 1 BY` and not FINAL or argMax: a filter on tenant and decision_key is pushed below it, down to the primary
--      key, so one decision is read in milliseconds out of millions, and only the columns that are asked for are read.
--      (The inner `SELECT *` costs nothing for the same reason.)
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
    automated_cost + expected_review_cost AS expected_cost,
    if(automated_cost > 0, toFloat64(expected_cost) / toFloat64(automated_cost), NULL) AS cost_ratio,
    multiIf(
        isNull(expected_cost), 'insufficient',
        unpriced_calls > 0,    'lower_bound',
                               'ok') AS expected_state,
    multiIf(
        of_day = '',           'no closed day of this agent and task came before',
        isNull(expected_cost), why_not,
        unpriced_calls > 0,    'a call has no price',
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

-- Leaves as they stand: every event that bills, once, in the decision it belongs to. `cost` is null unless the leaf is
-- priced, so sum(cost) leaves out copies from a second source, wrappers and calls without a price; a leaf that moved to
-- another decision is shown there alone.
CREATE OR REPLACE VIEW {name:costs} {on_cluster} AS
SELECT
    tenant, decision_key, event_id, revision, component, price_state, ts, received_at,
    team, agent, task, agent_version, credential_id, source,
    response_id, provider, model, service_tier, tokens,
    unit_prices, price_key, price_id, priced_at, cost, reported_cost
FROM
(
    SELECT *
    FROM {name:cost_facts}
    ORDER BY tenant, decision_key, event_id, revision DESC
    LIMIT 1 BY tenant, decision_key, event_id
) AS latest
WHERE NOT retracted;
