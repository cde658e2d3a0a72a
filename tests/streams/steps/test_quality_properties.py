"""Quality of a day, compared with a count from scratch over the decisions as they ended up; neither batches nor restarts change a
word."""

import random
from collections.abc import Callable
from math import ceil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.steps.test_quality import MINUTE, MORNING, Watched, given_input, standing
from waterline.schemas.events import Clock, Outcome
from waterline.schemas.facts import GroupInput, Mark, QualityFact, Standing
from waterline.streams.steps.calibration import Calibration
from waterline.streams.steps.moment import DAY, HOUR, SECOND, day_number, micros

standings = st.builds(
    standing,
    at=st.sampled_from([MORNING - DAY, MORNING, MORNING + 3 * HOUR]),
    task=st.sampled_from(["", "t", "u"]),
    replay=st.booleans(),
    escalated=st.booleans(),
    judged=st.booleans(),
    reviewed=st.booleans(),
    overturned=st.booleans(),
    outcome=st.sampled_from(list(Outcome)),
    confidence=st.none() | st.floats(0, 1),
    resolution_ms=st.sampled_from([0.0, 1.0, 777.7, 1e9]),
    queue_ms=st.floats(0, 1e6),
)
histories = st.lists(st.lists(st.none() | standings, min_size=1, max_size=3), max_size=25)
"""What each decision is, one after the other; None while it is part of another."""


def sane(one: Standing) -> Standing:
    """What overturns a decision is a verdict."""
    told = one.contribution
    return msgspec.structs.replace(one, contribution=msgspec.structs.replace(told, overturned=told.overturned and one.judged))


def laid_out(drawn: list[list[Standing | None]], rnd: random.Random) -> list[GroupInput]:
    """Inputs of all decisions, mixed, those of each in order; and marks."""
    lines = []
    for n, history in enumerate(drawn):
        before: Standing | None = None
        mine = []
        for one in history:
            now = sane(one) if one is not None else None
            if now is not None or before is not None:
                mine.append(given_input(f"d{n}", now, before))
            before = now
        lines.append(mine)
    mixed: list[GroupInput] = []
    at = MORNING - DAY
    while any(lines):
        mixed.append(rnd.choice([mine for mine in lines if mine]).pop(0))
        if rnd.random() < 0.3:
            at += rnd.choice([SECOND, 4 * MINUTE, 9 * MINUTE, 13 * HOUR])
            mixed += [GroupInput(mark=Mark(0, replay, at)) for replay in rnd.choice([(False, True), (False,), (True,)])]
    return [*mixed, *(GroupInput(mark=Mark(0, replay, at + DAY)) for replay in (False, True))]


def told(inputs: list[GroupInput], rnd: random.Random, batched: bool) -> Watched:
    watched = Watched()
    for one in inputs:
        watched.take(one)
        if batched and rnd.random() < 0.4:
            watched.drain(restart=rnd.random() < 0.5)
    watched.drain()
    return watched


def at_rank(values: list[float], q: float) -> float:
    return sorted(values)[ceil(q * len(values)) - 1]


def recount(ended: list[Standing]) -> dict[str, tuple[int, int]]:
    """part and samples, in words of the measures' meanings."""

    def rate(whole: Callable[[Standing], object], part: Callable[[Standing], object]) -> tuple[int, int]:
        every = [one for one in ended if whole(one)]
        return sum(bool(part(one)) for one in every), len(every)

    def right(one: Standing) -> bool | None:
        return {Outcome.CORRECT: True, Outcome.INCORRECT: False}.get(one.contribution.outcome)

    sure = rate(lambda one: right(one) is not None and one.confidence is not None, right)
    return {
        "accuracy": rate(lambda one: right(one) is not None, right),
        "escalation_rate": rate(lambda one: True, lambda one: one.contribution.escalated),
        "override_rate": rate(lambda one: one.judged, lambda one: one.contribution.overturned),
        "escalation_precision": rate(
            lambda one: one.contribution.escalated and one.judged, lambda one: one.contribution.overturned
        ),
        "missed_escalations": rate(
            lambda one: not one.contribution.escalated and (right(one) is not None or one.contribution.overturned),
            lambda one: right(one) is False or one.contribution.overturned,
        ),
        "brier_score": sure,
        "calibration_error": sure,
    }


@settings(max_examples=60, deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_the_last_word_is_what_a_count_from_scratch_says(drawn: list[list[Standing | None]], rnd: random.Random) -> None:
    watched = told(laid_out(drawn, rnd), rnd, batched=True)
    groups: dict[tuple[int, str, bool], list[Standing]] = {}
    for history in drawn:
        if (last := history[-1]) is not None:
            one = sane(last)
            for task in {"", one.contribution.task}:
                groups.setdefault((one.at // DAY, task, one.replay), []).append(one)
    for (day, task, replay), ended in groups.items():
        facts = watched.day(day, task=task, clock=Clock.REPLAY if replay else Clock.SOURCE)
        for name, (part, samples) in recount(ended).items():
            fact = facts.get(name)
            assert (fact.part, fact.samples) == (part, samples) if fact is not None else not samples
        calibration = Calibration()
        for one in ended:
            if one.confidence is not None and (outcome := one.contribution.outcome) in (Outcome.CORRECT, Outcome.INCORRECT):
                calibration.add(one.confidence, outcome is Outcome.CORRECT)
        if calibration.decisions:
            assert (facts["brier_score"].value, facts["calibration_error"].value) == (calibration.brier, calibration.error)
        waited = [one.queue_ms for one in ended if one.contribution.escalated and one.contribution.reviewed]
        if waited:
            for q, found in zip((0.5, 0.95, 0.99), quantiles(facts["time_to_human"]), strict=True):
                assert found == pytest.approx(at_rank(waited, q), rel=0.0101, abs=2e-4)
    for fact in watched.told:
        day = day_number(fact.day)
        if (day, fact.task, fact.clock is Clock.REPLAY) not in groups:
            assert watched.day(day, task=fact.task, clock=fact.clock)[fact.measure].samples == 0


def quantiles(fact: QualityFact) -> tuple[float | None, ...]:
    return fact.p50, fact.p95, fact.p99


@settings(max_examples=60, deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_neither_batches_nor_restarts_change_a_word(drawn: list[list[Standing | None]], rnd: random.Random) -> None:
    inputs = laid_out(drawn, rnd)
    at_once, in_parts = told(inputs, rnd, batched=False), told(inputs, rnd, batched=True)

    def words(watched: Watched) -> list[bytes]:
        return sorted(msgspec.json.encode(fact) for fact in watched.told)

    assert words(at_once) == words(in_parts)
    said: dict[tuple[object, ...], QualityFact] = {}
    for fact in in_parts.told:
        key = (fact.group, fact.measure, fact.day, fact.clock)
        before = said.get(key)
        assert fact.revision == (before.revision + 1 if before else 1)
        assert fact.at is not None
        if before is not None and before.at is not None and fact.clock is Clock.SOURCE:
            assert fact.at.date() != before.at.date() or step(fact) > step(before)
        said[key] = fact


def step(fact: QualityFact) -> int:
    assert fact.at is not None
    return micros(fact.at) // (5 * MINUTE)
