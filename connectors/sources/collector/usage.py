"""Provider usage -> disjoint token classes (schemas/events.TOKEN_CLASSES), so that no token is counted or charged twice.

What the providers mean, by the shape of their object:

    shape            input total             cached input           output total           reasoning
    OpenAI, OTel     prompt / input tokens   inside                 completion / output    inside
    Anthropic        the sum of three        beside, read + write   output_tokens          inside
    Bedrock, Nova    the sum of three        beside, read + write   outputTokens           inside
    Gemini           prompt + tool prompts   inside the prompt      candidates + thoughts  beside the candidates
    Interactions     input + tool use        inside the input       output + thought       beside the output
    Ollama           prompt_eval_count       -                      eval_count             -

A class that is not reported stays absent. Nothing is clamped: where the parts contradict the total, or a part is greater than its
whole, the quality is `inconsistent` and the numbers stay as they were told.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from waterline.schemas.events import UsageQuality

LIMIT = 2**53


class Usage(Struct):
    """`classes` holds only classes above zero; `total` is what the provider reported, 0 = it did not."""

    classes: dict[str, int] = field(default_factory=dict)
    reasoning: int = 0
    total: int = 0
    requests: int = 0
    quality: UsageQuality = UsageQuality.NONE
    tier: str = ""


class Parts(Struct):
    """A call's tokens as totals with the parts inside them; None = not reported."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    input_audio: int = 0
    input_image: int = 0
    cache_read_audio: int = 0
    output_audio: int = 0
    output_image: int = 0


def normalise(raw: Mapping[str, Any], provider: str = "") -> Usage:
    """Read a provider's usage object. An object without a number we know gives an empty Usage of no quality."""
    usage = _of_shape(raw, provider)
    tier = raw.get("service_tier") or raw.get("serviceTier")
    if isinstance(tier, str):
        usage.tier = tier
    return usage


def merged(start: Mapping[str, Any], final: Mapping[str, Any]) -> dict[str, Any]:
    """The two objects of an Anthropic stream as one: what the end does not repeat is taken from the start, never added."""
    return {**start, **{key: value for key, value in final.items() if value is not None}}


def _of_shape(raw: Mapping[str, Any], provider: str) -> Usage:
    keys = raw.keys()
    if not keys.isdisjoint(("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount")):
        return settle(_gemini(raw))
    if not keys.isdisjoint(("total_input_tokens", "total_output_tokens", "total_thought_tokens")):
        return settle(_interactions(raw))
    if not keys.isdisjoint(("prompt_tokens", "completion_tokens")):
        return settle(_openai(raw, "prompt", "completion"))
    if not keys.isdisjoint(("inputTokens", "outputTokens")):
        return settle(_bedrock(raw))
    if not keys.isdisjoint(("prompt_eval_count", "eval_count")):
        return settle(Parts(input=count(raw, "prompt_eval_count"), output=count(raw, "eval_count")))
    if not keys.isdisjoint(("input_tokens", "output_tokens")):
        cached = not keys.isdisjoint(("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"))
        if "total_tokens" not in raw and (cached or "anthropic" in provider):
            return settle(_anthropic(raw))
        return settle(_openai(raw, "input", "output"))
    billed = raw.get("billed_units")
    if isinstance(billed, Mapping) and not billed.keys().isdisjoint(("input_tokens", "output_tokens")):
        return settle(_openai(billed, "input", "output"))
    return Usage(requests=_requests(raw))


def count(raw: Mapping[str, Any], *path: str) -> int | None:
    """The number at a path, None when it is not there or not a count."""
    value: Any = raw
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LIMIT else None


def first(*values: int | None) -> int:
    return next((value for value in values if value is not None), 0)


def _openai(raw: Mapping[str, Any], before: str, after: str) -> Parts:
    """Chat, Responses, Mistral, Together, Groq and what LiteLLM makes of every provider: totals with details inside."""
    inside, outside = f"{before}_tokens_details", f"{after}_tokens_details"
    written = first(
        count(raw, "cache_creation_input_tokens"),
        count(raw, inside, "cache_creation_tokens"),
        count(raw, inside, "cache_write_tokens"),
    )
    detail = raw.get(inside)
    long = first(count(raw, "cache_creation", "ephemeral_1h_input_tokens"))
    if isinstance(detail, Mapping):
        long = first(count(detail, "cache_creation_token_details", "ephemeral_1h_input_tokens"), long)
    return Parts(
        input=count(raw, f"{before}_tokens"),
        output=count(raw, f"{after}_tokens"),
        total=count(raw, "total_tokens"),
        cache_read=first(count(raw, inside, "cached_tokens"), count(raw, "cached_tokens"), count(raw, "cache_read_input_tokens")),
        cache_write_5m=written - long,
        cache_write_1h=long,
        reasoning=first(count(raw, outside, "reasoning_tokens")),
        input_audio=first(count(raw, inside, "audio_tokens")),
        input_image=first(count(raw, inside, "image_tokens")),
        cache_read_audio=first(count(raw, inside, "cached_tokens_details", "audio_tokens")),
        output_audio=first(count(raw, outside, "audio_tokens")),
        output_image=first(count(raw, outside, "image_tokens")),
    )


def _anthropic(raw: Mapping[str, Any]) -> Parts:
    read = first(count(raw, "cache_read_input_tokens"))
    written = first(count(raw, "cache_creation_input_tokens"))
    long = first(count(raw, "cache_creation", "ephemeral_1h_input_tokens"))
    fresh = count(raw, "input_tokens")
    return Parts(
        input=None if fresh is None else fresh + read + written,
        output=count(raw, "output_tokens"),
        cache_read=read,
        cache_write_5m=written - long,
        cache_write_1h=long,
        reasoning=first(count(raw, "output_tokens_details", "thinking_tokens")),
    )


