-- How good are the agents' decisions, day by day?
-- number: 9d
-- param tenant: String = default
--     whose decisions
-- param agent: String =
--     only decisions of this agent; empty = all
-- param task: String =
--     only decisions of this task; empty = the agents as a whole
-- param measure: String =
--     only this measure; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     days from this one on
-- param until: DateTime64(6, 'UTC') = now
--     days up to this one
-- unit p50: ms
-- unit p95: ms
-- unit p99: ms
--
-- As the streams told it last, for the day on which the decisions began; `told_at` is how far event time had come then, and
-- `revision` how often it was told. accuracy, escalation_rate, override_rate, escalation_precision and missed_escalations are
-- shares between their bounds (Wilson, 95 %); time_to_human and resolution_ms are times; brier_score and calibration_error say
-- whether a confidence means what it says; closure_rate is of the 90 days that end with the day. Of few samples the state is
-- `insufficient`. `quality_reconciliation` compares all of it with the raw events.

SELECT
    day,
    agent,
    task,
    clock,
    measure,
    state,
    samples,
    part,
    round(value, 4) AS value,
    round(low, 4) AS low,
    round(high, 4) AS high,
    band,
    round(p50) AS p50,
    round(p95) AS p95,
    round(p99) AS p99,
    reason,
    revision,
    at AS told_at
FROM quality
WHERE tenant = {tenant:String}
  AND ({agent:String} = '' OR agent = {agent:String})
  AND task = {task:String}
  AND ({measure:String} = '' OR measure = {measure:String})
  AND toDate(day) >= toDate({since:DateTime64(6, 'UTC')})
  AND toDate(day) <= toDate({until:DateTime64(6, 'UTC')})
ORDER BY day DESC, agent, clock, measure;
