-- What do decisions truly cost?
-- number: 3a
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     decisions that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     decisions that began before this moment
-- unit api_cost: USD
-- unit human_cost: USD
-- unit rework_cost: USD
-- unit realized_cost: USD
-- unit realized_each: USD
-- unit expected_each: USD
--
-- realized = model, tools and retrieval (`api_cost`) + human review; rework is the part of it that came after an overturn.
-- expected_each = api cost + the chance of a review x its mean cost, over the `with_expected` decisions that have one;
-- ratio compares it with the API bill of the same decisions. Calls without a price are in no sum: `not_priced` counts them
-- beside it, and a sum is null (`-`) where nothing that would be in it has a price.

WITH
    summed AS
    (
        SELECT
            agent,
            task,
            count() AS decisions,
            countIf(escalated) AS escalated,
            countIf(reviews > 0) AS reviewed,
            countIf(overturned) AS overturned,
            sum(automated_cost) AS api,
            sum(cost_human) AS human,
            sum(cost_rework) AS rework,
            sum(realized_cost) AS realized,
            count(expected_cost) AS with_expected,
            sum(expected_cost) AS expected,
            sumIf(automated_cost, expected_cost IS NOT NULL) AS expected_api,
            sum(unpriced_calls) AS unpriced_calls,
            sum(no_usage_calls) AS no_usage_calls,
            unpriced_calls + no_usage_calls > 0 AS lacking
        FROM decisions
        WHERE tenant = {tenant:String}
          AND ({agent:String} = '' OR agent = {agent:String})
          AND started_at >= {since:DateTime64(6, 'UTC')}
          AND started_at < {until:DateTime64(6, 'UTC')}
        GROUP BY agent, task
    )
SELECT
    agent,
    task,
    decisions,
    escalated,
    reviewed,
    if(lacking AND api = 0, NULL, api) AS api_cost,
    if(lacking AND human = 0 AND reviewed > 0, NULL, human) AS human_cost,
    if(lacking AND rework = 0 AND overturned > 0, NULL, rework) AS rework_cost,
    if(lacking AND realized = 0, NULL, realized) AS realized_cost,
    CAST(realized_cost / decisions, 'Nullable(Decimal(38, 9))') AS realized_each,
    arrayStringConcat(arrayFilter(said -> said != '', [
        if(unpriced_calls = 0, '', '+ ' || toString(unpriced_calls) || ' unpriced'),
        if(no_usage_calls = 0, '', '+ ' || toString(no_usage_calls) || ' without usage')]), ', ') AS not_priced,
    with_expected,
    if(with_expected = 0, NULL, CAST(expected / with_expected, 'Nullable(Decimal(38, 9))')) AS expected_each,
    round(toFloat64(expected) / toFloat64(nullIf(expected_api, 0)), 2) AS ratio,
    unpriced_calls,
    no_usage_calls
FROM summed
ORDER BY realized DESC, agent, task;
