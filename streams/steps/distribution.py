"""How far a distribution is from its baseline, and what in it moved most.

Categories are compared by the population stability index, sum (q - p) ln(q / p), and the Jensen-Shannon divergence with base 2,
which lies between 0 and 1. Both are of shares after Laplace smoothing: SMOOTHING, half an observation, is added to the count of
every category that either side has. Numbers are compared as sketches: the same index over the tenths of the baseline, the
two-sample Kolmogorov-Smirnov distance, and the Wasserstein distance in the unit of the values.

While nothing moves, the index times n m / (n + m) is about chi-square with one degree less than there are categories (Yurdakul
2018). An index that chance reaches one time in twenty is no verdict; where chance alone reaches `moderate`, silence is none.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from scipy.special import chdtri

from waterline.schemas.judgement import ShareChange, Shift
from waterline.streams.steps.drift_scores import Array
from waterline.streams.steps.sketch import count, value_of

SMOOTHING = 0.5
MODERATE, MAJOR = 0.1, 0.25
CHANCE = 0.05
TOLD = 3
BINS = 10


class Distance(Struct, frozen=True, kw_only=True):
    """`by_chance`: what the index stays under 19 times in 20 while nothing moves. `moved`: those that add most, at most three,
    the most first. `ks` and `wasserstein` are of numbers alone."""

    shift: Shift
    psi: float
    jensen_shannon: float
    by_chance: float
    before: int
    now: int
    moved: tuple[ShareChange, ...]
    ks: float | None = None
    wasserstein: float | None = None


def of_categories(before: Mapping[str, int], now: Mapping[str, int]) -> Distance:
    """Of counts by category; an absent one counts as 0."""
    names = sorted(name for name in before.keys() | now.keys() if before.get(name, 0) or now.get(name, 0))
    return _compared(names, [before.get(name, 0) for name in names], [now.get(name, 0) for name in names])


def of_numbers(before: Mapping[int, int], now: Mapping[int, int]) -> Distance:
    """Of sketches (sketch.py): values within a bucket are equal to both distances, and each is told within 1 %."""
    buckets = np.array(sorted(before.keys() | now.keys()), dtype=np.int64)
    p, q = (np.array([side.get(bucket, 0) for bucket in buckets.tolist()], dtype=np.float64) for side in (before, now))
    if not (p.sum() and q.sum()):
        return _compared([], [count(before)], [count(now)])
    values = np.array([value_of(bucket) for bucket in buckets.tolist()])
    apart = np.abs(p.cumsum() / p.sum() - q.cumsum() / q.sum())
    bins = np.minimum(((p.cumsum() - p / 2) / p.sum() * BINS).astype(np.int64), BINS - 1)
    names = [_range(values[bins == one]) for one in np.unique(bins)]
    sums = ([float(side[bins == one].sum()) for one in np.unique(bins)] for side in (p, q))
    told = _compared(names, *([round(one) for one in side] for side in sums))
    wasserstein = float((apart[:-1] * np.diff(values)).sum())
    return replace(told, ks=float(apart.max()), wasserstein=wasserstein)


def _range(values: Array) -> str:
    return f"{values[0]:.4g} to {values[-1]:.4g}"


def _compared(names: list[str], before: list[int], now: list[int]) -> Distance:
    n, m, categories = sum(before), sum(now), len(names)
    if not (n and m):
        return Distance(shift=Shift.INSUFFICIENT, psi=0.0, jensen_shannon=0.0, by_chance=np.inf, before=n, now=m, moved=())
    p, q = (_smoothed(side) for side in (before, now))
    adds = (q - p) * np.log(q / p)
    psi, middle = float(adds.sum()), (p + q) / 2
    divergence = float((p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2)
    by_chance = float(chdtri(categories - 1, CHANCE)) * (1 / n + 1 / m) if categories > 1 else 0.0
    order = np.argsort(-adds, kind="stable")[:TOLD]
    moved = tuple(ShareChange(names[i], before[i] / n, now[i] / m, float(adds[i])) for i in order.tolist() if adds[i] > 0)
    return Distance(
        shift=_verdict(psi, by_chance),
        psi=psi,
        jensen_shannon=max(divergence, 0.0),
        by_chance=by_chance,
        before=n,
        now=m,
        moved=moved,
    )


def _smoothed(counts: list[int]) -> Array:
    side = np.array(counts, dtype=np.float64) + SMOOTHING
    return np.asarray(side / side.sum())


def _verdict(psi: float, by_chance: float) -> Shift:
    if psi > by_chance:
        if psi > MAJOR:
            return Shift.MAJOR
        if psi > MODERATE:
            return Shift.MODERATE
    return Shift.INSUFFICIENT if by_chance > MODERATE else Shift.NONE
