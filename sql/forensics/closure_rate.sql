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
    made AS
    (
        SELECT
            decision_key, agent, task, outcome, overturned, started_at,
            if(artifact_id != '', artifact_id, agent_version) AS artifact,
            min(started_at) OVER (PARTITION BY agent, artifact) AS first_at
        FROM decisions
        WHERE tenant = {tenant:String} AND ({agent:String} = '' OR agent = {agent:String})
    ),
    cases AS
    (
        SELECT
            agent, task, arrayJoin(keys) AS key, artifact, first_at, started_at, corrected, corrected_at,
            overturned OR outcome = 'incorrect' OR (corrected AND outcome != 'correct') AS wrong,
            NOT wrong AND outcome = 'correct' AS right
        FROM made
        INNER JOIN marked ON marked.decision = made.decision_key
        WHERE started_at <= {at:DateTime64(6, 'UTC')}
    ),
    corrections AS
    (
        SELECT
            agent,
            task,
            arrayJoin(groupArrayIf((corrected_at, first_at, artifact), corrected AND wrong)) AS correction,
            groupArrayIf((started_at, first_at), right AND artifact != '') AS rights,
            correction.1 AS made_at,
            made_at + toIntervalDay({within_days:UInt32}) AS until_then,
            arrayFilter(
                mended -> correction.3 != '' AND mended.1 > made_at AND mended.1 <= until_then AND mended.2 > correction.2,
                rights) AS mended_by,
            notEmpty(mended_by) AS learnt,
            arrayMin(mended -> mended.1, mended_by) AS mended_at
        FROM cases
        GROUP BY agent, task, key
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
