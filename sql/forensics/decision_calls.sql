-- Which calls did this decision pay for?
-- number: 3b
-- param tenant: String = default
--     whose decision
-- param decision: String
--     its key (the trace id), or its business id such as a ticket number
-- unit cost: USD
-- unit total: USD
--
-- Every leaf in order, with its units, the price of each (USD per million) and what it adds. `duplicate` = the same call
-- told by another source, `wrapper` = a span around priced ones: neither costs. `attempt` over 1 is a retry.

WITH
    keys AS
    (
        SELECT {decision:String} AS decision_key
        UNION DISTINCT
        SELECT decision_key FROM decision_links WHERE tenant = {tenant:String} AND decision_id = {decision:String}
        UNION DISTINCT
        SELECT decision_key FROM decision_facts WHERE tenant = {tenant:String} AND decision_id = {decision:String}
    ),
    leaves AS
    (
        SELECT * FROM costs WHERE tenant = {tenant:String} AND decision_key IN (SELECT decision_key FROM keys)
    ),
    told AS
    (
        SELECT event_id, tool, attempt, status
        FROM events
        WHERE tenant = {tenant:String} AND event_id IN (SELECT event_id FROM leaves)
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    )
SELECT
    ts,
    component,
    if(tool != '', tool, model) AS what,
    attempt,
    status,
    source,
    price_state,
    tokens AS units,
    unit_prices,
    cost,
    sum(cost) OVER (ORDER BY ts, event_id) AS total,
    price_id,
    response_id,
    event_id
FROM leaves
LEFT JOIN told USING (event_id)
ORDER BY ts, event_id;
