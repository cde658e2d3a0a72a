"""M1, rule by rule, with numbers. The small book: gpt at 2 / 0.2 / 8 USD per million input, cached and output tokens."""

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from tests.streams.steps.world import call, decide, event, fact_of, price, small_book
from waterline.schemas.events import CompletionState, Event, Kind, Status, Verdict
from waterline.schemas.facts import DecisionFact, PriceState
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.prices import PriceBook

CALL = Decimal("0.0028")


def states(events: list[Event], **how: Any) -> dict[str, str]:
    """event id -> what its leaf counts as."""
    chunks = decide(events, **how).trail.chunks
    return {entry.event_id: entry.leaf.state for chunk in chunks for entry in chunk or () if entry.leaf is not None}


def same_in_any_order(events: list[Event], **how: Any) -> DecisionFact:
    facts = [fact_of(list(order), **how) for order in permutations(events)]
    assert all(fact == facts[0] for fact in facts)
    return facts[0]


# token classes


def test_each_class_has_its_own_price() -> None:
    fact = fact_of([call(tokens_input=1000, tokens_cache_read=10_000, tokens_output=100)])
    assert fact.cost_model == Decimal("0.002") + Decimal("0.002") + Decimal("0.0008")
    assert (fact.tokens_input, fact.tokens_cache_read, fact.tokens_output) == (1000, 10_000, 100)


def test_reasoning_is_a_part_of_output_and_charged_once() -> None:
    fact = fact_of([call(tokens_reasoning=60)])
    assert (fact.cost_model, fact.tokens_output, fact.tokens_reasoning) == (CALL, 100, 60)


def test_reasoning_with_a_price_of_its_own_is_taken_out_of_output() -> None:
    book = PriceBook([price("openai/gpt", tokens_input="2", tokens_output="8", tokens_reasoning="3")])
    fact = fact_of([call(tokens_reasoning=60)], book=book)
    assert fact.cost_model == Decimal("0.002") + (40 * Decimal(8) + 60 * Decimal(3)) / 1_000_000
    assert (fact.tokens_output, fact.tokens_reasoning) == (100, 60)


def test_audio_and_cached_audio_are_charged_at_their_own_price_once() -> None:
    units: dict[str, Any] = {
        "tokens_input": "1",
        "tokens_input_audio": "100",
        "tokens_cache_read_audio": "10",
        "tokens_output_audio": "200",
    }
    book = PriceBook([price("openai/gpt", **units)])
    fact = fact_of(
        [call(tokens_input=1, tokens_output=0, tokens_input_audio=2, tokens_cache_read_audio=3, tokens_output_audio=4)], book=book
    )
    assert fact.cost_model == Decimal(1 + 200 + 30 + 800) / 1_000_000
    assert (fact.tokens_input, fact.tokens_cache_read, fact.tokens_output) == (3, 3, 4)


def test_cost_is_exact_and_rounded_once_half_even() -> None:
    book = PriceBook([price("openai/gpt", tokens_input="0.0005", tokens_output="0.0005")])
    costs = [fact_of([call(tokens_input=n, tokens_output=0)], book=book).cost_model for n in (1, 2, 3, 5)]
    assert costs == [Decimal(n).scaleb(-9) for n in (0, 1, 2, 2)], "0.5, 1, 1.5 and 2.5 nano-dollars"
    both = fact_of([call(tokens_input=1, tokens_output=1)], book=book)
    assert both.cost_model == Decimal("1e-9"), "two halves of one leaf make one"


# what is unknown


def test_an_unknown_model_is_unpriced_and_never_zero() -> None:
    events = [call(), call(model_served="no-such-model", event_id="unknown", reported_cost=Decimal("0.01"))]
    fact = fact_of(events)
    assert states(events)["unknown"] == PriceState.UNPRICED
    assert (fact.unpriced_calls, fact.realized_cost, fact.model_calls) == (1, CALL, 2)
    assert (fact.reported_cost, fact.tokens_input) == (Decimal("0.01"), 2000)


def test_a_class_without_a_price_leaves_the_call_unpriced() -> None:
    assert fact_of([call(tokens_output_audio=5)]).unpriced_calls == 1


