-- Why: alerts, their deliveries and limits are stored, too. `stored_rows` is the place in Kafka of every row of every table
--      that the sink fills, so that the proof and the questions beside it ask one thing; `completeness` is as before, over it.
-- Blocking: no.

CREATE OR REPLACE VIEW {name:stored_rows} {on_cluster} AS
SELECT kafka_topic AS topic, kafka_partition AS partition, kafka_offset AS offset, frame_index AS line FROM {name:events}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:payloads}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:decision_facts}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:cost_facts}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:quality_facts}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:decision_links}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:price_versions}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:alert_transitions}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:alert_deliveries}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:control_limits}
UNION ALL
SELECT kafka_topic, kafka_partition, kafka_offset, frame_index FROM {name:dead_letters};

CREATE OR REPLACE VIEW {name:completeness} {on_cluster} AS
WITH
    walked AS
    (
        SELECT
            topic, partition, first, last, records, ticks, rows, copies, buried, begin_offset, written_at,
            max(last + 1) OVER (
                PARTITION BY topic, partition
                ORDER BY first, last
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,
            written_at > now() - toIntervalDay(if(topic = 'agent.payloads', 22, 182)) AS kept
        FROM {name:ranges}
    ),
    ledger AS
    (
        SELECT
            topic, partition,
            count() AS ranges,
            min(first) AS first_offset,
            max(last) + 1 AS next_offset,
            sum(records) AS records,
            sum(ticks) AS ticks,
            sum(copies) AS copies,
            minIf(first, kept) AS kept_from,
            sumIf(rows, kept) AS expected_rows,
            sumIf(buried, kept) AS buried,
            argMin(begin_offset, first) AS began_at,
            arrayConcat(
                if(min(kept) AND began_at < first_offset, [(began_at, toUInt64(first_offset - 1))], []),
                groupArrayIf((reached, toUInt64(first - 1)), reached > 0 AND first > reached)) AS gaps,
            groupArrayIf((first, least(last, toUInt64(reached - 1))), first < reached) AS overlaps,
            min(kept) AS young
        FROM walked
        GROUP BY topic, partition
    ),
    stored AS
    (
        SELECT topic, partition, countIf(NOT letter) AS present_rows, uniqExactIf(id, letter) AS dead_letters
        FROM
        (
            SELECT topic, partition, offset, '' AS id, 0 AS letter FROM {name:stored_rows}
            UNION ALL
            SELECT topic, partition, offset, id, 1 FROM {name:dead_letters} WHERE consumer = 'sink'
        ) AS rows
        INNER JOIN ledger ON ledger.topic = rows.topic AND ledger.partition = rows.partition
        WHERE offset >= kept_from AND offset < next_offset
        GROUP BY topic, partition
    ),
    numbered AS
    (
        SELECT topic, partition, groupArrayIf((producer, lost), lost > 0) AS holes
        FROM
        (
            SELECT
                topic, partition,
                told.producer AS producer,
                max(told.last_seq) + 1
                    - if(any(begun.late) OR min(written_at) <= now() - toIntervalDay(182), min(told.first_seq), 0)
                    - toInt64(sum(told.frames)) AS lost
            FROM {name:ranges}
            ARRAY JOIN producers AS told
            LEFT JOIN
            (
                SELECT topic, partition, min(first) > 0 AND argMin(begin_offset, first) >= min(first) AS late
                FROM {name:ranges}
                GROUP BY topic, partition
            ) AS begun USING (topic, partition)
            GROUP BY topic, partition, producer
        )
        GROUP BY topic, partition
    ),
    kafka AS
    (
        SELECT
            topic, partition,
            argMax(begin_offset, at) AS begin_offset,
            argMax(end_offset, at) AS end_offset,
            max(at) AS observed_at
        FROM {name:topic_offsets}
        GROUP BY topic, partition
    )
SELECT
    if(kafka.topic = '', ledger.topic, kafka.topic) AS topic,
    if(kafka.topic = '', ledger.partition, kafka.partition) AS partition,
    ledger.ranges AS ranges,
    ledger.first_offset AS first_offset,
    ledger.next_offset AS next_offset,
    ledger.records AS records,
    ledger.ticks AS ticks,
    ledger.expected_rows AS expected_rows,
    stored.present_rows AS present_rows,
    if(expected_rows > present_rows, expected_rows - present_rows, 0) AS missing_rows,
    if(present_rows > expected_rows, present_rows - expected_rows, 0) AS surplus_rows,
    ledger.copies AS copies,
    ledger.buried AS buried,
    stored.dead_letters AS dead_letters,
    ledger.gaps AS gaps,
    ledger.overlaps AS overlaps,
    numbered.holes AS holes,
    kafka.begin_offset AS begin_offset,
    kafka.end_offset AS end_offset,
    if(end_offset > next_offset, end_offset - greatest(next_offset, begin_offset), 0) AS in_flight,
    kafka.observed_at AS observed_at,
    missing_rows = 0 AND surplus_rows = 0 AND empty(gaps) AND empty(overlaps) AND empty(holes) AS complete
FROM ledger
FULL JOIN kafka ON kafka.topic = ledger.topic AND kafka.partition = ledger.partition
LEFT JOIN stored ON stored.topic = ledger.topic AND stored.partition = ledger.partition
LEFT JOIN numbered ON numbered.topic = ledger.topic AND numbered.partition = ledger.partition;
