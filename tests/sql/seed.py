"""A small day of two tenants, as rows: what the sink would have written for it. It lies in the recent past, for tables
forget by age."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from waterline.connectors.stores.clickhouse.batch import Copied
from waterline.connectors.stores.clickhouse.client import Inserter
from waterline.connectors.stores.clickhouse.ledger import Numbered, Offsets, Written
from waterline.schemas.dead_letter import DeadLetter
from waterline.schemas.errors import ErrorCode
from waterline.schemas.events import Event, Kind, Outcome, Retrieved, Status, Verdict
from waterline.schemas.facts import (
    Component,
    CostFact,
    DecisionFact,
    DecisionLink,
    DecisionState,
    PriceState,
    PriceVersion,
    QualityFact,
)
from waterline.schemas.settings import Settings

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)
DAY = NOON.date().isoformat()
TRACE_A, TRACE_A2, TRACE_B = "a" * 32, "a2" * 16, "b" * 32
Rows = list[dict[str, Any]]
Ask = Callable[..., Rows]
"""what questions answer, by their name: the fixture `ask`"""
OPTIONS: dict[str, str | int] = {"date_time_input_format": "best_effort", "async_insert": 0}
PARTITION = 3


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def event(event_id: str, second: float, kind: Kind, **fields: object) -> Event:
    base: dict[str, object] = {"tenant": "acme", "agent": "booking", "runtime": "langgraph", "task": "refund", "session_id": "s1"}
    told = {"received_at": at(second + 1), "source": "otlp", "decision_key": TRACE_A, "trace_id": TRACE_A}
    return Event(**(base | told | fields), event_id=event_id, ts=at(second), kind=kind)  # type: ignore[arg-type]


def late(told: Event) -> Event:
    """A copy that says something else. The first one counts."""
    changes: dict[str, object] = {"name": "changed", "status": Status.REFUSED, "reviewer": "changed", "duration_ms": 77.0}
    return msgspec.structs.replace(told, **changes)


FOUND = [Retrieved("c1", "policy", "v7", 0.91, 1), Retrieved("c9", "faq", "", 0.4, 2)]
WHO: dict[str, object] = {"subject": "user-7", "actor": "booking", "act_chain": ["booking", "orchestrator"]}

EVENTS = [
    # decision A: retrieves, calls a model, a tool that fails and is tried again, escalates, is overridden, turns out right
    event("a0", 0, Kind.DECISION, decision_id="T-1", name="handle ticket", duration_ms=9000, confidence=0.4, **WHO),
    event("a1", 1, Kind.RETRIEVAL, retrieved=FOUND, target_system="kb", authorization="allow:kb-read", duration_ms=120, **WHO),
    event(
        "a2", 2, Kind.MODEL_CALL, provider="openai", model_served="gpt-4o", tokens_input=1000, tokens_cache_read=4000,
        tokens_output=200, response_id="r1", duration_ms=900, **WHO,
    ),
    event("a3", 3, Kind.TOOL_CALL, tool="refund", target_system="crm", attempt=1, status=Status.TIMEOUT, error_type="Timeout",
          duration_ms=3000, **WHO),
    event("a4", 6, Kind.TOOL_CALL, tool="refund", target_system="crm", attempt=2, authorization="deny:limit",
          tool_cost=Decimal("0.5"), duration_ms=250, **WHO),
    event("a5", 8, Kind.ESCALATION, escalation_reason="over limit", queue_entered_at=at(8), **WHO),
    # a second trace under the same business id, merged into the first
    event("a6", 600, Kind.REVIEW, decision_key=TRACE_A2, trace_id=TRACE_A2, decision_id="T-1", reviewer="rev-1",
          review_verdict=Verdict.OVERRIDE, review_minutes=30.0, session_id=""),
    # only the business id is known
    event("a7", 3600, Kind.OUTCOME, decision_key="", trace_id="", decision_id="T-1", outcome=Outcome.CORRECT, session_id=""),
    # decision B: another agent and runtime, a model that has no price, waiting for a human
    event("b0", 4000, Kind.MODEL_CALL, agent="triage", runtime="claude-agents", task="sort", session_id="s2",
          decision_key=TRACE_B, trace_id=TRACE_B, provider="acme-ai", model_served="in-house-7b", tokens_input=50,
          response_id="r2"),
    event("b1", 4001, Kind.ESCALATION, agent="triage", runtime="claude-agents", task="sort", session_id="s2",
          decision_key=TRACE_B, trace_id=TRACE_B, name="ask a human"),
    # a gateway without trace context tells of A's model call again
    event("g0", 2, Kind.MODEL_CALL, agent="", runtime="", task="", session_id="", decision_key="g0", trace_id="",
          source="litellm", provider="openai", model_served="gpt-4o", tokens_input=1000, tokens_cache_read=4000,
          tokens_output=200, response_id="r1"),
    # another tenant uses the same names
    event("x0", 5, Kind.TOOL_CALL, tenant="other", tool="refund", decision_key=TRACE_A, trace_id=TRACE_A),
]  # fmt: skip

GPT = {"tokens_input": "2.5", "tokens_cache_read": "1.25", "tokens_output": "10"}
CALL = {"tokens_input": 1000, "tokens_cache_read": 4000, "tokens_output": 200}
"""0.0025 + 0.005 + 0.002 = 0.0095 dollars at the prices of then."""


def decision(key: str, revision: int, second: float, **fields: object) -> DecisionFact:
    base: dict[str, object] = {"tenant": "acme", "day": DAY, "started_at": at(second), "ended_at": at(second + 9)}
    return DecisionFact(**(base | fields), decision_key=key, revision=revision)  # type: ignore[arg-type]


A: dict[str, object] = {"agent": "booking", "task": "refund", "session_id": "s1", "subject": "user-7", "decision_id": "T-1"}
DECISIONS = [
    decision(TRACE_A, 5, 0, **A, events=5, tool_calls=2, tool_errors=1, automated_cost=Decimal("0.5")),
    decision(
        TRACE_A, 8, 0, **A, events=8, model_calls=1, tool_calls=2, tool_errors=1, retrievals=1,
        errors=1, retries=1, reviews=1, reviewer="rev-1", review_verdict=Verdict.OVERRIDE, overturned=True, escalated=True,
        outcome=Outcome.CORRECT, tokens_input=1000, tokens_cache_read=4000, tokens_output=200, cost_model=Decimal("0.0095"),
        cost_tool=Decimal("0.5"), cost_human=Decimal("30"), automated_cost=Decimal("0.5095"), realized_cost=Decimal("30.5095"),
        resolution_ms=3_600_000,
    ),
    decision(TRACE_A2, 1, 600, decision_id="T-1", events=1, reviews=1, agent="booking", task="refund", cost_human=Decimal("30")),
    decision(TRACE_A2, 2, 600, state=DecisionState.MERGED, merged_into=TRACE_A),
    decision(TRACE_B, 2, 4000, agent="triage", task="sort", session_id="s2", events=2, model_calls=1, escalated=True,
             unpriced_calls=1, tokens_input=50),
    decision("g0", 1, 2, events=1, model_calls=1, cost_model=Decimal("0.0095"), automated_cost=Decimal("0.0095"),
             realized_cost=Decimal("0.0095")),
]  # fmt: skip


def leaf(
    key: str, event_id: str, revision: int, second: float, component: Component, state: PriceState, **fields: object
) -> CostFact:
    base: dict[str, object] = {
        "tenant": "acme",
        "ts": at(second),
        "received_at": at(second + 1),
        "agent": "booking",
        "task": "refund",
    }
    return CostFact(
        **(base | {"source": "otlp"} | fields),  # type: ignore[arg-type]
        decision_key=key, event_id=event_id, revision=revision, component=component, price_state=state,
    )  # fmt: skip


PRICED: dict[str, object] = {
    "provider": "openai", "model": "gpt-4o", "response_id": "r1", "tokens": CALL, "unit_prices": GPT,
    "price_key": "openai/gpt-4o", "price_id": "openai/gpt-4o@1", "priced_at": at(-86400), "cost": Decimal("0.0095"),
}  # fmt: skip
HUMAN: dict[str, object] = {
    "provider": "human", "model": "rev-1", "tokens": {"review_ms": 1_800_000},
    "unit_prices": {"review_ms": "16.666666666666666667"}, "price_key": "human/", "price_id": "human/@1", "cost": Decimal("30"),
}  # fmt: skip
COSTS = [
    leaf(TRACE_A, "a2", 3, 2, Component.MODEL, PriceState.UNPRICED, provider="openai", model="gpt-4o", tokens=CALL),
    leaf(TRACE_A, "a2", 5, 2, Component.MODEL, PriceState.PRICED, **PRICED),
    leaf(TRACE_A, "a4", 5, 6, Component.TOOL, PriceState.PRICED, cost=Decimal("0.5")),
    leaf(TRACE_A, "a6", 8, 600, Component.HUMAN, PriceState.PRICED, **HUMAN),
    leaf(TRACE_A2, "a6", 1, 600, Component.HUMAN, PriceState.PRICED, **HUMAN),
    leaf(TRACE_A2, "a6", 2, 600, Component.HUMAN, PriceState.PRICED, retracted=True, **HUMAN),
    leaf(TRACE_B, "b0", 1, 4000, Component.MODEL, PriceState.UNPRICED, agent="triage", task="sort", provider="acme-ai",
         model="in-house-7b", tokens={"tokens_input": 50}, response_id="r2"),
    leaf("g0", "g0", 1, 2, Component.MODEL, PriceState.PRICED, **(PRICED | {"source": "litellm", "agent": "", "task": ""})),
]  # fmt: skip


def price(version: int, known: float, units: dict[str, str]) -> PriceVersion:
    return PriceVersion(
        price_id=f"openai/gpt-4o@{version}", price_key="openai/gpt-4o", provider="openai", model="gpt-4o",
        known_from=at(known), effective_from=at(known), unit_prices=units,
    )  # fmt: skip


CHEAPER = {"tokens_input": "2", "tokens_cache_read": "1", "tokens_output": "8"}
PRICES = [price(1, -86400, GPT), price(2, 86400, CHEAPER)]
EXPECTED: dict[str, Any] = {"tenant": "acme", "group": "booking/refund", "agent": "booking", "task": "refund", "day": DAY,
            "window_from": "", "window_to": ""}  # fmt: skip
QUALITY = [
    QualityFact(**EXPECTED, revision=3, state="insufficient", reason="3 decisions in the window, 20 are needed", decisions=3),
    QualityFact(**EXPECTED, revision=40, decisions=40, reviewed=12, p_review=0.3, mean_review_cost=Decimal("50"),
                expected_review_cost=Decimal("15")),
]  # fmt: skip
LINKS = [DecisionLink(tenant="acme", decision_id="T-1", decision_key=TRACE_A, elected_at=at(1))]
LETTERS = [
    DeadLetter(id=f"sink/agent.events/{PARTITION}/7/0", consumer="sink", topic="agent.events", partition=PARTITION, offset=7,
               index=0, tenant="acme", code=ErrorCode.INVALID_JSON, reason="unexpected end", first_seen=at(10), raw="e30="),
] * 2  # fmt: skip


def ranges(first: int, last: int, rows: int, buried: int = 0, copied: Sequence[str] = (), number: int | None = None) -> Written:
    """`copied` are the ids of events that came again, one in each record from `first` on; `number` the producer's first."""
    number = first if number is None else number
    return Written(
        topic="agent.events", partition=PARTITION, first=first, last=last, records=last - first + 1, ticks=0, rows=rows,
        copies=len(copied), buried=buried, copied=[Copied(first + n, 0, event_id) for n, event_id in enumerate(copied)],
        producers=[Numbered("c-1", number, number + last - first, last - first + 1)],
        encoder="1", begin_offset=0, end_offset=last + 1, written_at=at(last),
    )  # fmt: skip


