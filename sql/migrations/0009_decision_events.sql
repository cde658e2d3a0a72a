-- Why: raw events with the decision they belong to. An event knows its trace, or only the business id; which decision that
--      is, the streams elected: a trace may have been merged into another (decision_facts), and a business id is linked
--      to one (decision_links). Whoever joins raw rows to decisions does it here.
--
--      Rows are as they lie: where totals are made, take the first of each event,
--      `ORDER BY kafka_partition, kafka_offset, frame_index LIMIT 1 BY tenant, event_id`, for a copy may have come too
--      late to be recognised.
-- Blocking: no.

CREATE OR REPLACE VIEW {name:decision_events} {on_cluster} AS
SELECT
    multiIf(
        merged_into != '',   merged_into,
        decision_key != '',  decision_key,
        linked_key != '',    linked_key,
        decision_id != '',   decision_id,
                             event_id) AS decision,
    events.*
FROM {name:events} AS events
LEFT JOIN
(
    -- of the latest revision, since a decision can come back from a circle of merges
    SELECT tenant AS merged_tenant, decision_key AS merged_key, argMax(merged_into, revision) AS merged_into
    FROM {name:decision_facts}
    WHERE (tenant, decision_key) IN (SELECT tenant, decision_key FROM {name:decision_facts} WHERE state = 'merged')
    GROUP BY tenant, decision_key
) AS merged
    ON merged_tenant = tenant AND merged_key = decision_key
LEFT JOIN
(
    SELECT tenant AS linked_tenant, decision_id AS linked_id, argMin(decision_key, kafka_offset) AS linked_key
    FROM {name:decision_links}
    GROUP BY tenant, decision_id
) AS linked
    ON linked_tenant = tenant AND linked_id = decision_id;
