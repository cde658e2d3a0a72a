"""What a quiet stream looks like: season, dependence and distribution, learned from a history that is taken to hold no change.

Whatever is learned here from the same data as the cells is calibrated by measurement, not proven: see DRIFT.md.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from scipy.special import ndtri

from waterline.streams.steps.drift_scores import Array, Cells, Ints, cells_of
from waterline.streams.steps.drift_season import binary_counts, has_season, numeric_levels, phases
from waterline.streams.steps.drift_sequential import SIZES

CELLS, QUANTILES, ORDERS = 64, 512, 5
NUMBERS = 200
"""Fewest observations of a numeric stream."""
RARER, TRUSTED = 20, 40
"""Zeros and ones that a binary stream needs of each to begin, and to have its silence trusted."""
LONG, DEPENDENT = 200, 1.5
"""Correlation times that a history must last, and the correlation time from which a season needs a longer one."""
PERIODS, MANY_PERIODS = 3, 7
RARE = 0.05
SEEN = 20
"""A size g is bet on when n g^2 / inflation is at least this."""


class Insufficient(Struct, frozen=True):
    """Nothing can be said, and why."""

    reason: str


class Baseline(Struct, frozen=True, kw_only=True):
    """All that a detector knows of the quiet stream; a few hundred numbers. Per row: `counts`, as (phases, cells) told row by
    row. `levels`: means by phase that are taken off. `scores`: quantiles of what is left, with `lags` the coefficients on its
    normal scores; both empty if the stream does not depend on its past. `edges`: what separates cells, cell i being under
    edge i. `last`: normal scores of the last observations, newest last."""

    binary: bool
    arl0: float
    threshold: float
    sides: int
    period: float
    seasonal: bool
    observations: int
    inflation: float
    sizes: tuple[float, ...]
    phases: int
    counts: tuple[float, ...]
    levels: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    lags: tuple[float, ...] = ()
    last: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    cautions: tuple[str, ...] = ()


def smoothed(counts: Array, binary: bool) -> Array:
    """Half an observation is added to zeros and to ones, so that a rate is never 0 or 1."""
    return counts + 0.5 if binary else counts


def fit(history: Array, times: Array, period: float, arl0: float, *, sides: int = 0) -> Baseline | Insufficient:
    """`history`: finite values in the order of the stream, at `times`, by which only their phase is known; `period`: of the
    season there may be, in the unit of `times`, 0 for none; `arl0`: observations until the first false alarm, on average;
    `sides`: 1 or -1 if only a rise or a fall matters. A stream of zeros and ones is taken as binary."""
    if len(history) < 2 * RARER:
        return Insufficient(f"{len(history)} observations, at least {2 * RARER} are needed")
    lasted = float(times.max() - times.min()) / period * len(history) / (len(history) - 1) if period else 0.0
    if period and lasted < PERIODS - 1e-9:
        return Insufficient(f"{lasted:.1f} periods, at least {PERIODS} are needed to see a season")
    binary = bool(np.isin(history, (0.0, 1.0)).all())
    seasonal = bool(period) and has_season(history, times, period)
    learned = (_binary if binary else _numeric)(history, times, period if seasonal else 0.0)
    if isinstance(learned, Insufficient):
        return learned
    learned.inflation *= 1 + 1 / lasted if seasonal else 1
    if seasonal and (learned.time > DEPENDENT or learned.rare) and lasted < MANY_PERIODS - 1e-9:
        return Insufficient(f"a season with dependence or rare ones needs {MANY_PERIODS} periods")
    sizes = tuple(size for size in SIZES if len(history) * size**2 / learned.inflation >= SEEN)
    if not sizes:
        told = f"the variance of their mean is {learned.inflation:.0f} times that of independent ones"
        return Insufficient(f"{len(history)} observations are too few: {told}")
    return Baseline(
        binary=binary,
        arl0=arl0,
        threshold=arl0,
        sides=sides,
        period=period,
        seasonal=seasonal,
        observations=len(history),
        inflation=float(learned.inflation),
        sizes=sizes,
        phases=len(learned.counts),
        counts=tuple(learned.counts.ravel().tolist()),
        levels=tuple(learned.levels),
        scores=tuple(learned.scores),
        lags=tuple(learned.lags),
        last=tuple(learned.last),
        edges=tuple(learned.edges),
        cautions=tuple(learned.cautions),
    )


class _Learned:
    """Of one kind of stream, before it is judged to be enough."""

    def __init__(self, counts: Array, inflation: float) -> None:
        self.counts, self.inflation = counts, inflation
        self.levels: Sequence[float] = ()
        self.scores: Sequence[float] = ()
        self.lags: Sequence[float] = ()
        self.last: Sequence[float] = ()
        self.edges: Sequence[float] = ()
        self.cautions: Sequence[str] = ()
        self.rare, self.time = False, 1.0


def _binary(history: Array, times: Array, period: float) -> _Learned | Insufficient:
    ones = int(history.sum())
    rarer = min(ones, len(history) - ones)
    if rarer < RARER:
        return Insufficient(f"{rarer} of the rarer outcome, at least {RARER} are needed")
    unseasonal = np.array([[len(history) - ones, ones]], dtype=np.float64)
    counts = binary_counts(history, times, period) if period else unseasonal
    cells = cells_of(smoothed(counts, binary=True))
    phase = phases(times, period, len(counts)) if period else np.zeros(len(history), dtype=np.int64)
    learned = _Learned(counts, dependence(cells.score[phase, history.astype(np.int64)]))
    learned.rare = rarer < RARE * len(history)
    if rarer < TRUSTED:
        learned.cautions = (f"{rarer} of the rarer outcome: a change may be missed under {TRUSTED}",)
    return learned


def _numeric(history: Array, times: Array, period: float) -> _Learned | Insufficient:
    if len(history) < NUMBERS:
        return Insufficient(f"{len(history)} observations, at least {NUMBERS} are needed")
    levels = numeric_levels(history, times, period) if period else np.zeros(0)
    left = history - levels[phases(times, period, len(levels))] if period else history
    quantiles = np.quantile(left, (np.arange(QUANTILES) + 0.5) / QUANTILES)
    normal = normal_scores(left, quantiles)
    lags = autoregression(normal)
    time = correlation_time(normal, lags) if len(lags) else 1.0
    if len(lags):
        span = len(history) / time
        if span < LONG:
            return Insufficient(f"{span:.0f} times the correlation time, at least {LONG} are needed")
        left = whitened(normal, lags)
    edges, cell, counts = quantile_cells(left)
    if len(counts) < 2:
        return Insufficient("all observations are equal")
    learned = _Learned(counts[None, :], dependence(cells_of(counts[None, :]).score[0, cell]))
    learned.levels, learned.edges, learned.time = levels.tolist(), edges.tolist(), time
    if len(lags):
        learned.scores, learned.lags, learned.last = quantiles.tolist(), lags.tolist(), normal[-len(lags) :].tolist()
    return learned


def quantile_cells(values: Array) -> tuple[Array, Ints, Array]:
    """(edges, the cell of each value, counts) of up to 64 cells of about equal counts, none empty."""
    edges = np.unique(np.quantile(values, np.arange(1, CELLS) / CELLS))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    edges = edges[counts[:-1] > 0]
    cell = np.searchsorted(edges, values, side="right")
    counts = np.bincount(cell, minlength=len(edges) + 1)
    if len(edges) and not counts[-1]:
        edges, counts = edges[:-1], counts[:-1]
    return edges, cell, counts.astype(np.float64)


def normal_scores(values: Array, quantiles: Array) -> Array:
    """The standard normal quantiles of their ranks in the history."""
    return np.asarray(ndtri(np.interp(values, quantiles, (np.arange(QUANTILES) + 0.5) / QUANTILES)))


def autoregression(scores: Array) -> Array:
    """Coefficients of the order in 0..5 with the least Bayesian information criterion, by Levinson's recursion."""
    n, centred = len(scores), scores - scores.mean()
    covariance = np.array([centred[: n - k] @ centred[k:] / n for k in range(ORDERS + 1)])
    if covariance[0] <= 1e-12:
        return np.zeros(0)
    error, best, chosen = covariance[0], n * np.log(covariance[0]), np.zeros(0)
    lags = np.zeros(0)
    for order in range(1, ORDERS + 1):
        reflection = (covariance[order] - lags @ covariance[order - 1 : 0 : -1]) / error
        lags = np.append(lags - reflection * lags[::-1], reflection)
        error *= 1 - reflection**2
        if error <= 0:
            break
        if (criterion := n * np.log(error) + order * np.log(n)) < best:
            best, chosen = criterion, lags
    return chosen


