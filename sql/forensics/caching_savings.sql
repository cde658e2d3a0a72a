-- What would caching have saved?
-- number: 7a
-- param tenant: String = default
--     whose calls
-- param agent: String =
--     only calls of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     calls that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     calls that began before this moment
-- param kept_s: UInt32 = 300
--     how many seconds a prefix stays in a cache after it was last used
-- param shortest: UInt32 = 1024
--     shorter prefixes are not cached, in tokens
-- param cache_at: Decimal(38, 9) = 0
--     for models without a price for reading from a cache: that price as a share of the input's; 0 = leave them out
-- unit cost: USD
-- unit saved: USD
-- unit cost_cached: USD
--
-- Model calls that have a price, by agent and model, and together (`(all)`). The assumption: within a decision, the input of a
-- call begins with the whole input of the call before it to the same model. That prefix could have been read from a cache at
-- the cache's price, if it was sent soon enough; what was read from one is taken off. What the next call reads has to be
-- written: at the price of writing for 5 minutes where there is one, else as input. So saved can be negative.
-- `no_cache_price` counts calls of models that are left out; their cost is in `cost`.

WITH
    sent AS
    (
        SELECT
            decision_key, event_id, agent, provider, model, ts, price_id,
            assumeNotNull(cost) AS paid,
            toInt64(tokens['tokens_input']) AS fresh,
            toInt64(tokens['tokens_cache_read']) AS read,
            toInt64(tokens['tokens_cache_write_5m'] + tokens['tokens_cache_write_1h']) AS written,
            fresh + read + written AS whole
        FROM costs
        WHERE tenant = {tenant:String}
          AND ({agent:String} = '' OR agent = {agent:String})
          AND component = 'model'
          AND price_state = 'priced'
          AND notEmpty(unit_prices)
          AND ts >= {since:DateTime64(6, 'UTC')}
          AND ts < {until:DateTime64(6, 'UTC')}
    ),
    in_order AS
    (
        SELECT
            *,
            least(whole, lagInFrame(whole, 1, 0) OVER conversation) AS with_before,
            least(whole, leadInFrame(whole, 1, 0) OVER conversation) AS with_after,
            dateDiff('microsecond', lagInFrame(ts, 1, ts) OVER conversation, ts) AS since_before,
            dateDiff('microsecond', ts, leadInFrame(ts, 1, ts) OVER conversation) AS until_after
        FROM sent
        WINDOW conversation AS
        (
            PARTITION BY decision_key, provider, model
            ORDER BY ts, event_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
    ),
    table_prices AS
    (
        SELECT
            price_id,
            unit_prices['tokens_input'] AS input_price,
            if(mapContains(unit_prices, 'tokens_cache_read'),
                toDecimal256(unit_prices['tokens_cache_read'], 18),
                toDecimal256(toDecimal256(input_price, 18) * {cache_at:Decimal(38, 9)}, 18)) AS read_price,
            if(mapContains(unit_prices, 'tokens_cache_write_5m'), unit_prices['tokens_cache_write_5m'], input_price) AS write_price,
            mapContains(unit_prices, 'tokens_input')
                AND (mapContains(unit_prices, 'tokens_cache_read') OR {cache_at:Decimal(38, 9)} > 0) AS known
        FROM price_versions
        WHERE price_id IN (SELECT price_id FROM sent)
        LIMIT 1 BY price_id
    ),
    cacheable AS
    (
        SELECT
            agent, provider, model, paid, fresh, read, known,
            if(with_before < {shortest:UInt32} OR since_before > 1000000 * toInt64({kept_s:UInt32}), 0, with_before) AS prefix,
            if(with_after < {shortest:UInt32} OR until_after > 1000000 * toInt64({kept_s:UInt32}), 0, with_after) AS next_prefix,
            least(fresh, greatest(0, prefix - read)) AS to_read,
            least(fresh - to_read, greatest(0, next_prefix - read - to_read - written)) AS to_write,
            (to_read * (toDecimal256(input_price, 18) - read_price)
                - to_write * (toDecimal256(write_price, 18) - toDecimal256(input_price, 18))) / 1000000 AS spared
        FROM in_order
        LEFT JOIN table_prices ON table_prices.price_id = in_order.price_id
    )
SELECT
    who.1 AS agent,
    who.2 AS provider,
    who.3 AS model,
    count() AS calls,
    countIf(NOT known) AS no_cache_price,
    sum(fresh) AS tokens_fresh,
    sum(read) AS tokens_read,
    sumIf(to_read, known) AS could_read,
    sumIf(to_write, known) AS would_write,
    sum(paid) AS cost,
    CAST(roundBankers(sumIf(spared, known), 9), 'Decimal(38, 9)') AS saved,
    cost - saved AS cost_cached,
    if(cost = 0, NULL, round(toFloat64(saved) / toFloat64(cost), 4)) AS saved_share
FROM cacheable
ARRAY JOIN [('(all)', '', ''), (toString(cacheable.agent), toString(cacheable.provider), toString(cacheable.model))] AS who
GROUP BY who
ORDER BY who.1 != '(all)', cost DESC, agent, provider, model;
