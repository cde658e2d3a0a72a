"""The question about canaries, on decisions that went through the folds: what is told is what the decisions in the store say."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from tests.sql.judged import MINUTE, event
from tests.sql.seed import NOON, Ask, Store
from tests.streams.steps.world import Disk, World
from waterline.schemas.events import Event, Kind, Outcome
from waterline.schemas.frames import Frame, Line
from waterline.schemas.judgement import CanaryVerdict, Decided
from waterline.schemas.topics import CANARY_VERDICTS, GROUP_INPUTS
from waterline.streams.steps.canary_plan import CanaryPlan, Form, Guard, Limit, Stage
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rules import RuleBook, Rules

LIMITS = (Limit(Guard.ESCALATION, Form.OWN, 0.2), Limit(Guard.COST, Form.TIMES, 1.5))
PLAN = CanaryPlan(name="pilot", agent="pilot", stages=(Stage(0.5), Stage(1.0)), limits=LIMITS, at_least=20)
GIVEN = {"tenant": "acme", "since": (NOON - timedelta(days=1)).isoformat(), "until": (NOON + timedelta(days=1)).isoformat()}


def pilot() -> list[Event]:
    """Two decisions a minute from the second minute on, one of each artifact; every other one of the new artifact is escalated,
    and of the old one every tenth. A call costs 0.0028 USD."""
    told = []
    for n in range(80):
        for artifact, handed in (("a1", n % 10 == 0), ("a2", n % 2 == 0)):
            if artifact == "a2" and not n:
                continue
            key, of = f"{artifact}/{n}", {"artifact_id": artifact}
            called: dict[str, Any] = {"provider": "openai", "model_served": "gpt", "tokens_input": 1000, "tokens_output": 100}
            told.append(event("pilot", key, Kind.DECISION, n * MINUTE, **of, outcome=Outcome.CORRECT))
            told.append(event("pilot", key, Kind.MODEL_CALL, n * MINUTE, **of, **called, duration_ms=100.0))
            if handed:
                told.append(event("pilot", key, Kind.ESCALATION, n * MINUTE, **of, escalation_reason="limit"))
    return told


@pytest.fixture(scope="module", autouse=True)
def verdicts(store: Store) -> list[CanaryVerdict]:
    world = World(1)
    groups = GroupsFold(0, 1, Disk(), Limits(), RuleBook(Rules("v1", (), canaries=(PLAN,))))
    world.send(pilot())
    world.tick(NOON + 200 * MINUTE)
    world.run()
    lines = [Line(n, b"", one) for n, one in enumerate(world.inputs)]
    groups.apply(Position(GROUP_INPUTS.name, 0, 0), Frame(lines, [], instant(0)))
    outs = [out for out in groups.drain().outs if out.topic is CANARY_VERDICTS]
    told = [msgspec.json.decode(out.value, type=CanaryVerdict) for out in outs]
    store.put("events", pilot(), "agent.events", 0)
    store.put("decision_facts", world.decisions.values(), "decision.facts", 0)
    store.put("decision_links", world.links.values(), "decision.links", 0)
    store.put("canary_verdicts", told, "canary.verdicts", 0)
    changed = [msgspec.structs.replace(one, reason="changed") for one in told]
    store.put("canary_verdicts", changed, "canary.verdicts", 1000)
    return told


def test_6a_canary(ask: Ask, verdicts: list[CanaryVerdict]) -> None:
    last = verdicts[-1]
    escalation, cost = ask("canary")
    assert (last.verdict, last.guardrail) == (Decided.ROLLBACK, "escalation")
    for row in (escalation, cost):
        assert (row["candidate"], row["control"], row["stage"], row["share"], row["verdict"], row["decided"]) == (
            "a2", "a1", 1, 0, "rollback", "escalation",
        )  # fmt: skip
        assert (row["reason"], row["revision"]) == (last.reason, len(verdicts))
    assert (escalation["guardrail_name"], escalation["state"], escalation["limit_value"]) == ("escalation", "fail", 0.2)
    assert (cost["guardrail_name"], cost["state"], cost["candidate_value"]) == ("cost", "pass", 0.0028)
    assert len(ask("canary", history="1")) == sum(max(len(one.guardrails), 1) for one in verdicts)
    assert ask("canary", agent="another") == ask("canary", plan="another") == ask("canary", tenant="nobody") == []


def test_the_statement_of_a_verdict_returns_the_decisions_behind_it(ask: Ask, reader: Client) -> None:
    row = ask("canary")[0]
    found = list(reader.query(row["decisions_sql"]).named_results())
    sides = {name: [one for one in found if one["artifact"] == name] for name in ("a1", "a2")}
    assert len(found) == len(sides["a1"]) + len(sides["a2"])
    assert (len(sides["a2"]), len(sides["a1"])) == (row["candidate_samples"], row["control_samples"])
    assert sum(one["escalated"] for one in sides["a2"]) / len(sides["a2"]) == pytest.approx(row["candidate_value"])
    assert {one["automated_cost"] for one in found} == {Decimal("0.0028")}