def test_a_call_without_usage_is_told_apart() -> None:
    fact = fact_of([call(tokens_input=0, tokens_output=0, status=Status.ERROR)])
    assert (fact.no_usage_calls, fact.unpriced_calls, fact.realized_cost) == (1, 0, Decimal(0))


def test_a_price_for_a_call_alone_needs_no_usage() -> None:
    flat = PriceBook([price("openai/gpt", calls="2000", tokens_input="0", tokens_output="0")])
    silent = call(tokens_input=0, tokens_output=0)
    assert fact_of([silent, call()], book=flat).cost_model == Decimal("0.004")
    failed = fact_of([call(tokens_input=0, tokens_output=0, status=Status.ERROR)], book=flat)
    assert (failed.no_usage_calls, failed.cost_model) == (1, Decimal(0)), "nobody said that it was billed"
    both = PriceBook([price("openai/gpt", calls="2000", tokens_input="2")])
    assert fact_of([silent], book=both).no_usage_calls == 1, "its tokens cost too"


def test_an_answer_from_the_gateways_cache_costs_nothing() -> None:
    fact = fact_of([call(completion_state=CompletionState.CACHED)])
    assert (fact.cost_model, fact.unpriced_calls, fact.model_calls) == (Decimal(0), 0, 1)


def test_the_served_model_goes_before_the_requested_one() -> None:
    assert fact_of([call(model_served="deployment-7", model_requested="gpt")]).cost_model == CALL
    book = PriceBook([price("openai/gpt", tokens_input="2", tokens_output="8"), price("openai/other", tokens_input="9")])
    assert fact_of([call(model_served="gpt", model_requested="other")], book=book).cost_model == CALL


# only leaves


def test_a_span_that_wraps_another_priced_span_is_never_priced() -> None:
    outer, inner = call(0, event_id="outer", span_id="o"), call(1, event_id="inner", span_id="i", parent_span_id="o")
    fact = same_in_any_order([outer, inner])
    assert (fact.cost_model, fact.model_calls, fact.tokens_input) == (CALL, 1, 1000)
    assert states([outer, inner]) == {"outer": PriceState.WRAPPER, "inner": PriceState.PRICED}


def test_wrappers_of_wrappers() -> None:
    spans = [call(n, event_id=f"c{n}", span_id=f"s{n}", parent_span_id=f"s{n - 1}" if n else "") for n in range(4)]
    assert same_in_any_order(spans).cost_model == CALL
    assert [states(spans)[f"c{n}"] for n in range(4)] == ["wrapper", "wrapper", "wrapper", "priced"]


def test_a_child_without_usage_or_a_tool_below_makes_no_wrapper() -> None:
    parent = call(0, event_id="p", span_id="p")
    child = call(1, parent_span_id="p", tokens_input=0, tokens_output=0)
    tool = event(Kind.TOOL_CALL, 2, parent_span_id="p", tool_cost=Decimal("0.5"))
    assert same_in_any_order([parent, child, tool]).realized_cost == CALL + Decimal("0.5")


def test_other_kinds_that_carry_tokens_are_not_leaves() -> None:
    usage: dict[str, Any] = {"provider": "openai", "model_served": "gpt", "tokens_input": 1000, "tokens_output": 100}
    events = [event(kind, **usage) for kind in (Kind.STEP, Kind.DECISION, Kind.SESSION, Kind.GUARDRAIL)]
    assert fact_of(events).realized_cost == 0
    assert not states(events)


# one call told twice


def both_sides(agent: dict[str, Any], gateway: dict[str, Any]) -> list[Event]:
    return [
        call(1, event_id="agent", source="otlp", **agent),
        call(2, event_id="gateway", source="litellm", reported_cost=Decimal("0.003"), **gateway),
    ]


@pytest.mark.parametrize(("price_from", "counts"), [("agent", "agent"), ("gateway", "gateway")])
@pytest.mark.parametrize(
    ("agent", "gateway"), [({"response_id": "r"}, {"response_id": "r"}), ({}, {"response_id": "r"}), ({"response_id": "r"}, {})]
)
def test_a_call_that_agent_and_gateway_report_is_priced_once(
    price_from: str, counts: str, agent: dict[str, Any], gateway: dict[str, Any]
) -> None:
    """By its response id; where one side has none, the setting decides."""
    events, limits = both_sides(agent, gateway), Limits(price_from=price_from)
    fact = same_in_any_order(events, limits=limits)
    assert (fact.cost_model, fact.model_calls) == (CALL, 1)
    told = states(events, limits=limits)
    assert told.pop(counts) == PriceState.PRICED
    assert set(told.values()) == {PriceState.DUPLICATE}


