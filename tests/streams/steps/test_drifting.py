"""Drift of distributions by the fold of stage groups: of which baseline, when, and that nothing but the events counts."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from tests.streams.steps.world import T0, TENANT, Disk
from waterline.schemas.events import Kind
from waterline.schemas.facts import Calls, Contribution, GroupInput, Mark, Standing
from waterline.schemas.frames import Frame, Line
from waterline.schemas.judgement import DriftFact, Shift
from waterline.schemas.topics import DRIFT_FACTS, GROUP_INPUTS
from waterline.streams.steps.days import CATEGORIES, OTHER, Day
from waterline.streams.steps.distribution import of_categories, of_numbers
from waterline.streams.steps.drifting import EVERY, Drifting
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, HOUR, SECOND, day_name
from waterline.streams.steps.rules import Pin, RuleBook, Rules
from waterline.streams.steps.sketch import bucket_of

BEGIN = 20_000
"""Days since 1970."""
MINUTE = 60 * SECOND
FIGURES = ("baseline", "pinned", "before", "now", "shift", "psi", "jensen_shannon", "by_chance", "ks", "wasserstein", "moved")
Which = tuple[str, str, str]
"""about, artifact, day"""


class Followed:
    """The fold with its disk; `told` has every fact, and `last` the newest of each distribution."""

    def __init__(self, *pins: Pin) -> None:
        self.book, self.disk = RuleBook(Rules("v1", (), baselines=pins)), Disk()
        self.told: list[DriftFact] = []
        self.last: dict[Which, DriftFact] = {}
        self.hot: set[bytes] = set()
        self.fold = GroupsFold(0, 1, self.disk, Limits(), self.book)

    @property
    def part(self) -> Drifting:
        return next(part for part in self.fold.parts if isinstance(part, Drifting))

    def send(self, given: Iterable[GroupInput]) -> None:
        lines = [Line(n, b"", one) for n, one in enumerate(given)]
        self.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame(lines, [], T0))

    def drain(self) -> list[DriftFact]:
        changes = self.fold.drain()
        self.disk.write(changes)
        self.hot = (self.hot | changes.puts.keys()) - changes.cold
        told = [msgspec.json.decode(out.value, type=DriftFact) for out in changes.outs if out.topic is DRIFT_FACTS]
        for fact in told:
            which = fact.about, fact.artifact, fact.day
            assert fact.revision == (self.last[which].revision + 1 if which in self.last else 1)
            self.last[which] = fact
        self.told += told
        return told

    def hear(self, given: Iterable[GroupInput]) -> list[DriftFact]:
        self.send(given)
        return self.drain()

    def time(self, us: int) -> list[DriftFact]:
        return self.hear([mark(us)])

    def restart(self) -> None:
        """From what was drained; what left the memory stays on disk."""
        self.fold = GroupsFold(0, 1, self.disk, Limits(), self.book)
        for key in sorted(self.hot & self.disk.keys(), reverse=True):
            if not self.fold.load(key, self.disk[key]):
                self.hot.discard(key)

    def figures(self) -> dict[Which, dict[str, Any]]:
        return {which: {name: getattr(fact, name) for name in FIGURES} for which, fact in self.last.items()}


def mark(us: int) -> GroupInput:
    return GroupInput(mark=Mark(0, True, us))


def standing(at: int, artifact: str = "v1", **fields: Any) -> Standing:
    told = Contribution(agent="a", task="t", escalated=bool(fields.get("escalation_reason")))
    return Standing(told, at, True, artifact=artifact, **fields)


def decision(key: str, now: Standing | None, before: Standing | None = None) -> GroupInput:
    return GroupInput(tenant=TENANT, agent="a", decision_key=key, now=now, previous=before)


def calls(at: int, artifact: str, tool: str, count: int, kind: Kind = Kind.TOOL_CALL) -> GroupInput:
    told = Calls(kind, tool, at // MINUTE, count, replay=True, artifact=artifact)
    return GroupInput(tenant=TENANT, agent="a", calls=told)


def a_day(day: int, artifact: str, tools: dict[str, int], hour: int = 9) -> list[GroupInput]:
    return [calls(day * DAY + hour * HOUR, artifact, tool, count) for tool, count in tools.items()]


USUAL, OTHERS = {"search": 60, "refund": 40}, {"search": 20, "refund": 40, "guess": 40}


def test_a_version_is_compared_with_the_one_before_and_what_moved_is_named() -> None:
    world = Followed()
    world.hear(a_day(BEGIN, "v1", USUAL, 9) + a_day(BEGIN, "v2", OTHERS, 10))
    assert not world.told, "nothing is told before time passes"
    world.time((BEGIN + 1) * DAY)
    fact = world.last["tools", "v2", day_name(BEGIN)]
    assert (fact.baseline, fact.pinned, fact.before, fact.now, fact.shift) == ("v1", False, 100, 100, Shift.MAJOR)
    assert [(one.name, one.before, one.now) for one in fact.moved[:2]] == [("guess", 0.0, 0.4), ("search", 0.6, 0.2)]
    assert fact.psi == of_categories(USUAL, OTHERS).psi
    first = world.last["tools", "v1", day_name(BEGIN)]
    assert (first.baseline, first.shift, first.psi, first.now) == ("", Shift.INSUFFICIENT, None, 100)
    assert {about for about, *_ in world.last} == {"tools"}, "of what nothing is known nothing is said"


def test_what_comes_after_a_day_changes_nothing_of_it_and_what_names_no_version_is_apart() -> None:
    world = Followed()
    world.hear(a_day(BEGIN, "v1", USUAL, 9) + a_day(BEGIN, "v2", OTHERS, 10) + a_day(BEGIN, "", OTHERS, 11))
    world.time((BEGIN + 1) * DAY + EVERY)
    known = len(world.told)
    assert world.last["tools", "", day_name(BEGIN)].baseline == ""
    world.hear([*a_day(BEGIN + 1, "v1", OTHERS), mark((BEGIN + 2) * DAY + EVERY)])
    assert [(fact.artifact, fact.day) for fact in world.told[known:]] == [("v1", day_name(BEGIN + 1))]
    world.hear([*a_day(BEGIN + 1, "v2", USUAL), mark((BEGIN + 3) * DAY)])
    assert world.last["tools", "v2", day_name(BEGIN + 1)].before == 200
    world.hear([calls(BEGIN * DAY, "v2", "late", 1), mark((BEGIN + 4) * DAY)])
    assert world.last["tools", "v2", day_name(BEGIN)].before == 100


def test_an_only_version_is_compared_with_its_first_seven_days() -> None:
    world = Followed()
    for day in range(9):
        world.hear([*a_day(BEGIN + day, "v1", USUAL if day < 8 else OTHERS), mark((BEGIN + day + 1) * DAY)])
    shifts = [world.last["tools", "v1", day_name(BEGIN + day)].shift for day in range(9)]
    assert shifts == [Shift.INSUFFICIENT] * 7 + [Shift.NONE, Shift.MAJOR]
    last = world.last["tools", "v1", day_name(BEGIN + 8)]
    assert (last.baseline, last.before) == (f"{day_name(BEGIN)} to {day_name(BEGIN + 6)}", 700)


@pytest.mark.parametrize(
    ("pin", "baseline", "before"),
    [
        (Pin(agent="a", artifact="v1"), "v1", 100),
        (Pin(agent="a", tenant=TENANT, since=BEGIN + 1, until=BEGIN + 1), f"{day_name(BEGIN + 1)} to {day_name(BEGIN + 1)}", 10),
        (Pin(agent="a", artifact="v0"), "v0", 0),
    ],
)
def test_a_baseline_can_be_pinned_and_the_pin_can_change(pin: Pin, baseline: str, before: int) -> None:
    world = Followed()
    world.hear(a_day(BEGIN, "v1", USUAL) + a_day(BEGIN + 1, "v2", {"search": 10}) + a_day(BEGIN + 2, "v3", OTHERS))
    world.time((BEGIN + 3) * DAY)
    which = "tools", "v3", day_name(BEGIN + 2)
    assert (world.last[which].baseline, world.last[which].pinned) == ("v2", False)
    world.book.now = Rules("v2", (), baselines=(Pin(agent="b", artifact="v2"), pin))
    world.time((BEGIN + 3) * DAY + 1)
    world.time((BEGIN + 3) * DAY + 2 * EVERY)
    fact = world.last[which]
    assert (fact.baseline, fact.pinned, fact.before, fact.revision) == (baseline, True, before, 2)
    assert fact.shift is (Shift.INSUFFICIENT if not before else Shift.MAJOR)


def test_it_is_told_at_most_every_five_minutes_and_once_more_when_it_is_late() -> None:
    world = Followed()
    world.hear([*a_day(BEGIN, "v1", USUAL), mark((BEGIN + 1) * DAY)])
    for minute in range(60):
        at = (BEGIN + 1) * DAY + minute * MINUTE
        world.hear([calls(at, "v2", "guess", 1), mark(at + MINUTE)])
    told = [fact for fact in world.told if fact.artifact == "v2"]
    assert 11 <= len(told) <= 12
    world.time((BEGIN + 2) * DAY + EVERY)
    assert world.last["tools", "v2", day_name(BEGIN + 1)].now == 60
    assert not world.time((BEGIN + 9) * DAY), "nothing is news"
    world.hear([calls((BEGIN + 1) * DAY, "v2", "late", 1), mark((BEGIN + 9) * DAY + EVERY)])
    late = world.last["tools", "v2", day_name(BEGIN + 1)]
    assert late.now == 61
    world.hear([calls(BEGIN * DAY, "v1", "late", 1), mark((BEGIN + 9) * DAY + 2 * EVERY)])
    assert {(fact.artifact, fact.before, fact.now) for fact in world.told[-2:]} == {("v1", 0, 101), ("v2", 101, 61)}


def test_a_decision_that_changes_its_version_is_counted_once() -> None:
    world = Followed()
    at = BEGIN * DAY + HOUR
    first = standing(at, "", steps=1, tokens=10)
    then = standing(at, "v1", steps=3, tokens=30, confidence=0.9, output_class="refund", escalation_reason="limit")
    moved = standing(at - 2 * HOUR, "v1", steps=3, tokens=30, output_class="refund")
    world.hear([decision("k", first), mark(BEGIN * DAY + 2 * HOUR)])
    world.hear([decision("k", then, first), mark(BEGIN * DAY + 3 * HOUR)])
    assert {about for about, artifact, _ in world.last if artifact == "v1"} >= {"confidence", "output_class", "escalation_reason"}
    world.hear([decision("k", moved, then), mark((BEGIN + 1) * DAY)])
    now = {which: fact.now for which, fact in world.last.items()}
    assert now["steps", "", day_name(BEGIN)] == now["steps", "v1", day_name(BEGIN)] == 0
    assert now["steps", "v1", day_name(BEGIN - 1)] == now["output_class", "v1", day_name(BEGIN - 1)] == 1
    assert now["confidence", "v1", day_name(BEGIN)] == 0
    assert ("confidence", "v1", day_name(BEGIN - 1)) not in now


def test_days_leave_the_memory_and_the_oldest_are_forgotten() -> None:
    world = Followed()
    for day in range(100):
        artifact = "v1" if day < 50 else "v2"
        world.hear([*a_day(BEGIN + day, artifact, USUAL), mark((BEGIN + day + 1) * DAY + 2 * HOUR)])
    part = world.part
    (agent,) = part.agents.values()
    assert sum(len(days) for days in part.days.values()) <= 2
    kept = {name: sorted(era.days) for name, era in agent.eras.items()}
    assert kept["v2"] == list(range(BEGIN + 50, BEGIN + 100))
    own, of_v2 = range(BEGIN, BEGIN + 7), range(BEGIN + 20, BEGIN + 50)
    assert kept["v1"] == [*own, *of_v2], "what it is compared with itself, and what v2 is"
    assert len([key for key in world.disk if key.startswith(Drifting.prefix)]) == 88
    world.restart()
    assert not world.part.days, "they are on disk"
    world.hear([*a_day(BEGIN + 60, "v2", {"guess": 900}), mark((BEGIN + 100) * DAY + 3 * HOUR)])
    assert world.last["tools", "v2", day_name(BEGIN + 60)].shift is Shift.MAJOR
    assert not world.hear([*a_day(BEGIN + 10, "v1", USUAL), mark((BEGIN + 101) * DAY)]), "too old to be counted"


def test_names_beyond_the_most_count_as_other() -> None:
    day = Followed()
    names = {f"t{n:03d}": 1 for n in range(CATEGORIES + 10)}
    day.hear([*a_day(BEGIN, "v1", names), mark((BEGIN + 1) * DAY)])
    fact = day.last["tools", "v1", day_name(BEGIN)]
    assert fact.now == CATEGORIES + 10
    ((one,),) = (days.values() for days in day.part.days.values())
    assert isinstance(one, Day)
    assert (len(one.names["tools"]), one.names["tools"][OTHER]) == (CATEGORIES + 1, 10)
    for number in range(CATEGORIES + 10):
        one.name("tools", f"t{number:03d}", -1)
    assert not any(one.names["tools"].values())


class Life(Struct, frozen=True):
    """A decision: what it is in each of its revisions."""

    key: str
    told: tuple[Standing, ...]


STANDINGS = st.builds(
    standing,
    at=st.integers(0, 11 * 24).map(lambda hour: BEGIN * DAY + hour * HOUR),
    artifact=st.sampled_from(["", "v1", "v2", "v3"]),
    output_class=st.sampled_from(["", "x", "y"]),
    escalation_reason=st.sampled_from(["", "r"]),
    confidence=st.sampled_from([None, 0.0, 0.5, 1.0]),
    steps=st.integers(0, 4),
    agent_ms=st.sampled_from([0.0, 10.0, 2000.0]),
)
LIVES = st.lists(st.lists(STANDINGS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=25)


def inputs(lives: Sequence[tuple[Standing, ...]], chance: random.Random, whole: bool) -> list[GroupInput]:
    """In the order of time, each decision's revisions in order; `whole`: only the last of each. Marks between."""
    told: list[tuple[int, GroupInput]] = []
    for number, life in enumerate(lives):
        previous, at = None, life[0].at
        for one in life[-1:] if whole else life:
            at += chance.randrange(30) * HOUR
            told.append((at, decision(f"k{number}", one, previous)))
            previous = one
    told.sort(key=lambda line: line[0])
    lines: list[GroupInput] = []
    for at, line in told:
        lines.append(line)
        if chance.random() < 0.5:
            lines.append(mark(at))
    end = (BEGIN + 20) * DAY
    return [*lines, mark(end), mark(end + EVERY)]


