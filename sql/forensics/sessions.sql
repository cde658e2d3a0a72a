-- Where are all agent sessions right now?
-- number: 1
-- param tenant: String = default
--     whose sessions
-- param agent: String =
--     only this agent; empty = all
-- param at: DateTime64(6, 'UTC') = now
--     the moment that is asked about
-- param hours: UInt32 = 24
--     sessions that were silent for longer are not shown
--
-- Across every runtime, in one place: what each session does, or did last. A session without an id is shown by its
-- decision. `waiting` = handed to a human and not reviewed since; `done` = an outcome was told; `silent` = no event for
-- five minutes.

WITH
    seen AS
    (
        SELECT
            if(session_id != '', session_id, if(decision_key != '', decision_key, decision_id)) AS session,
            ts + toIntervalMicrosecond(toUInt64(duration_ms * 1000)) AS ended_at,
            *
        FROM events
        WHERE tenant = {tenant:String}
          AND ({agent:String} = '' OR agent = {agent:String})
          AND ts <= {at:DateTime64(6, 'UTC')}
          AND ts > {at:DateTime64(6, 'UTC')} - toIntervalHour({hours:UInt32})
          AND (session_id != '' OR decision_key != '' OR decision_id != '')
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    )
SELECT
    session,
    argMaxIf(agent, ts, agent != '') AS agent,
    argMaxIf(runtime, ts, runtime != '') AS runtime,
    multiIf(
        countIf(outcome != '') > 0, 'done',
        maxIf(ts, kind = 'escalation' OR escalation_reason != '') > maxIf(ts, kind = 'review'), 'waiting',
        dateDiff('second', max(ended_at), {at:DateTime64(6, 'UTC')}) >= 300, 'silent',
        'working') AS state,
    argMax(
        concat(kind, if(tool != '', ' ' || tool, if(name != '', ' ' || name, '')), if(status = 'ok', '', ' (' || status || ')')),
        (ts, sequence, kafka_offset, frame_index)) AS last_seen,
    argMaxIf(task, ts, task != '') AS task,
    argMaxIf(subject, ts, subject != '') AS subject,
    min(ts) AS started_at,
    max(ended_at) AS last_at,
    uniqExactIf(decision_key, decision_key != '') AS decisions,
    count() AS events,
    countIf(kind = 'tool_call') AS tool_calls,
    countIf(kind = 'tool_call' AND status != 'ok') AS tool_errors
FROM seen
GROUP BY session
ORDER BY last_at DESC, session;