def test_calls_with_different_response_ids_are_different_calls() -> None:
    assert same_in_any_order(both_sides({"response_id": "r1"}, {"response_id": "r2"})).cost_model == 2 * CALL


def test_the_side_that_has_usage_prices() -> None:
    none = {"tokens_input": 0, "tokens_output": 0}
    events = both_sides({"response_id": "r", **none}, {"response_id": "r"})
    assert same_in_any_order(events).cost_model == CALL
    assert states(events) == {"agent": PriceState.DUPLICATE, "gateway": PriceState.PRICED}
    assert same_in_any_order(both_sides(none, {})).cost_model == CALL, "without ids as well"


def test_a_gateways_span_below_the_agents_is_a_copy_and_no_leaf_of_its_own() -> None:
    events = [
        call(1, event_id="agent", span_id="a", response_id="r"),
        call(2, event_id="gateway", source="litellm", span_id="g", parent_span_id="a", response_id="r"),
    ]
    assert same_in_any_order(events).cost_model == CALL
    assert states(events) == {"agent": PriceState.PRICED, "gateway": PriceState.DUPLICATE}


def test_of_equal_copies_the_first_by_time_and_id_counts() -> None:
    events = [call(5, event_id="b", response_id="r"), call(5, event_id="a", response_id="r"), call(6, response_id="r")]
    same_in_any_order(events)
    assert states(events)["a"] == PriceState.PRICED


def test_a_gateway_alone_prices_its_calls() -> None:
    events = [call(n, source="litellm") for n in range(3)]
    assert fact_of(events).cost_model == 3 * CALL


def test_embeddings_of_the_gateway_stay_beside_the_agents_model_calls() -> None:
    embedding = event(Kind.EMBEDDING, provider="openai", model_served="gpt", tokens_input=500, source="litellm")
    fact = same_in_any_order([call(), embedding])
    assert (fact.cost_model, fact.cost_retrieval) == (CALL, Decimal("0.001"))


# retries, rework, people


def test_retries_cost_and_are_counted() -> None:
    fact = fact_of([call(0, status=Status.ERROR, attempt=1), call(1, attempt=2), call(2, attempt=3)])
    assert (fact.cost_model, fact.retries) == (3 * CALL, 2)


def review(at: float, verdict: Verdict = Verdict.APPROVE, **fields: Any) -> Event:
    given: dict[str, Any] = {"review_minutes": 30, "reviewer": "r-1"}
    return event(Kind.REVIEW, at, review_verdict=verdict, **(given | fields))


def test_what_comes_after_an_overturn_is_rework() -> None:
    """In event time, however late the overturn is heard of; the overturning review itself is not rework."""
    events = [call(0), review(10, Verdict.OVERRIDE), call(20), review(30)]
    fact = same_in_any_order(events)
    assert (fact.overturned, fact.reviews, fact.review_verdict) == (True, 2, Verdict.APPROVE)
    assert fact.cost_rework == CALL + 30
    assert fact.realized_cost == 2 * CALL + 60


def test_an_approval_overturns_nothing() -> None:
    fact = fact_of([review(0), call(5)])
    assert (fact.overturned, fact.cost_rework) == (False, Decimal(0))


def test_the_first_overturn_counts() -> None:
    events = [review(10, Verdict.REJECT), call(20), review(30, Verdict.CORRECT), call(40)]
    assert same_in_any_order(events).cost_rework == 2 * CALL + 30


def people() -> PriceBook:
    return PriceBook(
        [
            *small_book().versions(),
            price("human/acme/*", review_ms="25"),
            price("human/acme/r-2", reviews="12500000"),
            price("human/other/*", review_ms="1"),
        ]
    )


