"""Decisions to be judged, small enough to be counted by hand, and what the folds make of them: facts and alerts."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from tests.sql.seed import NOON, Store, late
from tests.streams.steps.world import Disk, World
from waterline.replay.recording import packaged_runs
from waterline.replay.schedule import items_in_order
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.events import Event, Kind, Outcome, Retrieved, Status, Verdict
from waterline.schemas.facts import QualityFact
from waterline.schemas.frames import Frame, Line
from waterline.schemas.judgement import DriftFact
from waterline.schemas.topics import ALERT_TRANSITIONS, DRIFT_FACTS, GROUP_INPUTS, QUALITY_FACTS
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rules import AGENT_TOOL, Rule, RuleBook, Rules

RULES = Rules(
    "v1",
    (
        Rule(name="errors", measure="tool_error_rate", window_s=300, above=Decimal("0.05"), at_least=20),
        Rule(name="errors_by_tool", measure="tool_error_rate", window_s=300, above=Decimal("0.05"), at_least=20, by=AGENT_TOOL),
        Rule(name="escalated", measure="escalation_rate", window_s=3600, above=Decimal("0.2"), at_least=30),
        Rule(name="overridden", measure="override_rate", window_s=3600, panes=2, above=Decimal("0.25"), at_least=5),
        Rule(name="slow", measure="model_latency_p95", window_s=300, above=Decimal(5000), at_least=20),
    ),
)
RECEIVED = NOON + timedelta(hours=10)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def event(agent: str, key: str, kind: Kind, after: timedelta = timedelta(0), **fields: object) -> Event:
    """Of decision `key` of `agent`, `after` noon."""
    given: dict[str, Any] = {"tenant": "acme", "task": "t", "agent_version": "v1", "source": "otlp", "received_at": RECEIVED}
    told = {"event_id": f"{agent}/{key}/{kind}/{after}/{fields.get('name', '')}", "decision_key": f"{agent}/{key}"}
    return Event(**(given | told | fields), agent=agent, kind=kind, ts=NOON + after)


def desk() -> list[Event]:
    """Ten decisions. 0 to 5 are escalated: of four a human changes two, one is reviewed without a verdict, one waits. 6 to 9 are
    not: one is found wrong, two right, of one nothing is known."""
    told = [event("desk", str(n), Kind.DECISION) for n in range(10)]
    told += [event("desk", str(n), Kind.ESCALATION, escalation_reason="limit") for n in range(6)]
    verdicts = [Verdict.OVERRIDE, Verdict.APPROVE, Verdict.CORRECT, Verdict.APPROVE, Verdict.NONE]
    for n, verdict in enumerate(verdicts):
        review = {"reviewer": f"rev-{n // 2}", "review_verdict": verdict, "review_minutes": 5.0 + n}
        told.append(event("desk", str(n), Kind.REVIEW, (2 + 2 * n) * MINUTE, **review))
    outcomes = {6: Outcome.INCORRECT, 7: Outcome.CORRECT, 8: Outcome.CORRECT, 0: Outcome.CORRECT}
    return told + [event("desk", str(n), Kind.OUTCOME, HOUR, outcome=outcome) for n, outcome in outcomes.items()]


def sure() -> list[Event]:
    """Ten decisions at 0.8, of which eight are right, and ten at 0.9, of which two are."""
    told = []
    for n in range(20):
        right = n % 10 < (8 if n < 10 else 2)
        outcome = Outcome.CORRECT if right else Outcome.INCORRECT
        told.append(event("sure", str(n), Kind.DECISION, confidence=0.8 if n < 10 else 0.9, outcome=outcome))
    return told


def seeker() -> list[Event]:
    """Two of three found, the first on place two; the only one found at once; one retrieval without labels."""
    found = [Retrieved("1", "b", "v1", 0.3, 3), Retrieved("2", "x", "v1", 0.9, 1), Retrieved("3", "a", "v1", 0.5, 2)]
    return [
        event("seeker", "1", Kind.RETRIEVAL, retrieved=found, relevant=["a", "b", "c", "a"]),
        event("seeker", "2", Kind.RETRIEVAL, retrieved=found, relevant=["x"]),
        event("seeker", "3", Kind.RETRIEVAL, retrieved=found),
    ]


def line() -> list[Event]:
    """Fifty decisions of ten steps each. Step n ends badly in decision n; in decision 20 + n it fails once before it holds."""
    told = []
    for decision in range(50):
        for step in range(10):
            ran: dict[str, Any] = {"step": f"s{step}", "name": f"s{step}"}
            first = Status.ERROR if decision % 20 == step and decision < 40 else Status.OK
            told.append(event("line", str(decision), Kind.STEP, step * MINUTE, status=first, **ran))
            if decision == 20 + step:
                told.append(event("line", str(decision), Kind.STEP, step * MINUTE + timedelta(seconds=9), **ran))
    return told


def coder() -> list[Event]:
    """Forty decisions of each of two artifacts, first a1: 20 and 36 of them are right, 10 and 8 escalated, 40 and 4 of 80 tool
    calls fail; a model call takes 100 + n and 200 + n ms, and costs 0.002 and 0.004 USD."""
    told = []
    for artifact, right, handed, failed in (("a1", 20, 10, 40), ("a2", 36, 8, 4)):
        second = artifact == "a2"
        for n in range(40):
            key, at, of = f"{artifact}/{n}", (DAY if second else 0 * DAY) + n * MINUTE, {"artifact_id": artifact}
            outcome = Outcome.CORRECT if n < right else Outcome.INCORRECT
            reason = "limit" if n < handed else ""
            called: dict[str, Any] = {"provider": "openai", "model_served": "gpt", "tokens_input": 2000 if second else 1000}
            told.append(event("coder", key, Kind.DECISION, at - DAY, **of, outcome=outcome, escalation_reason=reason))
            took = 100.0 * (1 + second) + n
            told.append(event("coder", key, Kind.MODEL_CALL, at - DAY, **of, **called, duration_ms=took))
            for call in range(2):
                status = Status.ERROR if 2 * n + call < failed else Status.OK
                told.append(event("coder", key, Kind.TOOL_CALL, at - DAY, **of, name=f"{call}", tool="build", status=status))
    return told


def flat() -> list[Event]:
    """A hundred calls of 0.01 USD each, and one without a price."""
    called: dict[str, Any] = {"provider": "openai", "model_served": "gpt", "tokens_input": 5000}
    told = [event("flat", str(n), Kind.MODEL_CALL, n * MINUTE, **called) for n in range(100)]
    return [*told, event("flat", "none", Kind.MODEL_CALL, **(called | {"model_served": "other"}))]


CONVERSATION = ((0, 2000, 0), (60, 3000, 0), (600, 4000, 0), (660, 1000, 4000), (661, 500, 0))
"""Seconds, fresh tokens, tokens read from the cache."""


def talker() -> list[Event]:
    return [
        event("talker", "1", Kind.MODEL_CALL, timedelta(seconds=at), provider="openai", model_served="gpt",
              tokens_input=fresh, tokens_cache_read=read)
        for at, fresh, read in CONVERSATION
    ]  # fmt: skip


TRIALS, SECOND_VERSION = (0, 10, 20, 30), 35
BEGAN = timedelta(days=-80)


def pupil() -> list[Event]:
    """The recorded tasks: a trial of the first version every tenth day, the second version on day 35, counted from 80 days ago.
    What was wrong is corrected an hour later."""
    told = []
    for run in packaged_runs():
        key, right = run.decision_id, run.reward == 1
        at = BEGAN + timedelta(days=TRIALS[run.trial] if run.version == "v1" else SECOND_VERSION)
        of = {"agent_version": run.version, "correction_key": run.task}
        outcome = Outcome.CORRECT if right else Outcome.INCORRECT
        told.append(event("pupil", key, Kind.DECISION, at, **of, outcome=outcome))
        if not right:
            told.append(event("pupil", key, Kind.CORRECTION, at + HOUR, **of))
    return told


JUDGED = [*desk(), *sure(), *seeker(), *line(), *coder(), *flat(), *talker(), *pupil()]


def again(told: Event) -> Event:
    """A copy that came too late to be recognised, and says something else in all that is judged. The first one counts."""
    changes: dict[str, Any] = {"escalation_reason": "changed", "correction_key": "changed", "review_verdict": Verdict.REJECT}
    changes |= {"agent_version": "v9", "artifact_id": "a9", "outcome": Outcome.INCORRECT, "relevant": ["changed"]}
    return msgspec.structs.replace(late(told), **changes)


class Folded:
    """Events through the folds of both stages, as three partitions: facts, and alerts under RULES."""

    def __init__(self) -> None:
        self.world = World(3)
        self.disk = Disk()
        self.groups = GroupsFold(0, 3, self.disk, Limits(), RuleBook(RULES))
        self.transitions: list[AlertTransition] = []
        self.drift: list[DriftFact] = []
        self.quality: list[QualityFact] = []
        self.events: list[Event] = []
        self._heard = 0

    def tell(self, events: Sequence[Event], until: datetime | None = None, replay: bool = False) -> None:
        """`until`: what the clock says after them."""
        self.events += events
        self.world.send(events)
        self.world.run()
        if until is not None:
            self.world.tick(until, replay)
            self.world.run()
        given = self.world.inputs[self._heard :]
        self._heard = len(self.world.inputs)
        lines = [Line(n, b"", one) for n, one in enumerate(given)]
        self.groups.apply(Position(GROUP_INPUTS.name, 0, self._heard), Frame(lines, [], instant(0)))
        changes = self.groups.drain()
        self.disk.write(changes)
        for out in changes.outs:
            if out.topic is ALERT_TRANSITIONS:
                self.transitions.append(msgspec.json.decode(out.value, type=AlertTransition))
            elif out.topic is QUALITY_FACTS:
                self.quality.append(msgspec.json.decode(out.value, type=QualityFact))
            elif out.topic is DRIFT_FACTS:
                self.drift.append(msgspec.json.decode(out.value, type=DriftFact))

    def store(self, store: Store, first_offset: int = 0) -> None:
        world = self.world
        assert not world.letters
        store.put("events", self.events, "agent.events", first_offset)
        store.put("decision_facts", world.decisions.values(), "decision.facts", first_offset)
        store.put("cost_facts", world.costs.values(), "cost.facts", first_offset)
        store.put("decision_links", world.links.values(), "decision.links", first_offset)
        store.put("price_versions", world.book.versions(), "price.versions", first_offset)
        store.put("quality_facts", self.quality, "quality.facts", first_offset)
        store.put("alert_transitions", self.transitions, "alert.transitions", first_offset)
        store.put("drift_facts", self.drift, "drift.facts", first_offset)


def judged() -> Folded:
    folded = Folded()
    folded.tell(JUDGED)
    return folded


def recorded(start: datetime, tenant: str = "airline") -> Folded:
    """All recorded runs, the first version's first, one a minute; the replay's clock ticks every minute."""
    folded = Folded()
    told = [
        msgspec.structs.replace(item.event, tenant=tenant, received_at=RECEIVED)
        for item in items_in_order(packaged_runs(), start, MINUTE, seed=7)
    ]
    for until, events in by_minute(told, start):
        folded.tell(events, until, replay=True)
    folded.tell([], told[-1].ts + 5 * HOUR, replay=True)
    return folded


def by_minute(events: Iterable[Event], start: datetime) -> list[tuple[datetime, list[Event]]]:
    """Events by the minute in which they end, in order."""
    found: dict[datetime, list[Event]] = {}
    for one in events:
        end = one.ts + timedelta(milliseconds=one.duration_ms)
        found.setdefault(start + ((end - start) // MINUTE + 1) * MINUTE, []).append(one)
    return sorted(found.items())
