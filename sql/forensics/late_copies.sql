-- Which copies came too late to be recognised?
-- number: 8b
-- param tenant: String = default
--     whose events
-- param since: DateTime64(6, 'UTC') = today-30d
--     events received at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     events received before this moment
--
-- The sink remembers the last ids of each partition (`sink_window`); a copy that comes after that many other events is
-- stored. No answer counts it, because answers take the first of each id; many of them say that the window is too small.

SELECT
    event_id,
    count() AS stored,
    any(kind) AS kind,
    any(agent) AS agent,
    any(source) AS source,
    min(received_at) AS first_received,
    max(received_at) AS last_received,
    arraySort(groupArray((kafka_partition, kafka_offset, frame_index))) AS places
FROM events
WHERE tenant = {tenant:String}
  AND received_at >= {since:DateTime64(6, 'UTC')}
  AND received_at < {until:DateTime64(6, 'UTC')}
GROUP BY event_id
HAVING stored > 1
ORDER BY last_received DESC, event_id;
