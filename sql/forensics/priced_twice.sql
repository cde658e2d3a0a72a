-- Which responses were priced twice?
-- number: 3e
-- param tenant: String = default
--     whose calls
-- param since: DateTime64(6, 'UTC') = today-30d
--     calls that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     calls that began before this moment
-- unit counted: USD
-- unit too_much: USD
--
-- Inside a decision a response id is priced once. Where a gateway has no trace context its report makes a decision of its
-- own, and the same response may be priced there again: set `price_from`, or let the gateway pass the trace on.

SELECT
    response_id,
    count() AS times,
    groupUniqArray(source) AS sources,
    groupUniqArray(decision_key) AS decisions,
    any(provider) AS provider,
    any(model) AS model,
    sum(cost) AS counted,
    counted - max(cost) AS too_much,
    min(ts) AS first_at
FROM costs
WHERE tenant = {tenant:String}
  AND response_id != ''
  AND price_state = 'priced'
  AND ts >= {since:DateTime64(6, 'UTC')}
  AND ts < {until:DateTime64(6, 'UTC')}
GROUP BY response_id
HAVING times > 1
ORDER BY too_much DESC, response_id;
