-- Which calls have no price?
-- number: 3d
-- param tenant: String = default
--     whose calls
-- param since: DateTime64(6, 'UTC') = today-30d
--     calls that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     calls that began before this moment
-- unit reported_cost: USD
--
-- Their cost is unknown, not zero, and in no sum. `unpriced` = no price table knows the model (add it to the override
-- file); `no_usage` = the source told no tokens, so that no price could apply.

SELECT
    price_state,
    provider,
    model,
    service_tier,
    agent,
    source,
    count() AS calls,
    uniqExact(decision_key) AS decisions,
    sumMap(tokens) AS units,
    sum(reported_cost) AS reported_cost,
    min(ts) AS first_at,
    max(ts) AS last_at
FROM costs
WHERE tenant = {tenant:String}
  AND price_state IN ('unpriced', 'no_usage')
  AND ts >= {since:DateTime64(6, 'UTC')}
  AND ts < {until:DateTime64(6, 'UTC')}
GROUP BY price_state, provider, model, service_tier, agent, source
ORDER BY calls DESC, price_state, provider, model, service_tier, agent, source;
