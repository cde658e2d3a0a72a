"""Drift of distributions by the fold of stage groups: of which baseline, when, and that nothing but the events counts."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.streams.steps.world import T0, TENANT, Disk
from waterline.schemas.events import Kind
from waterline.schemas.facts import Calls, Contribution, GroupInput, Mark, Standing
from waterline.schemas.frames import Frame, Line
from waterline.schemas.judgement import DriftFact, Shift
from waterline.schemas.topics import DRIFT_FACTS, GROUP_INPUTS
from waterline.streams.steps.days import CATEGORIES, OTHER, AgentKey, Day
from waterline.streams.steps.distribution import of_categories
from waterline.streams.steps.drifting import EVERY, Drifting
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, HOUR, SECOND, day_name, instant
from waterline.streams.steps.rules import Pin, RuleBook, Rules

BEGIN = 20_000
"""Days since 1970."""
MINUTE = 60 * SECOND
FIGURES = (
    *("baseline", "pinned", "before", "now", "shift", "psi", "jensen_shannon", "by_chance", "ks", "wasserstein", "moved"),
    *("sequential", "sequential_since"),
)
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
        self.hot = (self.hot | changes.puts.keys() | changes.along.keys()) - changes.cold
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


def test_a_restart_tells_nothing_sooner() -> None:
    """Time on the wall goes on by marks that nothing is written for; what is told of drift is."""
    begin = BEGIN * DAY + 9 * HOUR
    told: list[list[DriftFact]] = []
    for restart in (False, True):
        world = Followed()
        for seconds in range(0, 1800, 5):
            at = begin + seconds * SECOND
            called = Calls(Kind.TOOL_CALL, "search", at // MINUTE, 1, artifact="v1")
            if not seconds or world.told:
                world.send([GroupInput(tenant=TENANT, agent="a", calls=called)])
            if world.hear([GroupInput(mark=Mark(0, False, at))]) and restart:
                world.restart()
        told.append(world.told)
    assert told[0] == told[1]
    assert len(told[0]) > 3


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


def test_a_day_that_is_over_is_weighed_with_those_before() -> None:
    """Too small a change for a day by itself, though of many calls."""
    world, usual, moved = Followed(), {"search": 300, "refund": 200}, {"search": 240, "refund": 260}
    for day in range(14):
        world.hear([*a_day(BEGIN + day, "v1", usual if day < 9 else moved), mark((BEGIN + day + 1) * DAY - HOUR)])
        assert world.last["tools", "v1", day_name(BEGIN + day)].sequential == "", "it is not over"
    world.time((BEGIN + 14) * DAY + HOUR)
    world.time((BEGIN + 14) * DAY + HOUR + EVERY)
    words = [world.last["tools", "v1", day_name(BEGIN + day)] for day in range(14)]
    assert [word.sequential for word in words] == ["insufficient"] * 7 + ["ok"] * 4 + ["drift"] * 3
    assert (words[-1].sequential, words[-1].sequential_since) == ("drift", instant((BEGIN + 9) * DAY))
    assert {word.shift for word in words[7:]} == {Shift.NONE}
    known = len(world.told)
    world.time((BEGIN + 20) * DAY)
    assert len(world.told) == known, "a day is weighed once, unless something comes late"
    world.hear(a_day(BEGIN + 9, "v1", {"search": 50}))
    world.time((BEGIN + 20) * DAY + EVERY)
    late = {fact.day: (fact.sequential, fact.sequential_since) for fact in world.told[known:]}
    assert set(late) >= {day_name(BEGIN + 9), day_name(BEGIN + 12)}, "what comes late is weighed on all days after"
    assert world.last["tools", "v1", day_name(BEGIN + 13)].sequential_since == instant((BEGIN + 10) * DAY)


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


def test_live_and_replay_are_apart() -> None:
    world = Followed()
    live = [
        msgspec.structs.replace(one, calls=replace(one.calls, replay=False)) for one in a_day(BEGIN, "v1", USUAL) if one.calls
    ]
    world.hear([*live, *a_day(BEGIN, "v2", OTHERS, 10), mark((BEGIN + 1) * DAY)])
    assert {(fact.artifact, fact.baseline) for fact in world.told} == {("v2", "")}


def test_what_was_taken_back_of_a_forgotten_artifact_is_left_out() -> None:
    counts = Day(AgentKey(TENANT, "a", False), "v1", 1, {}, {}, {})
    counts.name("tools", "search", -4)
    counts.name("tools", "book", 2)
    assert counts.distribution("tools") == {"book": 2}
