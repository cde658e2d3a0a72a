"""Coding agents on the command line: Claude Code, Codex and Gemini CLI report as log events whose attributes have plain names.

An event is written when its work ended, so it starts `duration_ms` earlier. One prompt is one decision (`prompt.id`); Codex names
no prompt, there the conversation is. A tool call that a person allowed or refused is a review; one that a rule did is a policy.
"""

from collections.abc import Callable
from typing import Any

from waterline.connectors.sources.collector.dialects import convert, tokens
from waterline.connectors.sources.collector.dialects.draft import Draft
from waterline.connectors.sources.collector.dialects.finish import settle_outcome
from waterline.connectors.sources.collector.usage import Parts, settle, total_of

PREFIXES = ("claude_code.", "codex.", "gemini_cli.")
RUNTIMES = {"claude_code": "claude-code", "codex": "codex", "gemini_cli": "gemini-cli"}
PROVIDERS = {"claude_code": "anthropic", "codex": "openai", "gemini_cli": "gcp.gemini"}

_BODIES = (
    "prompt",
    "body",
    "tool_parameters",
    "tool_input",
    "tool_output",
    "arguments",
    "output",
    "function_args",
    "request_text",
    "response_text",
    "full_command",
    "command",
)
_HUMAN = {"user_permanent", "user_temporary", "user_abort", "user_reject", "user"}
_VERDICTS = {
    "accept": "approve",
    "approved": "approve",
    "approved_for_session": "approve",
    "reject": "reject",
    "denied": "reject",
    "abort": "reject",
    "modify": "correct",
}


def belongs(name: str) -> bool:
    return name.startswith(PREFIXES)


def apply(draft: Draft, name: str) -> None:
    """Give the draft its kind and fields from a coding agent's event (or span) of that name."""
    agent, _, event = name.partition(".")
    fields = draft.fields
    fields.setdefault("runtime", RUNTIMES[agent])
    for key in _BODIES:
        if key in draft.attributes:
            draft.bodies[f"{name}.{key}"] = draft.attributes.pop(key)
    _move(draft, "tool", convert.name, "tool_name", "function_name")
    _move(draft, "sequence", convert.whole, "event.sequence")
    _move(draft, "attempt", convert.attempts, "attempt")
    _move(draft, "target_system", convert.name, "mcp_server_name", "mcp_server.name")
    _move(draft, "duration_ms", convert.millis, "duration_ms")
    _move(draft, "time_to_first_token_ms", convert.millis, "ttft_ms")
    _move(draft, "decision_key", convert.name, "prompt.id", "prompt_id")
    if "decision_key" not in fields and agent == "codex" and "session_id" in fields:
        fields["decision_key"] = fields["session_id"]
    _EVENTS.get(event, _step)(draft, agent)
    fields["kind"] = fields.get("kind", "step")


def _step(draft: Draft, agent: str) -> None:
    draft.fields.setdefault("kind", "step")


def _call(draft: Draft, agent: str) -> None:
    """A model call. Claude counts as Anthropic does, Gemini CLI as Gemini does, Codex as OpenAI does."""
    fields = draft.fields
    fields["kind"] = "model_call"
    fields.setdefault("provider", PROVIDERS[agent])
    _move(draft, "model_requested", convert.name, "model")
    if "model_requested" in fields:
        fields.setdefault("model_served", fields["model_requested"])
    _move(draft, "response_id", convert.name, "request_id", "response.id")
    _move(draft, "finish_reason", convert.name, "stop_reason", "finish_reasons")
    _move(draft, "reported_cost", convert.money, "cost_usd")
    micros = _pop(draft, "cost_usd_micros", convert.whole)
    if micros is not None and "reported_cost" not in fields:
        fields["reported_cost"] = convert.money(micros / 1_000_000)
    parts = _PARTS[agent](draft)
    if parts.input is not None or parts.output is not None:
        tokens.write(fields, settle(parts))
    else:
        fields.setdefault("usage_source", "missing")
    settle_outcome(fields, False)


def _anthropic_parts(draft: Draft) -> Parts:
    fresh, read = _count(draft, "input_tokens"), _count(draft, "cache_read_tokens", "cache_read_input_tokens")
    written = _count(draft, "cache_creation_tokens", "cache_creation_input_tokens")
    whole = None if fresh is None else fresh + (read or 0) + (written or 0)
    return Parts(input=whole, output=_count(draft, "output_tokens"), cache_read=read or 0, cache_write_5m=written or 0)


def _openai_parts(draft: Draft) -> Parts:
    return Parts(
        input=_count(draft, "input_token_count", "input_tokens"),
        output=_count(draft, "output_token_count", "output_tokens"),
        total=_count(draft, "tool_token_count", "total_token_count"),
        cache_read=_count(draft, "cached_token_count", "cached_input_tokens") or 0,
        cache_write_5m=_count(draft, "cache_write_token_count") or 0,
        reasoning=_count(draft, "reasoning_token_count", "reasoning_output_tokens") or 0,
    )