def expected(lives: Sequence[tuple[Standing, ...]]) -> dict[Which, tuple[str, int, int, float]]:
    """(baseline, before, now, index) of each distribution that has something, from the last revisions alone."""
    last = [life[-1] for life in lives]
    values: dict[tuple[str, str, int], Counter[Any]] = {}
    moments: dict[str, dict[int, list[int]]] = {}
    for one in last:
        day = one.at // DAY
        moments.setdefault(one.artifact, {}).setdefault(day, []).append(one.at % DAY)
        for about, value in {
            "output_class": one.output_class or None,
            "escalation_reason": one.escalation_reason or None,
            "confidence": None if one.confidence is None else bucket_of(one.confidence),
            **{name: bucket_of(getattr(one, name)) for name in ("steps", "tokens", "agent_ms", "resolution_ms")},
        }.items():
            if value is not None:
                values.setdefault((about, one.artifact, day), Counter())[value] += 1
    began = {name: (min(days), sum(days[min(days)]) / len(days[min(days)]), name) for name, days in moments.items()}
    found = {}
    for (about, artifact, day), now in values.items():
        earlier = max((one for name, one in began.items() if name and artifact and one < began[artifact]), default=None)
        own = sorted(moments[artifact])[:7]
        if earlier:
            baseline, days = earlier[2], [(earlier[2], one) for one in sorted(moments[earlier[2]]) if one <= day]
        elif len(own) == 7 and day > own[-1]:
            baseline, days = f"{day_name(own[0])} to {day_name(own[-1])}", [(artifact, one) for one in own]
        else:
            baseline, days = "", []
        before = sum((values.get((about, *place), Counter()) for place in days), Counter())
        numeric = about not in ("output_class", "escalation_reason")
        far = of_numbers(before, now) if numeric else of_categories(before, now)
        found[about, artifact, day_name(day)] = baseline, before.total(), now.total(), far.psi
    return found


