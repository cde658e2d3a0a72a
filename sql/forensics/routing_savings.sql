-- What would routing have saved?
-- number: 7
-- param tenant: String = default
--     whose calls
-- param agent: String =
--     only calls of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     calls that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     calls that began before this moment
-- param small_share: Decimal(38, 9) = 0.80
--     the share of calls that a small model could take
-- param medium_share: Decimal(38, 9) = 0.15
--     the share for a medium one; the rest goes to the large one
-- param small: String = 0.001
--     what a call of the small one costs: USD, or a key of the price table such as openai/gpt-4o-mini
-- param medium: String = 0.01
--     the same of the medium one
-- param large: String = 0.05
--     the same of the large one
-- unit cost: USD
-- unit cost_each: USD
-- unit cost_routed: USD
-- unit saved: USD
--
-- Model calls that have a price, by agent and model, and together (`(all)`), against the same calls spread over three tiers.
-- Which call a router would have sent where is not known, so each counts in every tier by its share; with a price key, at its
-- own tokens and the newest prices. Calls with tokens of a class that the key has no price for are `not_routed` and in neither
-- sum, and saved_share is of the others. 10,000 calls at 0.01 cost 100; at 80 / 15 / 5 % for 0.001, 0.01 and 0.05 they cost 48.

WITH
    newest AS
    (
        SELECT price_key, unit_prices
        FROM price_versions
        WHERE price_key IN ({small:String}, {medium:String}, {large:String})
        ORDER BY price_key, known_from DESC, effective_from DESC, kafka_offset DESC
        LIMIT 1 BY price_key
    ),
    (SELECT any(unit_prices) FROM newest WHERE price_key = {small:String}) AS small_prices,
    (SELECT any(unit_prices) FROM newest WHERE price_key = {medium:String}) AS medium_prices,
    (SELECT any(unit_prices) FROM newest WHERE price_key = {large:String}) AS large_prices,
    (units, prices) -> arraySum(arrayMap(
        (class, count) -> toDecimal256(prices[class], 18) * count, mapKeys(units), mapValues(units))) / 1000000 AS charged,
    (units, prices) -> notEmpty(prices) AND arrayAll(class -> mapContains(prices, class), mapKeys(units)) AS chargeable,
    calls AS
    (
        SELECT
            agent,
            provider,
            model,
            assumeNotNull(cost) AS paid,
            toDecimal256OrNull({small:String}, 18) AS small_flat,
            toDecimal256OrNull({medium:String}, 18) AS medium_flat,
            toDecimal256OrNull({large:String}, 18) AS large_flat,
            (small_flat IS NOT NULL OR chargeable(tokens, small_prices))
                AND (medium_flat IS NOT NULL OR chargeable(tokens, medium_prices))
                AND (large_flat IS NOT NULL OR chargeable(tokens, large_prices)) AS routable,
            coalesce(small_flat, charged(tokens, small_prices)) AS by_small,
            coalesce(medium_flat, charged(tokens, medium_prices)) AS by_medium,
            coalesce(large_flat, charged(tokens, large_prices)) AS by_large
        FROM costs
        WHERE tenant = {tenant:String}
          AND ({agent:String} = '' OR agent = {agent:String})
          AND component = 'model'
          AND price_state = 'priced'
          AND ts >= {since:DateTime64(6, 'UTC')}
          AND ts < {until:DateTime64(6, 'UTC')}
    ),
    summed AS
    (
        SELECT
            agent,
            provider,
            model,
            count() AS n,
            countIf(NOT routable) AS unroutable,
            sumIf(paid, routable) AS paid,
            sumIf(by_small, routable) AS by_small,
            sumIf(by_medium, routable) AS by_medium,
            sumIf(by_large, routable) AS by_large
        FROM calls
        GROUP BY agent, provider, model
    )
SELECT
    who.1 AS agent,
    who.2 AS provider,
    who.3 AS model,
    sum(n) AS calls,
    sum(unroutable) AS not_routed,
    sum(paid) AS cost,
    if(calls = not_routed, NULL, CAST(cost / (calls - not_routed), 'Decimal(38, 9)')) AS cost_each,
    CAST(roundBankers(
        toDecimal256({small_share:Decimal(38, 9)}, 9) * sum(by_small)
            + toDecimal256({medium_share:Decimal(38, 9)}, 9) * sum(by_medium)
            + (1 - toDecimal256({small_share:Decimal(38, 9)}, 9) - {medium_share:Decimal(38, 9)}) * sum(by_large), 9),
        'Decimal(38, 9)') AS cost_routed,
    cost - cost_routed AS saved,
    if(cost = 0, NULL, round(toFloat64(saved) / toFloat64(cost), 4)) AS saved_share
FROM summed
ARRAY JOIN [('(all)', '', ''), (toString(summed.agent), toString(summed.provider), toString(summed.model))] AS who
WHERE throwIf(
    {small_share:Decimal(38, 9)} + {medium_share:Decimal(38, 9)} > 1, 'small_share and medium_share are more than 1 together') = 0
GROUP BY who
ORDER BY who.1 != '(all)', cost DESC, agent, provider, model;