@pytest.mark.parametrize(
    ("reviewer", "fields", "cost"),
    [
        ("r-1", {"review_minutes": 30}, "45"),
        ("r-1", {"review_minutes": None, "duration_ms": 60_000}, "1.5"),
        ("r-2", {"review_minutes": 30}, "12.5"),
        ("r-2", {"review_minutes": None}, "12.5"),
        ("", {"review_minutes": 0.5}, "0.75"),
    ],
)
def test_review_costs_its_minutes_or_a_fixed_price(reviewer: str, fields: dict[str, Any], cost: str) -> None:
    """The tenant's reviewers cost 90 USD an hour, r-2 12.50 a review."""
    fact = fact_of([review(0, reviewer=reviewer, **fields)], book=people())
    assert (fact.cost_human, fact.automated_cost) == (Decimal(cost), Decimal(0))


def test_a_review_of_unknown_length_is_told_apart() -> None:
    fact = fact_of([review(0, review_minutes=None)])
    assert (fact.cost_human, fact.no_usage_calls, fact.reviews) == (Decimal(0), 1, 1)


def test_an_hourly_rate_that_is_no_round_number_a_minute_is_exact() -> None:
    book = PriceBook([price("human/*/*", review_ms="13.888888888888888889")])
    assert fact_of([review(0, review_minutes=36)], book=book).cost_human == 30, "50 USD an hour"


# tools and retrieval


def test_tools_cost_what_they_told() -> None:
    events = [event(Kind.TOOL_CALL, tool_cost=Decimal("0.0100000005")), event(Kind.TOOL_CALL), event(Kind.RETRIEVAL)]
    fact = fact_of(events)
    assert (fact.cost_tool, fact.tool_calls) == (Decimal("0.010000000"), 2)
    assert len(states(events)) == 1, "what bills nothing is no leaf"


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e400"])
def test_what_is_no_amount_is_unpriced(amount: str) -> None:
    fact = fact_of([event(Kind.TOOL_CALL, tool_cost=Decimal(amount)), call(reported_cost=Decimal(amount))])
    assert (fact.cost_tool, fact.unpriced_calls, fact.reported_cost) == (Decimal(0), 1, None)


def test_a_retrieval_is_priced_by_its_requests() -> None:
    fact = fact_of([event(Kind.RETRIEVAL, provider="cohere", model_served="rerank-english-v3", requests=2)])
    assert fact.cost_retrieval == Decimal("0.004")


def rerank(at: float = 0.0, model: str = "gpt", **fields: Any) -> Event:
    """A retrieval of 1,000 tokens: 0.002 USD in the small book."""
    given: dict[str, Any] = {"provider": "openai", "model_served": model, "tokens_input": 1000, "source": "otlp"}
    return event(Kind.RETRIEVAL, at, **(given | fields))


def test_a_rerank_is_priced_by_its_tokens() -> None:
    fact = fact_of([rerank(), rerank(model="no-such-model", reported_cost=Decimal("0.01"))])
    assert (fact.cost_retrieval, fact.unpriced_calls, fact.reported_cost) == (Decimal("0.002"), 1, Decimal("0.01"))
    assert (fact.model_calls, fact.retrievals) == (0, 2)
    silent = fact_of([rerank(tokens_input=0, reported_cost=Decimal("0.01"))])
    assert (silent.no_usage_calls, silent.reported_cost) == (1, Decimal("0.01"))
    assert not states([rerank(tokens_input=0), rerank(model="")]), "what bills nothing is no leaf"


def test_a_rerank_can_be_a_wrapper_or_told_twice() -> None:
    outer = rerank(0, event_id="outer", span_id="o")
    inner = event(Kind.EMBEDDING, 1, provider="openai", model_served="gpt", tokens_input=500, parent_span_id="o")
    assert same_in_any_order([outer, inner]).realized_cost == Decimal("0.001")
    gateway = rerank(2, event_id="g", source="litellm")
    assert same_in_any_order([rerank(0, event_id="a"), gateway]).cost_retrieval == Decimal("0.002")


def test_embeddings_of_the_gateway_stay_beside_the_agents_reranks() -> None:
    embedding = event(Kind.EMBEDDING, provider="openai", model_served="gpt", tokens_input=500, source="litellm")
    assert same_in_any_order([rerank(), embedding]).cost_retrieval == Decimal("0.003")
    assert same_in_any_order([rerank(source="litellm"), embedding, call()]).cost_retrieval == Decimal("0.003")
