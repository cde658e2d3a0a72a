-- How many tool calls failed, window by window?
-- number: 10c
-- param tenant: String = default
--     whose calls
-- param agent: String =
--     only calls of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     windows that begin at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     windows that begin before this moment
-- param window_s: UInt32 = 300
--     length of a window in seconds, whole minutes
-- param at_least: UInt32 = 20
--     windows with fewer calls say nothing
-- param above: Decimal(38, 9) = 0.05
--     the rate that is too high
-- param clock_skew_s: UInt32 = 300
--     how far a source's clock may run ahead of the receipt: the setting of that name
--
-- The windows behind the rules about `tool_error_rate`, counted from the raw events as the streams count: a call in the
-- window in which it ended, each event once. A row with an empty tool is the agent as a whole. A replay has windows of its
-- own (`clock`). low and high: Wilson, 95 %.

WITH
    1.959963984540054 AS z,
    (k, n, s) -> if(n = 0, NULL, round(
        (k / n + s * s / 2 / n + s * sqrt(k / n * (1 - k / n) / n + s * s / 4 / n / n)) / (1 + s * s / n), 4)) AS wilson,
    calls AS
    (
        SELECT
            agent,
            if(tool != '', tool, name) AS tool_name,
            clock,
            status != 'ok' AS failed,
            least(
                ts + toIntervalMicrosecond(toInt64(round(duration_ms * 1000))),
                received_at + toIntervalSecond({clock_skew_s:UInt32})) AS ended_at
        FROM events
        WHERE tenant = {tenant:String}
          AND kind = 'tool_call'
          AND agent != ''
          AND ({agent:String} = '' OR agent = {agent:String})
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    )
SELECT
    agent,
    tool,
    clock,
    toDateTime64(intDiv(toUnixTimestamp(ended_at), {window_s:UInt32}) * {window_s:UInt32}, 6, 'UTC') AS window_from,
    count() AS calls,
    countIf(failed) AS errors,
    round(errors / calls, 4) AS rate,
    wilson(errors, calls, -z) AS low,
    wilson(errors, calls, z) AS high,
    multiIf(
        calls < {at_least:UInt32}, 'insufficient',
        roundBankers(toDecimal256(errors, 18) / calls, 9) > {above:Decimal(38, 9)}, 'over',
        'under') AS verdict
FROM calls
ARRAY JOIN arrayDistinct(['', tool_name]) AS tool
WHERE ended_at >= {since:DateTime64(6, 'UTC')}
  AND ended_at < {until:DateTime64(6, 'UTC')} + toIntervalSecond({window_s:UInt32})
GROUP BY agent, tool, clock, window_from
HAVING window_from >= {since:DateTime64(6, 'UTC')} AND window_from < {until:DateTime64(6, 'UTC')}
ORDER BY agent, clock, tool, window_from;
