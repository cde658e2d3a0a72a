-- Why: what changes later of the window of a transition, or follows a provisional one, is told as another revision of it. An alert
--      stands where its last change of state left it, by the last word on that.
-- Blocking: no.

ALTER TABLE {both:alert_transitions} {on_cluster}
    ADD COLUMN IF NOT EXISTS revision UInt64 DEFAULT 1 AFTER rules_version;

CREATE OR REPLACE VIEW {name:alerts} {on_cluster} AS
SELECT *
FROM {name:alert_transitions}
WHERE (tenant, alert_id, transition) IN
(
    SELECT tenant, alert_id, argMax(transition, (kafka_offset, frame_index))
    FROM {name:alert_transitions}
    WHERE revision = 1
    GROUP BY tenant, alert_id
)
ORDER BY tenant, alert_id, kafka_offset DESC, frame_index DESC
LIMIT 1 BY tenant, alert_id;
