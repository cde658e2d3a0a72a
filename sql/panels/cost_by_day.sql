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
-- Calls without a price are in no sum; `at_least` counts the decisions that have one, whose cost is a lower bound.

SELECT
    toStartOfDay(d.started_at, 'UTC') AS time,
    count() AS decisions,
    countIf(d.escalated) AS escalated,
    sum(d.automated_cost) AS api_cost,
    sum(d.cost_human) AS human_cost,
    countIf(d.expected_cost IS NOT NULL) AS with_expected,
    if(with_expected = 0, NULL, CAST(sum(d.expected_cost) / with_expected, 'Nullable(Decimal(38, 9))')) AS expected_each,
    countIf(d.unpriced_calls > 0) AS at_least
FROM decisions AS d
WHERE tenant = {tenant:String}
  AND started_at >= {since:DateTime64(6, 'UTC')}
  AND started_at < {until:DateTime64(6, 'UTC')}
GROUP BY time
ORDER BY time;
