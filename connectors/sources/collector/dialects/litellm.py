"""LiteLLM's StandardLoggingPayload, as its `generic_api` callback posts it -> an event and the bodies in it.

A retry or a fallback keeps the call id, and a failed call has no response id, so a record is identified by call, response, start
and status together: the same record sent again is the same event, another attempt is another one.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from waterline.connectors.sources.collector.dialects import convert, tokens
from waterline.connectors.sources.collector.dialects.finish import settle_outcome
from waterline.connectors.sources.collector.dialects.kinds import provider_of
from waterline.connectors.sources.collector.dialects.plan import own_field

Json = dict[str, Any]

_KINDS = (
    ("embedding", "embedding"),
    ("rerank", "retrieval"),
    ("vector_store", "retrieval"),
    ("moderation", "guardrail"),
    ("guardrail", "guardrail"),
    ("mcp_tool", "tool_call"),
)
_BODIES = ("messages", "response", "standard_built_in_tools_params")
_USED = frozenset(
    (
        *("id", "litellm_call_id", "trace_id", "session_id", "call_type", "status", "stream", "cache_hit", "end_user"),
        *("model", "model_group", "model_parameters", "custom_llm_provider", "api_base", "response_cost", "metadata"),
        *("startTime", "endTime", "completionStartTime", "response_time", "hidden_params"),
        *("prompt_tokens", "completion_tokens", "total_tokens", "error_str", "error_information"),
    )
)
"""Keys that become fields, or say nothing beside them."""
_CACHE_HIT = re.compile(r"_cache_hit[\d.]*$")
_TRACE = re.compile(r"^[0-9a-f]{32}$")
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")


def identity(record: Mapping[str, Any]) -> bytes | None:
    """What makes a record itself, or None when it names nothing."""
    told = [record.get(key) for key in ("litellm_call_id", "id", "startTime", "status")]
    return orjson.dumps(["litellm", *map(str, told)]) if told[0] or told[1] else None


def event_of(record: Json) -> tuple[Json, dict[str, Any]]:
    """The event's fields with its maps, and the bodies. Raises ValueError with the reason when it has no start time."""
    start = convert.instant(record.get("startTime"))
    if start is None:
        raise ValueError("startTime is missing or not a time")
    metadata = _mapping(record.get("metadata"))
    fields: Json = {"kind": _kind(str(record.get("call_type") or "")), "source": "litellm", "runtime": "litellm", "ts": start}
    attributes: dict[str, str] = {}
    measures: dict[str, float] = {}
    _who(fields, record, metadata)
    _call(fields, attributes, record, metadata)
    _times(fields, record)
    _outcome(fields, attributes, record)
    _own(fields, metadata)
    bodies = {f"litellm.{key}": record[key] for key in _BODIES if record.get(key)}
    for key, value in record.items():
        if key not in _USED and key not in _BODIES:
            _keep(attributes, measures, f"litellm.{key}", value)
    for key, value in metadata.items():
        if key in ("usage_object", "requester_metadata", "spend_logs_metadata", "prompt_management_metadata"):
            continue
        if not key.startswith("user_api_key"):
            _keep(attributes, measures, f"litellm.metadata.{key}", value)
    fields["attributes"], fields["measures"] = attributes, measures
    return {key: value for key, value in fields.items() if value not in (None, "", {})}, bodies


def _kind(call_type: str) -> str:
    return next((kind for mark, kind in _KINDS if mark in call_type), "model_call")


