"""That e-values are e-values: their mean under the hypothesis is at most 1, and looking all the time does not make them lie."""

from collections.abc import Callable
from itertools import product
from math import ceil, comb, floor, log, pi

import numpy as np
import pytest
from scipy.special import beta
from scipy.stats import binom, multinomial

from waterline.streams.steps.canary_evidence import Mean, Share, beyond, costlier, differ, faster, slower, under
from waterline.streams.steps.canary_plan import CanaryPlan, Form
from waterline.streams.steps.drift_scores import Array
from waterline.streams.steps.sketch import GAMMA

N, M = 9, 14
SURE = log(CanaryPlan(name="p").sure)
"""What a guardrail of the default plan needs: 5 % over six guardrails and three stages."""
EDGES: list[tuple[Form, float, Callable[[float], float]]] = [
    (Form.POINTS, 0.03, lambda q: q + 0.03),
    (Form.POINTS, 0.0, lambda q: q),
    (Form.TIMES, 1.5, lambda q: 1.5 * q),
    (Form.OWN, 0.2, lambda q: 0.2),
]


@pytest.mark.parametrize("what", [beyond, under])
@pytest.mark.parametrize(("form", "limit", "edge"), EDGES)
def test_the_mean_at_the_edge_of_the_hypothesis_is_at_most_one(
    what: Callable[..., Array], form: Form, limit: float, edge: Callable[[float], float]
) -> None:
    """Over all outcomes of so many decisions, for any share of the control."""
    k, j = np.arange(N + 1.0)[:, None], np.arange(M + 1.0)[None, :]
    value = np.exp(what(Share(k, N), Share(j, M), form, limit))
    for q in np.linspace(0.01, 0.66, 14).tolist():
        chance = binom.pmf(k, N, edge(q)) * binom.pmf(j, M, q)
        assert (chance * value).sum() <= 1.0 + 1e-9
    assert value.max() > 1.3, "it can speak"


@pytest.mark.parametrize(("form", "limit", "edge"), EDGES)
@pytest.mark.parametrize("counts", [(9, 14, 3, 20), (0, 5, 4, 4), (7, 7, 0, 12), (2, 30, 9, 11)])
def test_it_is_the_ratio_to_the_likeliest_pair_that_is_allowed(
    form: Form, limit: float, edge: Callable[[float], float], counts: tuple[int, int, int, int]
) -> None:
    """Against a search over all pairs."""
    k, n, j, m = counts
    if form is Form.OWN:
        j = m = 0
    p, q = np.linspace(0, 1, 801)[:, None], np.linspace(0, 1, 801)[None, :]
    likely = binom.logpmf(k, n, p) + binom.logpmf(j, m, q) - log(comb(n, k) * comb(m, j))
    mixed = log(beta(k + 0.5, n - k + 0.5) * beta(j + 0.5, m - j + 0.5) / pi**2)
    most = np.array([edge(one) for one in q[0].tolist()])[None, :]
    for what, allowed in ((beyond, p <= most + 1e-9), (under, p >= most - 1e-9)):
        if (allowed & np.isfinite(likely)).any():
            found = float(what(Share(k, n), Share(j, m), form, limit))
            assert found == pytest.approx(mixed - likely[allowed].max(), abs=0.02)


def test_percentiles_at_the_edge_are_left_in_doubt() -> None:
    """All of the control's times are equal, and the candidate's are twice that, however they lie in their buckets."""
    apart = log(2) / log(GAMMA)
    assert slower({100 + ceil(apart): 1000}, {100: 1000}, 2) < 0, "at the upper edge of its bucket"
    assert faster({100 + floor(apart): 1000}, {100: 1000}, 2) < 0, "at the lower edge"
    assert slower({103 + ceil(apart): 1000}, {100: 1000}, 2) > SURE
    assert faster({97 + floor(apart): 1000}, {100: 1000}, 2) > log(20)
    assert slower({500: 1000}, {100: 5}, 2) < SURE, "five times say little of a percentile"


def test_of_percentiles_too() -> None:
    """Five samples of each, in three buckets a factor of two apart; the candidate's percentile is twice the control's."""
    step = round(log(2) / log(GAMMA))
    outcomes = [one for one in product(range(6), repeat=3) if sum(one) == 5]
    for shares in ((0.96, 0.02, 0.02), (0.5, 0.46, 0.04), (0.2, 0.3, 0.5)):
        slow = fast = 0.0
        for ours, theirs in product(outcomes, outcomes):
            chance = float(multinomial.pmf(ours, 5, shares) * multinomial.pmf(theirs, 5, shares))
            control = {place * step: count for place, count in enumerate(theirs) if count}
            slow += chance * np.exp(
                slower({(place + 1) * step - 1: count for place, count in enumerate(ours) if count}, control, 2)
            )
            fast += chance * np.exp(
                faster({(place + 1) * step + 1: count for place, count in enumerate(ours) if count}, control, 2)
            )
        assert slow <= 1
        assert fast <= 1


