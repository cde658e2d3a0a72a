"""Feedback loop closure: what the recorded tasks give by hand, what does not close, and that order does not matter."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.replay.recording import packaged_runs
from waterline.schemas.events import Outcome
from waterline.streams.steps.closure import WITHIN, Case, Closed, Closure, Pace, is_right, pace
from waterline.streams.steps.moment import DAY, HOUR
from waterline.streams.steps.rates import Rate

BY_HAND = """
     0 0000 0    1 0100 0    2 0010 1    3 0000 0    4 0000 1
     5 0100 1    6 1000 0    7 0010 1    8 0000 1    9 0000 0
    10 0000 1   11 1000 1   12 1111 1   13 0110 1   14 0000 0
    15 0011 1   16 0001 1   17 0001 1   18 1111 0   19 0000 1
    20 1111 1   21 0111 1   22 0000 0   23 0000 1   24 1111 0
    25 0000 0   26 1010 1   27 0110 1   28 0000 1   29 1000 0
    30 0101 1   31 1001 0   32 0000 1   33 0000 1   34 1101 0
    35 1111 0   36 1111 1   37 0111 0   38 1111 0   39 1000 0
    40 1101 1   41 0101 1   42 1111 1   43 1000 0   44 1010 1
    45 1001 0   46 0110 0   47 0100 0   48 1111 1   49 1111 0
"""
"""Recorded task, what the four trials of the first version came to, and what the second version did: 1 = right.

The first version is wrong 29, 28, 30 and 29 times in its four trials, and of these tasks the second does 19, 16, 15 and 16
right (to be counted by column: the zeros, and the zeros in whose row the last figure is 1)."""
WRONG, MENDED = (29, 28, 30, 29), (19, 16, 15, 16)
TRIALS, SECOND_VERSION = (0, 10, 20, 30), 35
"""The days on which they run: every tenth for the trials. Each wrong run is corrected an hour later, under its task's name."""


def recorded() -> Closure:
    loop = Closure()
    for run in packaged_runs():
        day = TRIALS[run.trial] if run.version == "v1" else SECOND_VERSION
        right = run.reward == 1
        corrected = None if right else day * DAY + HOUR
        loop.take(run.decision_id, Case("airline", (run.task,), run.version, day * DAY, right, corrected))
    return loop


def test_the_table_is_what_was_recorded() -> None:
    words = BY_HAND.split()
    told = {task: (first, second) for task, first, second in zip(words[::3], words[1::3], words[2::3], strict=True)}
    found: dict[str, list[str]] = {}
    for run in packaged_runs():
        found.setdefault(run.task, []).append("1" if run.reward == 1 else "0")
    assert told == {task: ("".join(results[:4]), results[4]) for task, results in found.items()}
    firsts = list(told.values())
    assert tuple(sum(first[n] == "0" for first, _ in firsts) for n in range(4)) == WRONG
    assert tuple(sum((first[n], second) == ("0", "1") for first, second in firsts) for n in range(4)) == MENDED


def test_the_rate_on_the_recorded_tasks_is_that_of_the_table() -> None:
    """The second version's own 22 mistakes, which no one mends, count from day 65 on."""
    loop = recorded()
    assert loop.count(29 * DAY) == Closed(Rate(0, 0), sum(WRONG[:3])), "none is 30 days old, and none is closed"
    assert loop.count(31 * DAY) == Closed(Rate(0, 29), sum(WRONG[1:])), "the first trial's 29 are, whatever comes"
    closed = sum(MENDED[1:])
    assert loop.count(36 * DAY) == Closed(Rate(closed, closed + 29), sum(WRONG[1:]) - closed + 22)
    assert loop.count(64 * DAY) == Closed(Rate(closed, 116), 22)
    assert loop.count(66 * DAY) == Closed(Rate(closed, 116 + 22), 0)
    assert (closed, pace(Rate(closed, 116))) == (47, Pace.BETWEEN)


