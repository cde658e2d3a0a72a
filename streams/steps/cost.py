"""What one event costs by itself: which events are leaves, in which units, at which price.

Only leaves cost: model calls and embeddings by their tokens, retrievals and tools by what they told or by priced requests,
retrievals with a model (reranks) by their tokens too, human review by its minutes. Tools that carry tokens carry those of the
calls under them. What a leaf counts as beside the other leaves of its decision is `ledger.py`'s to say.
"""

from sys import intern

from waterline.schemas.events import CompletionState, Event, Kind, Status
from waterline.schemas.facts import Component, PriceState
from waterline.streams.steps.entry import MOST_DOLLARS, Leaf, nano
from waterline.streams.steps.prices import HUMAN, SCALE, Price, PriceBook

GATEWAY_SOURCES = frozenset({"litellm"})
"""Sources that speak for a gateway and not for the agent."""

_CALLS = {Kind.MODEL_CALL: Component.MODEL.value, Kind.EMBEDDING: Component.RETRIEVAL.value}
_TOLD = {
    Kind.TOOL_CALL: Component.TOOL.value,
    Kind.RETRIEVAL: Component.RETRIEVAL.value,
    Kind.GUARDRAIL: Component.TOOL.value,
    Kind.EVALUATION: Component.TOOL.value,
}
_STANDARD = frozenset({"auto", "default", "standard"})
_NANO_UNITS = SCALE // 1000
"""Units times 1e-18 USD per million -> nano-dollars: 1e18 * 1e6 / 1e9."""
_MOST_NANOS = MOST_DOLLARS * 10**9

PRICED, UNPRICED, NO_USAGE = PriceState.PRICED.value, PriceState.UNPRICED.value, PriceState.NO_USAGE.value
_HUMAN = Component.HUMAN.value


def leaf_of(event: Event, ts: int, received: int, book: PriceBook) -> tuple[Leaf, Price | None] | None:
    """The event as a leaf with the price that applied, or None where it bills nothing by itself."""
    kind = event.kind
    if (component := _CALLS.get(kind)) is not None:
        return _call(event, component, ts, received, book)
    if (component := _TOLD.get(kind)) is not None:
        if event.tool_cost is not None:
            told = nano(event.tool_cost)
            return _leaf(event, component, UNPRICED if told is None else PRICED, received, {}, told or 0), None
        if event.requests and (event.provider or event.model_served or event.model_requested):
            return _call(event, component, ts, received, book)
        if kind is Kind.RETRIEVAL and _is_call(event):
            leaf, price = _call(event, component, ts, received, book)
            leaf.call = True
            return leaf, price
    if kind is Kind.REVIEW or event.review_minutes is not None:
        return _review(event, ts, received, book)
    return None


def _is_call(event: Event) -> bool:
    """Whether a retrieval is a call of a model, so that it can be a wrapper or a copy: it names one, and bills something."""
    named = event.model_served or event.model_requested
    return bool(named) and (event.reported_cost is not None or bool(_tokens(event)[0]))


def _call(event: Event, component: str, ts: int, received: int, book: PriceBook) -> tuple[Leaf, Price | None]:
    tokens, total_input = _tokens(event)
    if event.completion_state is CompletionState.CACHED:
        return _leaf(event, component, PRICED, received, tokens, 0), None
    tier = event.service_tier
    if tier:
        tier = tier.lower()
        tier = "" if tier in _STANDARD else tier
    model = event.model_served or event.model_requested
    price = book.find(event.provider, model, tier, total_input, ts, received) if model else None
    if price is None and event.model_requested and model != event.model_requested:
        price = book.find(event.provider, event.model_requested, tier, total_input, ts, received)
        model = event.model_requested if price is not None else model
    if price is not None:
        _bill_by(price, event, tokens)
    if not tokens:
        return _leaf(event, component, NO_USAGE, received, tokens, 0), None
    cost = None if price is None else charge(tokens, price)
    if cost is None:
        return _leaf(event, component, UNPRICED, received, tokens, 0), None
    leaf = _leaf(event, component, PRICED, received, tokens, cost, price)
    leaf.model = model
    return leaf, price


