"""Whether what people correct is learnt (M5).

A correction is a decision that a human corrected, and that was wrong. It is closed when a decision of the same task and
correction key, begun after the correction and within `WITHIN` of it, is right, and was made by a newer artifact: one whose first
decision began later than that of the artifact that was wrong. So an old version that comes back closes nothing.

    closure rate = closed / (closed + those that were not closed within WITHIN)

A correction that is younger and not closed yet is `waiting`, and counts neither way. What is known at a time depends on the
decisions alone, not on the order in which they were told; but an artifact that was seen stays seen, also if the decision
turns out to be another's.
"""

from collections import deque
from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from waterline.schemas.events import Outcome
from waterline.streams.steps.moment import DAY
from waterline.streams.steps.rates import Rate

WITHIN = 30 * DAY
MOST_ARTIFACTS = 1000
"""of one agent, remembered"""
NEVER = -(2**63)
Of = tuple[str, str]
"""task, correction key"""
Right = tuple[int, int]
"""when a decision that was right began, and when its artifact was first seen"""


def is_right(outcome: Outcome, overturned: bool, corrected: bool) -> bool | None:
    """Whether a decision was right, by its outcome, by its reviews (`overturned`), and by whether it was `corrected`; None while
    no one has said."""
    if overturned or outcome is Outcome.INCORRECT or (corrected and outcome is not Outcome.CORRECT):
        return False
    return True if outcome is Outcome.CORRECT else None


class Case(Struct, frozen=True, array_like=True):
    """What a decision is to the loop so far. Times are microseconds. `keys` say what kind of case it is, as its correction keys
    do; `right` is as `is_right` has it; `corrected_at`: when a human first overturned it or told a correction."""

    task: str
    keys: tuple[str, ...]
    artifact: str
    started: int
    right: bool | None = None
    corrected_at: int | None = None

    @property
    def is_correction(self) -> bool:
        return self.corrected_at is not None and self.right is False


class Closed(Struct, frozen=True):
    """`waiting` corrections are not in `rate`."""

    rate: Rate
    waiting: int


class Pace(StrEnum):
    """What a closure rate is like: a model that learns all the time, or is updated every quarter."""

    ACTIVE_LEARNING = "active_learning"
    BETWEEN = "between"
    QUARTERLY = "quarterly_updates"
    SLOWER = "slower"
    INSUFFICIENT = "insufficient"


class Closure:
    """The loop of one (tenant, agent). `cases` are by decision key, `artifacts` when each was first seen. Both are all there is
    to store."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.artifacts: dict[str, int] = {}

    def seen(self, artifact: str, at: int) -> bool:
        """A decision of `artifact` began at `at`; whether that is news."""
        if not artifact or at >= self.artifacts.get(artifact, at + 1):
            return False
        self.artifacts[artifact] = at
        return True

    def take(self, decision_key: str, case: Case | None) -> None:
        """What a decision is now; None when it is part of another, or has no correction key."""
        if case is None:
            self.cases.pop(decision_key, None)
        else:
            self.cases[decision_key] = case
            self.seen(case.artifact, case.started)

    def count(self, now: int, since: int = 0) -> Closed:
        """Corrections made from `since` to `now`, as they stand at `now`. Takes no longer than it takes to sort the cases."""
        part = whole = waiting = 0
        rights = self._rights(now)
        for of, corrections in self._corrections(since, now).items():
            for case, newest in _newest(corrections, rights.get(of, [])):
                old = self.artifacts.get(case.artifact)
                if old is not None and newest > old:
                    part, whole = part + 1, whole + 1
                elif now - _told(case) >= WITHIN:
                    whole += 1
                else:
                    waiting += 1
        return Closed(Rate(part, whole), waiting)

    def let_go(self, before: int, artifacts: int = MOST_ARTIFACTS) -> list[str]:
        """Decisions that no correction from `before` on has to do with, which are forgotten, as are all but the newest
        artifacts: one so old that comes back counts as new."""
        gone = [decision for decision, case in self.cases.items() if _told(case) < before]
        for decision in gone:
            del self.cases[decision]
        for old in sorted(self.artifacts, key=self.artifacts.__getitem__)[: max(0, len(self.artifacts) - artifacts)]:
            del self.artifacts[old]
        return gone

    def _corrections(self, since: int, until: int) -> dict[Of, list[Case]]:
        """Those of each task and key; a correction counts once for each of its keys."""
        found: dict[Of, list[Case]] = {}
        for case in self.cases.values():
            if case.is_correction and since <= _told(case) <= until:
                for key in case.keys:
                    found.setdefault((case.task, key), []).append(case)
        return found

    def _rights(self, until: int) -> dict[Of, list[Right]]:
        found: dict[Of, list[Right]] = {}
        for case in self.cases.values():
            if case.right and case.started <= until and (seen := self.artifacts.get(case.artifact)) is not None:
                for key in case.keys:
                    found.setdefault((case.task, key), []).append((case.started, seen))
        return found


def _newest(corrections: list[Case], rights: list[Right]) -> Iterator[tuple[Case, int]]:
    """Each correction with when the newest of the artifacts was first seen that were right within its time; NEVER when none was.

    `held` are the rights that are within the time of the correction at hand, without those after which as new a one came."""
    corrections.sort(key=_told)
    rights.sort()
    held: deque[Right] = deque()
    ahead = 0
    for case in corrections:
        told = _told(case)
        while ahead < len(rights) and rights[ahead][0] <= told + WITHIN:
            while held and held[-1][1] <= rights[ahead][1]:
                held.pop()
            held.append(rights[ahead])
            ahead += 1
        while held and held[0][0] <= told:
            held.popleft()
        yield case, held[0][1] if held else NEVER


def _told(case: Case) -> int:
    return case.started if case.corrected_at is None else case.corrected_at


def pace(rate: Rate) -> Pace:
    """From 70 % active learning, 20 to 30 % quarterly updates, compared as whole numbers."""
    part, whole = 100 * rate.part, rate.whole
    if not whole:
        return Pace.INSUFFICIENT
    if part >= 70 * whole:
        return Pace.ACTIVE_LEARNING
    if part > 30 * whole:
        return Pace.BETWEEN
    return Pace.QUARTERLY if part >= 20 * whole else Pace.SLOWER
