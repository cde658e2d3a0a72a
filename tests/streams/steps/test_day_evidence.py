"""Days tested against a baseline: what is exact is counted out, what is calibrated is drawn (more in bench/drift_days.py)."""

from collections.abc import Iterator
from itertools import product
from math import exp, factorial, inf, log, prod

import numpy as np
import pytest

from waterline.streams.steps.day_evidence import (
    DRIFT,
    INSUFFICIENT,
    LIMIT,
    OK,
    Dated,
    bar,
    binned,
    dispersion,
    evidence,
    judge,
    likelihood,
    seldom,
    weigh,
)
from waterline.streams.steps.distribution import SMOOTHING, of_numbers
from waterline.streams.steps.drift_scores import Array
from waterline.streams.steps.sketch import bucket_of

BASELINE = np.array([7.0, 3.0, 0.0])
MORE = 2.0


def counts_of(samples: int) -> Iterator[tuple[Array, float]]:
    """All that a day of so many observations can be, by three bins, and in how many orders."""
    for one in product(range(samples + 1), repeat=3):
        if sum(one) == samples:
            yield np.array(one, dtype=np.float64), factorial(samples) / prod(map(factorial, one))


def null(counts: Array) -> float:
    """The probability of one order, if the shares are drawn from what the baseline leaves possible."""
    return exp(likelihood(counts[None], (BASELINE + SMOOTHING + [0, 0, MORE])[None])[0])


def ratio(counts: Array) -> float:
    return exp(evidence(BASELINE, counts[None], np.ones(1), MORE)[0])


@pytest.mark.parametrize("samples", [1, 2, 7])
def test_the_evidence_is_one_on_average_while_nothing_moves(samples: int) -> None:
    mean = sum(orders * null(one) * ratio(one) for one, orders in counts_of(samples))
    assert mean == pytest.approx(1, abs=1e-12)


def test_another_day_changes_nothing_of_that_on_average() -> None:
    for first, _ in counts_of(2):
        mean = sum(orders * null(first + then) / null(first) * ratio(first + then) for then, orders in counts_of(3))
        assert mean == pytest.approx(ratio(first), rel=1e-12)


@pytest.mark.parametrize("limit", [1.5, 3.0, 10.0])
def test_it_is_over_the_limit_within_some_days_no_more_often_than_days_over_limit(limit: float) -> None:
    """Counted out for three days of two observations each, of which any may begin a change, with a look after each."""
    chance = 0.0
    for days in product(counts_of(2), repeat=3):
        told = [one for one, _ in days]
        over = any(ratio(sum(told[first:last], np.zeros(3))) >= limit for last in (1, 2, 3) for first in range(last))
        chance += over * null(sum(told, np.zeros(3))) * prod(orders for _, orders in days)
    assert 0 < chance <= 3 / limit