NOW = 100 * DAY
OLD = Case("t", ("k",), "a1", 10 * DAY, False, 11 * DAY)


def after(right: Case, wrong: Case = OLD, now: int = NOW) -> Closed:
    loop = Closure()
    loop.seen("a2", 5 * DAY)
    loop.seen("a1", 1 * DAY)
    loop.seen("a0", 0)
    loop.take("wrong", wrong)
    loop.take("right", right)
    return loop.count(now)


CLOSED, OPEN = Closed(Rate(1, 1), 0), Closed(Rate(0, 1), 0)


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        (Case("t", ("k",), "a2", 12 * DAY, True), CLOSED),
        (Case("t", ("other", "k"), "a2", 11 * DAY + WITHIN, True), CLOSED),
        (Case("t", ("k",), "a2", 11 * DAY + WITHIN + 1, True), OPEN),
        (Case("t", ("k",), "a2", 11 * DAY, True), OPEN),
        (Case("t", ("k",), "a2", 12 * DAY, False), OPEN),
        (Case("t", ("k",), "a2", 12 * DAY, None), OPEN),
        (Case("t", ("k",), "a1", 12 * DAY, True), OPEN),
        (Case("t", ("k",), "a0", 12 * DAY, True), OPEN),
        (Case("t", ("k",), "", 12 * DAY, True), OPEN),
        (Case("t", ("other",), "a2", 12 * DAY, True), OPEN),
        (Case("other", ("k",), "a2", 12 * DAY, True), OPEN),
    ],
    ids=["right", "at the end of 30 days", "too late", "not after it", "wrong again", "not known", "by the same",
         "by an older one", "by one without a name", "of another kind", "of another task"],
)  # fmt: skip
def test_what_closes_a_correction(right: Case, expected: Closed) -> None:
    assert after(right) == expected


def test_what_was_not_wrong_or_not_corrected_is_no_correction() -> None:
    good = Case("t", ("k",), "a2", 12 * DAY, True)
    for none in (
        Case("t", ("k",), "a1", 10 * DAY, True, 11 * DAY),
        Case("t", ("k",), "a1", 10 * DAY, False),
        Case("t", (), "a1", 10 * DAY, False, 11 * DAY),
    ):
        assert after(good, none) == Closed(Rate(), 0)


@pytest.mark.parametrize(
    ("outcome", "overturned", "corrected", "expected"),
    [
        (Outcome.CORRECT, False, False, True),
        (Outcome.CORRECT, False, True, True),
        (Outcome.CORRECT, True, False, False),
        (Outcome.INCORRECT, False, False, False),
        (Outcome.NONE, False, True, False),
        (Outcome.NONE, True, False, False),
        (Outcome.UNKNOWN, False, False, None),
        (Outcome.NONE, False, False, None),
    ],
)
def test_who_says_that_it_was_right(outcome: Outcome, overturned: bool, corrected: bool, expected: bool | None) -> None:
    assert is_right(outcome, overturned, corrected) is expected


cases = st.builds(
    Case,
    st.sampled_from("tu"),
    st.sampled_from([("k",), ("l",), ("k", "l"), ()]),
    st.sampled_from(["", "a0", "a1", "a2"]),
    st.integers(0, 90).map(lambda day: day * DAY),
    st.sampled_from([True, False, None]),
    st.none() | st.integers(0, 90).map(lambda day: day * DAY),
)
told = st.lists(st.tuples(st.integers(0, 20).map(str), st.none() | cases), max_size=40)


@given(told, st.randoms(use_true_random=False), st.integers(0, 130))
def test_only_what_decisions_came_to_counts_not_the_order(
    items: list[tuple[str, Case | None]], rnd: random.Random, day: int
) -> None:
    """Every artifact is known from the start, since one that is told of and taken back was seen nevertheless."""
    final = dict(items)

    def loop(order: list[tuple[str, Case | None]]) -> Closure:
        made = Closure()
        for n in range(3):
            made.seen(f"a{n}", -n)
        for decision, case in order:
            made.take(decision, case)
        return made

    shuffled = list(final.items())
    rnd.shuffle(shuffled)
    assert loop(items).count(day * DAY) == loop(shuffled).count(day * DAY)


