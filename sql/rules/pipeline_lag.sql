-- How long does it take from an event to a row that can be asked for?
-- param from: DateTime64(6, 'UTC')
--     the beginning of the window
-- param to: DateTime64(6, 'UTC')
--     its end, not part of it
-- param watched: UInt8 = 1
--     1 = the window is asked of as it ends; 0 = it was over while nobody watched
-- param believed_s: UInt32 = 60
--     how long an event may be on its way to the collector to be timed from its own end
-- param silent_s: UInt32 = 15
--     how long nothing need be heard of the sink, which notes where it is every 5 seconds
-- unit value: s
--
-- The greater of two times, in seconds. First, of the live events whose rows were written in the window, the 99th percentile
-- from the event's end to the row. An event that ended longer ago than `believed_s` before it was received, or after that, is a
-- late upload or a wrong clock, and timed from its receipt: neither is a lag of this pipeline. Replayed events are not timed.
-- Second, what the rows cannot tell because they are not there: how long the oldest record that the sink has not written waits
-- in Kafka, and, while somebody watches, how long nothing was heard of the sink.
--
-- The tenant is empty: it is the installation that lags.

WITH
    written AS
    (
        SELECT partition, first, last, written_at
        FROM ranges
        WHERE topic = 'agent.events'
          AND written_at >= {from:DateTime64(6, 'UTC')}
          AND written_at < {to:DateTime64(6, 'UTC')}
          AND rows > 0
    ),
    timed AS
    (
        SELECT
            decision_key,
            ts + toIntervalMicrosecond(toInt64(round(duration_ms * 1000))) AS ended,
            ended > received_at OR ended < received_at - toIntervalSecond({believed_s:UInt32}) AS unbelieved,
            greatest(0, dateDiff('microsecond', if(unbelieved, received_at, ended), written.written_at) / 1e6) AS seconds
        FROM
        (
            SELECT decision_key, ts, duration_ms, received_at, kafka_partition, kafka_offset
            FROM events
            WHERE kafka_topic = 'agent.events'
              AND clock = 'source'
              AND received_at >= {from:DateTime64(6, 'UTC')} - toIntervalDay(7)
              AND kafka_offset >= (SELECT min(first) FROM written)
              AND kafka_offset <= (SELECT max(last) FROM written)
        ) AS event
        ASOF INNER JOIN written ON event.kafka_partition = written.partition AND event.kafka_offset >= written.first
        WHERE event.kafka_offset <= written.last
    ),
    reached AS
    (
        SELECT partition, max(committed) AS next, max(at) AS heard
        FROM topic_offsets
        WHERE topic = 'agent.events'
          AND at >= {to:DateTime64(6, 'UTC')} - toIntervalDay(7)
          AND at < {to:DateTime64(6, 'UTC')}
        GROUP BY partition
    ),
    waiting AS
    (
        SELECT
            noted.partition AS partition,
            any(reached.heard) < {to:DateTime64(6, 'UTC')} - toIntervalSecond({silent_s:UInt32}) AS silent,
            countIf(noted.end_offset > reached.next) > 0 AS waits,
            multiIf(
                silent, any(reached.heard),
                waits, minIf(noted.at, noted.end_offset > reached.next),
                {to:DateTime64(6, 'UTC')}) AS since,
            dateDiff('microsecond', since, {to:DateTime64(6, 'UTC')}) / 1e6 AS seconds
        FROM topic_offsets AS noted
        INNER JOIN reached ON reached.partition = noted.partition
        WHERE noted.topic = 'agent.events'
          AND noted.at >= least({to:DateTime64(6, 'UTC')} - toIntervalDay(1), reached.heard)
          AND noted.at < {to:DateTime64(6, 'UTC')}
        GROUP BY partition
        HAVING NOT silent OR {watched:UInt8} = 1
    )
SELECT
    '' AS tenant,
    'agent.events' AS topic,
    greatest(ifNotFinite(p99, 0), longest) AS value,
    timed_events + partitions AS samples,
    arrayDistinct(arrayMap(one -> one.2, slowest)) AS decisions
FROM
(
    SELECT
        quantileExact(0.99)(seconds) AS p99,
        count() AS timed_events,
        groupArraySortedIf(5)((-seconds, decision_key), decision_key != '') AS slowest
    FROM timed
) AS of_events
CROSS JOIN
(
    SELECT max(seconds) AS longest, count() AS partitions
    FROM waiting
) AS of_records
WHERE samples > 0;

-- the slowest events of the window
WITH
    written AS
    (
        SELECT partition, first, last, written_at
        FROM ranges
        WHERE topic = 'agent.events' AND written_at >= {from:DateTime64(6, 'UTC')} AND written_at < {to:DateTime64(6, 'UTC')}
    )
SELECT decision_key, tenant, source, ts, duration_ms, received_at, written.written_at AS written_at
FROM
(
    SELECT decision_key, tenant, source, ts, duration_ms, received_at, kafka_partition, kafka_offset
    FROM events
    WHERE kafka_topic = 'agent.events'
      AND clock = 'source'
      AND received_at >= {from:DateTime64(6, 'UTC')} - toIntervalDay(7)
      AND kafka_offset >= (SELECT min(first) FROM written)
) AS event
ASOF INNER JOIN written ON event.kafka_partition = written.partition AND event.kafka_offset >= written.first
WHERE event.kafka_offset <= written.last
ORDER BY written_at - received_at DESC
LIMIT 100;
