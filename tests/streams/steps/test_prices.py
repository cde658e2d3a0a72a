"""Which price applies: tiers, long contexts, times of day, fees, and what was effective and known when."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.streams.steps.world import T0, call, fact_of, price
from waterline.schemas.facts import PriceVersion
from waterline.streams.steps.prices import Conditions, PriceBook

CALL = Decimal("0.0028")


def conditional(**conditions: Any) -> str:
    return msgspec.json.encode(Conditions(**conditions)).decode()


def variant(name: str, factor: str, **conditions: Any) -> PriceVersion:
    """The price of gpt under a condition, as a multiple of its usual price."""
    base = price("openai/gpt", tokens_input="2", tokens_output="8")
    return msgspec.structs.replace(
        base,
        price_id=f"openai/gpt#{name}@1",
        price_key=f"openai/gpt#{name}",
        unit_prices={unit: str(Decimal(amount) * Decimal(factor)) for unit, amount in base.unit_prices.items()},
        conditions=conditional(**conditions),
    )


def tiered() -> PriceBook:
    base = price("openai/gpt", tokens_input="2", tokens_output="8")
    return PriceBook([base, variant("batch", "0.5", tier="batch"), variant(">200000", "2", over=200_000)])


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({}, "0.0028"),
        ({"service_tier": "default"}, "0.0028"),
        ({"service_tier": "Batch"}, "0.0014"),
        ({"service_tier": "flex"}, "0.0028"),
        ({"tokens_input": 200_000, "tokens_output": 0}, "0.4"),
        ({"tokens_input": 200_001, "tokens_output": 0}, "0.800004"),
    ],
)
def test_tiers_and_long_contexts_have_their_own_price(fields: dict[str, Any], cost: str) -> None:
    assert fact_of([call(**fields)], book=tiered()).cost_model == Decimal(cost)


def test_a_long_context_counts_cached_input_too() -> None:
    book = tiered()
    fact = fact_of([call(tokens_input=1, tokens_output=1, tokens_cache_read=200_000)], book=book)
    assert fact.unpriced_calls == 1, "this list has no price for cached input"
    assert fact_of([call(tokens_input=200_000, tokens_output=1)], book=book).cost_model == Decimal("0.400008")


def test_prices_by_the_time_of_day() -> None:
    book = PriceBook([variant("night", "0.5", minutes=(1320, 360)), variant("day", "1", minutes=(360, 1320))])
    costs = [fact_of([call(h * 3600, tokens_input=1, tokens_output=0)], book=book).cost_model for h in (0, 12, 13, 20, 21)]
    assert [int(cost * 1_000_000) for cost in costs] == [2, 2, 1, 1, 2], "09:00, 21:00, 22:00, 05:00 and 06:00"


def test_a_fee_for_each_call_and_requests_beside_tokens() -> None:
    book = PriceBook([price("openai/gpt", tokens_input="1", tokens_output="1", calls="12000", requests="10000")])
    fact = fact_of([call(tokens_input=1, tokens_output=0, requests=3)], book=book)
    assert fact.cost_model == Decimal("0.000001") + Decimal("0.012") + Decimal("0.03")


def test_a_self_hosted_model_costs_its_seconds() -> None:
    units: dict[str, Any] = {"tokens_input": "0", "tokens_output": "0", "duration_ms": "2.2"}
    book = PriceBook([price("openai/gpt", **units)])
    assert fact_of([call(duration_ms=1500.4)], book=book).cost_model == Decimal("0.0033"), "0.0022 USD a second"
    assert fact_of([call(duration_ms=1000, tokens_input=0, tokens_output=0)], book=book).cost_model == Decimal("0.0022")


def test_a_price_applies_from_when_it_is_effective_and_known() -> None:
    """Effective an hour after nine, published two hours after: events received before that keep the old price, for good."""
    later, known = T0 + timedelta(hours=1), T0 + timedelta(hours=2)
    book = PriceBook(
        [
            price("openai/gpt", tokens_input="2", tokens_output="8"),
            price("openai/gpt", known=known, tokens_input="2", tokens_output="8"),
            price("openai/gpt", since=later, known=known, tokens_input="4", tokens_output="16"),
        ]
    )

    def cost(ts_hours: float, received_hours: float) -> Decimal:
        received = T0 + timedelta(hours=received_hours)
        return fact_of([call(ts_hours * 3600, received_at=received)], book=book).cost_model

    assert cost(0, 0) == CALL
    assert cost(1.5, 1.5) == CALL, "not known yet"
    assert cost(1.5, 2.5) == 2 * CALL
    assert cost(0.5, 9) == CALL, "not effective yet"


def test_a_key_that_is_published_again_replaces_all_its_dates() -> None:
    """A start that was wrong does not linger."""
    known = T0 + timedelta(hours=1)
    book = PriceBook(
        [
            price("openai/gpt", tokens_input="1", tokens_output="1"),
            price("openai/gpt", since=T0 - timedelta(days=9), tokens_input="5", tokens_output="5"),
            price("openai/gpt", known=known, tokens_input="1", tokens_output="1"),
        ]
    )
    assert fact_of([call()], book=book).cost_model == Decimal("0.0055")
    assert fact_of([call(received_at=known)], book=book).cost_model == Decimal("0.0011")


def test_a_withdrawn_price_applies_no_more() -> None:
    known = T0 + timedelta(hours=1)
    book = PriceBook([price("openai/gpt", tokens_input="2", tokens_output="8"), price("openai/gpt", known=known)])
    assert fact_of([call(received_at=T0)], book=book).cost_model == CALL
    assert fact_of([call(received_at=known)], book=book).unpriced_calls == 1
