"""Whether a stream has a season of a known period, and what is usual at each phase of it."""

import numpy as np
from scipy.special import fdtrc

from waterline.streams.steps.drift_scores import Array, Ints

SLOTS = 24
"""Blocks of a period whose means the test compares: an hour each, if the period is a day."""
CERTAIN = 0.001
BLOCKS = 48
BINS, FEWEST = 96, 12
"""Phases of a period, and the fewest that a binary stream has."""
IN_BIN = 15
"""Observations of a bin, of each outcome if the stream is binary; with fewer the bins are made wider."""


def phases(times: Array, period: float, bins: int) -> Ints:
    """The bin of the period that each time falls into."""
    return np.minimum((np.mod(times, period) * (bins / period)).astype(np.int64), bins - 1)


def has_season(values: Array, times: Array, period: float) -> bool:
    """One-way analysis of variance of the means of whole blocks by their slot of the period, at level 0.001.

    Means of blocks are used so that dependence within a block does not look like a season. Blocks with under 90 % of the
    observations one has on average are left out; fewer than 48 blocks say nothing.
    """
    each = len(values) / (times.max() - times.min()) * period
    slots = min(SLOTS, int(each))
    if slots < 2:
        return False
    block = np.floor(times * (slots / period)).astype(np.int64)
    block -= (first := int(block.min()))
    count = np.bincount(block)
    whole = count >= 0.9 * each / slots
    if whole.sum() < BLOCKS:
        return False
    means = np.bincount(block, weights=values)[whole] / count[whole]
    slot = (np.flatnonzero(whole) + first) % slots
    in_slot = np.bincount(slot, minlength=slots)
    by_slot = np.bincount(slot, weights=means, minlength=slots) / np.maximum(in_slot, 1)
    within = float(((means - by_slot[slot]) ** 2).sum())
    between = float((in_slot * (by_slot - means.mean()) ** 2).sum())
    groups = int((in_slot > 0).sum())
    free = len(means) - groups
    if free < 1 or groups < 2:
        return False
    if within <= 0:
        return between > 0
    return float(fdtrc(groups - 1, free, (between / (groups - 1)) / (within / free))) < CERTAIN


def numeric_levels(values: Array, times: Array, period: float) -> Array:
    """The mean of each of up to 96 bins of the period; a bin without observations takes what is between its neighbours."""
    bins = BINS
    while bins > 1 and len(values) / bins < IN_BIN:
        bins //= 2
    phase = phases(times, period, bins)
    count = np.bincount(phase, minlength=bins)
    sums = np.bincount(phase, weights=values, minlength=bins)
    known = np.flatnonzero(count)
    return np.interp(np.arange(bins), known, sums[known] / count[known], period=bins)


def binary_counts(values: Array, times: Array, period: float) -> Array:
    """Zeros and ones by bin of the period: (bins, 2)."""
    ones = float(values.sum())
    rarer, bins = min(ones, len(values) - ones), BINS
    while bins // 2 >= FEWEST and rarer / bins < IN_BIN:
        bins //= 2
    row = phases(times, period, bins) * 2 + values.astype(np.int64)
    return np.bincount(row, minlength=2 * bins).reshape(bins, 2).astype(np.float64)
