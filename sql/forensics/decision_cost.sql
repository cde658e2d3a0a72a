-- What did this decision truly cost?
-- number: 3
-- param tenant: String = default
--     whose decision
-- param decision: String =
--     its key (the trace id), or its business id such as a ticket number; empty = all, the dearest first
-- param since: DateTime64(6, 'UTC') = today-30d
--     decisions that began at this moment or later; not asked where a decision is named
-- param until: DateTime64(6, 'UTC') = now
--     decisions that began before this moment; not asked where a decision is named
-- param most: UInt32 = 20
--     so many decisions
-- unit cost_model: USD
-- unit cost_tool: USD
-- unit cost_retrieval: USD
-- unit cost_human: USD
-- unit cost_rework: USD
-- unit automated_cost: USD
-- unit realized_cost: USD
-- unit expected_cost: USD
-- unit reported_cost: USD
-- unit resolution_s: s
--
-- realized_cost = model + tool + retrieval (automated_cost) + human; rework is the part of it that came after an overturn.
-- It is a lower bound while calls have no price. expected_cost = automated_cost + the chance of a review x its mean cost
-- in the 30 days before, for this agent and task; cost_ratio compares it with the API bill. reported_cost is what the
-- sources said.

WITH
    keys AS
    (
        SELECT {decision:String} AS decision_key
        UNION DISTINCT
        SELECT decision_key FROM decision_links WHERE tenant = {tenant:String} AND decision_id = {decision:String}
        UNION DISTINCT
        SELECT decision_key FROM decision_facts WHERE tenant = {tenant:String} AND decision_id = {decision:String}
    )
SELECT
    decision_key,
    decision_id,
    agent,
    task,
    started_at,
    state,
    outcome,
    model_calls,
    tokens_input,
    tokens_cache_read,
    tokens_cache_write,
    tokens_output,
    tool_calls,
    retries,
    reviews,
    cost_model,
    cost_tool,
    cost_retrieval,
    cost_human,
    cost_rework,
    automated_cost,
    realized_cost,
    expected_cost,
    round(cost_ratio, 2) AS cost_ratio,
    expected_state,
    expected_reason,
    reported_cost,
    unpriced_calls,
    round(resolution_ms / 1000, 3) AS resolution_s
FROM decisions
WHERE tenant = {tenant:String}
  AND ({decision:String} = '' OR decision_key IN (SELECT decision_key FROM keys))
  AND ({decision:String} != '' OR started_at >= {since:DateTime64(6, 'UTC')} AND started_at < {until:DateTime64(6, 'UTC')})
ORDER BY realized_cost DESC, decision_key
LIMIT {most:UInt32};
