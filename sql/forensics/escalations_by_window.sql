-- How many decisions were handed to a human, window by window?
-- number: 10d
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only decisions of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     windows that begin at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     windows that begin before this moment
-- param window_s: UInt32 = 3600
--     length of a window in seconds, whole minutes
-- param at_least: UInt32 = 30
--     windows with fewer decisions say nothing
-- param above: Decimal(38, 9) = 0.2
--     the rate that is too high
-- param clock_skew_s: UInt32 = 300
--     how far a source's clock may run ahead of the receipt: the setting of that name
--
-- The windows behind the rules about `escalation_rate`, counted from the raw events as the streams count: a decision in the
-- window in which it began, under the agent that its first event names. A replay has windows of its own (`clock`).
-- low and high: Wilson, 95 %.

WITH
    1.959963984540054 AS z,
    (k, n, s) -> if(n = 0, NULL, round(
        (k / n + s * s / 2 / n + s * sqrt(k / n * (1 - k / n) / n + s * s / 4 / n / n)) / (1 + s * s / n), 4)) AS wilson,
    raw AS
    (
        SELECT decision, event_id, ts, received_at, agent, clock, kind, escalation_reason, kafka_offset, frame_index
        FROM decision_events
        WHERE tenant = {tenant:String} AND belongs
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    begun AS
    (
        SELECT
            decision,
            argMinIf(agent, (ts, event_id), agent != '') AS of_agent,
            argMax(clock, (kafka_offset, frame_index)) AS of_clock,
            min(least(ts, received_at + toIntervalSecond({clock_skew_s:UInt32}))) AS began,
            countIf(kind = 'escalation' OR escalation_reason != '') > 0 AS escalated
        FROM raw
        GROUP BY decision
    )
SELECT
    of_agent AS agent,
    of_clock AS clock,
    toDateTime64(intDiv(toUnixTimestamp(began), {window_s:UInt32}) * {window_s:UInt32}, 6, 'UTC') AS window_from,
    count() AS decisions,
    countIf(escalated) AS escalations,
    round(escalations / decisions, 4) AS rate,
    wilson(escalations, decisions, -z) AS low,
    wilson(escalations, decisions, z) AS high,
    multiIf(
        decisions < {at_least:UInt32}, 'insufficient',
        roundBankers(toDecimal256(escalations, 18) / decisions, 9) > {above:Decimal(38, 9)}, 'over',
        'under') AS verdict
FROM begun
WHERE {agent:String} = '' OR of_agent = {agent:String}
GROUP BY of_agent, of_clock, window_from
HAVING window_from >= {since:DateTime64(6, 'UTC')} AND window_from < {until:DateTime64(6, 'UTC')}
ORDER BY agent, clock, window_from;
