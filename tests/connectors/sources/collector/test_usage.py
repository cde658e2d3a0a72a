"""Token classes of what nine providers really sent: disjoint, and adding up to what they reported."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from waterline.connectors.sources.collector.dialects import tokens
from waterline.connectors.sources.collector.usage import Usage, merged, normalise
from waterline.schemas.events import TOKEN_CLASSES, UsageQuality

RECORDS = [
    orjson.loads(line)
    for line in (Path(__file__).parents[3] / "data" / "provider-usage" / "usage.jsonl").read_bytes().splitlines()
]
WITH_USAGE = [record for record in RECORDS if record["usage"] is not None]

_GENAI = "python/instrumentation/openinference-instrumentation-google-genai/tests/cassettes"

EXPLAINED: dict[str, str] = {
    f"{_GENAI}/test_cache_create_instrumentation/test_create_cache_async.yaml/0/None": "a cache was made: only a total is told",
}
"""Records whose classes cannot add up, and why."""

HALF_TOLD: dict[str, str] = {
    f"{_GENAI}/test_instrumentation/test_generate_content_with_file_uri_image[{flag}].yaml/0/None": "neither prompt nor total"
    for flag in (False, True)
}
"""Records that report an output and no input: what they report adds up, but missing is not zero."""


def name_of(record: dict[str, Any]) -> str:
    return "/".join(str(record[key]) for key in ("source_file", "interaction", "usage_seq"))


def usage_of(record: dict[str, Any]) -> Usage:
    """A stream's start and end are one call."""
    start = record["usage_stream_start"]
    return normalise(merged(start, record["usage"]) if start else record["usage"], record["provider"])


def reported(record: dict[str, Any]) -> int:
    """The tokens a provider reports, read off by hand for each of its shapes; the oracle of this test."""
    u = {**(record["usage_stream_start"] or {}), **record["usage"]}
    totals = ("total_tokens", "totalTokens", "totalTokenCount")
    for key in totals:
        if key in u:
            return int(u[key])
    if record["provider"].startswith("google"):
        return int(u.get("candidatesTokenCount", 0)) + int(u.get("thoughtsTokenCount", 0))
    parts = (
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
        "inputTokens",
        "outputTokens",
    )
    return sum(int(u.get(key) or 0) for key in (*parts, "prompt_eval_count", "eval_count"))


def test_the_recordings_are_all_there() -> None:
    assert (len(RECORDS), len(WITH_USAGE)) == (180, 161)


def test_classes_add_up_to_what_the_provider_reported() -> None:
    wrong = {}
    for record in WITH_USAGE:
        usage = usage_of(record)
        assert usage.classes.keys() <= set(TOKEN_CLASSES)
        assert min(usage.classes.values(), default=1) > 0
        assert usage.reasoning <= usage.classes.get("tokens_output", 0), name_of(record)
        if sum(usage.classes.values()) != reported(record):
            wrong[name_of(record)] = (usage.classes, reported(record))
    assert set(wrong) == set(EXPLAINED), wrong


def test_what_does_not_add_up_says_so() -> None:
    doubtful = {name_of(record) for record in WITH_USAGE if usage_of(record).quality is UsageQuality.INCONSISTENT}
    assert doubtful == set(EXPLAINED) | set(HALF_TOLD)


@pytest.mark.parametrize(
    ("raw", "classes"),
    [
        (
            {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
             "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 30},
             "completion_tokens_details": {"audio_tokens": 20, "reasoning_tokens": 10}},
            {"tokens_input": 30, "tokens_cache_read": 40, "tokens_input_audio": 30, "tokens_output": 30,
             "tokens_output_audio": 20},
        ),
        (
            {"input_tokens": 10, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 7, "output_tokens": 5,
             "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}},
            {"tokens_input": 10, "tokens_cache_read": 7, "tokens_cache_write_5m": 100, "tokens_cache_write_1h": 200,
             "tokens_output": 5},
        ),
        (
            {"promptTokenCount": 90, "cachedContentTokenCount": 50, "candidatesTokenCount": 8, "thoughtsTokenCount": 2,
             "totalTokenCount": 100,
             "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}, {"modality": "TEXT", "tokenCount": 60}],
             "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}, {"modality": "TEXT", "tokenCount": 40}]},
            {"tokens_input": 20, "tokens_cache_read": 40, "tokens_cache_read_audio": 10, "tokens_input_audio": 20,
             "tokens_output": 10},
        ),
        ({"inputTokens": 5, "outputTokens": 6, "totalTokens": 31, "cacheReadInputTokens": 20, "cacheWriteInputTokens": 0},
         {"tokens_input": 5, "tokens_cache_read": 20, "tokens_output": 6}),
        ({"billed_units": {"input_tokens": 4, "output_tokens": 9}}, {"tokens_input": 4, "tokens_output": 9}),
    ],
)  # fmt: skip
def test_shapes_beyond_the_recordings(raw: dict[str, Any], classes: dict[str, int]) -> None:
    usage = normalise(raw)
    assert usage.classes == classes
    assert usage.quality is UsageQuality.CONSISTENT


def test_units_that_are_not_tokens_are_requests() -> None:
    assert normalise({"search_units": 3}).requests == 3
    assert normalise({"contentPolicyUnits": 1, "topicPolicyUnits": 2, "sensitiveInformationPolicyFreeUnits": 9}).requests == 3


def test_contradictions_are_kept_as_told_and_marked() -> None:
    usage = normalise(
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "prompt_tokens_details": {"cached_tokens": 40}}
    )
    assert usage.quality is UsageQuality.INCONSISTENT
    assert usage.classes == {"tokens_input": 10, "tokens_cache_read": 40, "tokens_output": 5}
    assert normalise({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99}).quality is UsageQuality.INCONSISTENT
    assert normalise({"prompt_tokens": "ten", "completion_tokens": -5, "total_tokens": True}) == Usage()


@pytest.mark.parametrize(
    ("told", "fields"),
    [
        ({"input": 100, "output": 20, "cache_read": 80}, {"tokens_input": 20, "tokens_cache_read": 80, "tokens_output": 20}),
        # Anthropic's raw counts passed on: more cached than input can only mean that they lie beside it
        ({"input": 21, "output": 5, "cache_read": 1733}, {"tokens_input": 21, "tokens_cache_read": 1733, "tokens_output": 5}),
        # Gemini's passed on: only with the thoughts do they make the total
        (
            {"input": 10, "output": 5, "reasoning": 7, "total": 22},
            {"tokens_input": 10, "tokens_output": 12, "tokens_reasoning": 7, "tokens_total": 22},
        ),
        ({"input": 10, "output": 5, "reasoning": 3}, {"tokens_input": 10, "tokens_output": 5, "tokens_reasoning": 3}),
        ({"input": 0, "output": 5}, {"tokens_output": 5}),
    ],
)
def test_attributes_that_count_differently(told: dict[str, int], fields: dict[str, int]) -> None:
    made: dict[str, Any] = {}
    tokens.apply(made, {}, told)
    assert made == {**fields, "usage_source": "provider", "usage_quality": "consistent"}


def test_an_output_without_an_input_is_doubtful() -> None:
    made: dict[str, Any] = {}
    tokens.apply(made, {}, {"output": 5})
    assert made["usage_quality"] == "inconsistent"
