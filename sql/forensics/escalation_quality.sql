-- Are the right decisions handed to a human?
-- number: 9
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only decisions of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     decisions that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     decisions that began before this moment
-- param at_least: UInt32 = 20
--     of fewer reviews the band says nothing
-- unit to_human_p50: min
-- unit to_human_p95: min
--
-- escalation_rate = escalated / decided. override_rate = decisions whose proposal a human changed / decisions with a verdict;
-- its band: under 15 % calibrated, to 25 % watch, over 25 % retrain the escalation logic, from 40 % rethink the criteria.
-- precision = of the escalated decisions with a verdict, those the human changed. missed_rate = of the decisions that were not
-- escalated and of which it is known, those that were found wrong. to_human = from the queue's entry to the first review.
-- A review without a verdict says nothing of the proposal; `without_verdict` counts the decisions that have no other.
-- Each rate stands between its bounds: Wilson, 95 %.

WITH
    1.959963984540054 AS z,
    (k, n, s) -> if(n = 0, NULL, round(
        (k / n + s * s / 2 / n + s * sqrt(k / n * (1 - k / n) / n + s * s / 4 / n / n)) / (1 + s * s / n), 4)) AS wilson
SELECT
    agent,
    count() AS decisions,
    countIf(escalated) AS escalations,
    round(escalations / decisions, 4) AS escalation_rate,
    wilson(escalations, decisions, -z) AS escalation_low,
    wilson(escalations, decisions, z) AS escalation_high,
    countIf(review_verdict != '') AS reviewed,
    countIf(reviews > 0 AND review_verdict = '') AS without_verdict,
    countIf(review_verdict != '' AND overturned) AS overridden,
    if(reviewed = 0, NULL, round(overridden / reviewed, 4)) AS override_rate,
    wilson(overridden, reviewed, -z) AS override_low,
    wilson(overridden, reviewed, z) AS override_high,
    multiIf(
        reviewed < greatest({at_least:UInt32}, 1), 'insufficient',
        100 * overridden >= 40 * reviewed, 'rethink',
        100 * overridden > 25 * reviewed, 'retrain',
        100 * overridden >= 15 * reviewed, 'watch',
        'calibrated') AS band,
    countIf(escalated AND review_verdict != '') AS escalated_reviewed,
    countIf(escalated AND review_verdict != '' AND overturned) AS escalated_changed,
    if(escalated_reviewed = 0, NULL, round(escalated_changed / escalated_reviewed, 4)) AS precision,
    wilson(escalated_changed, escalated_reviewed, -z) AS precision_low,
    wilson(escalated_changed, escalated_reviewed, z) AS precision_high,
    countIf(NOT escalated AND (outcome IN ('correct', 'incorrect') OR overturned)) AS known_alone,
    countIf(NOT escalated AND (outcome = 'incorrect' OR overturned)) AS missed,
    if(known_alone = 0, NULL, round(missed / known_alone, 4)) AS missed_rate,
    wilson(missed, known_alone, -z) AS missed_low,
    wilson(missed, known_alone, z) AS missed_high,
    countIf(escalated AND reviews > 0) AS reached_a_human,
    if(reached_a_human = 0, NULL, round(quantileExactIf(0.5)(queue_ms, escalated AND reviews > 0) / 60000, 2)) AS to_human_p50,
    if(reached_a_human = 0, NULL, round(quantileExactIf(0.95)(queue_ms, escalated AND reviews > 0) / 60000, 2)) AS to_human_p95
FROM decisions
WHERE tenant = {tenant:String}
  AND ({agent:String} = '' OR agent = {agent:String})
  AND started_at >= {since:DateTime64(6, 'UTC')}
  AND started_at < {until:DateTime64(6, 'UTC')}
GROUP BY agent
ORDER BY decisions DESC, agent;