def whitened(scores: Array, lags: Array) -> Array:
    """What is left of each score but the first `len(lags)` after the part that the ones before it foretell."""
    n, p = len(scores), len(lags)
    left = scores[p:].copy()
    for k, lag in enumerate(lags, start=1):
        left -= lag * scores[p - k : n - k]
    return left


def correlation_time(scores: Array, lags: Array) -> float:
    """How many observations are worth one independent one, for their mean; of scores that are not all equal."""
    gain = max(1 - float(lags.sum()), 1e-6)
    return float(whitened(scores, lags).var() / gain**2 / scores.var())


def dependence(score: Array) -> float:
    """How much larger the variance of means of 30, 100 or 300 scores is than that of independent ones, where ten such means
    say so beyond doubt; else 1."""
    variance, most = float(score.var()), 1.0
    for size in (30, 100, 300):
        blocks = len(score) // size
        if blocks < 10 or variance <= 0:
            continue
        ratio = size * float(score[: blocks * size].reshape(blocks, size).mean(axis=1).var(ddof=1)) / variance
        if ratio > 1 + 2.5 * np.sqrt(2 / (blocks - 1)):
            most = max(most, ratio)
    return most


def cells(baseline: Baseline) -> Cells:
    counts = np.array(baseline.counts).reshape(baseline.phases, -1)
    return cells_of(smoothed(counts, baseline.binary))
