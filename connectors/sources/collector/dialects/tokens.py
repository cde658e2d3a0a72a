"""Token counts told attribute by attribute (OpenTelemetry, OpenInference, OpenLLMetry, AI SDK) -> disjoint classes.

These conventions count cached and reasoning tokens inside input and output. Two habits differ and show themselves in the numbers:
an emitter that passes on Anthropic's raw counts has more cached tokens than input, and one that passes on Gemini's has reasoning
beside the output, so that only the three together make the total.
"""

from typing import Any

import orjson

from waterline.connectors.sources.collector.usage import Parts, Usage, normalise, settle
from waterline.connectors.sources.collector.wire import json_of
from waterline.schemas.events import UsageQuality, UsageSource

RAW = "usage.raw"
_PLAIN = {"input", "output", "total", "cache_read", "cache_write", "reasoning"}


def apply(fields: dict[str, Any], attributes: dict[str, str], told: dict[str, int]) -> None:
    """Set the token fields from totals by slot; keep the totals as told where the classes no longer show them."""
    if fields.keys() & _OWN_CLASSES:
        attributes.setdefault(RAW, orjson.dumps(told).decode())
        return
    if not told.keys() <= _PLAIN:
        told = {slot: number for slot, number in told.items() if number or slot in _PLAIN}
    if told.keys() <= _PLAIN and _plainly(fields, told):
        return
    attributes.setdefault(RAW, orjson.dumps(told).decode())
    write(fields, settle(_parts(told)))


def _plainly(fields: dict[str, Any], told: dict[str, int]) -> bool:
    """Totals that add up and whose classes can be put together again to what was told; False for all others."""
    before, after, total = told.get("input"), told.get("output", 0), told.get("total", 0)
    read, written, reasoning = told.get("cache_read", 0), told.get("cache_write", 0), told.get("reasoning", 0)
    if before is None or read + written > before or reasoning > after or (total and before + after != total):
        return False
    if fresh := before - read - written:
        fields["tokens_input"] = fresh
    if after:
        fields["tokens_output"] = after
    if read:
        fields["tokens_cache_read"] = read
    if written:
        fields["tokens_cache_write_5m"] = written
    if reasoning:
        fields["tokens_reasoning"] = reasoning
    if total:
        fields["tokens_total"] = total
    if "usage_source" not in fields:
        fields["usage_source"] = "provider"
    if "usage_quality" not in fields:
        fields["usage_quality"] = "consistent"
    return True


def apply_raw(fields: dict[str, Any], attributes: dict[str, str], raw: dict[str, Any]) -> None:
    """Set the token fields from a provider's own usage object."""
    attributes.setdefault(RAW, json_of(raw))
    if not fields.keys() & _OWN_CLASSES:
        write(fields, normalise(raw, fields.get("provider", "")))


def write(fields: dict[str, Any], usage: Usage) -> None:
    fields.update(usage.classes)
    if usage.reasoning:
        fields["tokens_reasoning"] = usage.reasoning
    if usage.total:
        fields["tokens_total"] = usage.total
    if usage.requests:
        fields["requests"] = usage.requests
    if usage.tier:
        fields.setdefault("service_tier", usage.tier)
    if usage.quality is not UsageQuality.NONE:
        fields.setdefault("usage_quality", usage.quality.value)
    if usage.quality is not UsageQuality.NONE or usage.requests:
        fields.setdefault("usage_source", UsageSource.PROVIDER.value)


def _parts(told: dict[str, int]) -> Parts:
    before, after, total = told.get("input"), told.get("output"), told.get("total")
    read, written, long = told.get("cache_read", 0), told.get("cache_write", 0), told.get("cache_write_1h", 0)
    reasoning = told.get("reasoning", 0)
    if before is not None and read + written > before:
        before += read + written
        if total is not None and total == told["input"] + (after or 0):
            total = before + (after or 0)
    if total is not None and before is not None and after is not None and before + after + reasoning == total:
        after += reasoning
    return Parts(
        input=before,
        output=after,
        total=total,
        cache_read=read,
        cache_write_5m=written - long if written else 0,
        cache_write_1h=long,
        reasoning=reasoning,
        input_audio=told.get("input_audio", 0),
        input_image=told.get("input_image", 0),
        output_audio=told.get("output_audio", 0),
        output_image=told.get("output_image", 0),
    )


_OWN_CLASSES = {
    "tokens_input",
    "tokens_cache_read",
    "tokens_cache_write_5m",
    "tokens_cache_write_1h",
    "tokens_output",
    "tokens_input_audio",
    "tokens_output_audio",
}
"""Classes the emitter said itself (`waterline.tokens_...`); they are believed."""
