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

-- Where each merged decision is now. A way has 64 steps at most. The steps are one constant of two arrays, which `transform`
-- looks up by hash: a recursive query took six times as long. Tenants have no slash in their names.
CREATE OR REPLACE VIEW {name:merged_decisions} {on_cluster} AS
WITH
    (
        SELECT
            (arrayPushBack(groupArray(concat(tenant, '/', decision_key)), '/'),
             arrayPushBack(groupArray(concat(tenant, '/', into)), '/'))
        FROM
        (
            -- of the latest revision, since a decision can come back from a circle of merges
            SELECT tenant, decision_key, argMax(merged_into, revision) AS into
            FROM {name:decision_facts}
            WHERE (tenant, decision_key) IN (SELECT tenant, decision_key FROM {name:decision_facts} WHERE state = 'merged')
            GROUP BY tenant, decision_key
            HAVING into != ''
        )
    ) AS steps
SELECT
    splitByChar('/', step.1, 2)[1] AS tenant,
    substring(step.1, length(tenant) + 2) AS decision_key,
    substring(last, length(tenant) + 2) AS merged_into
FROM
(
    SELECT
        arrayJoin(arrayPopBack(arrayZip(steps.1, steps.2))) AS step,
        arrayFold((at, n) -> transform(at, steps.1, steps.2, at), range(63), step.2) AS reached,
        -- where the way does not end it goes round: the smallest key of the circle
        arrayFold(
            (at, n) -> (transform(at.1, steps.1, steps.2, at.1), least(at.2, transform(at.1, steps.1, steps.2, at.1))),
            range(if(transform(reached, steps.1, steps.2, reached) = reached, 0, 64)),
            (reached, reached)).2 AS last
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
    SELECT tenant AS linked_tenant, decision_id AS linked_id, argMin(decision_key, kafka_offset) AS linked_key
    FROM {name:decision_links}
    GROUP BY tenant, decision_id
) AS linked
    ON linked_tenant = tenant AND linked_id = decision_id
LEFT JOIN
(
    SELECT tenant AS merged_tenant, decision_key AS merged_key, merged_into
    FROM {name:merged_decisions}
) AS merged
    ON merged_tenant = tenant AND merged_key = if(decision_key != '', decision_key, linked_key);
