-- Does the drift that was told agree with the raw events?
-- number: 6c
-- param tenant: String = default
--     whose agents
-- param agent: String =
--     only this agent; empty = all
-- param since: Date = today-30d
--     days from this one on
-- param until: Date = yesterday
--     days up to this one; of a day that is not over, facts are up to five minutes behind
-- param clock_skew_s: UInt32 = 300
--     how far a source's clock may run ahead of the receipt: the setting of that name
--
-- The samples of each fact and of its baseline, counted again from the raw events; and for tools, models, output_class and
-- escalation_reason the index, drawn anew from these counts (of up to 64 names on each side; beyond, the streams put names
-- together). No row = they agree. Which days a baseline holds follows from what the fact names: an artifact (its 30 newest days
-- up to that day) or a range of days, pinned of all artifacts, else of its own. What the rules pinned is taken as told.
-- The sequential test is not drawn anew: it is a function of these same counts, day by day.

WITH
    facts AS
    (
        SELECT *, if(extract(baseline, '^\\d{4}-\\d\\d-\\d\\d to \\d{4}-\\d\\d-\\d\\d$') != '', splitByString(' to ', baseline), []) AS span
        FROM drift
        WHERE tenant = {tenant:String}
          AND ({agent:String} = '' OR agent = {agent:String})
          AND day >= toString({since:Date})
          AND day <= toString({until:Date})
    ),
    heard AS
    (
        SELECT
            *,
            ts AS at,
            received_at + toIntervalSecond({clock_skew_s:UInt32}) AS latest,
            if(artifact_id != '', artifact_id, agent_version) AS of_artifact
        FROM decision_events
        WHERE tenant = {tenant:String} AND belongs
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    decided AS
    (
        SELECT
            argMinIf(agent, (at, event_id), agent != '') AS of_agent,
            toString(argMax(clock, (kafka_offset, frame_index))) AS of_clock,
            if(countIf(artifact_id != '') > 0,
                argMinIf(artifact_id, (at, event_id), artifact_id != ''),
                argMinIf(agent_version, (at, event_id), agent_version != '')) AS artifact,
            toString(toDate(min(least(at, latest)), 'UTC')) AS day,
            argMaxIf(output_class, (at, event_id), output_class != '') AS class,
            countIf(kind = 'escalation' OR escalation_reason != '') > 0 AS escalated,
            argMinIf(escalation_reason, (at, event_id), escalation_reason != '') AS reason,
            countIf(confidence IS NOT NULL) > 0 AS sure
        FROM heard
        GROUP BY decision
        HAVING of_agent != ''
    ),
    counted AS
    (
        SELECT agent, clock, about, artifact, day, sumMap(map(name, toUInt64(1))) AS names
        FROM
        (
            SELECT
                agent,
                toString(clock) AS clock,
                if(kind = 'tool_call', 'tools', 'models') AS about,
                of_artifact AS artifact,
                toString(toDate(least(at + toIntervalMicrosecond(toInt64(round(duration_ms * 1000))), latest), 'UTC')) AS day,
                multiIf(
                    kind = 'tool_call' AND tool != '', tool,
                    kind = 'model_call' AND model_served != '', model_served,
                    kind = 'model_call' AND model_requested != '', model_requested,
                    name) AS name
            FROM heard
            WHERE kind IN ('tool_call', 'model_call') AND agent != ''
            UNION ALL
            SELECT of_agent, of_clock, line.1, artifact, day, line.3
            FROM decided
            ARRAY JOIN [
                ('output_class', class != '', class),
                ('escalation_reason', escalated, if(reason = '', '(none)', reason)),
                ('confidence', sure, ''),
                ('steps', true, ''),
                ('tokens', true, ''),
                ('agent_ms', true, ''),
                ('resolution_ms', true, '')] AS line
            WHERE line.2
        )
        GROUP BY agent, clock, about, artifact, day
    ),
    worked AS
    (
        SELECT agent, clock, arrayReverseSort(groupUniqArray((day, artifact))) AS days
        FROM counted
        GROUP BY agent, clock
    ),
    known AS
    (
        SELECT agent, clock, about, groupArray(((day, artifact), names)) AS lines
        FROM counted
        GROUP BY agent, clock, about
    ),
    recounted AS
    (
        SELECT
            *,
            multiIf(
                baseline = '', [],
                notEmpty(span) AND pinned, arrayFilter(one -> one.1 BETWEEN span[1] AND span[2], days),
                notEmpty(span), arrayFilter(one -> one.2 = artifact AND one.1 BETWEEN span[1] AND span[2], days),
                arraySlice(arrayFilter(one -> one.2 = baseline AND one.1 <= day, days), 1, 30)) AS places,
            arrayFold((sum, one) -> mapAdd(sum, one.2), arrayFilter(one -> has(places, one.1), lines),
                CAST(map(), 'Map(String, UInt64)')) AS names_before,
            arrayFold((sum, one) -> mapAdd(sum, one.2), arrayFilter(one -> one.1 = (day, artifact), lines),
                CAST(map(), 'Map(String, UInt64)')) AS names_now,
            arraySum(mapValues(names_before)) AS all_before,
            arraySum(mapValues(names_now)) AS all_now,
            arrayDistinct(arrayConcat(mapKeys(names_before), mapKeys(names_now))) AS every,
            about IN ('tools', 'models', 'output_class', 'escalation_reason')
                AND length(mapKeys(names_before)) <= 64 AND length(mapKeys(names_now)) <= 64 AS by_name,
            arrayMap(name -> (names_before[name] + 0.5) / (all_before + 0.5 * length(every)), every) AS p,
            arrayMap(name -> (names_now[name] + 0.5) / (all_now + 0.5 * length(every)), every) AS q,
            if(all_before = 0 OR all_now = 0, NULL, arraySum((one, other) -> (other - one) * log(other / one), p, q)) AS index_again
        FROM facts
        LEFT JOIN worked USING (agent, clock)
        LEFT JOIN known USING (agent, clock, about)
    )
SELECT
    agent,
    about,
    day,
    artifact,
    clock,
    baseline,
    revision,
    before AS before_by_streams,
    all_before AS before_by_events,
    now AS now_by_streams,
    all_now AS now_by_events,
    round(psi, 6) AS psi_by_streams,
    if(by_name, round(index_again, 6), NULL) AS psi_by_events
FROM recounted
WHERE before != all_before
   OR now != all_now
   OR by_name AND (isNull(psi) != isNull(index_again) OR abs(psi - index_again) > 1e-6 * greatest(1, psi))
ORDER BY agent, clock, about, day, artifact;
