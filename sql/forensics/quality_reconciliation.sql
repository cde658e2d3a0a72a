-- Does the quality that was told agree with the raw events?
-- number: 9e
-- param tenant: String = default
--     whose decisions
-- param since: DateTime64(6, 'UTC') = today-30d
--     days from this one on
-- param until: DateTime64(6, 'UTC') = now
--     days up to this one
-- param clock_skew_s: UInt32 = 300
--     how far a source's clock may run ahead of the receipt: the setting of that name
-- param strict: UInt32 = 0
--     1 = show also what is explained by events that came after it was told
--
-- The last word on each measure of each group and day, against the same counted again from the raw events of the day's
-- decisions: samples, part, value, bounds and band equal, quantiles within the 1 % of the sketch; `closure_rate` as its day
-- ended. What should have been told and was not is shown with nothing by streams. No row = they agree.
--
-- A day is told when event time passes a full step (setting quality_every_s), so the last events may not be in it yet. Where
-- decisions of the day had events after `at`, up to which it was told (live, those received later; in a replay, those that ended
-- later), samples and part may differ by as many decisions as that: `came_since`. Where none did, all must be equal. What a
-- replay sends after its own time has passed cannot be told from what it sent in time, as `closure_rate` would need. While a
-- decision turns out to be another's, or an event is on its way between partitions, its day may stand here for a moment.

