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
-- Across every runtime, in one place: what each session does, or did last. An event without a session is shown in that of
-- its decision; a decision without one stands for itself. `waiting` = handed to a human and not reviewed since, `done` =
-- an outcome was the last thing told, `silent` = no event for five minutes.

WITH
    seen AS
    (
        SELECT
            decision, session_id, agent, runtime, task, subject, kind, name, tool, status, escalation_reason, outcome,
            ts, sequence, kafka_offset, frame_index,
            ts + toIntervalMicrosecond(toUInt64(duration_ms * 1000)) AS ended_at
        FROM decision_events
        WHERE tenant = {tenant:String}
          AND ts <= {at:DateTime64(6, 'UTC')}
          AND ts > {at:DateTime64(6, 'UTC')} - toIntervalHour({hours:UInt32})
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    sessions AS
    (
        SELECT decision, max(session_id) AS of_decision FROM seen GROUP BY decision
    )
SELECT
    multiIf(seen.session_id != '', seen.session_id, of_decision != '', of_decision, decision) AS session,
    argMaxIf(agent, ts, agent != '') AS agent,
    argMaxIf(runtime, ts, runtime != '') AS runtime,
    multiIf(
        maxIf(ts, outcome != '') = max(ts), 'done',
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
    uniqExact(decision) AS decisions,
    count() AS events,
    countIf(kind = 'tool_call') AS tool_calls,
    countIf(kind = 'tool_call' AND status != 'ok') AS tool_errors
FROM seen
INNER JOIN sessions USING (decision)
GROUP BY session
HAVING {agent:String} = '' OR has(groupUniqArray(seen.agent), {agent:String})
ORDER BY last_at DESC, session;
