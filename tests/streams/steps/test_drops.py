"""Accuracy by the fold: 60 days of labels, resampled from the recorded runs of two versions of an agent."""

import random
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from tests.streams.steps.world import T0, TENANT, Disk
from waterline.replay.recording import packaged_runs
from waterline.schemas.alerts import AlertState, AlertTransition
from waterline.schemas.events import Outcome
from waterline.schemas.facts import Contribution, GroupInput, Mark, Standing
from waterline.schemas.frames import Frame, Line
from waterline.schemas.topics import ALERT_TRANSITIONS, GROUP_INPUTS
from waterline.streams.steps.drops import Drops
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, HOUR, instant
from waterline.streams.steps.rules import Rule, RuleBook, Rules

DROP = Rule(name="accuracy_drop", measure="accuracy_drop", window_s=86400, above=Decimal("0.03"), at_least=20)
BEGIN = 20_000
"""Days since 1970."""
A_DAY = 240
"""Labels of a day: enough in thirty for the budget of false alarms."""
SEED = 20
"""One false alarm in 100,000 labels on average is one in fourteen such months: another seed may show it."""
FIRING, INSUFFICIENT, OK, RESOLVED = AlertState.FIRING, AlertState.INSUFFICIENT, AlertState.OK, AlertState.RESOLVED


def rewards(version: str) -> list[bool]:
    return [run.reward == 1 for run in packaged_runs() if run.version == version]


class Tasks:
    """The fold with its disk, a mark at each midnight."""

    def __init__(self, seed: int, a_day: int) -> None:
        self.chance, self.a_day = random.Random(seed), a_day
        self.book, self.disk = RuleBook(Rules("v1", (), (), (DROP,))), Disk()
        self.told: list[AlertTransition] = []
        self.day = BEGIN
        self.fold = self._load()

    def _load(self) -> GroupsFold:
        fold = GroupsFold(0, 1, self.disk, Limits(), self.book)
        for key, value in self.disk.items():
            fold.load(key, value)
        return fold

    def days(self, number: int, outcomes: list[bool]) -> None:
        for _ in range(number):
            given = [self._label(n, self.chance.choice(outcomes)) for n in range(self.a_day)]
            self.day += 1
            given.append(GroupInput(mark=Mark(0, True, self.day * DAY)))
            lines = [Line(n, b"", one) for n, one in enumerate(given)]
            self.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame(lines, [], T0))
            changes = self.fold.drain()
            self.disk.write(changes)
            outs = [out for out in changes.outs if out.topic is ALERT_TRANSITIONS]
            self.told += [msgspec.json.decode(out.value, type=AlertTransition) for out in outs]
        self.fold = self._load()

    def _label(self, number: int, correct: bool) -> GroupInput:
        told = Contribution(day="2024-10-04", agent="a", task="t", outcome=Outcome.CORRECT if correct else Outcome.INCORRECT)
        at = self.day * DAY + number * DAY // self.a_day
        return GroupInput(tenant=TENANT, agent="a", decision_key=f"{self.day}-{number}", now=Standing(told, at, True))

    @property
    def states(self) -> list[AlertState]:
        return [told.state for told in self.told]


@pytest.mark.parametrize(("first", "then", "fires"), [("v1", "v2", False), ("v2", "v1", True), ("v1", "v1", False)])
def test_it_fires_when_the_worse_version_comes_second_and_only_then(first: str, then: str, fires: bool) -> None:
    tasks = Tasks(SEED, A_DAY)
    tasks.days(30, rewards(first))
    assert tasks.states[-1] is OK, "there are labels enough to say so"
    known = len(tasks.told)
    tasks.days(30, rewards(then))
    after = tasks.told[known:]
    assert (FIRING in [told.state for told in after]) is fires
    if fires:
        fired = next(told for told in after if told.state is FIRING)
        assert timedelta(0) < fired.at - instant((BEGIN + 30) * DAY) < timedelta(days=3)
        assert fired.value is not None
        assert fired.value >= Decimal("0.03")
        assert after[-1].state is RESOLVED, "the worse one is what is usual now"
        assert fired.group == {"agent": "a", "task": "t", "clock": "replay"}


