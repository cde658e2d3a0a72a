-- What led to this action, step by step?
-- number: 2
-- param tenant: String = default
--     whose action
-- param action: String
--     the id of an event, a trace or a decision, or a business id such as a ticket number
-- param only_before: UInt32 = 0
--     1 = nothing that began after the event whose id was given
-- unit duration_ms: ms
--
-- Decisions, tool calls, retrieved documents with their scores, and authorizations, in order: who it was for (subject),
-- who acted (actor, and the RFC 8693 chain, outermost first), against which system. Several traces under one
-- business id are one decision, so they are shown together.

WITH
    named AS
    (
        SELECT {action:String} AS decision_key
        UNION DISTINCT
        SELECT decision_key FROM decision_links WHERE tenant = {tenant:String} AND decision_id = {action:String}
        UNION DISTINCT
        SELECT decision_key
        FROM events
        WHERE tenant = {tenant:String} AND event_id = {action:String} AND decision_key != ''
    ),
    aliases AS
    (
        SELECT {action:String} AS decision_id
        UNION DISTINCT
        SELECT decision_id FROM decision_links WHERE tenant = {tenant:String} AND decision_key IN (SELECT decision_key FROM named)
        UNION DISTINCT
        SELECT decision_id
        FROM events
        WHERE tenant = {tenant:String} AND decision_key IN (SELECT decision_key FROM named) AND decision_id != ''
        UNION DISTINCT
        SELECT decision_id
        FROM events
        WHERE tenant = {tenant:String} AND event_id = {action:String} AND decision_id != ''
    ),
    keys AS
    (
        SELECT decision_key FROM named
        UNION DISTINCT
        SELECT decision_key
        FROM events
        WHERE tenant = {tenant:String} AND decision_id IN (SELECT decision_id FROM aliases) AND decision_key != ''
    ),
    taken AS
    (
        -- two branches, for each has an index of its own
        SELECT * FROM events WHERE tenant = {tenant:String} AND decision_key IN (SELECT decision_key FROM keys)
        UNION ALL
        SELECT *
        FROM events
        WHERE tenant = {tenant:String} AND decision_key = '' AND decision_id IN (SELECT decision_id FROM aliases)
        UNION ALL
        SELECT *
        FROM events
        WHERE tenant = {tenant:String} AND decision_key = '' AND decision_id = '' AND event_id = {action:String}
    ),
    steps AS
    (
        SELECT * FROM taken ORDER BY kafka_partition, kafka_offset, frame_index LIMIT 1 BY event_id
    )
SELECT
    row_number() OVER (ORDER BY ts, sequence, kafka_partition, kafka_offset, frame_index) AS step,
    ts,
    kind,
    concat(
        multiIf(tool != '', tool, model_served != '', model_served, model_requested != '', model_requested, name),
        if(attempt > 1, concat(', attempt ', toString(attempt)), '')) AS what,
    subject,
    actor,
    arrayStringConcat(act_chain, ' > ') AS acting_chain,
    authorization,
    target_system,
    agent,
    agent_version,
    multiIf(status = 'ok', 'ok', error_type = '', status, status || ': ' || error_type) AS status,
    arrayMap(
        chunk -> concat(chunk.doc_id, if(chunk.doc_version = '', '', '@' || chunk.doc_version), ' ', chunk.chunk_id,
                        if(isNull(chunk.score), '', ' ' || toString(chunk.score))),
        arraySort(chunk -> chunk.rank, retrieved)) AS retrieved,
    arrayStringConcat(arrayFilter(said -> said != '', [
        if(confidence IS NULL, '', 'confidence ' || toString(confidence)),
        output_class,
        if(escalation_reason = '', '', 'escalated: ' || escalation_reason),
        review_verdict,
        if(reviewer = '', '', 'by ' || reviewer),
        if(review_minutes IS NULL, '', toString(review_minutes) || ' min'),
        if(outcome = '', '', 'outcome ' || outcome)]), ', ') AS said,
    duration_ms,
    event_id
FROM steps
WHERE {only_before:UInt32} = 0
   OR ts <= (SELECT max(ts) FROM steps WHERE event_id = {action:String})
ORDER BY step;
