"""A drop of accuracy: both conditions, late and changed labels, too few of them, and that a drop ends."""

import msgspec
import numpy as np
import pytest

from waterline.streams.steps.accuracy import Accuracy, AccuracyState, AccuracyVerdict, AccuracyWatch, Judgement
from waterline.streams.steps.moment import DAY, HOUR

OK, INSUFFICIENT, DROP = AccuracyVerdict.OK, AccuracyVerdict.INSUFFICIENT, AccuracyVerdict.DROP
BEGIN = 20_000 * DAY
WATCH = AccuracyWatch()
WORSE, BETTER = 0.42, 0.56


def played(
    seed: int, first: float, second: float, a_day: int = 144, watch: AccuracyWatch = WATCH, days: int = 60
) -> list[tuple[float, Judgement]]:
    """(day, judgement) every hour: 30 days of one version, then of the other."""
    random, accuracy, said = np.random.default_rng(seed), Accuracy(watch), []
    for n in range(days * a_day):
        at = BEGIN + n * (DAY // a_day)
        accuracy.labelled(at, bool(random.random() < (first if n < 30 * a_day else second)))
        if n % max(a_day // 24, 1) == 0:
            said.append(((at - BEGIN) / DAY, accuracy.judge(at)))
    return said


def turns(said: list[tuple[float, Judgement]]) -> list[AccuracyVerdict]:
    verdicts = [one.verdict for _, one in said]
    return [verdict for n, verdict in enumerate(verdicts) if not n or verdict != verdicts[n - 1]]


def test_a_worse_version_is_a_drop_within_days_and_the_drop_ends() -> None:
    found = 0
    for seed in range(6):
        said = played(seed, BETTER, WORSE)
        dropped = [(day, one) for day, one in said if one.verdict is DROP]
        if not dropped or dropped[0][0] < 30:
            continue
        found += 1
        day, one = dropped[0]
        assert day < 33
        assert one.trailing is not None
        assert one.mean is not None
        assert one.mean - one.trailing >= WATCH.points
        assert one.alarm is not None
        assert one.alarm.direction == -1
        assert abs((one.alarm.changed_at - BEGIN) / DAY - 30) < 3
        assert turns(said)[0] is INSUFFICIENT
        assert turns(said).count(DROP) == 1
        assert said[-1][1].verdict is not DROP
    assert found >= 5


@pytest.mark.parametrize(("first", "second"), [(WORSE, BETTER), (WORSE, WORSE), (BETTER, BETTER)])
def test_a_better_version_or_the_same_is_no_drop(first: float, second: float) -> None:
    for seed in range(4):
        said = played(seed, first, second)
        assert all(one.verdict is not DROP for _, one in said)
        assert any(one.verdict is OK for _, one in said)


def test_a_tenth_of_the_labels_is_insufficient_and_says_how_many_are_needed() -> None:
    for seed in range(5):
        said = played(seed, BETTER, WORSE, a_day=15)
        assert {one.verdict for _, one in said} == {INSUFFICIENT}
        assert "2885 are needed to find 3.0%" in said[-1][1].reason
    assert WATCH.needed == 2885


def test_a_real_drop_that_is_small_is_silent() -> None:
    """Three points where six matter, with labels enough for the test to be certain."""
    said = played(1, 0.56, 0.53, a_day=2_880, watch=AccuracyWatch(points=0.06))
    assert any(one.alarm for _, one in said)
    assert all(one.verdict is not DROP for _, one in said)


def test_a_bad_day_alone_is_silent() -> None:
    """Days of few labels are five points under the mean every other week, which the test does not mind."""
    said = played(3, 0.56, 0.56, a_day=120)
    lowest = min(one.trailing - one.mean for _, one in said if one.trailing is not None and one.mean is not None)
    assert lowest < -0.05
    assert all(one.verdict is not DROP for _, one in said)


def test_labels_count_on_the_day_of_the_decision_and_can_change() -> None:
    accuracy = Accuracy(AccuracyWatch(least=1))
    day = BEGIN + 10 * DAY
    for n in range(40):
        accuracy.labelled(day - 2 * DAY, n % 2 == 0)
    accuracy.labelled(day, True)
    accuracy.labelled(day - 2 * DAY, True)
    told = accuracy.judge(day + 1)
    assert (told.trailing, told.trailing_labels, told.mean, told.mean_labels) == (1.0, 1, 21 / 41, 41)
    accuracy.relabelled(day, True, False)
    accuracy.relabelled(day - 2 * DAY, True, None)
    told = accuracy.judge(day + 1)
    assert (told.trailing, told.trailing_labels, told.mean, told.mean_labels) == (0.0, 1, 20 / 40, 40)
    told = accuracy.judge(day + 40 * DAY)
    assert (told.trailing, told.mean) == (None, None)
    assert accuracy.state().hours == {}


def test_no_labels_for_a_day_is_insufficient() -> None:
    accuracy, random = Accuracy(WATCH), np.random.default_rng(1)
    for n in range(4_320):
        accuracy.labelled(BEGIN + n * DAY // 144, bool(random.random() < 0.5))
    end = BEGIN + 30 * DAY
    assert accuracy.judge(end).verdict is OK
    told = accuracy.judge(end + 2 * DAY)
    assert told.verdict is INSUFFICIENT
    assert told.reason == "0 labels in the last 24 hours, at least 20 are needed"


@pytest.mark.parametrize("every", [7, 500, 3_000])
def test_a_restart_changes_nothing(every: int) -> None:
    random, whole, part = np.random.default_rng(2), Accuracy(WATCH), Accuracy(WATCH)
    for n in range(45 * 144):
        at, correct = BEGIN + n * (DAY // 144), bool(random.random() < (BETTER if n < 4_320 else WORSE))
        whole.labelled(at, correct)
        part.labelled(at, correct)
        if n % every == 0 and (n < 500 or every > 7):
            stored = msgspec.json.encode(part.state())
            part = Accuracy(WATCH, msgspec.json.decode(stored, type=AccuracyState))
        if n % 144 == 0:
            assert part.judge(at) == whole.judge(at)
    assert part.judge(at + HOUR) == whole.judge(at + HOUR)
    assert part.state() == whole.state()
