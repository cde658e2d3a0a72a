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
-- ratio compares it with the API bill of the same decisions. Calls without a price are in no sum: they are counted.

SELECT
    agent,
    task,
    count() AS decisions,
    countIf(escalated) AS escalated,
    countIf(reviews > 0) AS reviewed,
    sum(d.automated_cost) AS api_cost,
    sum(d.cost_human) AS human_cost,
    sum(d.cost_rework) AS rework_cost,
    sum(d.realized_cost) AS realized_cost,
    CAST(sum(d.realized_cost) / count(), 'Decimal(38, 9)') AS realized_each,
    countIf(d.expected_cost IS NOT NULL) AS with_expected,
    if(with_expected = 0, NULL, CAST(sum(d.expected_cost) / with_expected, 'Nullable(Decimal(38, 9))')) AS expected_each,
    round(toFloat64(sum(d.expected_cost)) / toFloat64(nullIf(sumIf(d.automated_cost, d.expected_cost IS NOT NULL), 0)), 2) AS ratio,
    sum(d.unpriced_calls) AS unpriced_calls,
    sum(d.no_usage_calls) AS no_usage_calls
FROM decisions AS d
WHERE tenant = {tenant:String}
  AND ({agent:String} = '' OR agent = {agent:String})
  AND started_at >= {since:DateTime64(6, 'UTC')}
  AND started_at < {until:DateTime64(6, 'UTC')}
GROUP BY agent, task
ORDER BY realized_cost DESC, agent, task;
