-- Why: raw events with the decision they belong to, now to the end of the way: a trace may be merged into one that is merged
--      itself, and a business id may be linked to a decision that was merged later. Merges that lead in a circle, which the
--      streams break as soon as they meet it, end at its smallest key, as there.
--
--      `belongs` is 0 for what makes no decision: a deployment, policy or session event without a decision, and a review,
--      outcome or correction whose decision is not known (yet).
--
--      Rows are as they lie: where totals are made, take the first of each event,
--      `ORDER BY kafka_partition, kafka_offset, frame_index LIMIT 1 BY tenant, event_id`, for a copy may have come too
--      late to be recognised.
-- Blocking: no.

-- Where each merged decision is now. A way has 64 steps at most.
CREATE OR REPLACE VIEW {name:merged_decisions} {on_cluster} AS
WITH RECURSIVE
    merges AS
    (
        -- of the latest revision, since a decision can come back from a circle of merges
        SELECT tenant, decision_key, argMax(merged_into, revision) AS merged_into
        FROM {name:decision_facts}
        WHERE (tenant, decision_key) IN (SELECT tenant, decision_key FROM {name:decision_facts} WHERE state = 'merged')
        GROUP BY tenant, decision_key
        HAVING merged_into != ''
    ),
    ways AS
    (
        SELECT tenant, [decision_key, merged_into] AS way FROM merges
        UNION ALL
        SELECT ways.tenant, arrayPushBack(ways.way, merges.merged_into)
        FROM ways
        INNER JOIN merges ON merges.tenant = ways.tenant AND merges.decision_key = ways.way[-1]
        WHERE length(ways.way) <= 64 AND indexOf(ways.way, ways.way[-1]) = length(ways.way)
    )
SELECT
    tenant,
    longest[1] AS decision_key,
    if(indexOf(longest, longest[-1]) < length(longest),
       arrayMin(arraySlice(longest, indexOf(longest, longest[-1]))),
       longest[-1]) AS merged_into
FROM
(
    SELECT tenant, argMax(way, length(way)) AS longest
    FROM ways
    GROUP BY tenant, way[1]
);

CREATE OR REPLACE VIEW {name:decision_events} {on_cluster} AS
SELECT
    multiIf(
        merged_into != '',   merged_into,
        decision_key != '',  decision_key,
        linked_key != '',    linked_key,
        decision_id != '',   decision_id,
                             event_id) AS decision,
    decision_key != '' OR linked_key != ''
        OR kind NOT IN ('review', 'outcome', 'correction', 'deployment', 'policy', 'session')
        OR decision_id != '' AND kind IN ('deployment', 'policy', 'session') AS belongs,
    events.*
FROM {name:events} AS events
LEFT JOIN
(
    SELECT tenant AS merged_tenant, decision_key AS merged_key, merged_into
    FROM {name:merged_decisions}
) AS merged
    ON merged_tenant = tenant AND merged_key = decision_key
LEFT JOIN
(
    SELECT
        links.tenant AS linked_tenant,
        decision_id AS linked_id,
        if(ends.merged_into != '', ends.merged_into, links.elected) AS linked_key
    FROM
    (
        SELECT tenant, decision_id, argMin(decision_key, kafka_offset) AS elected
        FROM {name:decision_links}
        GROUP BY tenant, decision_id
    ) AS links
    LEFT JOIN {name:merged_decisions} AS ends ON ends.tenant = links.tenant AND ends.decision_key = links.elected
) AS linked
    ON linked_tenant = tenant AND linked_id = decision_id;
