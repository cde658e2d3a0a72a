-- What would the same calls cost at the prices of another day?
-- number: 3c
-- param tenant: String = default
--     whose calls
-- param since: DateTime64(6, 'UTC') = today-30d
--     calls that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     calls that began before this moment
-- param as_of: DateTime64(6, 'UTC') = now
--     the prices that were known and in force at this moment
-- unit cost_then: USD
-- unit cost_restated: USD
-- unit difference: USD
--
-- `cost_then` is as priced then and never changes; `cost_restated` takes the same units at the prices of `as_of`. Leaves
-- without unit prices (a cost that the source told) stay as they are; where a newer table lacks the price of a class that
-- was used, the leaf is counted in `not_restated` and stands in neither sum; a sum of none is null (`-`).

WITH
    prices AS
    (
        SELECT price_key, price_id AS newer_id, unit_prices AS newer_prices
        FROM price_versions
        WHERE known_from <= {as_of:DateTime64(6, 'UTC')} AND effective_from <= {as_of:DateTime64(6, 'UTC')}
        ORDER BY price_key, known_from DESC, effective_from DESC, kafka_offset DESC
        LIMIT 1 BY price_key
    ),
    restated AS
    (
        SELECT
            component, provider, model, price_id, cost,
            empty(unit_prices) AS told,
            told OR arrayAll(class -> mapContains(newer_prices, class), mapKeys(tokens)) AS restatable,
            if(told, price_id, newer_id) AS newer_id,
            arraySum(arrayMap(
                (class, units) -> toDecimal256(newer_prices[class], 18) * units,
                mapKeys(tokens), mapValues(tokens))) / 1000000 AS charged,
            if(told, assumeNotNull(cost), toDecimal128(roundBankers(charged, 9), 9)) AS newer_cost
        FROM costs
        LEFT JOIN prices ON prices.price_key = costs.price_key
        WHERE tenant = {tenant:String}
          AND price_state = 'priced'
          AND ts >= {since:DateTime64(6, 'UTC')}
          AND ts < {until:DateTime64(6, 'UTC')}
    )
SELECT
    component,
    provider,
    model,
    price_id AS price_then,
    newer_id AS price_restated,
    count() AS calls,
    countIf(NOT restatable) AS not_restated,
    sumIf(cost, restatable) AS cost_then,
    if(calls = not_restated, NULL, sumIf(newer_cost, restatable)) AS cost_restated,
    cost_restated - cost_then AS difference
FROM restated
GROUP BY component, provider, model, price_then, price_restated
ORDER BY cost_then DESC, component, provider, model, price_then, price_restated;
