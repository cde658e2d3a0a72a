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
    -- a decision's steps, and the whole of them as one more
    together AS
    (
        SELECT
            agent,
            groupArray((step_name, ok, runs, failed_runs)) AS steps,
            arrayPushBack(steps, (
                '(whole)',
                toUInt8(arrayAll(one -> one.2 = 1, steps)),
                arraySum(one -> one.3, steps),
                arraySum(one -> one.4, steps))) AS lines
        FROM ended
        GROUP BY agent, decision
    ),
    counted AS
    (
        SELECT
            agent,
            line.1 AS step,
            count() AS decisions,
            countIf(line.2 = 1) AS succeeded,
            sum(line.3) AS runs,
            sum(line.4) AS failed_runs,
            succeeded / decisions AS p,
            1 - (1 - p) * (1 - {validator_catches:Float64}) AS validated
        FROM together
        ARRAY JOIN lines AS line
        GROUP BY agent, step
    )
SELECT
    agent,
    step,
    decisions,
    succeeded,
    round(p, 4) AS share,
    wilson(succeeded, decisions, -z) AS low,
    wilson(succeeded, decisions, z) AS high,
    round(if(step = '(whole)', exp(sumIf(log(p), step != '(whole)') OVER of_agent), p), 4) AS reliability,
    round(if(step = '(whole)', exp(sumIf(log(validated), step != '(whole)') OVER of_agent), validated), 4) AS with_validator,
    runs,
    failed_runs
FROM counted
WINDOW of_agent AS (PARTITION BY agent)
ORDER BY agent, step = '(whole)', share, decisions DESC, step;
