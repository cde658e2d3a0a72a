"""The last word on drift, compared with a count from scratch: whatever the batches, restarts and revisions between."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.steps.test_drifting import BEGIN, Followed, Which, calls, decision, mark, standing
from waterline.schemas.facts import GroupInput, Standing
from waterline.schemas.judgement import DriftFact
from waterline.streams.steps.day_evidence import judge
from waterline.streams.steps.distribution import of_categories, of_numbers
from waterline.streams.steps.drifting import EVERY
from waterline.streams.steps.moment import DAY, HOUR, day_name, instant
from waterline.streams.steps.sketch import bucket_of

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


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_days_are_weighed_by_what_was_counted_alone(seed: int) -> None:
    """Enough calls for the test of days to speak, in any order up to four days late, with restarts: as weighed from scratch."""
    chance = random.Random(seed)
    shares = {"v1": (300, 200), "v2": (300, 200 + 100 * chance.randrange(3))}
    days: dict[tuple[str, int], Counter[str]] = {}
    told: list[tuple[int, GroupInput]] = []
    for number in range(16):
        for artifact in ("v1",) if number < 6 else ("v2",):
            for tool, usual in zip(("search", "refund"), shares[artifact], strict=True):
                count = usual + chance.randrange(20)
                days.setdefault((artifact, BEGIN + number), Counter())[tool] = count
                at = (BEGIN + number) * DAY + chance.randrange(24) * HOUR
                told.append((at + chance.choice((0, 0, 0, 4)) * DAY, calls(at, artifact, tool, count)))
    told.sort(key=lambda line: line[0])
    world = Followed()
    for at, line in told:
        world.hear([line, mark(at)])
        if chance.random() < 0.2:
            world.restart()
    for end in (0, EVERY, 2 * HOUR, 2 * HOUR + EVERY):
        world.time((BEGIN + 30) * DAY + end)
    began = {name: [day for one, day in sorted(days) if one == name] for name in shares}
    for artifact, day in days:
        before = [(one, days["v1", one]) for one in (began["v1"] if artifact == "v2" else [])]
        word = judge(before, [(one, days[artifact, one]) for one in began[artifact] if one <= day])
        fact = world.last["tools", artifact, day_name(day)]
        since = None if word.since is None else instant(word.since * DAY)
        assert (fact.sequential, fact.sequential_since) == (word.said, since)


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
