-- What did this agent do?
-- number: 1a
-- param tenant: String = default
--     whose agent
-- param agent: String
--     the agent; every runtime it ran in is shown
-- param since: DateTime64(6, 'UTC') = yesterday
--     from this moment on
-- param until: DateTime64(6, 'UTC') = now
--     up to and without this moment
-- unit p50_ms: ms
-- unit p95_ms: ms

WITH
    done AS
    (
        SELECT *
        FROM events
        WHERE tenant = {tenant:String}
          AND agent = {agent:String}
          AND ts >= {since:DateTime64(6, 'UTC')}
          AND ts < {until:DateTime64(6, 'UTC')}
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    )
SELECT
    runtime,
    agent_version,
    task,
    kind,
    multiIf(tool != '', tool, model_served != '', model_served, model_requested != '', model_requested, name) AS what,
    target_system,
    count() AS times,
    countIf(status != 'ok') AS failed,
    uniqExact(if(decision_key != '', decision_key, if(decision_id != '', decision_id, event_id))) AS decisions,
    round(quantileExact(0.5)(duration_ms), 3) AS p50_ms,
    round(quantileExact(0.95)(duration_ms), 3) AS p95_ms,
    sum(tokens_input + tokens_cache_read + tokens_cache_write_5m + tokens_cache_write_1h) AS tokens_in,
    sum(tokens_output) AS tokens_out,
    min(ts) AS first_at,
    max(ts) AS last_at
FROM done
GROUP BY runtime, agent_version, task, kind, what, target_system
ORDER BY times DESC, runtime, agent_version, task, kind, what, target_system;