def _bedrock(raw: Mapping[str, Any]) -> Parts:
    read = first(count(raw, "cacheReadInputTokens"), count(raw, "cacheReadInputTokenCount"))
    written = first(count(raw, "cacheWriteInputTokens"), count(raw, "cacheWriteInputTokenCount"))
    fresh = count(raw, "inputTokens")
    return Parts(
        input=None if fresh is None else fresh + read + written,
        output=count(raw, "outputTokens"),
        total=count(raw, "totalTokens"),
        cache_read=read,
        cache_write_5m=written,
    )


def _gemini(raw: Mapping[str, Any]) -> Parts:
    prompt, answer = count(raw, "promptTokenCount"), count(raw, "candidatesTokenCount")
    tools, thoughts = count(raw, "toolUsePromptTokenCount"), count(raw, "thoughtsTokenCount")
    asked = modalities(raw, "promptTokensDetails", "tokenCount")
    used = modalities(raw, "toolUsePromptTokensDetails", "tokenCount")
    cached = modalities(raw, "cacheTokensDetails", "tokenCount")
    told = modalities(raw, "candidatesTokensDetails", "tokenCount")
    return Parts(
        input=total_of(prompt, tools),
        output=total_of(answer, thoughts),
        total=count(raw, "totalTokenCount"),
        cache_read=first(count(raw, "cachedContentTokenCount")),
        reasoning=first(thoughts),
        input_audio=asked["audio"] + used["audio"],
        input_image=asked["image"] + used["image"] - cached["image"],
        cache_read_audio=cached["audio"],
        output_audio=told["audio"],
        output_image=told["image"],
    )


def _interactions(raw: Mapping[str, Any]) -> Parts:
    thoughts = count(raw, "total_thought_tokens")
    asked, told = modalities(raw, "input_tokens_by_modality", "tokens"), modalities(raw, "output_tokens_by_modality", "tokens")
    return Parts(
        input=total_of(count(raw, "total_input_tokens"), count(raw, "total_tool_use_tokens")),
        output=total_of(count(raw, "total_output_tokens"), thoughts),
        total=count(raw, "total_tokens"),
        cache_read=first(count(raw, "total_cached_tokens")),
        reasoning=first(thoughts),
        input_audio=asked["audio"],
        input_image=asked["image"],
        output_audio=told["audio"],
        output_image=told["image"],
    )


def modalities(raw: Mapping[str, Any], key: str, number: str) -> dict[str, int]:
    """Tokens by modality; a moving picture is priced as pictures are, a document as text."""
    found = {"audio": 0, "image": 0}
    rows = raw.get(key)
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, Mapping):
            name = str(row.get("modality", "")).lower()
            name = "image" if name == "video" else name
            if name in found:
                found[name] += first(count(row, number))
    return found


def total_of(*values: int | None) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def settle(parts: Parts) -> Usage:
    """Totals with parts inside -> disjoint classes, and whether they add up."""
    if parts.input is None and parts.output is None and parts.total is None:
        return Usage()
    inside = parts.cache_read + parts.cache_write_5m + parts.cache_write_1h + parts.input_image
    audio = parts.input_audio - parts.cache_read_audio
    text = None if parts.input is None else parts.input - inside - audio
    answer = None if parts.output is None else parts.output - parts.output_audio - parts.output_image
    classes = {
        "tokens_input": text,
        "tokens_cache_read": parts.cache_read - parts.cache_read_audio,
        "tokens_cache_read_audio": parts.cache_read_audio,
        "tokens_cache_write_5m": parts.cache_write_5m,
        "tokens_cache_write_1h": parts.cache_write_1h,
        "tokens_input_audio": audio,
        "tokens_input_image": parts.input_image,
        "tokens_output": answer,
        "tokens_output_audio": parts.output_audio,
        "tokens_output_image": parts.output_image,
    }
    known = {name: number for name, number in classes.items() if number}
    total = parts.total
    whole = parts.input is not None or not inside
    sound = min(known.values(), default=0) >= 0 and whole and parts.reasoning <= first(parts.output, parts.reasoning)
    if total is not None:
        sound = sound and sum(known.values()) == total
    elif parts.input is None:
        sound = False
    if not sound:
        known = _as_told(parts, known)
    quality = UsageQuality.CONSISTENT if sound else UsageQuality.INCONSISTENT
    return Usage(known, parts.reasoning, total or 0, 0, quality)


def _as_told(parts: Parts, known: dict[str, int]) -> dict[str, int]:
    """Where a part is greater than its whole, the whole stays in its text class and the parts beside it: told, not clamped."""
    told = {name: number for name, number in known.items() if number > 0}
    if known.get("tokens_input", 0) < 0:
        told["tokens_input"] = first(parts.input)
    if known.get("tokens_output", 0) < 0:
        told["tokens_output"] = first(parts.output)
    return {name: number for name, number in told.items() if number}


def _requests(raw: Mapping[str, Any]) -> int:
    """Billable units that are not tokens: Cohere's search units, a Bedrock guardrail's policy units that are not free."""
    billed = raw.get("billed_units")
    units: Iterable[int | None] = [count(raw, "search_units")]
    if isinstance(billed, Mapping):
        units = [*units, count(billed, "search_units")]
    policies = [count(raw, key) for key in raw if key.endswith("PolicyUnits")]
    return sum(number for number in (*units, *policies) if number)
