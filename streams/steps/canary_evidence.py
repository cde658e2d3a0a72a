"""How much two samples say against a hypothesis about what they were drawn from, however often one looks.

Each function gives the logarithm of an e-process: under the hypothesis it ever reaches 1/a with a chance of a at most (Ville).
All but `costlier` hold exactly, for any number of samples, and are functions of counts alone: samples may come in any order, at
any share of the traffic, and be taken back. Counts may be arrays, which broadcast, and need not be whole. Method, assumptions and
references: streams/CANARY.md.
"""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log
from typing import NamedTuple
from zlib import crc32

import numpy as np
from scipy.special import betaln, gammaln, log_ndtr, xlog1py, xlogy

from waterline.streams.steps.canary_plan import Form
from waterline.streams.steps.drift_scores import Array
from waterline.streams.steps.sketch import GAMMA

Counts = float | Array
HALVINGS = 48
BINS = 16
"""that categories are hashed into, so that their number is known before they are"""
SPREAD = 0.25
"""The difference of costs that is looked for, as a share of what is allowed."""
_TAIL = 0.05


class Share(NamedTuple):
    """`part` of `whole` samples."""

    part: Counts
    whole: Counts


def beyond(candidate: Share, control: Share, form: Form, limit: float) -> Array:
    """Against: the candidate's share is at most the limit - a share, that of the control plus points, or that times a factor."""
    return _against(candidate, control, form, limit, 1.0)


def under(candidate: Share, control: Share, form: Form, limit: float) -> Array:
    """Against: the candidate's share is the limit at least."""
    return _against(candidate, control, form, limit, -1.0)


def _against(candidate: Share, control: Share, form: Form, limit: float, side: float) -> Array:
    """Mixture of all pairs of shares / the likeliest pair that the hypothesis allows."""
    k, n, j, m = (np.asarray(one, np.float64) for one in (*candidate, *control))
    if form is Form.OWN:
        return _one(k, n, limit, side)
    slope, shift = (limit, 0.0) if form is Form.TIMES else (1.0, limit)
    p, q = k / np.maximum(n, 1), j / np.maximum(m, 1)
    low, high = max(0.0, -shift / slope), min(1.0, (1 - shift) / slope)
    at = _likeliest(k, n, j, m, slope, shift, low, high)
    edge = _log_likelihood(k, n, np.clip(slope * at + shift, 0.0, 1.0)) + _log_likelihood(j, m, at)
    free = _log_likelihood(k, n, p) + _log_likelihood(j, m, q)
    allowed = side * (p - (slope * q + shift)) <= 0
    return np.asarray(_mixture(k, n) + _mixture(j, m) - np.where(allowed, free, edge))


def _likeliest(k: Array, n: Array, j: Array, m: Array, slope: float, shift: float, low: float, high: float) -> Array:
    """The control's share where the candidate's is slope times it plus shift. The likelihood is concave there."""
    lower, upper = np.full(np.broadcast(k, j).shape, low), np.full(np.broadcast(k, j).shape, high)
    for _ in range(HALVINGS):
        q = (lower + upper) / 2
        p = slope * q + shift
        rises = slope * (k / p - (n - k) / (1 - p)) + j / q - (m - j) / (1 - q) > 0
        lower, upper = np.where(rises, q, lower), np.where(rises, upper, q)
    return np.asarray((lower + upper) / 2)


def _one(k: Array, n: Array, limit: float | Array, side: float) -> Array:
    """Against: a share is at most the limit (side 1), or at least (side -1)."""
    p = k / np.maximum(n, 1)
    nearest = np.where(side * (p - limit) <= 0, p, limit)
    return np.asarray(_mixture(k, n) - _log_likelihood(k, n, nearest))


def _mixture(k: Array, n: Array) -> Array:
    """Of all shares, by Beta(1/2, 1/2)."""
    return np.asarray(betaln(k + 0.5, n - k + 0.5) - betaln(0.5, 0.5))