def test_with_a_tenth_of_the_labels_it_is_insufficient() -> None:
    tasks = Tasks(SEED, A_DAY // 10)
    tasks.days(60, rewards("v1"))
    assert tasks.states == [INSUFFICIENT]
    assert "are needed" in tasks.told[0].summary


def test_a_label_that_changes_before_it_is_judged_counts_as_it_is_then() -> None:
    tasks = Tasks(SEED, A_DAY)
    tasks.days(1, [True])
    first = tasks._label(0, True)
    assert first.now is not None
    wrong = msgspec.structs.replace(first.now.contribution, outcome=Outcome.INCORRECT)
    later = msgspec.structs.replace(first, now=Standing(wrong, first.now.at, True), previous=first.now)
    tasks.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame([Line(0, b"", first), Line(1, b"", later)], [], T0))
    (drops,) = (part for part in tasks.fold.parts if isinstance(part, Drops))
    ((followed, _),) = drops.followed.values()
    assert followed.waiting == [(first.now.at, first.decision_key, False)]


def test_a_label_moves_with_its_decision_when_the_task_becomes_known() -> None:
    tasks = Tasks(SEED, A_DAY)
    first = tasks._label(0, True)
    assert first.now is not None
    known = Standing(msgspec.structs.replace(first.now.contribution, task="known"), first.now.at, True)
    none = Standing(msgspec.structs.replace(known.contribution, outcome=Outcome.UNKNOWN), first.now.at, True)
    mark = GroupInput(mark=Mark(0, True, (tasks.day + 1) * DAY))
    for given in (first, mark, msgspec.structs.replace(first, now=known, previous=first.now), mark):
        tasks.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame([Line(0, b"", given)], [], T0))
    (drops,) = (part for part in tasks.fold.parts if isinstance(part, Drops))
    counted = {followed.task: sum(map(sum, accuracy.state().hours.values())) for followed, accuracy in drops.followed.values()}
    gone = msgspec.structs.replace(first, now=none, previous=known)
    tasks.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame([Line(0, b"", gone)], [], T0))
    assert {followed.task: [one[1] for one in followed.waiting] for followed, _ in drops.followed.values()}["known"] == []
    assert counted["t"] == 0
    assert all(min(one, default=0) >= 0 for _, accuracy in drops.followed.values() for one in accuracy.state().hours.values())


def test_a_rule_that_changes_is_held_to_at_once() -> None:
    tasks = Tasks(SEED, A_DAY)
    tasks.days(1, [True])
    (drops,) = (part for part in tasks.fold.parts if isinstance(part, Drops))
    changed = tuple(msgspec.structs.replace(rule, above=Decimal("0.2"), at_least=5) for rule in drops.book.now.apart)
    drops.book.now = msgspec.structs.replace(drops.book.now, version="v2", apart=changed)
    mark = GroupInput(mark=Mark(0, True, tasks.day * DAY + HOUR))
    tasks.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame([Line(0, b"", mark)], [], T0))
    assert {(one.watch.points, one.watch.least) for _, one in drops.followed.values()} == {(0.2, 5)}


def test_a_task_without_labels_is_let_go_and_its_alert_counts_on() -> None:
    tasks = Tasks(SEED, A_DAY)
    tasks.days(2, [True, False])
    assert tasks.states == [INSUFFICIENT]
    assert tasks.told[0].decisions[0].startswith(f"{BEGIN}-")
    a_task = next(len(value) for key, value in tasks.disk.items() if key.startswith(Drops.prefix))
    tasks.day, tasks.a_day = tasks.day + 31, 0
    tasks.days(1, [True])
    (drops,) = (part for part in tasks.fold.parts if isinstance(part, Drops))
    ((key, left),) = drops.left.items()
    assert (drops.followed, left.transition, left.told) == ({}, 1, INSUFFICIENT)
    assert len(tasks.disk[Drops.prefix + key]) < min(150, a_task)
    before = tasks.disk[Drops.prefix + key]
    tasks.days(1, [True])
    assert tasks.disk[Drops.prefix + key] == before, "it is judged no more"
    tasks.a_day = A_DAY
    tasks.days(30, rewards("v1"))
    assert [(told.state, told.transition) for told in tasks.told] == [(INSUFFICIENT, 1), (OK, 2)]
