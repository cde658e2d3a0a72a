"""The price table and its folding into costs, against genai-prices' own arithmetic."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from genai_prices import Usage, data_snapshot
from genai_prices.types import ModelInfo, Provider

from waterline.schemas.events import Event, Kind
from waterline.schemas.facts import PriceState
from waterline.schemas.settings import Settings
from waterline.streams.price_list import _by_key, numbered, wanted
from waterline.streams.price_table import TIERS, table_versions
from waterline.streams.steps.cost import leaf_of
from waterline.streams.steps.entry import money
from waterline.streams.steps.moment import EPOCH, micros
from waterline.streams.steps.prices import PriceBook

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook(numbered(wanted(Settings(prices_file="")), EPOCH))


def cost(book: PriceBook, ts: datetime = NOW, **fields: Any) -> Decimal | None:
    event = Event(tenant="t", kind=Kind.MODEL_CALL, ts=ts, **fields)
    found = leaf_of(event, micros(ts), micros(NOW), book)
    assert found is not None
    return money(found[0].cost) if found[0].base == PriceState.PRICED else None


CACHED: dict[str, Any] = {"tokens_input": 2, "tokens_cache_read": 47_105, "tokens_cache_write_5m": 1_076, "tokens_output": 714}


def test_a_cached_prompt_costs_what_its_classes_cost(book: PriceBook) -> None:
    """48,183 input tokens, 47,105 of them read from a cache and 1,076 written to it."""
    assert cost(book, provider="anthropic", model_served="claude-sonnet-4-5", **CACHED) == Decimal("0.0288825")
    assert cost(book, provider="openai", model_served="gpt-4o", **CACHED) == Decimal("0.06871625")


@pytest.mark.parametrize(
    ("provider", "model", "key"),
    [
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("OpenAI", "GPT-4o", "openai/gpt-4o"),
        ("", "gpt-4o", "openai/gpt-4o"),
        ("litellm", "openai/gpt-4o", "openai/gpt-4o"),
        ("azure.ai.openai", "gpt-4o", "openai/gpt-4o"),
        ("az.ai.inference", "gpt-4o", "openai/gpt-4o"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("gcp.gemini", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gcp.vertex_ai", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gcp.gen_ai", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("x_ai", "grok-4", "x-ai/grok-4"),
        ("mistral_ai", "mistral-small-latest", "mistral/mistral-small-latest"),
        ("aws.bedrock", "anthropic.claude-3-haiku-20240307-v1:0", "aws/"),
        ("groq", "llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("deepseek", "deepseek-chat", "deepseek/deepseek-chat"),
        ("cohere", "command-r-plus", "cohere/"),
        ("perplexity", "sonar", "perplexity/sonar"),
    ],
)
def test_names_are_found_as_emitters_write_them(book: PriceBook, provider: str, model: str, key: str) -> None:
    price = book.find(provider, model, "", 10, micros(NOW), micros(NOW))
    assert price is not None
    assert price.key.startswith(key)


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "no-such-model"), ("vllm", "gpt-4o"), ("my-gateway", "claude-sonnet-4-5"), ("", "")]
)
def test_what_is_not_in_the_table_has_no_price(book: PriceBook, provider: str, model: str) -> None:
    assert book.find(provider, model, "", 10, micros(NOW), micros(NOW)) is None


def usages(seed: int) -> Iterator[dict[str, int]]:
    rnd = random.Random(seed)
    while True:
        text = {"tokens_input": rnd.randrange(0, 3000), "tokens_output": rnd.randrange(0, 2000)}
        kind = rnd.randrange(5)
        if kind == 1:
            text["tokens_cache_read"] = rnd.randrange(1, 400_000)
        elif kind == 2:
            text |= {"tokens_cache_write_5m": rnd.randrange(1, 5000), "tokens_cache_write_1h": rnd.randrange(1, 5000)}
        elif kind == 3:
            text |= {"tokens_input_audio": rnd.randrange(1, 900), "tokens_cache_read_audio": rnd.randrange(0, 100)}
            text |= {"tokens_output_audio": rnd.randrange(1, 900), "tokens_input_image": rnd.randrange(0, 900)}
        elif kind == 4:
            text["tokens_reasoning"] = rnd.randrange(0, text["tokens_output"] + 1)
        yield text


def as_theirs(usage: dict[str, int]) -> Usage:
    """Our disjoint classes as genai-prices' totals with parts."""
    part = usage.get
    read, read_audio = part("tokens_cache_read", 0), part("tokens_cache_read_audio", 0)
    w5, w1 = part("tokens_cache_write_5m", 0), part("tokens_cache_write_1h", 0)
    audio, image = part("tokens_input_audio", 0), part("tokens_input_image", 0)
    out_audio, out_image = part("tokens_output_audio", 0), part("tokens_output_image", 0)
    return Usage(
        input_tokens=part("tokens_input", 0) + read + read_audio + w5 + w1 + audio + image,
        cache_read_tokens=read + read_audio,
        cache_audio_read_tokens=read_audio,
        cache_image_read_tokens=0,
        cache_write_tokens=w5 + w1,
        cache_write_5m_tokens=w5,
        cache_write_1h_tokens=w1,
        input_audio_tokens=audio + read_audio,
        input_image_tokens=image,
        output_tokens=part("tokens_output", 0) + out_audio + out_image,
        output_audio_tokens=out_audio,
        output_image_tokens=out_image,
        output_reasoning_tokens=part("tokens_reasoning", 0),
    )


def models() -> list[tuple[Provider, ModelInfo]]:
    snapshot = data_snapshot.get_snapshot()
    return [
        (provider, model)
        for provider in snapshot.providers
        for model in provider.models
        if provider.find_model(model.id, all_providers=snapshot.providers) is model
    ]


def test_every_model_of_the_table_costs_what_genai_prices_says(book: PriceBook) -> None:
    """Each model at several times of day, over the years and at every tier."""
    usage = usages(7)
    rnd = random.Random(7)
    compared = unpriced = 0
    for provider, model in models():
        for tier, context in TIERS.items():
            if tier and not model.price_variants:
                continue
            ts = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=rnd.randrange(60 * 24 * 365 * 4))
            tokens = {name: count for name, count in next(usage).items() if count}
            theirs = model.calc_price(as_theirs(tokens), provider, genai_request_timestamp=ts, price_context=context or None)
            ours = cost(book, ts, provider=provider.id, model_served=model.id, service_tier=tier, **tokens)
            if ours is None:
                unpriced += 1
                continue
            compared += 1
            assert ours == theirs.total_price.quantize(Decimal("1e-9"), ROUND_HALF_EVEN), (
                provider.id,
                model.id,
                tier,
                ts,
                tokens,
            )
    assert compared > 2000
    assert unpriced < compared / 5, "models that bill by hours, pages or pixels, or that list no price for a class used"


def test_versions_of_a_key_begin_at_the_beginning() -> None:
    """So that any time has a price."""
    for versions in _by_key(table_versions()).values():
        assert versions[0].effective_from == EPOCH
        assert [v.effective_from for v in versions] == sorted({v.effective_from for v in versions})
