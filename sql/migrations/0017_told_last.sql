-- Why: a fact as it stands is the one that was told last, not the one with the highest number. Where the streams fold their whole
--      history again (`waterline refold`), facts are told a second time: running numbers begin anew, and a fold that was
--      changed says something else under the same revision. All facts of a key lie in one partition, so their offsets are
--      the order in which they were told; without a refold it is the order of the revisions.
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
    ORDER BY tenant, decision_key, kafka_offset DESC, frame_index DESC
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
    ORDER BY of_tenant, of_agent, of_task, of_day, kafka_offset DESC, frame_index DESC
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
    ORDER BY tenant, decision_key, event_id, kafka_offset DESC, frame_index DESC
    LIMIT 1 BY tenant, decision_key, event_id
) AS latest
WHERE NOT retracted;

-- Where each merged decision is now. A way has 64 steps at most. The steps are one constant of two arrays, which `transform`
-- looks up by hash: a recursive query took six times as long. Tenants have no slash in their names.
CREATE OR REPLACE VIEW {name:merged_decisions} {on_cluster} AS
WITH
    (
        SELECT
            (arrayPushBack(groupArray(concat(tenant, '/', decision_key)), '/'),
             arrayPushBack(groupArray(concat(tenant, '/', into)), '/'))
        FROM
        (
            -- as told last, since a decision can come back from a circle of merges
            SELECT tenant, decision_key, argMax(merged_into, (kafka_offset, frame_index)) AS into
            FROM {name:decision_facts}
            WHERE (tenant, decision_key) IN (SELECT tenant, decision_key FROM {name:decision_facts} WHERE state = 'merged')
            GROUP BY tenant, decision_key
            HAVING into != ''
        )
    ) AS steps
SELECT
    splitByChar('/', step.1, 2)[1] AS tenant,
    substring(step.1, length(tenant) + 2) AS decision_key,
    substring(last, length(tenant) + 2) AS merged_into
FROM
(
    SELECT
        arrayJoin(arrayPopBack(arrayZip(steps.1, steps.2))) AS step,
        arrayFold((at, n) -> transform(at, steps.1, steps.2, at), range(63), step.2) AS reached,
        -- where the way does not end it goes round: the smallest key of the circle
        arrayFold(
            (at, n) -> (transform(at.1, steps.1, steps.2, at.1), least(at.2, transform(at.1, steps.1, steps.2, at.1))),
            range(if(transform(reached, steps.1, steps.2, reached) = reached, 0, 64)),
            (reached, reached)).2 AS last
);

CREATE OR REPLACE VIEW {name:alerts} {on_cluster} AS
SELECT *
FROM {name:alert_transitions}
ORDER BY tenant, alert_id, kafka_offset DESC, frame_index DESC
LIMIT 1 BY tenant, alert_id;

CREATE OR REPLACE VIEW {name:budgets} {on_cluster} AS
SELECT *
FROM {name:control_limits}
ORDER BY tenant, budget, scope, name, clock, kafka_offset DESC, frame_index DESC
LIMIT 1 BY tenant, budget, scope, name, clock;
