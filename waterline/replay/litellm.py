"""Model calls as LiteLLM's `generic_api` callback tells them: an array of StandardLoggingPayload."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import orjson

from waterline.replay.door import Door
from waterline.schemas.events import Event

PAYLOADS = 512
"""Payloads of one POST: LiteLLM's batch."""


def send(door: Door, events: Iterable[Event]) -> None:
    """POST model calls in batches. Raises `Refused`."""
    payloads = [payload(event) for event in events]
    for first in range(0, len(payloads), PAYLOADS):
        door.post("/v1/litellm", orjson.dumps(payloads[first : first + PAYLOADS]), "application/json")


def payload(event: Event) -> dict[str, Any]:
    """The payload of one model call. What LiteLLM has no field for rides in the caller's own metadata."""
    start = event.ts.timestamp()
    first_token = event.ts + timedelta(milliseconds=event.time_to_first_token_ms or 0.0)
    end = event.ts + timedelta(milliseconds=event.duration_ms)
    prompt = event.tokens_input + event.tokens_cache_read
    return {
        "id": event.response_id,
        "litellm_call_id": event.event_id,
        "trace_id": event.trace_id,
        "session_id": event.session_id,
        "call_type": "acompletion",
        "stream": True,
        "status": "success",
        "model": event.model_requested,
        "model_group": event.model_requested,
        "custom_llm_provider": event.provider,
        "prompt_tokens": prompt,
        "completion_tokens": event.tokens_output,
        "total_tokens": event.tokens_total,
        "response_cost": None,
        "cache_hit": False,
        "startTime": start,
        "endTime": end.timestamp(),
        "completionStartTime": first_token.timestamp(),
        "response_time": end.timestamp() - start,
        "end_user": event.subject,
        "model_parameters": {},
        "response": {"choices": [{"finish_reason": event.finish_reason}]},
        "metadata": {
            "user_api_key_alias": event.agent,
            "usage_object": {
                "prompt_tokens": prompt,
                "completion_tokens": event.tokens_output,
                "total_tokens": event.tokens_total,
                "prompt_tokens_details": {"cached_tokens": event.tokens_cache_read},
            },
            "requester_metadata": {
                "waterline.actor": event.actor,
                "waterline.agent": event.agent,
                "waterline.agent_version": event.agent_version,
                "waterline.task": event.task,
                "waterline.environment": event.environment,
                "waterline.runtime": event.runtime,
                "waterline.prompt_version": event.prompt_version,
                "waterline.sequence": event.sequence,
                "waterline.clock": event.clock.value,
                "waterline.usage_source": event.usage_source.value,
                "waterline.synthetic_fields": event.synthetic_fields,
            },
        },
        "request_tags": [],
    }
