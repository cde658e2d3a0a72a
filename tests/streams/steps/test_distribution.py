"""Distances between distributions: against other implementations, on the recorded runs, and with too little to say."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from waterline.replay.recording import packaged_runs
from waterline.schemas.judgement import Shift
from waterline.streams.steps.distribution import SMOOTHING, of_categories, of_numbers
from waterline.streams.steps.sketch import bucket_of, value_of

COUNTS = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 300), min_size=1)


def sketch(values: list[float]) -> dict[int, int]:
    return Counter(bucket_of(value) for value in values)


def test_the_tools_of_the_recorded_versions_moved_far() -> None:
    """By hand: 0 of 1,164 calls and 84 of 581 with 14 tools and one more are 0.5 / 1171.5 and 84.5 / 588.5 when smoothed."""
    runs = packaged_runs()
    before, now = (
        Counter(call.tool for run in runs if run.version == version for turn in run.turns for call in turn.calls)
        for version in ("v1", "v2")
    )
    told = of_categories(before, now)
    assert told.shift is Shift.MAJOR
    assert told.psi == pytest.approx(1.9, abs=0.05)
    assert [one.name for one in told.moved] == ["get_flight_status", "calculate", "think"]
    first = told.moved[0]
    p, q = 0.5 / 1171.5, 84.5 / 588.5
    assert first.before == 0.0
    assert first.now == pytest.approx(84 / 581)
    assert first.adds == pytest.approx((q - p) * np.log(q / p))
    assert of_categories(before, before).shift is Shift.NONE


@given(COUNTS, COUNTS)
def test_categories_agree_with_the_definitions(before: dict[str, int], now: dict[str, int]) -> None:
    told = of_categories(before, now)
    if not (sum(before.values()) and sum(now.values())):
        assert told.shift is Shift.INSUFFICIENT
        return
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) or now.get(name))
    p, q = (np.array([side.get(name, 0) + SMOOTHING for name in names]) for side in (before, now))
    p, q = p / p.sum(), q / q.sum()
    assert told.psi == pytest.approx(float(((q - p) * np.log(q / p)).sum()), abs=1e-12)
    assert told.jensen_shannon == pytest.approx(float(jensenshannon(p, q, 2)) ** 2, abs=1e-9)
    assert 0 <= told.jensen_shannon <= 1
    back = of_categories(now, before)
    assert back.psi == pytest.approx(told.psi)
    assert back.shift is told.shift
    assert [one.adds for one in told.moved] == sorted((one.adds for one in told.moved), reverse=True)


@pytest.mark.parametrize(
    ("now", "shift"),
    [
        ({"a": 5000, "b": 3000, "c": 2000}, Shift.NONE),
        ({"a": 4000, "b": 3000, "c": 3000}, Shift.NONE),
        ({"a": 3600, "b": 3000, "c": 3400}, Shift.MODERATE),
        ({"a": 2500, "b": 3000, "c": 4500}, Shift.MAJOR),
        ({"a": 5, "b": 3, "c": 2}, Shift.INSUFFICIENT),
        ({"a": 3, "b": 3, "c": 4}, Shift.INSUFFICIENT),
        ({"d": 30}, Shift.MAJOR),
        ({}, Shift.INSUFFICIENT),
    ],
)
def test_verdicts(now: dict[str, int], shift: Shift) -> None:
    assert of_categories({"a": 5000, "b": 3000, "c": 2000}, now).shift is shift


def test_chance_is_a_verdict_one_time_in_twenty() -> None:
    random, shares, found = np.random.default_rng(1), [0.3, 0.25, 0.2, 0.15, 0.1], 0
    for _ in range(600):
        before, now = (dict(zip("abcde", random.multinomial(n, shares).tolist(), strict=True)) for n in (400, 120))
        told = of_categories(before, now)
        found += told.psi > told.by_chance
    assert 0.02 < found / 600 < 0.08


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=60), st.lists(st.floats(0.1, 1e6), min_size=1, max_size=60))
def test_numbers_agree_with_those_of_the_rounded_values(before: list[float], now: list[float]) -> None:
    told = of_numbers(sketch(before), sketch(now))
    p, q = ([value_of(bucket_of(value)) for value in side] for side in (before, now))
    assert told.ks == pytest.approx(max(abs(np.mean(np.array(p) <= x) - np.mean(np.array(q) <= x)) for x in p + q))
    assert told.wasserstein == pytest.approx(wasserstein_distance(p, q), rel=1e-6)
    assert (told.before, told.now) == (len(before), len(now))


def test_numbers_that_moved_name_their_bins() -> None:
    random = np.random.default_rng(2)
    before = sketch(random.exponential(100, 5_000).tolist())
    same, slower = sketch(random.exponential(100, 5_000).tolist()), sketch(random.exponential(250, 5_000).tolist())
    assert of_numbers(before, same).shift is Shift.NONE
    told = of_numbers(before, slower)
    assert told.shift is Shift.MAJOR
    assert told.wasserstein == pytest.approx(150, rel=0.1)
    assert told.moved[0].now > 2 * told.moved[0].before
    low, high = (float(end) for end in told.moved[0].name.split(" to "))
    assert 200 < low < high
    assert of_numbers({}, slower).shift is Shift.INSUFFICIENT
    assert of_numbers(sketch([1.0] * 500), sketch([1.0] * 500)).shift is Shift.NONE
