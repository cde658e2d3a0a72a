-- How far has what an agent does moved, and what moved most?
-- number: 6b
-- param tenant: String = default
--     whose agents
-- param agent: String =
--     only this agent; empty = all
-- param about: String =
--     only this distribution: tools, models, output_class, escalation_reason, confidence, steps, tokens, agent_ms, resolution_ms
-- param since: Date = today-30d
--     days from this one on
-- param until: Date = today
--     days up to this one
-- param moved: UInt32 = 0
--     1 = only what is moderate or major
--
-- Each day of each artifact against its baseline: the rules' own choice (`pinned`), else the artifact before, else the artifact's
-- first seven days. psi: population stability index, moderate over 0.1, major over 0.25, and neither unless it is over what chance
-- reaches one time in twenty (`by_chance`). `most`: the names or ranges that add most to it, with their shares before and
-- now. ks and wasserstein (in the unit of the values) are of numbers. In each group the furthest comes first.
-- sequential: whether the days up to this one together differ from the baseline, and since when, with at most one false alarm of an
-- artifact in a year of days however often one looks; empty while the day is not over (streams/steps/DRIFT.md).

SELECT
    agent,
    about,
    day,
    artifact,
    baseline,
    pinned,
    shift,
    round(psi, 4) AS psi,
    round(by_chance, 4) AS by_chance,
    round(jensen_shannon, 4) AS jensen_shannon,
    round(ks, 4) AS ks,
    round(wasserstein, 4) AS wasserstein,
    before AS samples_before,
    now AS samples_now,
    sequential,
    toDate(sequential_since) AS drift_since,
    arrayStringConcat(arrayMap(one ->
        format('{0}: {1} % -> {2} %', one.name, toString(round(100 * one.before, 1)), toString(round(100 * one.now, 1))),
        moved), ', ') AS most,
    clock,
    revision
FROM drift
WHERE tenant = {tenant:String}
  AND ({agent:String} = '' OR agent = {agent:String})
  AND ({about:String} = '' OR about = {about:String})
  AND day >= toString({since:Date})
  AND day <= toString({until:Date})
  AND ({moved:UInt32} = 0 OR shift IN ('moderate', 'major'))
ORDER BY
    agent,
    clock,
    indexOf(['major', 'moderate', 'none', 'insufficient'], toString(shift)),
    drift.psi DESC,
    about,
    day,
    artifact;
