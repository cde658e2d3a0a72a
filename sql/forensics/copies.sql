-- Which events came again?
-- number: 8a
-- param tenant: String = default
--     whose events
-- param since: DateTime64(6, 'UTC') = today-30d
--     copies stored at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     copies stored before this moment
--
-- A client that is not sure that it was heard sends again. The first event by position counts; these are the others,
-- with the places in Kafka where they lie.

WITH
    again AS
    (
        SELECT
            copy.event_id AS event_id,
            count() AS copies,
            arraySort(groupArray((topic, partition, copy.kafka_offset, copy.frame_index))) AS places
        FROM ranges
        ARRAY JOIN copied AS copy
        WHERE topic = 'agent.events'
          AND written_at >= {since:DateTime64(6, 'UTC')}
          AND written_at < {until:DateTime64(6, 'UTC')}
        GROUP BY event_id
    ),
    stored AS
    (
        SELECT event_id, kind, agent, source, ts, received_at, kafka_topic, kafka_partition, kafka_offset, frame_index
        FROM events
        WHERE tenant = {tenant:String} AND event_id IN (SELECT event_id FROM again)
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    )
SELECT
    event_id,
    copies,
    kind,
    agent,
    source,
    ts,
    received_at,
    (kafka_topic, kafka_partition, kafka_offset, frame_index) AS counted,
    places AS copies_at
FROM stored
INNER JOIN again USING (event_id)
ORDER BY copies DESC, ts, event_id;