def _gemini_parts(draft: Draft) -> Parts:
    prompt, tool = _count(draft, "input_token_count"), _count(draft, "tool_token_count")
    answer, thoughts = _count(draft, "output_token_count"), _count(draft, "thoughts_token_count")
    return Parts(
        input=total_of(prompt, tool),
        output=total_of(answer, thoughts),
        total=_count(draft, "total_token_count"),
        cache_read=_count(draft, "cached_content_token_count") or 0,
        reasoning=thoughts or 0,
    )


_PARTS: dict[str, Callable[[Draft], Parts]] = {
    "claude_code": _anthropic_parts,
    "codex": _openai_parts,
    "gemini_cli": _gemini_parts,
}


def _failed_call(draft: Draft, agent: str) -> None:
    _move(draft, "error_type", convert.name, "status_code", "error_type", "error.name")
    draft.fields.setdefault("error_type", "_OTHER")
    _message(draft)
    _call(draft, agent)


def _refused_call(draft: Draft, agent: str) -> None:
    draft.fields.setdefault("finish_reason", "refusal")
    _call(draft, agent)


def _request(draft: Draft, agent: str) -> None:
    """Claude's is the finished call; Codex and Gemini CLI report the outcome in another event, unless it failed."""
    if agent == "claude_code":
        _call(draft, agent)
        return
    code = draft.measures.get("http.response.status_code", draft.measures.get("status_code"))
    if code is not None and code >= 400:
        _move(draft, "error_type", convert.name, "http.response.status_code", "status_code")
        _failed_call(draft, agent)
    else:
        _step(draft, agent)


def _stream(draft: Draft, agent: str) -> None:
    """Codex: one event of the response stream; the last carries the usage."""
    if draft.attributes.get("event.kind") == "response.completed":
        _call(draft, agent)
    else:
        _step(draft, agent)


def _tool(draft: Draft, agent: str) -> None:
    fields = draft.fields
    fields["kind"] = "tool_call"
    success = draft.attributes.pop("success", "true").lower()
    if success == "false":
        _move(draft, "error_type", convert.name, "error_type", "error.type")
        fields.setdefault("error_type", "_OTHER")
        _message(draft)
    settle_outcome(fields, success == "false")
    decision = draft.attributes.get("decision", "")
    if agent == "gemini_cli" and decision in _VERDICTS:
        fields["review_verdict"] = _VERDICTS[decision]
        if decision == "reject":
            fields["status"] = "refused"


def _decision(draft: Draft, agent: str) -> None:
    """Whether a tool may run: said by a person it is a review of the agent's proposal, said by a rule it is a policy."""
    fields, attributes = draft.fields, draft.attributes
    verdict = _VERDICTS.get(attributes.get("decision", "").lower(), "")
    source = attributes.get("source", "").lower()
    if source in _HUMAN:
        fields["kind"] = "review"
        if verdict:
            fields["review_verdict"] = verdict
            attributes.pop("decision", None)
        if "subject" in fields:
            fields.setdefault("reviewer", fields["subject"])
        return
    fields["kind"] = "policy"
    if verdict:
        fields["authorization"] = f"{'deny' if verdict == 'reject' else 'allow'} {source}".strip()
        fields["status"] = "refused" if verdict == "reject" else "ok"


_EVENTS: dict[str, Callable[[Draft, str], None]] = {
    "api_request": _request,
    "llm_request": _call,
    "api_response": _call,
    "api_error": _failed_call,
    "api_refusal": _refused_call,
    "sse_event": _stream,
    "websocket_event": _stream,
    "tool_result": _tool,
    "tool_call": _tool,
    "tool": _tool,
    "tool_decision": _decision,
}


def _message(draft: Draft) -> None:
    for key in ("error", "error_message", "error.message"):
        if key in draft.attributes:
            draft.attributes["status.message"] = draft.attributes.pop(key)
            return


def _pop(draft: Draft, key: str, how: convert.Converter) -> Any:
    for told in (draft.attributes, draft.measures):
        if key in told:
            value = how(told[key])
            if value is not None:
                del told[key]
            return value
    return None


def _move(draft: Draft, field: str, how: convert.Converter, *keys: str) -> None:
    if field in draft.fields:
        return
    for key in keys:
        value = _pop(draft, key, how)
        if value is not None:
            draft.fields[field] = value
            return


def _count(draft: Draft, *keys: str) -> int | None:
    for key in keys:
        value = _pop(draft, key, convert.whole)
        if isinstance(value, int):
            return value
    return None
