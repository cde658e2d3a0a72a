"""Golden answers: every question on the seeded day, asked of the real engine; and copies that change none of them."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.sql import seed
from tests.sql.seed import PARTITION, TRACE_A, TRACE_B, Ask, Rows, at, ranges
from waterline.connectors.stores.clickhouse import questions
from waterline.schemas.events import Kind
from waterline.schemas.facts import Component, DecisionLink, PriceState

GIVEN = {
    "tenant": "acme",
    "since": at(-86400).isoformat(),
    "until": at(200_000).isoformat(),
    "at": at(4010).isoformat(),
    "agent": "",
    "action": "T-1",
    "decision": "T-1",
    "topic": "agent.events",
}
OF_COPIES = {"completeness", "copies", "late_copies", "stored_twice"}
"""Questions about copies: these answers are to change."""


@pytest.fixture(scope="module", autouse=True)
def _filled(store: seed.Store) -> None:
    seed.fill(store)


def table(rows: Rows) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows]


def test_1_sessions(ask: Ask) -> None:
    """The review and the outcome know no session; they belong to that of their decision."""
    shown = ask("sessions", "session", "agent", "runtime", "state", "last_seen", "decisions", "events", "tool_errors")
    assert table(shown) == [
        ("s2", "triage", "claude-agents", "waiting", "escalation ask a human", 1, 2, 0),
        ("s1", "booking", "langgraph", "done", "outcome", 1, 8, 1),
        ("g0", "", "", "silent", "model_call", 1, 1, 0),
    ]
    assert table(ask("sessions", "session", "state", agent="booking", at=at(10).isoformat())) == [("s1", "waiting")]
    assert table(ask("sessions", "session", "state", agent="booking", at=at(7).isoformat())) == [("s1", "working")]


def test_1a_agent_activity(ask: Ask) -> None:
    shown = ask("agent_activity", "runtime", "kind", "what", "target_system", "times", "failed", "tokens_in", agent="booking")
    assert table(shown) == [
        ("langgraph", "tool_call", "refund", "crm", 2, 1, 0),
        ("langgraph", "decision", "handle ticket", "", 1, 0, 0),
        ("langgraph", "escalation", "", "", 1, 0, 0),
        ("langgraph", "model_call", "gpt-4o", "", 1, 0, 5000),
        ("langgraph", "outcome", "", "", 1, 0, 0),
        ("langgraph", "retrieval", "", "kb", 1, 0, 0),
        ("langgraph", "review", "", "", 1, 0, 0),
    ]


def test_1b_summary(ask: Ask) -> None:
    assert table(ask("summary")) == [
        ("decisions", 3, 3),
        ("escalations", 2, 2),
        ("reviews", 1, 1),
        ("overturned", 1, 1),
        ("tool calls", 2, 2),
        ("tool calls with errors", 1, 1),
        ("retrievals", 1, 1),
        ("outcome correct", 1, 1),
        ("outcome incorrect", 0, 0),
        ("outcome unknown", 0, 0),
        ("events", 11, 11),
    ]


TRAIL = [
    (1, "decision", "handle ticket", "user-7", "booking > orchestrator", "", "", "ok", [], "confidence 0.4"),
    (
        2,
        "retrieval",
        "",
        "user-7",
        "booking > orchestrator",
        "allow:kb-read",
        "kb",
        "ok",
        ["policy@v7 c1 0.91", "faq c9 0.4"],
        "",
    ),
    (3, "model_call", "gpt-4o", "user-7", "booking > orchestrator", "", "", "ok", [], ""),
    (4, "tool_call", "refund", "user-7", "booking > orchestrator", "", "crm", "timeout: Timeout", [], ""),
    (5, "tool_call", "refund, attempt 2", "user-7", "booking > orchestrator", "deny:limit", "crm", "ok", [], ""),
    (6, "escalation", "", "user-7", "booking > orchestrator", "", "", "ok", [], "escalated: over limit"),
    (7, "review", "", "", "", "", "", "ok", [], "override, by rev-1, 30 min"),
    (8, "outcome", "", "", "", "", "", "ok", [], "outcome correct"),
]
TRAIL_COLUMNS = (
    "step",
    "kind",
    "what",
    "subject",
    "acting_chain",
    "authorization",
    "target_system",
    "status",
    "retrieved",
    "said",
)


@pytest.mark.parametrize("action", ["T-1", TRACE_A, seed.TRACE_A2, "a4", "a7"])
def test_2_action_trail(ask: Ask, action: str) -> None:
    """Whichever id one has: of the business, of either trace, of an event, of an event that knows no trace."""
    assert table(ask("action_trail", *TRAIL_COLUMNS, action=action)) == TRAIL


def test_2_action_trail_up_to_the_action(ask: Ask) -> None:
    assert table(ask("action_trail", *TRAIL_COLUMNS, action="a4", only_before="1")) == TRAIL[:5]


@pytest.mark.parametrize("decision", ["T-1", TRACE_A])
def test_3_decision_cost(ask: Ask, decision: str) -> None:
    (row,) = ask("decision_cost", decision=decision)
    money = {
        name: row[name] for name in ("cost_model", "cost_tool", "cost_human", "automated_cost", "realized_cost", "expected_cost")
    }
    assert {name: str(value.normalize()) for name, value in money.items()} == {
        "cost_model": "0.0095",
        "cost_tool": "0.5",
        "cost_human": "3E+1",
        "automated_cost": "0.5095",
        "realized_cost": "30.5095",
        "expected_cost": "15.5095",
    }
    assert (row["cost_ratio"], row["expected_state"], row["retries"], row["outcome"]) == (30.44, "ok", 1, "correct")


def test_3_decision_cost_without_a_decision_shows_the_dearest(ask: Ask) -> None:
    """Merged traces are no decisions; what is not known is null and says why."""
    shown = ask(
        "decision_cost", "decision_key", "realized_cost", "expected_cost", "expected_state", "expected_reason", decision=""
    )
    none_before = "no closed day of this agent and task came before"
    assert table(shown) == [
        (TRACE_A, Decimal("30.5095"), Decimal("15.5095"), "ok", ""),
        ("g0", Decimal("0.0095"), None, "insufficient", none_before),
        (TRACE_B, None, None, "insufficient", none_before),
    ]


def test_3_what_has_no_price_costs_no_zero(ask: Ask, store: seed.Store) -> None:
    """Nothing known: null. Some of it known: that, and beside it what is not."""
    key = "part-priced"
    fact = seed.decision(
        key, 4, 6000, agent="mixed", task="both", events=4, model_calls=3, unpriced_calls=1, no_usage_calls=1, reviews=1,
        cost_model=Decimal("0.0095"), automated_cost=Decimal("0.0095"), realized_cost=Decimal("0.0095"),
    )  # fmt: skip
    told: dict[str, Any] = {"agent": "mixed", "task": "both"}
    leaves = [
        seed.leaf(key, "m1", 4, 6000, Component.MODEL, PriceState.PRICED, **(seed.PRICED | told | {"response_id": "m1"})),
        seed.leaf(key, "m2", 4, 6001, Component.MODEL, PriceState.UNPRICED, provider="acme-ai", model="m", **told),
        seed.leaf(key, "m3", 4, 6002, Component.HUMAN, PriceState.NO_USAGE, **told),
    ]
    store.put("decision_facts", [msgspec.structs.replace(fact, tenant="mixed")], "decision.facts", 200)
    store.put("cost_facts", [msgspec.structs.replace(one, tenant="mixed") for one in leaves], "cost.facts", 200)

    columns = ("cost_model", "cost_tool", "cost_human", "automated_cost", "realized_cost", "not_priced", "unpriced_calls")
    (mixed,) = table(ask("decision_cost", *columns, "no_usage_calls", decision=key, tenant="mixed"))
    part = Decimal("0.0095")
    assert mixed == (part, Decimal(0), None, part, part, "+ 1 unpriced, + 1 without usage", 1, 1)
    (nothing,) = table(ask("decision_cost", *columns, "no_usage_calls", decision=TRACE_B))
    assert nothing == (None, Decimal(0), Decimal(0), None, None, "+ 1 unpriced", 1, 0)
    summed = ("api_cost", "human_cost", "realized_cost", "realized_each", "not_priced")
    assert table(ask("costs_by_task", *summed, tenant="mixed")) == [(part, None, part, part, "+ 1 unpriced, + 1 without usage")]


def test_nothing_priced_has_no_expected_cost(ask: Ask, store: seed.Store) -> None:
    """The chance of a review alone is none; and one call without usage makes a lower bound as one without a price does."""
    expected = msgspec.structs.replace(seed.QUALITY[1], tenant="poor")
    base: dict[str, Any] = {"agent": "booking", "task": "refund", "events": 1, "model_calls": 1}
    facts = [
        seed.decision("poor-1", 1, 0, **base, no_usage_calls=1),
        seed.decision("poor-2", 1, 1, **base, no_usage_calls=1, automated_cost=Decimal(1), realized_cost=Decimal(1)),
    ]
    store.put("quality_facts", [expected], "quality.facts", 300)
    store.put("decision_facts", [msgspec.structs.replace(one, tenant="poor") for one in facts], "decision.facts", 300)
    columns = ("decision_key", "expected_cost", "expected_state", "expected_reason")
    assert table(ask("decision_cost", *columns, decision="", tenant="poor")) == [
        ("poor-2", Decimal(16), "lower_bound", "a call has no price"),
        ("poor-1", None, "insufficient", "no call has a price"),
    ]


def test_3a_costs_by_task(ask: Ask) -> None:
    columns = (
        "agent",
        "decisions",
        "escalated",
        "api_cost",
        "human_cost",
        "realized_cost",
        "expected_each",
        "ratio",
        "unpriced_calls",
    )
    assert table(ask("costs_by_task", *columns)) == [
        ("booking", 1, 1, Decimal("0.5095"), Decimal(30), Decimal("30.5095"), Decimal("15.5095"), 30.44, 0),
        ("", 1, 0, Decimal("0.0095"), Decimal(0), Decimal("0.0095"), None, None, 0),
        ("triage", 1, 1, None, Decimal(0), None, None, None, 1),
    ]


def test_3b_decision_calls(ask: Ask) -> None:
    """The leaf that was told unpriced first is shown as it stands now; the retracted one only where it belongs."""
    columns = ("component", "what", "attempt", "price_state", "units", "cost", "total")
    assert table(ask("decision_calls", *columns)) == [
        ("model", "gpt-4o", 0, "priced", seed.CALL, Decimal("0.0095"), Decimal("0.0095")),
        ("tool", "refund", 2, "priced", {}, Decimal("0.5"), Decimal("0.5095")),
        ("human", "rev-1", 0, "priced", {"review_ms": 1_800_000}, Decimal(30), Decimal("30.5095")),
    ]


def test_3c_restated_cost(ask: Ask) -> None:
    """A price that came later leaves "as priced then" and changes "restated"; a call without a newer price is counted."""
    columns = ("component", "price_then", "price_restated", "calls", "not_restated", "cost_then", "cost_restated")
    then, tool = Decimal("0.019"), ("tool", "", "", 1, 0, Decimal("0.5"), Decimal("0.5"))
    human = ("human", "human/@1", "", 1, 1, None, None)
    assert table(ask("restated_cost", *columns, as_of=at(0).isoformat())) == [
        tool,
        ("model", "openai/gpt-4o@1", "openai/gpt-4o@1", 2, 0, then, then),
        human,
    ]
    assert table(ask("restated_cost", *columns, as_of=at(90_000).isoformat())) == [
        tool,
        ("model", "openai/gpt-4o@1", "openai/gpt-4o@2", 2, 0, then, Decimal("0.0152")),
        human,
    ]


def test_3d_unpriced_calls(ask: Ask) -> None:
    shown = ask("unpriced_calls", "price_state", "provider", "model", "calls", "units")
    assert table(shown) == [("unpriced", "acme-ai", "in-house-7b", 1, {"tokens_input": 50})]


def test_3e_priced_twice(ask: Ask) -> None:
    (row,) = ask("priced_twice", "response_id", "times", "sources", "decisions", "counted", "too_much")
    assert (row["response_id"], row["times"], set(row["sources"])) == ("r1", 2, {"otlp", "litellm"})
    assert (set(row["decisions"]), row["counted"], row["too_much"]) == ({TRACE_A, "g0"}, Decimal("0.019"), Decimal("0.0095"))


def test_3f_reconciliation_finds_what_does_not_agree(ask: Ask, store: seed.Store) -> None:
    assert ask("reconciliation") == []
    store.put("decision_facts", [seed.decision(TRACE_B, 3, 4000, events=3, escalated=True)], "decision.facts", 100)
    assert table(ask("reconciliation", "decision_key", "what", "by_streams", "by_events")) == [(TRACE_B, "events", "3", "2")]
    mended = seed.decision(TRACE_B, 4, 4000, agent="triage", task="sort", events=2, escalated=True, unpriced_calls=1)
    store.put("decision_facts", [mended], "decision.facts", 101)
    assert ask("reconciliation") == []


KEYLESS: dict[str, object] = {"decision_key": "", "trace_id": "", "session_id": "", "tenant": "kinds"}


def test_3f_reconciliation_asks_for_no_event_without_a_decision(ask: Ask, store: seed.Store) -> None:
    """Every kind, without a decision, with one that is not known, and with one that is."""
    apart = (Kind.DEPLOYMENT, Kind.POLICY, Kind.SESSION, Kind.REVIEW, Kind.OUTCOME, Kind.CORRECTION)
    alone = [seed.event(f"k-{kind}", 0, kind, **KEYLESS) for kind in apart]
    waiting = [seed.event(f"w-{kind}", 1, kind, **KEYLESS, decision_id="unknown") for kind in apart[3:]]
    own = [seed.event(f"o-{kind}", 2, kind, **KEYLESS) for kind in Kind if kind not in apart]
    store.put("events", [*alone, *waiting], "kinds", 1000)
    assert ask("reconciliation", tenant="kinds") == []

    store.put("events", own, "kinds", 1100)
    missing = {row["decision_key"] for row in ask("reconciliation", tenant="kinds")}
    assert missing == {event.event_id for event in own}, "each of these makes a decision of its own, which nobody told"
    linked = DecisionLink(tenant="kinds", decision_id="unknown", decision_key="found", elected_at=at(1))
    store.put("decision_links", [linked], "decision.links", 1000)
    assert "found" in {row["decision_key"] for row in ask("reconciliation", tenant="kinds")}


def test_8_completeness(ask: Ask) -> None:
    """Two records above the last range are on their way; the buried line is among the dead letters, once."""
    (row,) = ask("completeness")
    assert (row["partition"], row["verdict"], row["in_flight"]) == (PARTITION, "complete so far", 2)
    assert (row["records"], row["expected_rows"], row["present_rows"], row["buried"], row["dead_letters"]) == (13, 12, 12, 1, 1)
    assert table(ask("stored_twice")) == [("agent.events", PARTITION, 12, 0)]
    assert table(ask("buried", "code", "letters", "for_example")) == [("invalid_json", 1, "unexpected end")]


def test_copies_change_no_answer_but_those_about_copies(ask: Ask, store: seed.Store) -> None:
    """Each event comes twice more: once recognised by the sink, once too late, stored, and saying something else."""
    names = [question.name for question in questions.load()]
    before = {name: ask(name) for name in names}
    again = [seed.late(one) for one in seed.EVENTS]
    store.put("ranges", [ranges(13, 24, 0, copied=[one.event_id for one in seed.EVENTS])])
    store.put("events", again, "agent.events", 25)
    store.put("ranges", [ranges(25, 36, 12)])
    after = {name: ask(name) for name in names}

    assert {name for name in names if before[name] != after[name]} == OF_COPIES
    (row,) = after["completeness"]
    assert (row["copies"], row["expected_rows"], row["missing_rows"], row["verdict"]) == (12, 24, 0, "complete")
    assert table(ask("stored_twice")) == [("agent.events", PARTITION, 24, 0)]
    assert sorted(row["event_id"] for row in after["late_copies"]) == sorted(
        e.event_id for e in seed.EVENTS if e.tenant == "acme"
    )
    copied = {
        row["event_id"]: (row["copies"], row["counted"][2], [place[2] for place in row["copies_at"]]) for row in after["copies"]
    }
    assert copied["a0"] == (1, 0, [13])
    assert copied["g0"] == (1, 11, [23])