def _bill_by(price: Price, event: Event, tokens: dict[str, int]) -> None:
    """Bring the counts into the units that this price is in."""
    units = price.units
    if "tokens_reasoning" in units and event.tokens_reasoning and "tokens_output" in tokens:
        reasoning = min(event.tokens_reasoning, tokens["tokens_output"])
        tokens["tokens_reasoning"] = reasoning
        if left := tokens.pop("tokens_output") - reasoning:
            tokens["tokens_output"] = left
    if "duration_ms" in units and event.duration_ms:
        tokens["duration_ms"] = round(event.duration_ms)
    if "calls" in units and (tokens or (event.status is Status.OK and _calls_alone(units))):
        tokens["calls"] = 1


def _calls_alone(units: dict[str, int]) -> bool:
    """Whether a call costs the same whatever it used, so that it need not tell."""
    return not any(unit for name, unit in units.items() if name != "calls")


def charge(tokens: dict[str, int], price: Price) -> int | None:
    """Nano-dollars, half-even, rounded once; None where a class that was used has no price, or the sum is no amount."""
    total = 0
    units = price.units
    for name, count in tokens.items():
        if (unit := units.get(name)) is None:
            return None
        total += count * unit
    whole, rest = divmod(total, _NANO_UNITS)
    if rest * 2 > _NANO_UNITS or (rest * 2 == _NANO_UNITS and whole % 2):
        whole += 1
    return whole if whole <= _MOST_NANOS else None


def _review(event: Event, ts: int, received: int, book: PriceBook) -> tuple[Leaf, Price | None]:
    price = book.reviewer(event.tenant, event.reviewer, ts, received)
    length = review_ms(event)
    if price is not None and "reviews" in price.units:
        units = {"reviews": 1}
    elif length:
        units = {"review_ms": length}
    else:
        return _leaf(event, _HUMAN, NO_USAGE, received, {}, 0), None
    cost = None if price is None else charge(units, price)
    if price is None or cost is None:
        return _leaf(event, _HUMAN, UNPRICED, received, units, 0), None
    return _leaf(event, _HUMAN, PRICED, received, units, cost, price), price


def review_ms(event: Event) -> int:
    """How long a person was at it: the minutes told, else the event's duration."""
    return round(event.review_minutes * 60_000 if event.review_minutes is not None else event.duration_ms)


def _tokens(event: Event) -> tuple[dict[str, int], int]:
    """The classes that were used, and all input tokens together, which long-context tiers go by."""
    tokens: dict[str, int] = {}
    total = 0
    if count := event.tokens_input:
        tokens["tokens_input"] = total = count
    if count := event.tokens_cache_read:
        tokens["tokens_cache_read"] = count
        total += count
    if count := event.tokens_cache_write_5m:
        tokens["tokens_cache_write_5m"] = count
        total += count
    if count := event.tokens_cache_write_1h:
        tokens["tokens_cache_write_1h"] = count
        total += count
    if count := event.tokens_input_audio:
        tokens["tokens_input_audio"] = count
        total += count
    if count := event.tokens_cache_read_audio:
        tokens["tokens_cache_read_audio"] = count
        total += count
    if count := event.tokens_input_image:
        tokens["tokens_input_image"] = count
        total += count
    if count := event.tokens_output:
        tokens["tokens_output"] = count
    if count := event.tokens_output_audio:
        tokens["tokens_output_audio"] = count
    if count := event.tokens_output_image:
        tokens["tokens_output_image"] = count
    if count := event.requests:
        tokens["requests"] = count
    return tokens, total


def _leaf(
    event: Event, component: str, state: str, received: int, tokens: dict[str, int], cost: int, price: Price | None = None
) -> Leaf:
    human = component == _HUMAN
    model = event.model_served or event.model_requested
    return Leaf(
        component,
        state,
        "",
        event.kind in _CALLS,
        event.source in GATEWAY_SOURCES,
        received,
        tokens,
        0 if human else event.tokens_reasoning,
        price.id if price is not None else "",
        cost,
        None if event.reported_cost is None else nano(event.reported_cost),
        event.response_id,
        _span(event.trace_id, event.span_id),
        _span(event.trace_id, event.parent_span_id),
        intern(event.source),
        HUMAN if human else intern(event.provider),
        event.reviewer if human else intern(model),
        intern(event.service_tier),
        intern(event.team),
        intern(event.agent),
        intern(event.task),
        intern(event.agent_version),
        event.credential_id,
    )


def _span(trace: str, span: str) -> str:
    """Spans of a proper length are unique by themselves; shorter ones only inside their trace."""
    return span if len(span) >= 16 or not span else f"{trace}/{span}"