@settings(max_examples=60, deadline=None)
@given(LIVES, st.integers(0, 2**32))
def test_the_last_word_depends_on_the_events_alone(lives: list[tuple[Standing, ...]], seed: int) -> None:
    """Whatever the batches, restarts and revisions between: as counted from the last revisions from scratch."""
    chance = random.Random(seed)
    rest, batches = Followed(), Followed()
    rest.hear(inputs(lives, chance, whole=True))
    for line in inputs(lives, chance, whole=False):
        batches.send([line])
        if chance.random() < 0.5:
            batches.drain()
            if chance.random() < 0.3:
                batches.restart()
    batches.drain()
    told = {which: one for which, one in batches.figures().items() if one["now"]}
    assert told == rest.figures()
    wanted = expected(lives)
    assert {which: (one["baseline"], one["before"], one["now"], one["psi"] or 0.0) for which, one in told.items()} == wanted


def test_a_restart_repeats_and_forgets_nothing() -> None:
    """The same words at the same marks, with a restart after every batch and without."""
    chance = random.Random(7)
    lives = [
        tuple(standing(BEGIN * DAY + n * HOUR, f"v{n // 40}", steps=chance.randrange(9)) for _ in range(2)) for n in range(120)
    ]
    told: list[list[DriftFact]] = []
    for restarts in (False, True):
        world = Followed()
        for line in inputs(lives, random.Random(1), whole=False):
            world.hear([line])
            if restarts:
                world.restart()
        told.append(world.told)
    assert told[0] == told[1]
    assert len(told[0]) > 100


def test_live_and_replay_are_apart() -> None:
    world = Followed()
    live = [
        msgspec.structs.replace(one, calls=replace(one.calls, replay=False)) for one in a_day(BEGIN, "v1", USUAL) if one.calls
    ]
    world.hear([*live, *a_day(BEGIN, "v2", OTHERS, 10), mark((BEGIN + 1) * DAY)])
    assert {(fact.artifact, fact.baseline) for fact in world.told} == {("v2", "")}