@given(told, st.integers(0, 200), st.integers(0, 200))
def test_what_is_let_go_changes_no_count_of_what_came_after(items: list[tuple[str, Case | None]], day: int, since: int) -> None:
    loop = Closure()
    for decision, case in items:
        loop.take(decision, case)
    before, held = loop.count(day * DAY, since * DAY), set(loop.cases)
    gone = loop.let_go(since * DAY)
    assert loop.count(day * DAY, since * DAY) == before
    assert set(gone) == held - set(loop.cases)
    loop.let_go(500 * DAY)
    assert loop.cases == {}


def plainly(loop: Closure, now: int, since: int) -> Closed:
    """Every correction beside every decision, as the definition has it."""
    closed, not_closed, waiting = 0, 0, 0
    for wrong in loop.cases.values():
        told = wrong.started if wrong.corrected_at is None else wrong.corrected_at
        if wrong.corrected_at is None or wrong.right is not False or not since <= told <= now:
            continue
        for key in wrong.keys:
            if any(
                right.right
                and right.started <= now
                and (right.task, key in right.keys) == (wrong.task, True)
                and told < right.started <= told + WITHIN
                and right.artifact in loop.artifacts
                and wrong.artifact in loop.artifacts
                and loop.artifacts[right.artifact] > loop.artifacts[wrong.artifact]
                for right in loop.cases.values()
            ):
                closed += 1
            elif now - told >= WITHIN:
                not_closed += 1
            else:
                waiting += 1
    return Closed(Rate(closed, closed + not_closed), waiting)


@given(st.lists(cases, max_size=60), st.integers(0, 130), st.integers(0, 60), st.integers(0, 3))
def test_it_counts_as_the_definition_does(items: list[Case], day: int, since: int, remembered: int) -> None:
    loop = Closure()
    for number, case in enumerate(items):
        loop.take(str(number), case)
    loop.let_go(0, remembered)
    assert loop.count(day * DAY, since * DAY) == plainly(loop, day * DAY, since * DAY)


def test_counting_takes_no_more_than_sorting() -> None:
    """Comparisons, not seconds: every case of one key, corrections that nothing closes."""
    calls = 0

    class Started(int):
        def __le__(self, other: int) -> bool:
            nonlocal calls
            calls += 1
            return int(self) <= int(other)

        def __lt__(self, other: int) -> bool:
            nonlocal calls
            calls += 1
            return int(self) < int(other)

    loop, each = Closure(), 1000
    for n in range(each):
        loop.take(f"wrong {n}", Case("t", ("k",), "a1", Started(n), False, Started(n)))
        loop.take(f"right {n}", Case("t", ("k",), "a1", Started(n), True))
    assert loop.count(each) == Closed(Rate(), each)
    assert calls < 40 * each


def test_artifacts_are_remembered_up_to_a_number() -> None:
    loop = Closure()
    for n in range(9):
        loop.seen(f"a{n}", n)
    loop.let_go(0, artifacts=4)
    assert loop.artifacts == {f"a{n}": n for n in range(5, 9)}


@pytest.mark.parametrize(
    ("part", "expected"), [(0, Pace.SLOWER), (19, Pace.SLOWER), (20, Pace.QUARTERLY), (30, Pace.QUARTERLY), (31, Pace.BETWEEN),
                           (69, Pace.BETWEEN), (70, Pace.ACTIVE_LEARNING), (100, Pace.ACTIVE_LEARNING)],
)  # fmt: skip
def test_paces(part: int, expected: Pace) -> None:
    assert pace(Rate(part, 100)) is expected
    assert pace(Rate()) is Pace.INSUFFICIENT
