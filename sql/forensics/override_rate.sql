-- How often do humans change what agents propose?
-- number: 9a
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only decisions of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     reviews that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     reviews that began before this moment
-- param at_least: UInt32 = 20
--     of fewer reviews the band says nothing
--
-- override_rate = reviews that change the proposal (override, correct, reject) / reviews with a verdict: of each agent, of each
-- artifact (its hash, else the agent's version) and of each reviewer. A reviewer far from the others judges differently, or
-- other cases. Bands: under 15 % calibrated, to 25 % watch, over 25 % retrain, from 40 % rethink. Bounds: Wilson, 95 %.

WITH
    1.959963984540054 AS z,
    (k, n, s) -> if(n = 0, NULL, round(
        (k / n + s * s / 2 / n + s * sqrt(k / n * (1 - k / n) / n + s * s / 4 / n / n)) / (1 + s * s / n), 4)) AS wilson,
    made AS
    (
        SELECT decision, reviewer, review_verdict, review_minutes
        FROM decision_events
        WHERE tenant = {tenant:String}
          AND belongs
          -- all copies of an event that has one, so that the first is taken
          AND event_id IN (SELECT event_id FROM events WHERE tenant = {tenant:String} AND review_verdict != '')
          AND ts >= {since:DateTime64(6, 'UTC')}
          AND ts < {until:DateTime64(6, 'UTC')}
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    judged AS
    (
        SELECT decision_key, agent, if(artifact_id != '', artifact_id, agent_version) AS artifact
        FROM decisions
        WHERE tenant = {tenant:String} AND ({agent:String} = '' OR agent = {agent:String})
    )
SELECT
    who.1 AS by,
    who.2 AS name,
    count() AS reviews,
    countIf(review_verdict != 'approve') AS overridden,
    round(overridden / reviews, 4) AS override_rate,
    wilson(overridden, reviews, -z) AS low,
    wilson(overridden, reviews, z) AS high,
    multiIf(
        reviews < greatest({at_least:UInt32}, 1), 'insufficient',
        100 * overridden >= 40 * reviews, 'rethink',
        100 * overridden > 25 * reviews, 'retrain',
        100 * overridden >= 15 * reviews, 'watch',
        'calibrated') AS band,
    uniqExact(decision_key) AS decisions,
    round(avg(review_minutes), 2) AS minutes_each
FROM made
INNER JOIN judged ON judged.decision_key = made.decision
ARRAY JOIN [('agent', agent), ('artifact', artifact), ('reviewer', reviewer)] AS who
WHERE review_verdict != ''
GROUP BY who
ORDER BY by, override_rate DESC, name;
