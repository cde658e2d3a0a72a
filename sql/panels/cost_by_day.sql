-- What did decisions cost, day by day?
-- param tenant: String = default
--     whose decisions
-- param since: DateTime64(6, 'UTC') = today-30d
--     decisions that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     decisions that began before this moment
-- unit api_cost: USD
-- unit human_cost: USD
-- unit expected_each: USD
--
-- Calls without a price are in no sum, which is null where none has one; `at_least` counts the decisions that have such a
-- call, whose cost is a lower bound.

SELECT
    toStartOfDay(d.started_at, 'UTC') AS time,
    count() AS decisions,
    countIf(d.escalated) AS escalated,
    countIf(d.unpriced_calls + d.no_usage_calls > 0) AS at_least,
    if(at_least > 0 AND sum(d.automated_cost) = 0, NULL, sum(d.automated_cost)) AS api_cost,
    if(at_least > 0 AND sum(d.cost_human) = 0 AND countIf(d.reviews > 0) > 0, NULL, sum(d.cost_human)) AS human_cost,
    countIf(d.expected_cost IS NOT NULL) AS with_expected,
    if(with_expected = 0, NULL, CAST(sum(d.expected_cost) / with_expected, 'Nullable(Decimal(38, 9))')) AS expected_each
FROM decisions AS d
WHERE tenant = {tenant:String}
  AND started_at >= {since:DateTime64(6, 'UTC')}
  AND started_at < {until:DateTime64(6, 'UTC')}
GROUP BY time
ORDER BY time;
