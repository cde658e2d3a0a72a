"""Whether days differ from their baseline, with a declared budget of false alarms however often one looks (DRIFT.md, "Days").

Bins are the names that the baseline had on more than one day, or the tenths of its numbers, and one for all others. For each day
j of the last `WATCHED` the counts of j and all days after are weighed: L_j is how many times likelier they are if shares of
their own made them than if those of the baseline did, a ratio of two Dirichlet-multinomial probabilities. `drift`: the largest
reaches the bar. All counts are first divided by how many observations say as much as an independent one, as the days of the
baseline show.

A pure function of counts by day: what is revised, late or read again after a restart needs no care.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import expm1, log
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import gammaln

from waterline.streams.steps.days import ABOUT
from waterline.streams.steps.distribution import BINS, MAJOR, SMOOTHING
from waterline.streams.steps.drift_scores import Array

ARL0 = 365
"""Days of an artifact for each false alarm, all its distributions together."""
LIMIT = float(ARL0 * len(ABOUT))
WATCHED = 32
FEWEST = 3
"""Days of a baseline: it must show how much days differ, and which names are seldom."""
SIZES = (0.1, 0.5, 2.5)
"""Population stability indices; the shares of its own that a change may have lie about so far from the baseline."""
OK, DRIFT, INSUFFICIENT = "ok", "drift", "insufficient"
Counts = Mapping[Any, int]
"""by name, or by bucket of a sketch"""
Dated = tuple[int, Counts]


class Word(Struct, frozen=True):
    """`since`: of drift, the day with which what differs most begins. `evidence`: the logarithm of the largest L_j."""

    said: str
    since: int | None = None
    evidence: float = 0.0


def judge(before: Iterable[Dated], watched: Iterable[Dated], limit: float = LIMIT) -> Word:
    """Of the days of a baseline and those that are watched, in order. Silence is `insufficient` where a major shift of
    all that is watched would not be found."""
    days = [counts for _, counts in before if any(counts.values())]
    after = [(day, counts) for day, counts in watched if any(counts.values())]
    if len(days) < FEWEST or not after:
        return Word(INSUFFICIENT)
    needed, n, m = bar(len(days), limit), _samples(counts for _, counts in after), _samples(days)
    if n * (log(3 * m + n + 1) + 2) < needed:  # more than log L can be: exp(-2) < any factor of Gamma(y + 1/2) / Gamma(1/2)
        return Word(INSUFFICIENT)
    known, seen = binned(days, [counts for _, counts in after])
    if known.shape[1] < 2:
        return Word(INSUFFICIENT)
    found, samples = weigh(known, seen)
    first = int(found.argmax())
    if found[first] >= needed:
        return Word(DRIFT, after[first][0], float(found[first]))
    return Word(OK if samples * MAJOR / 2 >= needed else INSUFFICIENT, evidence=float(found[first]))


def _samples(days: Iterable[Counts]) -> int:
    return sum(sum(one.values()) for one in days)


def bar(days: int, limit: float) -> float:
    """What log L must reach. How much days differ is only known from so many: as Student's t beside the normal distribution."""
    free = days - 1
    return max(log(limit), free / 2 * expm1(2 * log(limit) / (free + 1)))


def weigh(days: Array, after: Array) -> tuple[Array, float]:
    """log L_j of each day that is watched, and how many independent observations would say as much beside a baseline without end.
    Rows are days, columns bins, the last for all that is seldom or new."""
    since = np.cumsum(after[::-1], axis=0)[::-1]
    clumps = dispersion(days, since)
    n, m = since[0].sum(), days.sum()
    return evidence(days.sum(axis=0), since, clumps, seldom(days)), float(n * m / (n + m) / clumps[0])


def binned(before: Sequence[Counts], after: Sequence[Counts]) -> tuple[Array, Array]:
    """Days by bins; the last bin has what the baseline had on one day alone, or never."""
    every = (*before, *after)
    counts = np.array(list(chain.from_iterable(one.values() for one in every)), dtype=np.float64)
    rows = np.repeat(np.arange(len(every)), [len(one) for one in every])
    keys = list(chain.from_iterable(every))
    if isinstance(keys[0], str):
        number = {key: place for place, key in enumerate(sorted(set(keys)))}
        places = np.array([number[key] for key in keys], dtype=np.int64)
    else:
        buckets, places = np.unique(np.array(keys, dtype=np.int64), return_inverse=True)
        places = _tenths(_sums(places, counts * (rows < len(before)), len(buckets)))[places]
    width = int(places.max()) + 1
    table = _sums(rows * width + places, counts, len(every) * width).reshape(-1, width)
    had = (table[: len(before)] > 0).sum(axis=0) > 1
    table = np.column_stack((table[:, had], table[:, ~had].sum(axis=1)))
    return table[: len(before)], table[len(before) :]


def _sums(places: NDArray[np.int64], counts: Array, length: int) -> Array:
    return np.bincount(places, weights=counts, minlength=length).astype(np.float64)


def _tenths(baseline: Array) -> NDArray[np.int64]:
    """The tenth of the baseline in which the middle of each bucket lies, as in distribution.py."""
    middle = (baseline.cumsum() - baseline / 2) / baseline.sum()
    return np.asarray(np.minimum((middle * BINS).astype(np.int64), BINS - 1))


def dispersion(days: Array, since: Array) -> Array:
    """How many observations say as much as an independent one, for each row of `since`, at least 1: the larger of Pearson's
    chi-square of the baseline's days by its degrees of freedom, over all bins, and in the direction in which that row differs."""
    had = days.sum(axis=0) > 0
    many, total, free = days.sum(axis=1), days.sum(axis=0)[had], len(days) - 1
    p = total / total.sum()
    off = days[:, had] - np.outer(many, p)
    all_ways = (off**2 / np.outer(many, p)).sum() / (free * max(len(p) - 1, 1))
    other, own = since[:, had] + SMOOTHING, total + SMOOTHING
    ways = np.log(other / other.sum(axis=1, keepdims=True)) - np.log(own / own.sum())
    ways -= (ways @ p)[:, None]
    one_way = ((off @ ways.T) ** 2 / many[:, None]).sum(axis=0) / np.maximum(ways**2 @ p, 1e-12) / free
    return np.asarray(np.maximum(np.maximum(one_way, all_ways), 1.0))


def seldom(days: Array) -> float:
    """How much more than the baseline had in its last bin there will be over as many days: of names that it had on one day alone
    some come again, about as many as it had on two (Good 1953)."""
    usual = days[:, :-1]
    return float(usual.sum(axis=0)[(usual > 0).sum(axis=0) == 2].sum())


def evidence(before: Array, since: Array, clumps: Array, more: float) -> Array:
    """log L of each row of `since`, counts by bin, against the counts of the baseline; `more` is added to its last bin."""
    known = before / clumps[:, None] + SMOOTHING
    known[:, -1] += more / clumps
    seen = since / clumps[:, None]
    shares = known / known.sum(axis=1, keepdims=True)
    own = [likelihood(seen, shares * ((len(before) - 1) / size)) for size in SIZES]
    return np.asarray(np.logaddexp.reduce(own, axis=0) - log(len(SIZES)) - likelihood(seen, known))


def likelihood(counts: Array, prior: Array) -> Array:
    """log of the Dirichlet-multinomial probability of each row of counts, in one given order."""
    all_counts, all_prior = counts.sum(axis=1), prior.sum(axis=1)
    whole = gammaln(all_prior) - gammaln(all_prior + all_counts)
    return np.asarray(whole + (gammaln(prior + counts) - gammaln(prior)).sum(axis=1))