WITH
    1.959963984540054 AS z,
    86400000000 AS a_day,
    (k, n, s) -> if(n = 0, NULL,
        (k / n + s * s / 2 / n + s * sqrt(k / n * (1 - k / n) / n + s * s / 4 / n / n)) / (1 + s * s / n)) AS wilson,
    -- how much time the intervals cover before `until`
    (intervals, until) -> arrayFold(
        (so_far, one) -> (
            greatest(so_far.1, least(one.2, until)),
            so_far.2 + greatest(0, least(one.2, until) - greatest(one.1, so_far.1))),
        arraySort(intervals),
        (toInt64(0), toInt64(0))).2 AS covered,
    toInt64(4000000000000000000) AS never,
    said AS
    (
        SELECT
            agent, task, clock = 'replay' AS replay, toInt64(toUInt32(toDate(day))) AS day_number, measure,
            samples, part, value, low, high, band, p50, p95, p99, decisions, revision,
            -- what did not change is told no more while the rest of its day is
            max(toUnixTimestamp64Micro(assumeNotNull(at)))
                OVER (PARTITION BY agent, task, replay, day_number, measure = 'closure_rate') AS told_at
        FROM quality
        WHERE tenant = {tenant:String}
          AND toDate(day) >= toDate({since:DateTime64(6, 'UTC')})
          AND toDate(day) <= toDate({until:DateTime64(6, 'UTC')})
    ),
    raw AS
    (
        SELECT
            decision, event_id, clock, kafka_offset, frame_index, kind, agent, task, artifact_id, agent_version, outcome,
            confidence, correction_key,
            toUnixTimestamp64Micro(ts) AS us,
            toUnixTimestamp64Micro(received_at) AS received,
            received + 1000000 * toInt64({clock_skew_s:UInt32}) AS latest,
            least(us, latest) AS began,
            us + toInt64(round(1000 * if(
                kind = 'review', greatest(duration_ms, round(ifNull(review_minutes * 60000, duration_ms))), duration_ms)))
                AS ended,
            if(clock = 'replay', least(ended, latest), received) AS known,
            kind IN ('model_call', 'tool_call', 'retrieval', 'embedding', 'guardrail', 'step', 'decision') AS works,
            kind = 'escalation' OR escalation_reason != '' AS escalates,
            if(kind = 'escalation', us, ended) AS escalated_when,
            review_verdict != '' AS judges,
            review_verdict NOT IN ('', 'approve') AS overturns,
            ifNull(toUnixTimestamp64Micro(queue_entered_at), 0) AS queued
        FROM decision_events
        WHERE tenant = {tenant:String} AND belongs
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    decided AS
    (
        SELECT
            argMinIf(raw.agent, (us, event_id), raw.agent != '') AS of_agent,
            argMinIf(raw.task, (us, event_id), raw.task != '') AS of_task,
            argMinIf(artifact_id, (us, event_id), artifact_id != '') AS by_id,
            if(by_id != '', by_id, argMinIf(agent_version, (us, event_id), agent_version != '')) AS artifact,
            argMax(clock, (kafka_offset, frame_index)) = 'replay' AS replay,
            min(began) AS begins,
            intDiv(begins, a_day) AS day_number,
            max(known) AS last_known,
            countIf(escalates) > 0 AS escalated,
            countIf(judges) > 0 AS judged,
            countIf(overturns) > 0 AS overturned,
            countIf(kind = 'review') > 0 AS reviewed,
            argMaxIf(outcome, (us, event_id), outcome != '') AS last_outcome,
            last_outcome IN ('correct', 'incorrect') AS labelled,
            argMaxIf(toInt64(round(ifNull(confidence, 0) * 1000000)), (kind = 'decision', us, event_id), isNotNull(confidence))
                AS millionths,
            countIf(isNotNull(confidence)) > 0 AS confident,
            -- the parts of its resolution time, in microseconds
            minIf(escalated_when, escalates) AS escalated_at,
            minIf(queued, queued > 0) AS queued_at,
            minIf(us, kind = 'review') AS review_at,
            maxIf(ended, kind = 'review') AS review_end,
            maxIf(ended, works) AS work_end,
            minIf(us, outcome != '') AS outcome_at,
            least(
                if(escalated, escalated_at, never), if(queued_at > 0, queued_at, never), if(reviewed, review_at, never))
                AS handover,
            if(queued_at > 0, queued_at, escalated_at) AS waits_from,
            if(reviewed AND waits_from > 0, greatest(0, review_at - waits_from), 0) AS queue,
            if(review_end > 0, review_end, work_end) AS done_at,
            if(done_at > 0 AND last_outcome != '', greatest(0, outcome_at - done_at), 0) AS downstream,
            covered(groupArrayIf((us, ended), works), handover) AS work,
            covered(groupArrayIf((us, ended), kind = 'review'), never) AS review,
            least((work + queue + review + downstream) / 1000, 1e13) AS resolution_ms,
            queue / 1000 AS queue_ms,
            -- the loop
            groupUniqArrayIf(correction_key, correction_key != '') AS keys,
            countIf(kind = 'correction' OR overturns) > 0 AS corrected,
            minIf(us, kind = 'correction' OR overturns) AS corrected_at,
            overturned OR last_outcome = 'incorrect' OR (corrected AND last_outcome != 'correct') AS wrong,
            NOT wrong AND last_outcome = 'correct' AS right
        FROM raw
        GROUP BY decision
    ),
    days AS
    (
        SELECT
            of_agent AS agent, task, replay, day_number,
            groupArray(last_known) AS known,
            countIf(labelled) AS labels,
            arraySort(groupArrayIf(queue_ms, escalated AND reviewed)) AS waited,
            arraySort(groupArrayIf(resolution_ms, last_outcome != '' OR reviewed OR NOT escalated)) AS took,
            groupArrayIf((least(intDiv(millionths * 10, 1000000), 9), millionths, toInt64(last_outcome = 'correct')),
                labelled AND confident) AS sure,
            arraySum(one -> one.3, sure) AS sure_right,
            arrayConcat(
                arrayMap(line -> (line.1, line.2, line.3, if(line.2 = 0, NULL, line.3 / line.2), emptyArrayFloat64()), [
                    ('accuracy', labels, countIf(labelled AND last_outcome = 'correct')),
                    ('escalation_rate', count(), countIf(escalated)),
                    ('override_rate', countIf(judged), countIf(judged AND overturned)),
                    ('escalation_precision', countIf(escalated AND judged), countIf(escalated AND judged AND overturned)),
                    ('missed_escalations', countIf(NOT escalated AND (labelled OR overturned)),
                        countIf(NOT escalated AND (last_outcome = 'incorrect' OR overturned)))]),
                [
                    ('brier_score', length(sure), toUInt64(sure_right),
                        if(empty(sure), NULL, toFloat64(arraySum(
                            one -> toInt128(one.2 - 1000000 * one.3) * (one.2 - 1000000 * one.3), sure))
                            / 1e12 / length(sure)), emptyArrayFloat64()),
                    ('calibration_error', length(sure), toUInt64(sure_right),
                        if(empty(sure), NULL, arraySum(
                            bin -> abs(arraySum(one -> if(one.1 = bin, 1000000 * one.3 - one.2, 0), sure)), range(10))
                            / 1000000 / length(sure)), emptyArrayFloat64())],
                [('time_to_human', length(waited), toUInt64(0), NULL, waited),
                    ('resolution_ms', length(took), toUInt64(0), NULL, took)]) AS lines
        FROM decided
        ARRAY JOIN arrayDistinct(['', of_task]) AS task
        WHERE day_number >= toUInt32(toDate({since:DateTime64(6, 'UTC')}))
          AND day_number <= toUInt32(toDate({until:DateTime64(6, 'UTC')}))
        GROUP BY agent, task, replay, day_number
    ),
    -- corrections and what may close them, of one kind
    kinds AS
    (
        SELECT
            agent, replay, task, key,
            groupArrayIf((corrected_at, first_at, artifact != ''), corrected AND wrong) AS wrongs,
            groupArrayIf((begins, first_at), right AND artifact != '') AS rights,
            groupArray((least(begins, if(corrected, corrected_at, never)), last_known)) AS known
        FROM
        (
            SELECT *, of_agent AS agent, of_task AS task, min(begins) OVER (PARTITION BY of_agent, replay, artifact) AS first_at
            FROM decided
        )
        ARRAY JOIN keys AS key
        GROUP BY agent, replay, task, key
        HAVING notEmpty(wrongs)
    ),
    -- how far what was told had come
    reached AS
    (
        SELECT replay AS of_clock, max(told_at) AS up_to FROM said GROUP BY replay
    ),
    loops AS
    (
        SELECT
            agent, replay, day_number,
            sum(length(made)) AS corrections,
            sum(closed) AS part,
            sum(counted) AS samples,
            sum(if(stirred > 0, stirred + length(made), 0)) AS changed
        FROM
        (
            SELECT
                kinds.agent AS agent, kinds.replay AS replay, over.day_number AS day_number,
                (day_number + 1) * a_day - 1 AS day_end,
                if(told.told_at > 0, told.told_at, day_end) AS known_at,
                arrayFilter(one -> one.1 >= (day_number - 89) * a_day AND one.1 <= day_end, wrongs) AS made,
                arrayMap(one -> one.3 AND arrayExists(
                    mended -> mended.1 > one.1 AND mended.1 <= one.1 + 30 * a_day AND mended.1 <= day_end AND mended.2 > one.2,
                    rights), made) AS learnt,
                arraySum(learnt) AS closed,
                arrayCount((one, is_learnt) -> is_learnt OR day_end - one.1 >= 30 * a_day, made, learnt) AS counted,
                arrayCount(one -> one.1 <= day_end AND one.2 > known_at, known) AS stirred
            FROM kinds
            INNER JOIN
            (
                SELECT
                    of_clock,
                    arrayJoin(range(
                        toUInt32(toDate({since:DateTime64(6, 'UTC')})),
                        toUInt32(least(
                            intDiv(up_to, a_day), 1 + toUInt32(toDate({until:DateTime64(6, 'UTC')})))))) AS day_number
                FROM reached
            ) AS over ON over.of_clock = kinds.replay
            LEFT JOIN (SELECT agent, replay, day_number, told_at FROM said WHERE measure = 'closure_rate') AS told
                ON told.agent = kinds.agent AND told.replay = kinds.replay AND told.day_number = over.day_number
        )
        GROUP BY agent, replay, day_number
    ),
    recounted AS
    (
        SELECT
            agent, task, replay, day_number, line.1 AS measure, line.2 AS samples, line.3 AS part, line.4 AS value,
            length(known) AS decisions, line.5 AS sorted, known, 0 AS changed
        FROM days
        ARRAY JOIN lines AS line
        WHERE samples > 0
        UNION ALL
        SELECT
            agent, '', replay, day_number, 'closure_rate', samples, part, if(samples = 0, NULL, part / samples),
            corrections, emptyArrayFloat64(), emptyArrayInt64(), changed
        FROM loops
        WHERE corrections > 0
    ),
    compared AS
    (
        SELECT
            agent, task, replay, day_number, measure,
            told.revision AS revision,
            if(told.told_at > 0, told.told_at, reached.up_to) AS told_up_to,
            told.samples AS samples_by_streams, again.samples AS samples_by_events,
            told.part AS part_by_streams, again.part AS part_by_events,
            told.value AS value_by_streams, again.value AS value_by_events,
            again.changed + arrayCount(moment -> moment > told_up_to, again.known) AS came_since,
            measure IN ('brier_score', 'calibration_error', 'time_to_human', 'resolution_ms') AS plain,
            [told.p50, told.p95, told.p99] AS quantiles,
            arrayMap(
                q -> if(empty(again.sorted), NULL, again.sorted[toUInt64(ceil(q * length(again.sorted)))]), [0.5, 0.95, 0.99])
                AS ranked,
            arrayExists((one, other) -> isNull(one) != isNull(other)
                OR abs(ifNull(one, 0) - ifNull(other, 0)) > 0.0101 * ifNull(other, 0) + 0.0002, quantiles, ranked) AS off_rank,
            -- a rate must be that of what it was told of, a score that of the events
            if(plain OR told.samples = 0, [if(plain, again.value, NULL), NULL, NULL], [
                told.part / told.samples,
                wilson(told.part, told.samples, -z),
                wilson(told.part, told.samples, z)]) AS drawn,
            arrayExists((one, other) -> isNull(one) != isNull(other) OR abs(ifNull(one, 0) - ifNull(other, 0)) > 1e-9,
                [told.value, told.low, told.high], drawn) AS off_value,
            100 * told.part AS of_hundred,
            multiIf(
                measure NOT IN ('override_rate', 'closure_rate'), '',
                told.samples < 20, 'insufficient',
                measure = 'override_rate', multiIf(
                    of_hundred >= 40 * told.samples, 'rethink',
                    of_hundred > 25 * told.samples, 'retrain',
                    of_hundred >= 15 * told.samples, 'watch',
                    'calibrated'),
                of_hundred >= 70 * told.samples, 'active_learning',
                of_hundred > 30 * told.samples, 'between',
                of_hundred >= 20 * told.samples, 'quarterly_updates',
                'slower') AS called,
            called = told.band AND (plain OR NOT off_value) AS sound,
            sound AND again.samples = told.samples AND again.part = told.part AND NOT off_rank AND NOT off_value
                AND (measure != 'closure_rate' OR again.decisions = told.decisions) AS equal,
            (sound OR told.revision = 0) AND came_since > 0
                AND abs(toInt64(again.samples) - toInt64(told.samples)) <= came_since
                AND abs(toInt64(again.part) - toInt64(told.part)) <= came_since AS explained
        FROM said AS told
        FULL JOIN recounted AS again USING (agent, task, replay, day_number, measure)
        LEFT JOIN reached ON of_clock = replay
    )
SELECT
    toString(toDate(toUInt16(day_number))) AS day,
    agent,
    task,
    if(replay, 'replay', 'source') AS clock,
    measure,
    revision,
    fromUnixTimestamp64Micro(told_up_to, 'UTC') AS at,
    samples_by_streams,
    samples_by_events,
    part_by_streams,
    part_by_events,
    value_by_streams,
    value_by_events,
    quantiles AS quantiles_by_streams,
    ranked AS quantiles_by_events,
    came_since
FROM compared
WHERE NOT equal AND ({strict:UInt32} = 1 OR NOT explained)
ORDER BY day, agent, task, clock, measure;
