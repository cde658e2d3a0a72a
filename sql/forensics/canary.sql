-- Should the candidate be promoted, held or rolled back?
-- number: 6a
-- param tenant: String = default
--     whose canaries
-- param agent: String =
--     only canaries of this agent; empty = all
-- param plan: String =
--     only canaries of this plan of the rules file; empty = all
-- param history: UInt32 = 0
--     1 = every verdict, 0 = the last one of each candidate
-- param since: DateTime64(6, 'UTC') = today-30d
--     verdicts that were concluded at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     verdicts that were concluded before this moment
--
-- One row for each guardrail of each verdict, the latest first: both sides, the limit in the candidate's unit, and the samples.
-- `share` is what the candidate should have of the traffic now: nothing after a rollback. `decided` is the guardrail that did.
-- `insufficient` says that neither a breach of the limit nor its keeping is shown yet; `needed` samples of each side would do if
-- all stays as it is, where that can be told. A verdict that began a stage has no guardrails yet. Method: streams/CANARY.md. `decisions_sql` returns the
-- decisions of both sides; `at` is event time: of canaries in a replay (clock = replay) that of the replay.

SELECT
    at,
    plan,
    agent,
    candidate,
    control,
    stage + 1 AS stage,
    if(verdict = 'rollback', 0, share) AS share,
    verdict,
    guardrail AS decided,
    one.1 AS guardrail_name,
    one.2 AS state,
    one.3 AS candidate_value,
    one.4 AS control_value,
    one.5 AS limit_value,
    one.6 AS candidate_samples,
    one.7 AS control_samples,
    nullIf(one.8, 0) AS needed,
    reason,
    stage_from,
    clock,
    revision,
    rules_version,
    sql AS decisions_sql
FROM
(
    SELECT *, max(revision) OVER (PARTITION BY plan, agent, candidate, clock) AS newest
    FROM
    (
        SELECT *
        FROM canary_verdicts
        WHERE tenant = {tenant:String}
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY plan, agent, candidate, clock, revision
    )
)
LEFT ARRAY JOIN guardrails AS one, arrayEnumerate(guardrails) AS place
WHERE ({agent:String} = '' OR agent = {agent:String})
  AND ({plan:String} = '' OR plan = {plan:String})
  AND ({history:UInt32} > 0 OR revision = newest)
  AND at >= {since:DateTime64(6, 'UTC')}
  AND at < {until:DateTime64(6, 'UTC')}
ORDER BY at DESC, plan, agent, candidate, clock, revision DESC, place;