def _log_likelihood(k: Array, n: Array, p: Array) -> Array:
    return np.asarray(xlogy(k, p) + xlog1py(n - k, -p))


class Mean(NamedTuple):
    """How many, their mean, and their variance."""

    samples: Counts
    mean: Counts
    variance: Counts


def costlier(candidate: Mean, control: Mean, times: float, side: float = 1.0) -> Array:
    """Against: the candidate's mean is at most so many times the control's (side -1: at least). Of large samples, see
    CANARY.md."""
    n, x, v, m, y, w = (np.asarray(one, np.float64) for one in (*candidate, *control))
    gap = side * (x - times * y)
    error = v / np.maximum(n, 1) + times**2 * w / np.maximum(m, 1)
    prior = (SPREAD * times * y) ** 2
    known = (n > 1) & (m > 1) & (error > 0) & (prior > 0)
    error, prior = np.where(known, error, 1.0), np.where(known, prior, 1.0)
    shrunk = prior / (error + prior)
    said = log(2) + log_ndtr(gap * np.sqrt(shrunk / error)) + -np.log1p(prior / error) / 2 + gap**2 * shrunk / (2 * error)
    return np.asarray(np.where(known, said, 0.0))


def slower(candidate: Mapping[int, int], control: Mapping[int, int], times: float, scale: float = 1.0) -> float:
    """Against: the candidate's 95th percentile is at most so many times the control's. Of sketches; `scale`: as if there were so
    many times as many samples."""
    return _tails(candidate, control, times, 1.0, scale)


def faster(candidate: Mapping[int, int], control: Mapping[int, int], times: float, scale: float = 1.0) -> float:
    """Against: the candidate's 95th percentile is so many times the control's at least."""
    return _tails(candidate, control, times, -1.0, scale)


def _tails(candidate: Mapping[int, int], control: Mapping[int, int], times: float, side: float, scale: float) -> float:
    """The least over all buckets that the control's percentile may lie in: one of them it lies in, and there both parts are
    e-processes. Edges are taken so that what is in doubt speaks for the hypothesis."""
    if not candidate or not control:
        return 0.0
    apart = log(times) / log(GAMMA)
    shift = ceil(apart) + 1 if side > 0 else floor(apart)
    first = min(min(control), min(candidate) - shift) - 1
    last = max(max(control), max(candidate) - shift) + 1
    theirs, ours = (_from(sketch, first + by, last + by) * scale for sketch, by in ((control, 0), (candidate, shift)))
    n, m = sum(candidate.values()) * scale, sum(control.values()) * scale
    at_or_over = theirs[:-1] if side > 0 else theirs[1:]
    told = _one(ours[:-1], np.asarray(n), _TAIL, side) + _one(at_or_over, np.asarray(m), _TAIL, -side)
    return float(told.min())


def _from(sketch: Mapping[int, int], first: int, last: int) -> Array:
    """How many samples lie in a bucket or above, of each bucket from `first` to one after `last`."""
    counts = np.zeros(last - first + 2)
    for bucket, count in sketch.items():
        if bucket >= first:
            counts[min(bucket, last + 1) - first] += count
    return np.asarray(counts[::-1].cumsum()[::-1])


def binned(categories: Mapping[str, int]) -> list[int]:
    """Counts of categories, hashed into BINS."""
    counts = [0] * BINS
    for name, count in categories.items():
        counts[crc32(name.encode()) % BINS] += count
    return counts


def differ(candidate: Sequence[Counts], control: Sequence[Counts]) -> Array:
    """Against: both were drawn from one distribution. Counts by bin, of which there are as many as ever there will be."""
    a, b = (np.asarray(one, np.float64) for one in (candidate, control))
    each = 1 / len(a)
    mixed = sum(
        gammaln(1.0) - gammaln(1.0 + side.sum(axis=0)) + (gammaln(each + side) - gammaln(each)).sum(axis=0) for side in (a, b)
    )
    whole = a + b
    return np.asarray(mixed - xlogy(whole, whole / np.maximum(whole.sum(axis=0), 1)).sum(axis=0))
