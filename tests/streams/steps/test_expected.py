"""Expected cost: what decisions contributed to their group over the closed days before."""

import random
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.streams.steps.world import T0, TENANT, Disk, World, call, event
from waterline.schemas.events import Kind, Verdict
from waterline.schemas.facts import Contribution, GroupInput, QualityFact, Standing
from waterline.schemas.frames import Frame, Line
from waterline.schemas.topics import GROUP_INPUTS
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, day_name, day_number, micros
from waterline.streams.steps.rules import RuleBook, Rules

TODAY = day_number("2026-11-20")


def contribution(day: int, human: str = "0", reviewed: bool = False, agent: str = "a", task: str = "t") -> Contribution:
    return Contribution(day=day_name(day), agent=agent, task=task, reviewed=reviewed, human_cost=Decimal(human))


Given = Contribution | Standing | None


def given_input(now: Given, previous: Given = None, key: str = "k", revision: int = 1) -> GroupInput:
    return GroupInput(
        tenant=TENANT, agent="a", decision_key=key, revision=revision, now=standing(now), previous=standing(previous)
    )


def standing(given: Given) -> Standing | None:
    return Standing(given, day_number(given.day) * DAY) if isinstance(given, Contribution) else given


class Groups:
    """The fold with its disk; facts by (group, day)."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits, self.disk = limits or Limits(), Disk()
        self.facts: dict[tuple[str, str], QualityFact] = {}
        self.told = 0
        self.fold = GroupsFold(0, 1, self.disk, self.limits, RuleBook(Rules("", ())))

    def take(self, inputs: Iterable[GroupInput]) -> None:
        lines = [Line(n, b"", one) for n, one in enumerate(inputs)]
        self.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame(lines, [], T0))

    def drain(self, restart: bool = False) -> None:
        changes = self.fold.drain()
        self.disk.write(changes)
        for out in changes.outs:
            fact = msgspec.json.decode(out.value, type=QualityFact)
            at = (f"{fact.agent} {fact.task}", fact.day)
            assert at not in self.facts or fact.revision > self.facts[at].revision
            self.facts[at] = fact
            self.told += 1
        if restart:
            self.fold = GroupsFold(0, 1, self.disk, self.limits, RuleBook(Rules("", ())))
            for key, value in self.disk.items():
                self.fold.load(key, value)

    def today(self) -> QualityFact:
        return self.facts["a t", day_name(TODAY)]


def test_two_cents_and_a_thirty_percent_chance_of_a_fifty_dollar_review_are_expected_to_cost_15_02() -> None:
    """From events to the fact: 100 decisions over the 30 days before, 30 of them reviewed for 50 minutes at 60 USD an hour."""
    world, groups = World(partitions=2), Groups()
    events = []
    for n in range(101):
        day = -(1 + n % 30) * 86400 if n < 100 else 0
        named = {"key": f"d{n}", "agent": "a", "task": "t"}
        events.append(call(day, tokens_input=10_000, tokens_output=0, **named))
        if n < 30:
            events.append(event(Kind.REVIEW, day + 60, review_minutes=50, review_verdict=Verdict.APPROVE, **named))
    world.send(events)
    world.run()
    groups.take(given_input(now, key=key) for key, now in world.contributions.items())
    groups.drain()
    fact = groups.today()
    assert (fact.state, fact.decisions, fact.reviewed, fact.p_review) == ("ok", 100, 30, 0.3)
    assert (fact.mean_review_cost, fact.expected_review_cost) == (Decimal(50), Decimal(15))
    automated = world.decisions["d100"].automated_cost
    assert automated == Decimal("0.02")
    assert fact.expected_review_cost is not None
    expected = automated + fact.expected_review_cost
    assert (expected, expected / automated) == (Decimal("15.02"), Decimal(751))


def test_too_few_decisions_are_told_as_such() -> None:
    groups = Groups()
    groups.take([given_input(contribution(TODAY - 1, key)) for key in "123"] + [given_input(contribution(TODAY))])
    groups.drain()
    fact = groups.today()
    assert (fact.state, fact.decisions) == ("insufficient", 3)
    assert fact.reason == "3 decisions in the window, 20 are needed"
    assert (fact.p_review, fact.mean_review_cost, fact.expected_review_cost) == (None, None, None)


def few() -> Limits:
    return Limits(expected_min_decisions=1)


def test_the_window_is_the_closed_days_before() -> None:
    groups = Groups(few())
    groups.take([given_input(contribution(TODAY - ago, "10", True)) for ago in (0, 1, 30, 31)])
    groups.drain()
    fact = groups.today()
    assert (fact.window_from, fact.window_to, fact.decisions) == ("2026-10-21", "2026-11-19", 2)


def test_nothing_is_told_again_while_the_closed_days_stay_as_they_are() -> None:
    groups = Groups(few())
    groups.take([given_input(contribution(TODAY - 1)), given_input(contribution(TODAY))])
    groups.drain()
    told = groups.told
    for n in range(5):
        groups.take([given_input(contribution(TODAY), key=f"n{n}")])
        groups.drain(restart=True)
    assert groups.told == told
    groups.take([given_input(contribution(TODAY - 1, "5", True), contribution(TODAY - 1), revision=2)])
    groups.drain()
    assert groups.told == told + 1
    assert groups.today().expected_review_cost == 5


def test_groups_do_not_mix_whatever_their_names() -> None:
    groups = Groups(few())
    for agent, task in (("a/b", "c"), ("a", "b/c")):
        groups.take([given_input(contribution(TODAY - ago, agent=agent, task=task)) for ago in (0, 1)])
    groups.drain()
    assert len(groups.fold.expected.groups) == 2
    assert {group.days[TODAY - 1][0] for group in groups.fold.expected.groups.values()} == {1}


def test_memory_is_bounded_in_days() -> None:
    groups = Groups(few())
    for ago in range(400, -1, -1):
        groups.take([given_input(contribution(TODAY - ago), key=f"d{ago}")])
        groups.drain()
    (group,) = groups.fold.expected.groups.values()
    assert len(group.days) == len(group.told) == 75
    groups.take([given_input(contribution(TODAY - 300), key="late")])
    groups.drain()
    assert len(group.days) == 75


def test_groups_that_do_not_fit_into_memory_lie_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waterline.streams.steps.expected.GROUPS", 3)
    groups = Groups(few())
    for _ in range(2):
        for n in range(9):
            groups.take([given_input(contribution(TODAY - 1, agent=f"a{n}"), key=f"d{n}")])
            groups.drain()
    assert len(groups.fold.expected.groups) == 3
    groups.take([given_input(contribution(TODAY, agent="a0"))])
    groups.drain()
    assert groups.facts["a0 t", day_name(TODAY)].decisions == 2


@given(
    st.lists(st.tuples(st.integers(0, 70), st.booleans(), st.integers(0, 5)), max_size=40),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_the_last_facts_do_not_depend_on_the_order(
    decisions: list[tuple[int, bool, int]], rnd: random.Random, restarts: bool
) -> None:
    """Each decision contributes first without, then with its review; batches, order and restarts are drawn."""
    inputs = []
    for n, (ago, reviewed, cost) in enumerate(decisions):
        first, last = contribution(TODAY - ago), contribution(TODAY - ago, str(cost), reviewed)
        inputs += [given_input(first, key=f"d{n}"), given_input(last, first, f"d{n}", 2)]
    expected = Groups(few())
    expected.take(inputs)
    expected.drain()
    rnd.shuffle(inputs)
    got = Groups(few())
    for one in inputs:
        got.take([one])
        if rnd.random() < 0.3:
            got.drain(restarts)
    got.drain()

    def values(groups: Groups) -> dict[tuple[str, str], QualityFact]:
        closed = day_name(TODAY - 40)
        return {at: msgspec.structs.replace(fact, revision=0) for at, fact in groups.facts.items() if at[1] > closed}

    assert values(got) == values(expected)


@pytest.mark.parametrize("share", [Decimal("10") / 3])
def test_a_mean_is_rounded_once(share: Decimal) -> None:
    groups = Groups(few())
    reviews = [given_input(contribution(TODAY - 1, cost, True)) for cost in ("10", "0", "0")]
    groups.take([*reviews, given_input(contribution(TODAY))])
    groups.drain()
    assert groups.today().mean_review_cost == share.quantize(Decimal("1e-9"))


def test_a_day_is_the_day_of_the_decision_however_late_the_review() -> None:
    world = World()
    world.send([call(0, agent="a"), event(Kind.REVIEW, timedelta(days=9).total_seconds(), review_minutes=1)])
    world.run()
    (told,) = world.contributions.values()
    assert told.at == micros(T0)
    added = told.contribution
    assert (added.day, added.reviewed, added.human_cost) == ("2026-11-20", True, Decimal(1))