class Store:
    """Writes rows of a database as the sink does."""

    def __init__(self, url: str, database: str) -> None:
        self.inserter = Inserter(Settings(clickhouse=url, clickhouse_database=database))

    def put(self, table: str, rows: Iterable[Struct], topic: str = "", first_offset: int = 0) -> None:
        """Each row at an offset of its own, from `first_offset` on, when a topic is named."""
        lines = []
        for offset, row in enumerate(rows, first_offset):
            line = msgspec.json.encode(row)
            place = b',"kafka_topic":"%b","kafka_partition":%d,"kafka_offset":%d,"frame_index":0}'
            lines.append(line[:-1] + place % (topic.encode(), PARTITION, offset) if topic else line)
        self.inserter.insert(table, (b"\n".join(lines),), options=OPTIONS)

    def close(self) -> None:
        self.inserter.close()


def fill(store: Store) -> None:
    """Everything above. Offset 7 of agent.events held the line that was buried."""
    store.put("events", EVENTS[:7], "agent.events")
    store.put("events", EVENTS[7:], "agent.events", 8)
    store.put("decision_facts", DECISIONS, "decision.facts")
    store.put("cost_facts", COSTS, "cost.facts")
    store.put("quality_facts", QUALITY, "quality.facts")
    store.put("price_versions", PRICES, "price.versions")
    store.put("decision_links", LINKS, "decision.links")
    store.put("dead_letters", LETTERS, "dead.letters")
    store.put("ranges", [ranges(0, 5, 6), ranges(6, 12, 6, buried=1)])
    store.put("topic_offsets", [Offsets("agent.events", PARTITION, 0, 15, 13, at(20))])
