-- How good is retrieval, where the relevant documents are known?
-- number: 4a
-- param tenant: String = default
--     whose retrievals
-- param agent: String =
--     only retrievals of this agent; empty = all
-- param since: DateTime64(6, 'UTC') = today-30d
--     retrievals that began at this moment or later
-- param until: DateTime64(6, 'UTC') = now
--     retrievals that began before this moment
-- param k: UInt32 = 10
--     how many of the first chunks count for the recall
--
-- recall = the mean share of the relevant documents of which a chunk was among the first k; mrr = the mean of 1 / the place of
-- the first relevant one, 0 when there was none. Only retrievals that carry labels can tell; `labelled` counts them. The
-- bounds are the mean +- 1.96 standard errors, null for a single one.

WITH
    (mean, spread, n, s) -> if(n < 2, NULL, round(greatest(0, least(1, mean + s * 1.959963984540054 * spread / sqrt(n))), 4))
        AS bound,
    judged AS
    (
        SELECT
            agent,
            arrayDistinct(relevant) AS wanted,
            arrayMap(chunk -> chunk.1, arraySort(
                chunk -> (chunk.2, chunk.3),
                arrayZip(retrieved.doc_id, retrieved.rank, arrayEnumerate(retrieved.doc_id)))) AS documents,
            length(arrayIntersect(wanted, arraySlice(documents, 1, {k:UInt32}))) / length(wanted) AS found,
            arrayFirstIndex(document -> has(wanted, document), documents) AS place,
            if(place = 0, 0, 1 / place) AS reciprocal
        FROM events
        WHERE tenant = {tenant:String}
          AND kind = 'retrieval'
          AND ({agent:String} = '' OR agent = {agent:String})
          AND ts >= {since:DateTime64(6, 'UTC')}
          AND ts < {until:DateTime64(6, 'UTC')}
        ORDER BY kafka_partition, kafka_offset, frame_index
        LIMIT 1 BY event_id
    )
SELECT
    agent,
    count() AS retrievals,
    countIf(notEmpty(wanted)) AS labelled,
    if(labelled = 0, NULL, round(avgIf(found, notEmpty(wanted)), 4)) AS recall,
    bound(avgIf(found, notEmpty(wanted)), stddevSampIf(found, notEmpty(wanted)), labelled, -1) AS recall_low,
    bound(avgIf(found, notEmpty(wanted)), stddevSampIf(found, notEmpty(wanted)), labelled, 1) AS recall_high,
    if(labelled = 0, NULL, round(avgIf(reciprocal, notEmpty(wanted)), 4)) AS mrr,
    bound(avgIf(reciprocal, notEmpty(wanted)), stddevSampIf(reciprocal, notEmpty(wanted)), labelled, -1) AS mrr_low,
    bound(avgIf(reciprocal, notEmpty(wanted)), stddevSampIf(reciprocal, notEmpty(wanted)), labelled, 1) AS mrr_high,
    countIf(notEmpty(wanted) AND place = 0) AS nothing_relevant
FROM judged
GROUP BY agent
ORDER BY retrievals DESC, agent;