def test_of_distributions_too() -> None:
    outcomes = np.array([one for one in product(range(6), repeat=4) if sum(one) == 5], np.float64)
    value = np.exp(differ(list(outcomes.T[:, :, None]), list(outcomes.T[:, None, :])))
    for shares in ((0.25, 0.25, 0.25, 0.25), (0.9, 0.1, 0, 0), (0.5, 0.3, 0.1, 0.1)):
        chance = multinomial.pmf(outcomes, 5, shares)
        assert (chance[:, None] * chance[None, :] * value).sum() <= 1.0
    assert value.max() > 5


def looks(draws: Array, arm: Array) -> tuple[Share, Share]:
    """Counts after each decision: one row a canary."""
    rest = 1.0 - arm
    return Share((draws * arm).cumsum(axis=1), arm.cumsum(axis=1)), Share((draws * rest).cumsum(axis=1), rest.cumsum(axis=1))


@pytest.mark.parametrize(("rate", "share", "season"), [(0.2, 0.5, 0.0), (0.2, 0.05, 0.6), (0.8, 0.25, 0.2)])
def test_looking_after_each_decision_rolls_back_no_more_than_was_declared(rate: float, share: float, season: float) -> None:
    """Candidate and control alike, at a rate that swings through the day, against a limit of no points at all: of 250 canaries
    of 1,600 decisions each. At 5 % the bound is 12.5; 20 is more than chance."""
    chance = np.random.default_rng(17)
    shape = 250, 1600
    arm = (chance.random(shape) < share).astype(np.float64)
    wave = rate * (1 + season * np.sin(np.arange(shape[1]) * 2 * np.pi / 400))
    ours, theirs = looks((chance.random(shape) < wave).astype(np.float64), arm)
    value = beyond(ours, theirs, Form.POINTS, 0.0)
    assert (value.max(axis=1) >= log(20)).sum() <= 20
    assert (value.max(axis=1) >= SURE).sum() <= 2


@pytest.mark.parametrize(("share", "within"), [(0.5, 3900), (0.05, 2200)])
def test_ten_points_less_accuracy_is_found(share: float, within: int) -> None:
    """Wrong 30 % instead of 20 %, three points allowed: after so many labels of the candidate in nine of ten canaries."""
    chance = np.random.default_rng(18)
    arm = chance.random((60, int(within / share))) < share
    wrong = chance.random(arm.shape) < np.where(arm, 0.3, 0.2)
    ours, theirs = (Share((wrong & side).sum(axis=1), side.sum(axis=1)) for side in (arm, ~arm))
    value = beyond(ours, theirs, Form.POINTS, 0.03)
    assert (value >= SURE).mean() >= 0.9


@pytest.mark.parametrize(("share", "side"), [(0.5, 1.0), (0.05, 1.0), (0.5, -1.0), (0.05, -1.0)])
def test_costs_hold_their_level_where_samples_are_as_many_as_is_asked(share: float, side: float) -> None:
    """Log-normal costs (sigma 1), of which 1 % make up 9 %; looked at after each decision from the least number on."""
    chance = np.random.default_rng(19)
    shape = 150, 3000 if share == 0.5 else 10_000
    arm = (chance.random(shape) < share).astype(np.float64)
    cost = chance.lognormal(0, 1, shape)

    def mean(of: Array) -> Mean:
        count = np.maximum(of.cumsum(axis=1), 1)
        average = (of * cost).cumsum(axis=1) / count
        return Mean(count, average, ((of * cost**2).cumsum(axis=1) - count * average**2) / np.maximum(count - 1, 1))

    ours, theirs = mean(arm), mean(1 - arm)
    uneven = np.maximum.reduce([one.variance / np.maximum(one.mean, 1e-9) ** 2 for one in (ours, theirs)])
    enough = np.minimum(ours.samples, theirs.samples) >= 100 * (1 + uneven)
    value = np.where(enough, costlier(ours, theirs, 1.0, side), -np.inf)
    assert enough[:, -1].mean() > 0.8
    assert (value.max(axis=1) >= log(20)).sum() <= 14, "at most 7.5, but for chance and the approximation"


def test_costs_that_are_nearly_equal_are_told_apart() -> None:
    for count in (100, 10_000, 1_000_000):
        same, dearer = Mean(count, 0.01, 1e-18), Mean(count, 0.03, 1e-18)
        assert float(costlier(dearer, same, 1.5)) > 100
        assert float(costlier(same, same, 2.0, -1.0)) > 100