def drawn(seed: int, shares: Array, days: int, samples: int = 500, clump: int = 1) -> Array:
    return np.random.default_rng(seed).multinomial(samples // clump, shares, size=days).astype(np.float64) * clump


TEN = np.full(10, 0.1)


def test_what_comes_in_clumps_counts_as_often_as_there_are_clumps() -> None:
    since = drawn(1, TEN, 20)
    assert dispersion(drawn(2, TEN, 400), since).max() == pytest.approx(1, abs=0.25)
    assert dispersion(drawn(3, TEN, 400, clump=5), since).min() == pytest.approx(5, abs=0.5)
    assert evidence(TEN * 500, since, np.full(20, 5.0), 0) == pytest.approx(evidence(TEN * 100, since / 5, np.ones(20), 0))


def test_days_that_wander_one_way_count_for_less_in_that_way() -> None:
    random, way = np.random.default_rng(4), np.linspace(-1, 1, 10)
    days = np.array(
        [random.multinomial(500, (w := np.exp(0.3 * random.normal() * way)) / w.sum()) for _ in range(60)], dtype=float
    )
    along, across = 500 * np.exp(0.3 * way), 500 * np.exp(0.3 * np.tile([1, -1], 5))
    clumps = dispersion(days, np.array([along, across]))
    assert clumps[0] > 3 * clumps[1] > 3


@pytest.mark.parametrize("clump", [1, 5])
def test_quiet_days_stay_within_the_budget(clump: int) -> None:
    """A tenth of the limit, for more to be seen: no more than a run of 20 days in LIMIT / 10 / 20."""
    runs = [drawn(seed, np.array([0.5, 0.3, 0.15, 0.05, 0.0]), 27, clump=clump) for seed in range(40)]
    alarms = sum(any(weigh(run[:7], run[7:last])[0].max() >= bar(7, LIMIT / 10) for last in range(8, 28)) for run in runs)
    assert alarms <= 40 * 20 / (LIMIT / 10) + 3


def dated(days: Array, begin: int = 0) -> list[Dated]:
    return [(begin + n, {f"n{place}": int(one) for place, one in enumerate(day) if one}) for n, day in enumerate(days.tolist())]


def test_a_change_is_found_and_dated() -> None:
    before, usual, other = dated(drawn(5, TEN, 30)), drawn(6, TEN, 10), drawn(7, np.linspace(0.05, 0.15, 10), 2)
    assert judge(before, dated(usual)).said == OK
    word = judge(before, dated(np.vstack((usual, other))))
    assert (word.said, word.since) == (DRIFT, 10)
    assert word.evidence > log(LIMIT)


def test_it_does_not_say_what_it_cannot_know() -> None:
    usual = dated(drawn(8, TEN, 10))
    assert judge([], usual).said == judge(usual[:2], usual).said == judge(usual, []).said == INSUFFICIENT
    assert judge(usual, [(11, {})]).said == judge([(1, {}), *usual[:2]], usual).said == INSUFFICIENT
    assert judge(usual, [(11, {"n1": 9})]).said == INSUFFICIENT
    assert judge(dated(drawn(9, TEN, 7, 10)), usual).said == INSUFFICIENT
    assert judge(dated(drawn(9, TEN, 7, 10)), [(20, {"never": 500})]).said == DRIFT
    assert [round(bar(days, LIMIT), 1) for days in (3, 7, 30)] == [220.0, 27.3, 10.4]
    assert bar(10_000, LIMIT) == pytest.approx(log(LIMIT), rel=1e-3)
    assert bar(3, 1e300) < inf


def test_names_of_which_there_are_ever_new_ones_are_no_drift() -> None:
    """Half of what is said is said on one day alone."""
    names = [(day, {"usual": 100} | {f"{day}/{n}": 1 for n in range(100)}) for day in range(40)]
    before, _ = binned([one for _, one in names[:30]], [names[30][1]])
    assert (before.sum(axis=0).tolist(), seldom(before)) == ([3000, 3000], 0)
    assert judge(names[:30], names[30:]).said == OK
    assert judge(names[:30], [(40, {"usual": 50, "new": 150})] * 2).said == DRIFT
    assert judge([(day, {f"{day}": 100}) for day in range(30)], names[30:]).said == INSUFFICIENT, "all is seldom"


def test_numbers_fall_into_the_tenths_of_the_baseline() -> None:
    random = np.random.default_rng(10)
    days = [[bucket_of(value) for value in random.lognormal(5, 1, 300)] for _ in range(12)]
    sketches = [{bucket: day.count(bucket) for bucket in day} for day in days]
    before, after = binned(sketches[:11], sketches[11:])
    total: dict[int, int] = {}
    for one in sketches[:11]:
        for bucket, count in one.items():
            total[bucket] = total.get(bucket, 0) + count
    shares = {(round(one.before * 3300), round(one.now * 300)) for one in of_numbers(total, sketches[11]).moved}
    assert shares <= set(zip(before.sum(axis=0), after[0], strict=True))
    before, after = binned([{3: 10}, {3: 20, 9: 1}], [{2: 1, 3: 5, 4: 7}])
    assert (before.tolist(), after.tolist()) == ([[10, 0], [20, 1]], [[5, 8]]), "all on one value, and others"
