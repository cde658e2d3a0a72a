-- Which step fails, and how reliable is the whole?
-- number: 4
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only decisions of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     work that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     work that began before this moment
-- param validator_catches: Float64 = 0.9
--     the share of a step's errors that a validator would catch
--
-- A step is what its events call it, else the tool, `retrieval` or `generation`. In a decision it succeeded when it ended ok,
-- whatever it took: `runs` and `failed_runs` count the tries. The row `(whole)`: `share` is how many decisions had no step that
-- ended badly; `reliability` is the product of the steps (Lusser: 0.98 over 10 steps is 0.817), which holds for a chain
-- through all of them that fail independently. Where the two differ, steps fail together, or decisions take other ways.
-- `with_validator` is 1 - (1 - p)(1 - c) for a step, and the product of these for the whole. Bounds: Wilson, 95 %.

WITH
    1.959963984540054 AS z,
    (k, n, s) -> if(n = 0, NULL, round(
        (k / n + s * s / 2 / n + s * sqrt(k / n * (1 - k / n) / n + s * s / 4 / n / n)) / (1 + s * s / n), 4)) AS wilson,
    made AS
    (
        SELECT
            decision,
            event_id,
            agent,
            multiIf(
                step != '', step,
                kind = 'tool_call' AND tool != '', tool,
                kind = 'retrieval', 'retrieval',
                kind = 'model_call', 'generation',
                name != '', name,
                kind) AS step_name,
            status,
            ts + toIntervalMicrosecond(toInt64(round(duration_ms * 1000))) AS ended_at
        FROM decision_events
        WHERE tenant = {tenant:String}
          AND belongs
          AND kind IN ('step', 'tool_call', 'model_call', 'retrieval', 'embedding', 'guardrail')
          AND ({agent:String} = '' OR agent = {agent:String})
          AND ts >= {since:DateTime64(6, 'UTC')}
          AND ts < {until:DateTime64(6, 'UTC')}
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    ),
    ended AS
    (
        SELECT
            agent,
            decision,
            step_name,
            count() AS runs,
            countIf(status != 'ok') AS failed_runs,
            argMax(status, (ended_at, event_id)) = 'ok' AS ok
        FROM made
        GROUP BY agent, decision, step_name
    ),
    steps AS
    (
        SELECT
            agent,
            step_name AS step,
            count() AS decisions,
            countIf(ok) AS succeeded,
            sum(runs) AS runs,
            sum(failed_runs) AS failed_runs,
            succeeded / decisions AS p
        FROM ended
        GROUP BY agent, step_name
    ),
    wholes AS
    (
        SELECT agent, count() AS decisions, countIf(all_ok) AS succeeded, sum(runs) AS runs, sum(failed_runs) AS failed_runs
        FROM
        (
            SELECT agent, min(ok) AS all_ok, sum(runs) AS runs, sum(failed_runs) AS failed_runs FROM ended GROUP BY agent, decision
        )
        GROUP BY agent
    ),
    rows AS
    (
        SELECT
            agent, step, decisions, succeeded, runs, failed_runs,
            p AS reliability,
            1 - (1 - p) * (1 - {validator_catches:Float64}) AS with_validator
        FROM steps
        UNION ALL
        SELECT
            agent, '(whole)', decisions, succeeded, runs, failed_runs,
            product,
            validated
        FROM wholes
        INNER JOIN
        (
            SELECT agent, exp(sum(log(p))) AS product, exp(sum(log(1 - (1 - p) * (1 - {validator_catches:Float64})))) AS validated
            FROM steps
            GROUP BY agent
        ) AS products USING (agent)
    )
SELECT
    agent,
    step,
    decisions,
    succeeded,
    round(succeeded / decisions, 4) AS share,
    wilson(succeeded, decisions, -z) AS low,
    wilson(succeeded, decisions, z) AS high,
    round(reliability, 4) AS reliability,
    round(with_validator, 4) AS with_validator,
    runs,
    failed_runs
FROM rows
ORDER BY agent, step = '(whole)', share, decisions DESC, step;
