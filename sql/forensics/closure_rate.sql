-- Is what people correct learnt?
-- number: 9c
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only decisions of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-90d
--     corrections made at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     corrections made before this moment
-- param at: DateTime64(6, 'UTC') = now
--     the moment up to which decisions are known
-- param within_days: UInt32 = 30
--     how long a correction may take to be learnt
-- unit days_to_close: days
--
-- A correction is a decision that was wrong (overturned, or found incorrect) and that a human corrected. It is closed when a
-- decision of the same agent, task and correction key, begun after it and within 30 days, is right, and was made by a newer
-- artifact (its hash, else the agent's version): one whose first decision began later than that of the one which was wrong. A
-- correction that is younger than that and not closed is `waiting`, and counts neither way. 70 to 85 % is what active learning reaches, 20 to 30 % what
-- quarterly updates do. Bounds: Wilson, 95 %.

WITH
    1.959963984540054 AS z,
    (k, n, s) -> if(n = 0, NULL, round(
        (k / n + s * s / 2 / n + s * sqrt(k / n * (1 - k / n) / n + s * s / 4 / n / n)) / (1 + s * s / n), 4)) AS wilson,
    told AS
    (
        SELECT decision, ts, kind, review_verdict, correction_key
        FROM decision_events
        WHERE tenant = {tenant:String}
          AND belongs
          -- all copies of an event that has one, so that the first is taken
          AND event_id IN
          (
              SELECT event_id
              FROM events
              WHERE tenant = {tenant:String} AND (correction_key != '' OR kind = 'correction' OR review_verdict != '')
          )
          AND ts <= {at:DateTime64(6, 'UTC')}
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    marked AS
    (
        SELECT
            decision,
            groupUniqArrayIf(correction_key, correction_key != '') AS keys,
            countIf(kind = 'correction' OR review_verdict NOT IN ('', 'approve')) > 0 AS corrected,
            minIf(ts, kind = 'correction' OR review_verdict NOT IN ('', 'approve')) AS corrected_at
        FROM told
        GROUP BY decision
        HAVING notEmpty(keys)
    ),
    versions AS
    (
        SELECT agent AS of_agent, if(artifact_id != '', artifact_id, agent_version) AS of_artifact, min(started_at) AS first_at
        FROM decisions
        WHERE tenant = {tenant:String} AND of_artifact != ''
        GROUP BY of_agent, of_artifact
    ),
    cases AS
    (
        SELECT
            decision_key, agent, task, arrayJoin(keys) AS key, started_at, corrected, corrected_at, of_artifact, first_at,
            overturned OR outcome = 'incorrect' OR (corrected AND outcome != 'correct') AS wrong,
            NOT wrong AND outcome = 'correct' AS right
        FROM decisions
        INNER JOIN marked ON marked.decision = decisions.decision_key
        LEFT JOIN versions ON of_agent = agent AND of_artifact = if(artifact_id != '', artifact_id, agent_version)
        WHERE tenant = {tenant:String}
          AND ({agent:String} = '' OR agent = {agent:String})
          AND started_at <= {at:DateTime64(6, 'UTC')}
    ),
    corrections AS
    (
        SELECT
            corrected.agent AS agent,
            corrected.task AS task,
            corrected.decision_key AS decision_key,
            corrected.key AS key,
            any(corrected.corrected_at) AS made_at,
            made_at + toIntervalDay({within_days:UInt32}) AS until_then,
            minIf(
                mended.started_at,
                corrected.of_artifact != '' AND mended.of_artifact != ''
                    AND mended.started_at > corrected.corrected_at
                    AND mended.started_at <= corrected.corrected_at + toIntervalDay({within_days:UInt32})
                    AND mended.first_at > corrected.first_at) AS mended_at,
            mended_at > made_at AS learnt
        FROM (SELECT * FROM cases WHERE corrected AND wrong) AS corrected
        LEFT JOIN (SELECT * FROM cases WHERE right) AS mended
            ON mended.agent = corrected.agent AND mended.task = corrected.task AND mended.key = corrected.key
        GROUP BY agent, task, decision_key, key
    )
SELECT
    agent,
    task,
    count() AS corrections,
    countIf(learnt) AS closed,
    countIf(learnt OR until_then <= {at:DateTime64(6, 'UTC')}) AS counted,
    corrections - counted AS waiting,
    if(counted = 0, NULL, round(closed / counted, 4)) AS closure_rate,
    wilson(closed, counted, -z) AS low,
    wilson(closed, counted, z) AS high,
    multiIf(
        counted = 0, 'insufficient',
        100 * closed >= 70 * counted, 'active_learning',
        100 * closed > 30 * counted, 'between',
        100 * closed >= 20 * counted, 'quarterly_updates',
        'slower') AS pace,
    if(closed = 0, NULL, round(quantileExactIf(0.5)(dateDiff('second', made_at, mended_at) / 86400, learnt), 1))
        AS days_to_close
FROM corrections
WHERE made_at >= {since:DateTime64(6, 'UTC')} AND made_at < {until:DateTime64(6, 'UTC')}
GROUP BY agent, task
ORDER BY corrections DESC, agent, task;
