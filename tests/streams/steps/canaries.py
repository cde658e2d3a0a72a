"""Decisions of a candidate and its control for the fold, and what it tells of them."""

import random
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import msgspec

from tests.streams.steps.world import T0, TENANT, Disk
from waterline.schemas.events import Outcome
from waterline.schemas.facts import Contribution, GroupInput, Mark, Standing
from waterline.schemas.frames import Frame, Line
from waterline.schemas.judgement import CanaryVerdict
from waterline.schemas.topics import CANARY_VERDICTS, GROUP_INPUTS
from waterline.streams.steps.canary_plan import CanaryPlan, Stage
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY
from waterline.streams.steps.rules import RuleBook, Rules
from waterline.streams.steps.tally import MINUTE

BEGIN = 20_000 * DAY
STAGES = (Stage(0.2), Stage(0.5, 3600), Stage(1.0))
PLAN = CanaryPlan(name="p", agent="a", stages=STAGES)
Kind = Callable[[random.Random], dict[str, object]]


def told(artifact: str, at: int, number: int, **fields: object) -> GroupInput:
    """One decision as it is. `escalated`, `correct` and `cost` are of its contribution, the others of its standing."""
    correct = fields.pop("correct", None)
    outcome = {None: Outcome.NONE, True: Outcome.CORRECT, False: Outcome.INCORRECT}[correct]  # type: ignore[index]
    cost = Decimal(str(fields.pop("cost", "0.01")))
    escalated = bool(fields.pop("escalated", False))
    contribution = Contribution(agent="a", escalated=escalated, outcome=outcome, automated_cost=cost)
    given: dict[str, object] = {"agent_ms": 800.0, "output_class": "yes"} | fields
    standing = Standing(contribution, at, True, artifact=artifact, **given)  # type: ignore[arg-type]
    return GroupInput(tenant=TENANT, agent="a", decision_key=f"{at}-{number}", now=standing)


def mark(at: int) -> GroupInput:
    return GroupInput(mark=Mark(0, True, at))


def again(before: GroupInput, after: GroupInput) -> GroupInput:
    """The decision as it became."""
    return msgspec.structs.replace(after, decision_key=before.decision_key, previous=before.now)


class Trial:
    """The fold with its disk, and every verdict."""

    def __init__(self, *plans: CanaryPlan) -> None:
        self.disk, self.book = Disk(), RuleBook(Rules("v1", (), canaries=plans or (PLAN,)))
        self.told: list[CanaryVerdict] = []
        self.fold = self._load()

    def _load(self) -> GroupsFold:
        fold = GroupsFold(0, 1, self.disk, Limits(), self.book)
        for key, value in self.disk.items():
            fold.load(key, value)
        return fold

    def begin(self) -> None:
        """A minute of the control alone, so that the other one is the newer."""
        self.run(1, 0, like(), like(), since=-1)

    def restart(self) -> None:
        self.fold = self._load()

    def take(self, given: Iterable[GroupInput], restart: bool = False) -> None:
        lines = [Line(n, b"", one) for n, one in enumerate(given)]
        self.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame(lines, [], T0))
        changes = self.fold.drain()
        self.disk.write(changes)
        for out in changes.outs:
            if out.topic is CANARY_VERDICTS:
                one = msgspec.json.decode(out.value, type=CanaryVerdict)
                same = [before.revision for before in self.told if (before.candidate, before.plan) == (one.candidate, one.plan)]
                assert one.revision == max(same, default=0) + 1
                self.told.append(one)
        if restart:
            self.restart()

    @property
    def said(self) -> list[tuple[int, str, str]]:
        return [(one.stage, one.verdict.value, one.guardrail) for one in self.told]

    def run(
        self, minutes: int, share: float, candidate: Kind, control: Kind, each: int = 20, seed: int = 1, since: int = 0
    ) -> None:
        """So many minutes of `each` decisions, `share` of them the candidate's."""
        self.take(traffic(minutes, share, candidate, control, each, seed, since))


def traffic(
    minutes: int, share: float, candidate: Kind, control: Kind, each: int = 20, seed: int = 1, since: int = 0
) -> Sequence[GroupInput]:
    chance, given = random.Random(seed), []
    for minute in range(since, since + minutes):
        for number in range(each):
            ours = chance.random() < share
            at = BEGIN + minute * MINUTE + number * MINUTE // each
            fields = dict((candidate if ours else control)(chance))
            given.append(told("v2" if ours else "v1", at, number, **fields))
        given.append(mark(BEGIN + (minute + 1) * MINUTE))
    return given


def like(correct: float = 0.8, escalated: float = 0.1, failed: float = 0.05, cost: float = 0.01, ms: float = 800.0) -> Kind:
    """Decisions that are right, escalated, ... so often, with costs and times about so large."""

    def one(chance: random.Random) -> dict[str, object]:
        return {
            "correct": chance.random() < correct,
            "escalated": chance.random() < escalated,
            "tool_errors": int(chance.random() < failed),
            "cost": round(cost * chance.lognormvariate(-0.125, 0.5), 6),
            "agent_ms": ms * chance.lognormvariate(0, 0.5),
            "output_class": chance.choice(["refund", "refund", "deny"]),
        }

    return one
