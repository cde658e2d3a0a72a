-- Why: the names of the OpenTelemetry collector's ClickHouse exporter, so that what reads `otel_traces` (Grafana's trace
--      panel, ClickStack, a team's own SQL) reads our spans as well. A filter on TraceId reaches the Bloom filter below.
--
--      Attributes that have a column of their own are put back under the names of the GenAI conventions.
-- Blocking: no.

CREATE OR REPLACE VIEW {name:otel_traces} {on_cluster} AS
WITH
    ['trace.state', 'span.kind', 'span.events', 'span.links', 'status.message', 'scope.name'] AS span_fields,
    -- the conventions count cached tokens among the input
    tokens_input + tokens_input_audio + tokens_input_image + tokens_cache_read + tokens_cache_read_audio
        + tokens_cache_write_5m + tokens_cache_write_1h AS all_input,
    tokens_output + tokens_output_audio + tokens_output_image AS all_output,
    map(
        'gen_ai.operation.name', transform(kind,
            ['model_call', 'tool_call', 'embedding'],
            ['chat', 'execute_tool', 'embeddings'], ''),
        'gen_ai.provider.name', provider,
        'gen_ai.request.model', model_requested,
        'gen_ai.response.model', model_served,
        'gen_ai.response.id', response_id,
        'gen_ai.response.finish_reasons', finish_reason,
        'gen_ai.usage.input_tokens', if(all_input = 0, '', toString(all_input)),
        'gen_ai.usage.output_tokens', if(all_output = 0, '', toString(all_output)),
        'gen_ai.agent.name', agent,
        'gen_ai.conversation.id', session_id,
        'gen_ai.tool.name', tool,
        'error.type', error_type,
        'user.id', subject,
        'waterline.tenant', tenant,
        'waterline.kind', kind,
        'waterline.task', task,
        'waterline.step', step,
        'waterline.decision.id', decision_id,
        'waterline.outcome', outcome) AS columns,
    JSONExtract(attributes['span.events'],
        'Array(Tuple(name String, time_unix_nano Int64, attributes Map(LowCardinality(String), String)))') AS events_,
    JSONExtract(attributes['span.links'], 'Array(Tuple(trace_id String, span_id String))') AS links_
SELECT
    toDateTime64(ts, 9, 'UTC') AS Timestamp,
    trace_id AS TraceId,
    span_id AS SpanId,
    parent_span_id AS ParentSpanId,
    attributes['trace.state'] AS TraceState,
    name AS SpanName,
    if(attributes['span.kind'] = '', 'Internal', initcap(attributes['span.kind'])) AS SpanKind,
    if(attributes['resource.service.name'] = '', agent, attributes['resource.service.name']) AS ServiceName,
    CAST(
        mapApply((key, value) -> (substring(key, length('resource.') + 1), value),
            mapFilter((key, _) -> startsWith(key, 'resource.'), attributes)),
        'Map(LowCardinality(String), String)') AS ResourceAttributes,
    attributes['scope.name'] AS ScopeName,
    '' AS ScopeVersion,
    CAST(
        mapUpdate(
            mapFilter((key, _) -> NOT startsWith(key, 'resource.') AND NOT has(span_fields, key), attributes),
            mapFilter((_, value) -> value != '', columns)),
        'Map(LowCardinality(String), String)') AS SpanAttributes,
    toUInt64(duration_ms * 1000000) AS Duration,
    if(status = 'ok', 'Ok', 'Error') AS StatusCode,
    if(attributes['status.message'] = '', error_type, attributes['status.message']) AS StatusMessage,
    arrayMap(event -> fromUnixTimestamp64Nano(event.time_unix_nano, 'UTC'), events_) AS `Events.Timestamp`,
    events_.name AS `Events.Name`,
    events_.attributes AS `Events.Attributes`,
    links_.trace_id AS `Links.TraceId`,
    links_.span_id AS `Links.SpanId`,
    arrayMap(_ -> '', links_) AS `Links.TraceState`,
    arrayMap(_ -> CAST(map(), 'Map(LowCardinality(String), String)'), links_) AS `Links.Attributes`
FROM {name:events}
WHERE trace_id != '' AND span_id != '';

-- The exporter's side table: readers narrow a search for a trace by the times they find here.
CREATE OR REPLACE VIEW {name:otel_traces_trace_id_ts} {on_cluster} AS
SELECT
    trace_id AS TraceId,
    toDateTime(min(ts)) AS Start,
    toDateTime(max(ts)) + 1 AS End
FROM {name:events}
WHERE trace_id != '' AND span_id != ''
GROUP BY trace_id;
