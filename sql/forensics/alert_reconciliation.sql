-- Do the alerts agree with the raw events?
-- number: 10b
-- param tenant: String = default
--     whose alerts
-- param since: DateTime64(6, 'UTC') = today-30d
--     windows that begin at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     windows that begin before this moment
-- param clock_skew_s: UInt32 = 300
--     how far a source's clock may run ahead of the receipt: the setting of that name
--
-- The value and the samples of what was said last about a window, against the same counted again from the raw events of that
-- window, as the streams count. No row = they agree. What is provisional or was corrected later is not held against them.
-- Compared are tool_error_rate (by agent and by tool), escalation_rate and override_rate. `came_late` counts the events of the
-- window that were received after the alert was concluded: what explains a difference while they are on their way. It is null
-- for a replay, which comes after its time as a whole.

WITH
    said AS
    (
        SELECT
            alert_id, transition, rule, measure, state, at, value, samples, window_from, window_to,
            `group`['agent'] AS agent,
            `group`['tool'] AS tool,
            `group`['clock'] = 'replay' AS replay
        FROM
        (
            SELECT *
            FROM alert_transitions
            WHERE tenant = {tenant:String} AND window_from IS NOT NULL
            ORDER BY transition DESC, kafka_partition, kafka_offset, frame_index
            LIMIT 1 BY alert_id, window_from
        )
        WHERE NOT provisional
          AND measure IN ('tool_error_rate', 'escalation_rate', 'override_rate')
          AND window_from >= {since:DateTime64(6, 'UTC')}
          AND window_from < {until:DateTime64(6, 'UTC')}
    ),
    raw AS
    (
        SELECT
            decision, event_id, ts, duration_ms, received_at, agent, clock, kind, tool, name, status, escalation_reason,
            review_verdict, kafka_offset, frame_index,
            received_at + toIntervalSecond({clock_skew_s:UInt32}) AS latest
        FROM decision_events
        WHERE tenant = {tenant:String} AND belongs
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    begun AS
    (
        SELECT
            argMinIf(agent, (ts, event_id), agent != '') AS of_agent,
            argMax(clock, (kafka_offset, frame_index)) AS of_clock,
            min(least(ts, latest)) AS began,
            max(received_at) AS told_at,
            countIf(kind = 'escalation' OR escalation_reason != '') > 0 AS escalated,
            countIf(kind = 'review') > 0 AS reviewed,
            countIf(review_verdict NOT IN ('', 'approve')) > 0 AS overturned
        FROM raw
        GROUP BY decision
    ),
    counted AS
    (
        SELECT
            'tool_error_rate' AS measure,
            agent,
            about AS tool,
            clock = 'replay' AS replay,
            intDiv(toUnixTimestamp(least(ts + toIntervalMicrosecond(toInt64(round(duration_ms * 1000))), latest)), 60) AS minute,
            status != 'ok' AS part,
            1 AS whole,
            received_at AS told_at
        FROM raw
        ARRAY JOIN arrayDistinct(['', if(tool != '', tool, name)]) AS about
        WHERE kind = 'tool_call' AND agent != ''
        UNION ALL
        SELECT line.1, of_agent, '', of_clock = 'replay', intDiv(toUnixTimestamp(began), 60), line.2, line.3, told_at
        FROM begun
        ARRAY JOIN [('escalation_rate', escalated, 1), ('override_rate', overturned, reviewed)] AS line
    ),
    by_minute AS
    (
        SELECT measure, agent, tool, replay, minute, sum(part) AS parts, sum(whole) AS wholes, groupArray(told_at) AS told_at
        FROM counted
        GROUP BY measure, agent, tool, replay, minute
    ),
    compared AS
    (
        SELECT
            alert_id, transition, rule, measure, agent, tool, replay, state, at, window_from, window_to, value, samples,
            sum(parts) AS parts,
            sum(wholes) AS samples_by_events,
            if(samples_by_events = 0, NULL, roundBankers(toDecimal256(parts, 18) / samples_by_events, 9)) AS value_by_events,
            sum(arrayCount(moment -> moment > at, told_at)) AS late
        FROM
        (
            SELECT
                *,
                arrayJoin(range(
                    intDiv(toUnixTimestamp(assumeNotNull(window_from)), 60),
                    intDiv(toUnixTimestamp(assumeNotNull(window_to)), 60))) AS minute
            FROM said
        ) AS minutes
        LEFT JOIN by_minute USING (measure, agent, tool, replay, minute)
        GROUP BY alert_id, transition, rule, measure, agent, tool, replay, state, at, window_from, window_to, value, samples
    )
SELECT
    rule,
    agent,
    tool,
    if(replay, 'replay', 'source') AS clock,
    window_from,
    window_to,
    state,
    value AS value_by_streams,
    CAST(value_by_events, 'Nullable(Decimal(38, 9))') AS value_by_events,
    samples AS samples_by_streams,
    samples_by_events,
    if(replay, NULL, late) AS came_late,
    alert_id,
    transition
FROM compared
WHERE samples_by_streams != samples_by_events OR NOT (value <=> value_by_events)
ORDER BY window_from, rule, agent, tool, clock;
