-- Which alerts changed, and on what evidence?
-- number: 10
-- param tenant: String = default
--     whose alerts, beside those of the installation itself
-- param rule: String =
--     only alerts of this rule; empty = all
-- param agent: String =
--     only alerts about this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     changes that were concluded at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     changes that were concluded before this moment
--
-- Every change of state, the latest first: what was measured in which window against which threshold, up to five decisions
-- to look at, and the SQL that shows what the value was drawn from. `provisional` = said before the window was over, by what
-- was known then (`completeness` is the share of the window that had passed); `late` = events that came after the window was
-- over changed what had been said. Each change is shown by the last word on it: a `revision` over 1 corrected the value, which
-- was `value_at_first`. `at` is event time: for alerts of a replay (clock=replay) that of the replay.
-- `told` is what became of it on each channel, and is empty for changes that no receiver is told of.

WITH
    deliveries AS
    (
        SELECT alert_id, transition, arraySort(groupArray(concat(channel, if(channel = '', '', ': '), state))) AS told
        FROM
        (
            SELECT alert_id, transition, channel, state
            FROM alert_deliveries
            WHERE tenant IN ({tenant:String}, '')
            ORDER BY kafka_partition, kafka_offset DESC, frame_index DESC
            LIMIT 1 BY alert_id, transition, channel
        )
        GROUP BY alert_id, transition
    )
SELECT
    at,
    rule,
    arrayStringConcat(arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(`group`), mapValues(`group`))), ', ')
        AS about,
    severity,
    previous,
    state,
    value,
    threshold,
    unit,
    samples,
    revision,
    if(revision > 1, value_at_first, NULL) AS value_at_first,
    window_from,
    window_to,
    completeness,
    provisional,
    late,
    summary,
    decisions,
    sql,
    runbook,
    deliveries.told AS told,
    opened_at,
    transitions.alert_id AS alert_id,
    transitions.transition AS transition,
    rules_version
FROM
(
    SELECT
        *,
        (argMin(tuple(value), (revision, kafka_offset, frame_index)) OVER (PARTITION BY alert_id, transition)).1 AS value_at_first
    FROM alert_transitions
    WHERE tenant IN ({tenant:String}, '')
    ORDER BY revision DESC, kafka_partition, kafka_offset, frame_index
    LIMIT 1 BY alert_id, transition
) AS transitions
LEFT JOIN deliveries ON deliveries.alert_id = transitions.alert_id AND deliveries.transition = transitions.transition
WHERE ({rule:String} = '' OR rule = {rule:String})
  AND ({agent:String} = '' OR `group`['agent'] = {agent:String})
  AND at >= {since:DateTime64(6, 'UTC')}
  AND at < {until:DateTime64(6, 'UTC')}
ORDER BY at DESC, rule, about, transition DESC;