def _who(fields: Json, record: Json, metadata: Mapping[str, Any]) -> None:
    headers = _mapping(metadata.get("requester_custom_headers"))
    parent = _TRACEPARENT.match(str(headers.get("traceparent") or headers.get("x-traceparent") or ""))
    if parent:
        fields["trace_id"], fields["parent_span_id"] = parent[1], parent[2]
        fields["decision_key"] = parent[1]
    else:
        told = str(record.get("trace_id") or "")
        fields["decision_key"] = told[: convert.NAME_LIMIT]
        if _TRACE.match(told) and told.strip("0"):
            fields["trace_id"] = told
    fields["session_id"] = convert.name(record.get("session_id"))
    fields["subject"] = convert.name(
        record.get("end_user") or metadata.get("user_api_key_end_user_id") or metadata.get("user_api_key_user_id")
    )
    fields["team"] = convert.name(metadata.get("user_api_key_team_alias") or metadata.get("user_api_key_team_id"))
    fields["credential_id"] = convert.name(metadata.get("user_api_key_alias") or metadata.get("user_api_key_hash"))


def _own(fields: Json, metadata: Mapping[str, Any]) -> None:
    """`waterline.<field>` in the metadata of the caller's request wins over what the gateway says."""
    for source in (metadata.get("spend_logs_metadata"), metadata.get("requester_metadata")):
        for key, value in _mapping(source).items():
            field = own_field(key) if key.startswith("waterline.") else None
            if field is None or (field == "decision_key" and "trace_id" in fields):
                continue
            if (converted := convert.converter_of(field)(value)) is not None:
                fields[field] = converted


def _call(fields: Json, attributes: dict[str, str], record: Json, metadata: Mapping[str, Any]) -> None:
    told = str(record.get("id") or "")
    fields["response_id"] = _CACHE_HIT.sub("", told)[: convert.NAME_LIMIT]
    provider = convert.name(record.get("custom_llm_provider"))
    fields["provider"] = provider_of(provider) if provider else None
    model = convert.name(record.get("model"))
    fields["model_requested"] = convert.name(record.get("model_group")) or model
    fields["model_served"] = None if record.get("status") == "failure" else model
    fields["name"] = f"{record.get('call_type') or 'call'} {model or ''}".strip()[: convert.NAME_LIMIT]
    fields["reported_cost"] = convert.money(record.get("response_cost"))
    fields["target_system"] = convert.name(record.get("api_base"))
    if tool := convert.name(_mapping(metadata.get("mcp_tool_call_metadata")).get("name")):
        fields["tool"] = tool
    usage = _mapping(metadata.get("usage_object")) or {
        key: record[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens") if record.get(key) is not None
    }
    if any(convert.whole(value) for value in usage.values() if not isinstance(value, Mapping)):
        tokens.apply_raw(fields, attributes, dict(usage))
    elif fields["kind"] in ("model_call", "embedding"):
        fields["usage_source"] = "missing"
    for source in (record.get("cost_breakdown"), record.get("model_parameters")):
        if (tier := convert.name(_mapping(source).get("service_tier"))) is not None:
            fields.setdefault("service_tier", tier)
    if record.get("cache_hit") in (True, "True", "true") or told != fields["response_id"]:
        fields["completion_state"] = "cached"


def _times(fields: Json, record: Json) -> None:
    start, end = convert.number(record.get("startTime")), convert.number(record.get("endTime"))
    first = convert.number(record.get("completionStartTime"))
    if start is None:
        return
    if end is not None and end > start:
        fields["duration_ms"] = convert.millis(round((end - start) * 1000, 3))
    if first is not None and first > start and record.get("stream"):
        fields["time_to_first_token_ms"] = convert.millis(round((first - start) * 1000, 3))


def _outcome(fields: Json, attributes: dict[str, str], record: Json) -> None:
    failed = record.get("status") == "failure"
    if failed:
        told = _mapping(record.get("error_information"))
        fields["error_type"] = convert.name(told.get("error_code") or told.get("error_class")) or "_OTHER"
        if message := convert.name(told.get("error_message") or record.get("error_str")):
            attributes["status.message"] = message
    settle_outcome(fields, failed)


def _keep(attributes: dict[str, str], measures: dict[str, float], key: str, value: Any) -> None:
    if value is None or value == "" or value == {} or value == []:
        return
    number = convert.number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if number is not None:
        measures[key] = number
    elif isinstance(value, str):
        attributes[key] = value
    else:
        attributes[key] = orjson.dumps(value, default=str).decode()


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
