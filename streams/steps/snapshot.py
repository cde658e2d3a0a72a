"""A decision as facts: what it is so far, each of its leaves, and what it adds to its group."""

from typing import Any

from waterline.schemas.events import Outcome, Verdict
from waterline.schemas.facts import Component, Contribution, CostFact, DecisionFact, DecisionState, PriceState, Standing
from waterline.streams.steps.decision import Decision
from waterline.streams.steps.entry import Entry, money
from waterline.streams.steps.ledger import HUMAN, MODEL, PRICED, RETRIEVAL, TOOL
from waterline.streams.steps.moment import NEVER, day_of, instant

_NOTHING = (None, "")
MOST_TOKENS, MOST_MS = 2**53, 1e13
"""What the fields of a fact can hold; only made-up numbers come near."""
MOST_COUNTED = 10**12
"""Tokens of one decision that its groups take at their word: millions of these still add up to what state can hold."""


def snapshot(decision: Decision) -> DecisionFact:
    """The fact of the revision so far; `previous` is what the last published one contributed."""
    life, ledger = decision.life, decision.ledger
    if life.merged_into or not life.entries:
        return _merged(decision)
    first: dict[str, Any] = {name: value for name, (_, value) in decision.first.items()}
    last = {name: value for name, (_, value) in decision.last.items()}
    agent_ms, queue_ms, review_ms, downstream_ms = decision.resolution.parts()
    cost = ledger.cost
    automated = cost[MODEL] + cost[TOOL] + cost[RETRIEVAL]
    return DecisionFact(
        tenant=decision.tenant,
        decision_key=decision.key,
        revision=decision.revision,
        day=day_of(decision.began),
        **first,
        started_at=instant(decision.started),
        ended_at=instant(decision.ended),
        escalated=decision.escalated,
        reviews=decision.reviews,
        review_verdict=Verdict(last.get("review_verdict", "")),
        reviewer=last.get("reviewer", ""),
        overturned=decision.overturned,
        outcome=Outcome(last.get("outcome", "")),
        output_class=last.get("output_class", ""),
        confidence=last.get("confidence"),
        events=life.entries,
        model_calls=ledger.model_calls,
        tool_calls=decision.tool_calls,
        tool_errors=decision.tool_errors,
        retrievals=decision.retrievals,
        errors=decision.errors,
        retries=decision.retries,
        tokens_input=min(ledger.input, MOST_TOKENS),
        tokens_cache_read=min(ledger.cache_read, MOST_TOKENS),
        tokens_cache_write=min(ledger.cache_write, MOST_TOKENS),
        tokens_output=min(ledger.output, MOST_TOKENS),
        tokens_reasoning=min(ledger.reasoning, MOST_TOKENS),
        cost_model=money(cost[MODEL]),
        cost_tool=money(cost[TOOL]),
        cost_retrieval=money(cost[RETRIEVAL]),
        cost_human=money(cost[HUMAN]),
        cost_rework=money(ledger.rework),
        automated_cost=money(automated),
        realized_cost=money(automated + cost[HUMAN]),
        reported_cost=money(ledger.reported) if ledger.reports else None,
        unpriced_calls=ledger.unpriced,
        no_usage_calls=ledger.no_usage,
        agent_ms=agent_ms,
        queue_ms=queue_ms,
        review_ms=review_ms,
        downstream_ms=downstream_ms,
        resolution_ms=min(agent_ms + queue_ms + review_ms + downstream_ms, MOST_MS),
        synthetic_fields=sorted(decision.synthetic) if decision.synthetic else [],
        previous=life.published.contribution if life.published is not None else None,
    )


def _merged(decision: Decision) -> DecisionFact:
    """The revision that takes back what the decision had: it is part of another one now."""
    life = decision.life
    return DecisionFact(
        tenant=decision.tenant,
        decision_key=decision.key,
        revision=decision.revision,
        state=DecisionState.MERGED,
        merged_into=life.merged_into,
        started_at=instant(life.news),
        ended_at=instant(life.news),
        previous=life.published.contribution if life.published is not None else None,
    )


def standing(decision: Decision) -> Standing | None:
    """What the decision is to its groups; nothing once it is part of another."""
    life, ledger = decision.life, decision.ledger
    if life.merged_into or not life.entries:
        return None
    first, last = decision.first, decision.last
    agent_ms, queue_ms, review_ms, downstream_ms = decision.resolution.parts()
    return Standing(
        _contribution(decision),
        at=decision.began,
        replay=life.replay,
        unpriced=ledger.unpriced,
        tokens=min(ledger.input + ledger.cache_read + ledger.cache_write + ledger.output, MOST_COUNTED),
        judged="review_verdict" in last,
        artifact=(first.get("artifact_id") or first.get("agent_version") or _NOTHING)[1],
        stage=first.get("stage", _NOTHING)[1],
        output_class=last.get("output_class", _NOTHING)[1],
        escalation_reason=first.get("escalation_reason", _NOTHING)[1],
        confidence=last["confidence"][1] if "confidence" in last else None,
        steps=ledger.model_calls + decision.tool_calls,
        tool_errors=decision.tool_errors,
        agent_ms=agent_ms,
        queue_ms=queue_ms,
        resolution_ms=min(agent_ms + queue_ms + review_ms + downstream_ms, MOST_MS),
        corrected_at=None if decision.corrected_at == NEVER else decision.corrected_at,
        corrections=tuple(sorted(decision.corrections)) if decision.corrections else (),
        ended_at=decision.ended,
    )


def _contribution(decision: Decision) -> Contribution:
    cost, first, last = decision.ledger.cost, decision.first, decision.last
    return Contribution(
        day=day_of(decision.began),
        agent=first["agent"][1] if "agent" in first else "",
        task=first["task"][1] if "task" in first else "",
        team=first["team"][1] if "team" in first else "",
        escalated=decision.escalated,
        reviewed=decision.reviews > 0,
        overturned=decision.overturned,
        outcome=Outcome(last["outcome"][1]) if "outcome" in last else Outcome.NONE,
        automated_cost=money(cost[MODEL] + cost[TOOL] + cost[RETRIEVAL]),
        human_cost=money(cost[HUMAN]),
    )


def cost_fact(decision: Decision, entry: Entry, retracted: bool = False) -> CostFact:
    """The fact of one leaf, as it counts now."""
    leaf = entry.leaf
    assert leaf is not None
    price = decision.trail.prices.get(leaf.price) if leaf.price else None
    prices = price.unit_prices if price is not None else {}
    return CostFact(
        tenant=decision.tenant,
        decision_key=decision.key,
        event_id=entry.event_id,
        revision=decision.revision,
        component=Component(leaf.component),
        price_state=PriceState(leaf.state),
        retracted=retracted,
        ts=instant(entry.ts),
        received_at=instant(leaf.received),
        team=leaf.team,
        agent=leaf.agent,
        task=leaf.task,
        agent_version=leaf.agent_version,
        credential_id=leaf.credential_id,
        source=leaf.source,
        response_id=leaf.response_id,
        provider=leaf.provider,
        model=leaf.model,
        service_tier=leaf.service_tier,
        tokens=leaf.tokens,
        unit_prices={name: prices[name] for name in leaf.tokens if name in prices},
        price_key=price.key if price is not None else "",
        price_id=leaf.price,
        priced_at=price.known_from if price is not None else None,
        cost=money(leaf.cost) if leaf.state == PRICED else None,
        reported_cost=None if leaf.reported is None else money(leaf.reported),
    )
