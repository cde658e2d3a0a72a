"""What is remembered of a canary: its stages with the counts of both sides, and what is not counted into them yet."""

from typing import Self

from msgspec import Struct

from waterline.schemas.facts import Standing
from waterline.schemas.identity import SEPARATOR
from waterline.schemas.judgement import Decided
from waterline.streams.steps.canary_counts import Sums
from waterline.streams.steps.canary_plan import CanaryPlan

CANARY, CONTROL = "canary", "control"
"""Stages of events that say on which side a decision is."""
KNOWN = 200
UNSEEN = -1


class Run(Struct, array_like=True):
    """A stage from its start, in microseconds; `news`: something was counted since it was last judged."""

    start: int
    candidate: Sums
    control: Sums
    news: bool = False

    @classmethod
    def at(cls, start: int) -> Self:
        return cls(start, Sums.none(), Sums.none())


class Canary(Struct, array_like=True):
    """One candidate. `named`: the place of the last guardrail that a hold of this stage named. Once it is `over` nothing more is
    said: it was rolled back, or something else took its place. `left`: its plan is gone."""

    candidate: str
    control: str
    runs: list[Run]
    verdict: Decided = Decided.HOLD
    named: int = -1
    over: bool = False
    left: bool = False

    def run(self, at: int) -> Run | None:
        """The stage in which a decision began."""
        return next((run for run in reversed(self.runs) if run.start <= at), None)


class Watch(Struct, array_like=True):
    """One plan for one agent. `cells`: counts by minute, since 1970, that time has not passed yet, by stage and artifact.
    `known`: artifacts that were seen, in order; `usual` is the one that a new one is compared with. `told`: the last revision
    that was told of each candidate. `seen`: how far it was judged, `heard`: how far when time last passed a decision, in
    microseconds."""

    plan: str
    tenant: str
    agent: str
    replay: bool
    known: list[str] = []
    usual: str = ""
    canary: Canary | None = None
    cells: dict[int, dict[str, Sums]] = {}
    told: dict[str, int] = {}
    seen: int = 0
    heard: int = 0

    @property
    def key(self) -> bytes:
        return SEPARATOR.join((self.plan, self.tenant, self.agent, "r" if self.replay else "")).encode()

    def met(self, name: str) -> bool:
        """Whether an artifact was seen before; remembers it."""
        if name in self.known:
            return True
        self.known.append(name)
        del self.known[:-KNOWN]
        return False

    def number(self, candidate: str) -> None:
        """What is told of a candidate has its next number."""
        self.told[candidate] = self.told.pop(candidate, 0) + 1
        for old in list(self.told)[:-KNOWN]:
            del self.told[old]


class InForce(Struct, array_like=True):
    """The plans that a partition judges by, and from which event time on each counts decisions, live and of a replay."""

    plans: list[CanaryPlan]
    since: dict[str, list[int]]


def watch_of(plan: str, tenant: str, agent: str, replay: bool) -> Watch:
    return Watch(plan, tenant, agent, replay, known=[], cells={}, told={})


def kind_of(standing: Standing) -> str:
    """By what decisions are counted before it is known who is the candidate."""
    return f"{standing.stage if standing.stage in (CANARY, CONTROL) else ''}{SEPARATOR}{standing.artifact}"


def sums_of(plan: CanaryPlan, canary: Canary, run: Run, kind: str) -> Sums | None:
    """The side of a stage that decisions of a kind are counted on; None for neither."""
    stage, _, artifact = kind.partition(SEPARATOR)
    if plan.candidate:
        ours, theirs = artifact == canary.candidate, artifact == canary.control
    else:
        by_stage = stage == CANARY and canary.candidate == CANARY
        ours = stage != CONTROL and (artifact == canary.candidate or by_stage)
        theirs = stage == CONTROL or (not stage and artifact == canary.control)
    return run.candidate if ours else run.control if theirs else None
