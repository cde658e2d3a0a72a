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
-- A cost is null (`-`) where there were calls and none of them has a price; where only some have one, it is their sum, and
-- `not_priced` says what it leaves out. expected_cost = automated_cost + the chance of a review x its mean cost in the 30
-- days before, for this agent and task; cost_ratio compares it with the API bill. reported_cost is what the sources said.

WITH
    keys AS
    (
        SELECT {decision:String} AS decision_key
        UNION DISTINCT
        SELECT decision_key FROM decision_links WHERE tenant = {tenant:String} AND decision_id = {decision:String}
        UNION DISTINCT
        SELECT decision_key FROM decision_facts WHERE tenant = {tenant:String} AND decision_id = {decision:String}
    ),
    shown AS
    (
        SELECT *
        FROM decisions
        WHERE tenant = {tenant:String}
          AND ({decision:String} = '' OR decision_key IN (SELECT decision_key FROM keys))
          AND ({decision:String} != '' OR started_at >= {since:DateTime64(6, 'UTC')} AND started_at < {until:DateTime64(6, 'UTC')})
        ORDER BY realized_cost DESC, decision_key
        LIMIT {most:UInt32}
    ),
    -- components of which nothing is known: they have leaves, and none with a price
    leaves AS
    (
        SELECT
            decision_key,
            component,
            countIf(price_state = 'priced') AS priced,
            countIf(price_state IN ('unpriced', 'no_usage')) AS unknown
        FROM costs
        WHERE tenant = {tenant:String} AND decision_key IN (SELECT decision_key FROM shown)
        GROUP BY decision_key, component
    ),
    known AS
    (
        SELECT
            decision_key,
            groupArrayIf(toString(component), priced = 0 AND unknown > 0) AS blank,
            sumIf(unknown, component != 'human') > 0 AND sumIf(priced, component != 'human') = 0 AS blank_automated,
            sum(unknown) > 0 AND sum(priced) = 0 AS blank_all
        FROM leaves
        GROUP BY decision_key
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
    if(has(blank, 'model'), NULL, shown.cost_model) AS cost_model,
    if(has(blank, 'tool'), NULL, shown.cost_tool) AS cost_tool,
    if(has(blank, 'retrieval'), NULL, shown.cost_retrieval) AS cost_retrieval,
    if(has(blank, 'human'), NULL, shown.cost_human) AS cost_human,
    if(blank_all, NULL, shown.cost_rework) AS cost_rework,
    if(blank_automated, NULL, shown.automated_cost) AS automated_cost,
    if(blank_all, NULL, shown.realized_cost) AS realized_cost,
    expected_cost,
    round(shown.cost_ratio, 2) AS cost_ratio,
    expected_state,
    expected_reason,
    reported_cost,
    arrayStringConcat(arrayFilter(said -> said != '', [
        if(unpriced_calls = 0, '', '+ ' || toString(unpriced_calls) || ' unpriced'),
        if(no_usage_calls = 0, '', '+ ' || toString(no_usage_calls) || ' without usage')]), ', ') AS not_priced,
    unpriced_calls,
    no_usage_calls,
    round(resolution_ms / 1000, 3) AS resolution_s
FROM shown
LEFT JOIN known USING (decision_key)
ORDER BY shown.realized_cost DESC, decision_key;
