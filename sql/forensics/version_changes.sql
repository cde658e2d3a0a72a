-- What changed between two versions?
-- number: 6
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only decisions of this agent; empty = all
-- param before: String =
--     an artifact's hash or an agent's version; empty = the last but one that was first seen
-- param after: String =
--     what it is compared with; empty = the last one that was first seen
-- param since: DateTime64(6, 'UTC') = today-30d
--     decisions that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     decisions that began before this moment
--
-- Decisions of one version against those of the other, each measure between its bounds, and the difference with its own. A
-- difference is `higher` or `lower` when its bounds leave out 0; where there is too little data for bounds it is
-- `insufficient`. Costs (USD) are of decisions in which every call has a price; times are in ms. A version is an artifact's
-- hash, else the agent's version. All bounds are 95 %: Wilson for shares, 1.96 standard errors for means, order statistics
-- for quantiles; of differences from these (Newcombe 1998; Zou and Donner 2008). Versions that ran at different times, or on
-- other cases, differ by these as well.

WITH
    1.959963984540054 AS z,
    (k, n, s) -> if(n = 0, NULL,
        (k / n + s * s / 2 / n + s * sqrt(k / n * (1 - k / n) / n + s * s / 4 / n / n)) / (1 + s * s / n)) AS wilson,
    (sorted, place) -> if(place < 1 OR place > length(sorted), NULL, sorted[toUInt64(greatest(1, place))]) AS at_place,
    (k, n) -> (toUInt64(n), if(n = 0, NULL, k / n), wilson(k, n, -z), wilson(k, n, z)) AS share,
    (n, mean, spread) -> (
        toUInt64(n),
        if(n = 0, NULL, mean),
        if(n < 2, NULL, mean - z * spread / sqrt(n)),
        if(n < 2, NULL, mean + z * spread / sqrt(n))) AS average,
    (sorted, q) -> (
        length(sorted),
        at_place(sorted, ceil(q * length(sorted))),
        at_place(sorted, floor(q * length(sorted) - z * sqrt(q * (1 - q) * length(sorted)))),
        at_place(sorted, ceil(q * length(sorted) + z * sqrt(q * (1 - q) * length(sorted))) + 1)) AS quantile_of,
    made AS
    (
        SELECT
            *,
            if(artifact_id != '', artifact_id, agent_version) AS version,
            unpriced_calls + no_usage_calls = 0 AS priced
        FROM decisions
        WHERE tenant = {tenant:String}
          AND ({agent:String} = '' OR agent = {agent:String})
          AND started_at >= {since:DateTime64(6, 'UTC')}
          AND started_at < {until:DateTime64(6, 'UTC')}
          AND version != ''
    ),
    seen AS
    (
        SELECT
            agent,
            arrayMap(one -> one.2, arraySort(groupArray((first_at, version)))) AS versions,
            if({after:String} != '', {after:String}, versions[-1]) AS new_one,
            if({before:String} != '', {before:String}, arrayFilter(one -> one != new_one, versions)[-1]) AS old_one
        FROM (SELECT agent, version, min(started_at) AS first_at FROM made GROUP BY agent, version)
        GROUP BY agent
    ),
    chosen AS
    (
        SELECT made.*, version = new_one AS is_new, old_one, new_one
        FROM made
        INNER JOIN seen USING (agent)
        WHERE version IN (old_one, new_one) AND old_one != '' AND new_one != ''
    ),
    calls AS
    (
        SELECT decision, groupArray(duration_ms) AS durations
        FROM
        (
            SELECT decision, event_id, duration_ms
            FROM decision_events
            WHERE tenant = {tenant:String} AND belongs AND kind = 'model_call'
            ORDER BY kafka_partition, kafka_offset, frame_index
            LIMIT 1 BY event_id
        )
        GROUP BY decision
    ),
    stats AS
    (
        SELECT
            agent, is_new, any(old_one) AS old_one, any(new_one) AS new_one,
            [
                ('accuracy', share(countIf(outcome = 'correct'), countIf(outcome IN ('correct', 'incorrect')))),
                ('escalation_rate', share(countIf(escalated), count())),
                ('override_rate', share(countIf(review_verdict != '' AND overturned), countIf(review_verdict != ''))),
                ('tool_error_rate', share(sum(tool_errors), sum(tool_calls))),
                ('realized_cost', average(
                    countIf(priced), avgIf(toFloat64(realized_cost), priced), stddevSampIf(toFloat64(realized_cost), priced))),
                ('api_cost', average(
                    countIf(priced), avgIf(toFloat64(automated_cost), priced), stddevSampIf(toFloat64(automated_cost), priced))),
                ('model_calls', average(count(), avg(model_calls), stddevSamp(model_calls))),
                ('tool_calls', average(count(), avg(tool_calls), stddevSamp(tool_calls))),
                ('resolution_ms_p50', quantile_of(arraySort(groupArray(resolution_ms)), 0.5)),
                ('resolution_ms_p95', quantile_of(arraySort(groupArray(resolution_ms)), 0.95)),
                ('model_call_ms_p50', quantile_of(arraySort(groupArrayArray(durations)), 0.5)),
                ('model_call_ms_p95', quantile_of(arraySort(groupArrayArray(durations)), 0.95))
            ] AS measured
        FROM chosen
        LEFT JOIN calls ON calls.decision = chosen.decision_key
        GROUP BY agent, is_new
    ),
    lines AS
    (
        SELECT
            agent,
            any(old_one) AS before,
            any(new_one) AS after,
            place,
            any(measured[place].1) AS measure,
            anyIf(measured[place].2, NOT is_new) AS old,
            anyIf(measured[place].2, is_new) AS new
        FROM stats
        ARRAY JOIN arrayEnumerate(measured) AS place
        GROUP BY agent, place
        HAVING uniqExact(is_new) = 2
    )
SELECT
    agent,
    before,
    after,
    measure,
    old.1 AS n_before,
    round(old.2, 6) AS value_before,
    round(old.3, 6) AS low_before,
    round(old.4, 6) AS high_before,
    new.1 AS n_after,
    round(new.2, 6) AS value_after,
    round(new.3, 6) AS low_after,
    round(new.4, 6) AS high_after,
    round(new.2 - old.2, 6) AS difference,
    round(new.2 - old.2 - sqrt(pow(new.2 - new.3, 2) + pow(old.4 - old.2, 2)), 6) AS difference_low,
    round(new.2 - old.2 + sqrt(pow(new.4 - new.2, 2) + pow(old.2 - old.3, 2)), 6) AS difference_high,
    multiIf(
        isNull(difference_low) OR isNull(difference_high), 'insufficient',
        difference_low > 0, 'higher',
        difference_high < 0, 'lower',
        'no difference shown') AS verdict
FROM lines
ORDER BY agent, place;
