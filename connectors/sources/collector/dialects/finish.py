"""The last steps from a draft to an event: what a table of names cannot say."""

import re
from collections.abc import Mapping
from typing import Any

from waterline.connectors.sources.collector.dialects import convert, tokens
from waterline.connectors.sources.collector.dialects.draft import Draft
from waterline.connectors.sources.collector.dialects.kinds import retry_class_of, status_of
from waterline.schemas.events import CompletionState

_PRICED = {"model_call", "embedding"}
_DOCUMENT = re.compile(r"^(?:retrieval\.documents|reranker\.output_documents)\.(\d{1,6})\.document\.(id|score)$")


def finish(draft: Draft, failed: bool) -> None:
    """Complete `draft.fields`: usage, kind, status and what structured attributes hold. `failed`: the record itself says so."""
    fields = draft.fields
    if draft.special:
        _special(draft)
    if draft.usage:
        tokens.apply(fields, draft.attributes, draft.usage)
    kind = fields.get("kind")
    if kind is None:
        kind = fields["kind"] = _kind_of(draft)
    if failed or "error_type" in fields or "finish_reason" in fields:
        settle_outcome(fields, failed)
    if kind in _PRICED and "usage_source" not in fields:
        fields["usage_source"] = "missing"


def _kind_of(draft: Draft) -> str:
    fields = draft.fields
    if "model_requested" in fields or "model_served" in fields:
        return "model_call" if draft.usage.keys() & {"output", "total"} or "finish_reason" in fields else "step"
    return "tool_call" if "tool" in fields and "tool" not in draft.won else "step"


def settle_outcome(fields: dict[str, Any], failed: bool) -> None:
    """Status, retry class and completion state, where the record does not say them itself."""
    error = fields.get("error_type", "")
    status = status_of(failed, error, fields.get("finish_reason", ""))
    if status != "ok":
        fields.setdefault("status", status)
        if error and (retry := retry_class_of(error)):
            fields.setdefault("retry_class", retry)
    if fields["kind"] == "model_call":
        state = CompletionState.ERROR if status in ("error", "timeout") else CompletionState.COMPLETE
        fields.setdefault("completion_state", state.value)


def _special(draft: Draft) -> None:
    documents: dict[int, dict[str, Any]] = {}
    for key, value in draft.special.items():
        place = _DOCUMENT.match(key)
        if place:
            documents.setdefault(int(place[1]), {})[place[2]] = value
        elif key in _HANDLERS:
            told = convert.parsed(value) if isinstance(value, str) else value
            if isinstance(told, Mapping):
                _HANDLERS[key](draft, told)
            else:
                draft.attributes[key] = str(value)
        else:
            draft.attributes[key] = str(value)
    if documents and "retrieved" not in draft.fields:
        draft.fields["retrieved"] = convert.retrieved([documents[rank] for rank in sorted(documents)])


def _ai_metadata(draft: Draft, told: Mapping[str, Any]) -> None:
    """`{"openai": {"serviceTier": ...}}`: the AI SDK's note of what else the provider said."""
    for provider in told.values():
        if isinstance(provider, Mapping):
            tier = convert.name(provider.get("serviceTier") or provider.get("service_tier"))
            if tier:
                draft.fields.setdefault("service_tier", tier)
            written = convert.whole(provider.get("cacheCreationInputTokens"))
            if written:
                draft.usage.setdefault("cache_write", written)


def _langfuse_usage(draft: Draft, told: Mapping[str, Any]) -> None:
    """Langfuse counts its classes beside each other, so they are summed to the totals the conventions speak of."""
    counts = {key: number for key, value in told.items() if (number := convert.whole(value)) is not None}
    read = counts.get("input_cached_tokens", counts.get("cache_read_input_tokens", 0))
    long = counts.get("input_cache_creation_1h", 0)
    written = counts.get("input_cache_creation", counts.get("input_cache_creation_5m", 0) + long)
    if "input" in counts:
        draft.usage.setdefault("input", counts["input"] + read + written)
    if "output" in counts:
        draft.usage.setdefault("output", counts["output"])
    for slot, number in (("cache_read", read), ("cache_write", written), ("cache_write_1h", long)):
        if number:
            draft.usage.setdefault(slot, number)


def _langfuse_cost(draft: Draft, told: Mapping[str, Any]) -> None:
    if (cost := convert.money(told.get("total"))) is not None:
        draft.fields.setdefault("reported_cost", cost)


def _own_usage(draft: Draft, told: Mapping[str, Any]) -> None:
    draft.usage.clear()
    tokens.apply_raw(draft.fields, draft.attributes, dict(told))


_HANDLERS = {
    "ai.response.providerMetadata": _ai_metadata,
    "langfuse.observation.usage_details": _langfuse_usage,
    "langfuse.observation.cost_details": _langfuse_cost,
    "waterline.usage": _own_usage,
}
