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
-- param window_lateness_s: UInt32 = 10
--     how long a window waits for what is late: the setting of that name
-- param strict: UInt32 = 0
--     1 = show also what is explained by events that came more than an hour late
--
-- The value and the samples of what was said last about a window, against the same counted again from the raw events of that
-- window, as the streams count. No row = they agree. Compared are tool_error_rate (by agent and by tool), escalation_rate and
-- override_rate, but not what is provisional of a window that can still change.
--
-- An hour after its end (and the lateness, for live time) a window is settled: what comes later (live, by its receipt; in a replay,
-- by its own end) corrects nothing that was said. So where such events are, what was said must lie between the counts without and
-- with them; where there are none, it must be equal. `came_late` counts them.

WITH
    said AS
    (
        SELECT
            alert_id, transition, rule, measure, state, value, samples, window_from, window_to,
            `group`['agent'] AS agent,
            `group`['tool'] AS tool,
            `group`['clock'] = 'replay' AS replay,
            window_to + toIntervalSecond(3600 + if(replay, 0, {window_lateness_s:UInt32})) AS settled_at
        FROM
        (
            SELECT *
            FROM alert_transitions
            WHERE tenant = {tenant:String} AND window_from IS NOT NULL
            ORDER BY transition DESC, revision DESC, kafka_partition, kafka_offset, frame_index
            LIMIT 1 BY alert_id, window_from
        )
        WHERE (NOT provisional OR settled_at < now64(6, 'UTC'))
          AND measure IN ('tool_error_rate', 'escalation_rate', 'override_rate')
          AND window_from >= {since:DateTime64(6, 'UTC')}
          AND window_from < {until:DateTime64(6, 'UTC')}
    ),
    calls AS
    (
        SELECT
            event_id, agent, clock, status,
            if(tool != '', tool, name) AS tool_name,
            least(
                ts + toIntervalMicrosecond(toInt64(round(duration_ms * 1000))),
                received_at + toIntervalSecond({clock_skew_s:UInt32})) AS ended,
            if(clock = 'replay', ended, received_at) AS known_at
        FROM events
        WHERE tenant = {tenant:String}
          AND kind = 'tool_call'
          AND agent != ''
          AND agent IN (SELECT agent FROM said WHERE measure = 'tool_error_rate')
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    decided AS
    (
        SELECT
            argMinIf(agent, (ts, event_id), agent != '') AS of_agent,
            argMax(clock, (kafka_offset, frame_index)) = 'replay' AS replay,
            intDiv(toUnixTimestamp(min(began)), 60) AS minute,
            min(known_at) AS decided_at,
            countIf(escalates) > 0 AS escalated,
            minIf(known_at, escalates) AS escalated_at,
            countIf(judges) > 0 AS reviewed,
            minIf(known_at, judges) AS reviewed_at,
            countIf(overturns) > 0 AS overturned,
            minIf(known_at, overturns) AS overturned_at
        FROM
        (
            SELECT
                decision, event_id, ts, agent, clock, kind, kafka_offset, frame_index,
                kind = 'escalation' OR escalation_reason != '' AS escalates,
                review_verdict != '' AS judges,
                review_verdict NOT IN ('', 'approve') AS overturns,
                received_at + toIntervalSecond({clock_skew_s:UInt32}) AS latest,
                least(ts, latest) AS began,
                if(clock = 'replay', least(ts + toIntervalMicrosecond(toInt64(round(duration_ms * 1000))), latest), received_at)
                    AS known_at
            FROM decision_events
            WHERE tenant = {tenant:String}
              AND belongs
              AND (SELECT countIf(measure != 'tool_error_rate') FROM said) > 0
            ORDER BY kafka_partition, kafka_offset, frame_index
            LIMIT 1 BY event_id
        )
        GROUP BY decision
    ),
    -- what is counted, in which minute, and since when it is known that it is one of the whole, and of the part
    counted AS
    (
        SELECT
            'tool_error_rate' AS measure, agent, about AS tool, clock = 'replay' AS replay,
            intDiv(toUnixTimestamp(ended), 60) AS minute,
            true AS whole, known_at AS whole_at, status != 'ok' AS part, known_at AS part_at
        FROM calls
        ARRAY JOIN arrayDistinct(['', tool_name]) AS about
        UNION ALL
        SELECT line.1, of_agent, '', replay, minute, line.2, line.3, line.4, line.5
        FROM decided
        ARRAY JOIN [
            ('escalation_rate', true, decided_at, escalated, escalated_at),
            ('override_rate', reviewed, reviewed_at, overturned, overturned_at)] AS line
    ),
    by_minute AS
    (
        SELECT
            measure, agent, tool, replay, minute,
            groupArrayIf(whole_at, whole) AS wholes_at,
            groupArrayIf(part_at, part) AS parts_at
        FROM counted
        GROUP BY measure, agent, tool, replay, minute
    ),
    compared AS
    (
        SELECT
            alert_id, transition, rule, measure, agent, tool, replay, state, window_from, window_to, value, samples,
            sum(length(wholes_at)) AS wholes,
            sum(length(parts_at)) AS parts,
            sum(arrayCount(moment -> moment > settled_at, wholes_at)) AS late_wholes,
            sum(arrayCount(moment -> moment > settled_at, parts_at)) AS late_parts,
            if(wholes = 0, NULL, roundBankers(toDecimal256(parts, 18) / wholes, 9)) AS recounted,
            samples = wholes AND value <=> recounted AS equal,
            -- the part that was said, and whether it is a whole number, as a count is
            round(toFloat64(ifNull(value, 0)) * samples) AS said_part,
            abs(toFloat64(ifNull(value, 0)) * samples - said_part) < 1e-6 * greatest(samples, 1) AS countable,
            countable
                AND samples <= wholes AND samples + late_wholes >= wholes
                AND said_part <= parts AND said_part + late_parts >= parts AS explained
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
        GROUP BY alert_id, transition, rule, measure, agent, tool, replay, state, window_from, window_to, value, samples
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
    CAST(recounted, 'Nullable(Decimal(38, 9))') AS value_by_events,
    samples AS samples_by_streams,
    wholes AS samples_by_events,
    greatest(late_wholes, late_parts) AS came_late,
    alert_id,
    transition
FROM compared
WHERE NOT equal AND ({strict:UInt32} = 1 OR NOT explained)
ORDER BY window_from, rule, agent, tool, clock;
