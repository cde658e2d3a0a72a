-- Who was told of which alert, and what came back?
-- number: 10a
-- param tenant: String = default
--     whose alerts, beside those of the installation itself
-- param rule: String =
--     only alerts of this rule; empty = all
-- param channel: String =
--     only this channel; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     answers that came at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     answers that came before this moment
-- unit took: s
--
-- One row for each change of an alert and channel, the latest first. `delivered` = the receiver took it, `refused` = it said
-- never, `silenced` and `grouped` = kept back on purpose, `unrouted` = no route matches. `took` is the time from what the
-- change is about, in event time, to the answer; null for a replay, whose time is another.

SELECT
    receipts.at AS at,
    receipts.rule AS rule,
    arrayStringConcat(arraySort(arrayMap((name, value) -> concat(name, '=', value), mapKeys(`group`), mapValues(`group`))), ', ')
        AS about,
    transitions.state AS alert_state,
    receipts.channel AS channel,
    receipts.state AS state,
    attempts,
    status,
    receipt,
    reason,
    if(transitions.alert_id = '' OR clock = 'replay', NULL, dateDiff('millisecond', transitions.at, receipts.at) / 1000) AS took,
    receipts.alert_id AS alert_id,
    receipts.transition AS transition
FROM
(
    SELECT *
    FROM alert_deliveries
    WHERE tenant IN ({tenant:String}, '')
    ORDER BY kafka_partition, kafka_offset DESC, frame_index DESC
    LIMIT 1 BY alert_id, transition, channel
) AS receipts
LEFT JOIN
(
    SELECT alert_id, transition, `group`, state, at, clock
    FROM alert_transitions
    WHERE tenant IN ({tenant:String}, '')
    ORDER BY kafka_partition, kafka_offset, frame_index
    LIMIT 1 BY alert_id, transition
) AS transitions
    ON transitions.alert_id = receipts.alert_id AND transitions.transition = receipts.transition
WHERE ({rule:String} = '' OR receipts.rule = {rule:String})
  AND ({channel:String} = '' OR receipts.channel = {channel:String})
  AND receipts.at >= {since:DateTime64(6, 'UTC')}
  AND receipts.at < {until:DateTime64(6, 'UTC')}
ORDER BY at DESC, rule, about, channel, transition DESC;
