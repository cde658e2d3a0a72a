"""Rank scores of observations that fall into cells, and what a bet on a shift of them pays.

Cells come as counts of shape (phases, cells): a numeric stream has one phase and up to 64 cells, a binary one has two cells
(0 and 1) and as many phases as its season has bins. A row is one cell of one phase, `phase * cells + cell`. A cell that holds
the share (a, b) of the quiet distribution has the score E[Z | a < Phi(Z) < b], Z standard normal, so that its scale is that of
a normal score whatever the distribution was; ties are averaged over, not drawn.
"""

from math import pi, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Cells(NamedTuple):
    """Shares, normal quantiles of both ends, scores: each (phases, cells). `information` is the mean square score: (phases,)."""

    share: Array
    low: Array
    high: Array
    score: Array
    information: Array


def cells_of(counts: Array) -> Cells:
    """Of counts that are all over zero."""
    upper = np.cumsum(counts, axis=1)
    upper /= upper[:, -1:]
    lower = np.concatenate((np.zeros((len(upper), 1)), upper[:, :-1]), axis=1)
    share = upper - lower
    low, high = ndtri(lower), ndtri(upper)
    score = (density(low) - density(high)) / share
    return Cells(share, low, high, score, (score**2 * share).sum(axis=1))


def log_bets(cells: Cells, sizes: Array, inflation: float) -> Array:
    """What each bet pays on each row, as a logarithm: (bets, rows).

    A bet of size g, signed, says that the scores have moved by g of their standard deviations, after their variance was
    found `inflation` times that of independent ones. Without inflation it pays 1 on average while nothing has moved.
    """
    shift = sizes[:, None] / np.sqrt(cells.information * inflation)[None, :]
    shift = shift[:, :, None]
    mirrored = cells.low > 0
    near, far = np.where(mirrored, -cells.high, cells.low), np.where(mirrored, -cells.low, cells.high)
    shift_there = np.where(mirrored[None], -shift, shift)
    mass = ndtr(far[None] - shift_there) - ndtr(near[None] - shift_there)
    paid = np.log(np.maximum(mass, 1e-300) / cells.share[None])
    paid -= shift**2 * (inflation - 1) * cells.information[None, :, None] / 2
    return np.ascontiguousarray(paid.reshape(len(sizes), -1))


def density(z: Array) -> Array:
    """Of the standard normal; 0 at infinity."""
    return np.asarray(np.exp(-z * z / 2) / sqrt(2 * pi))
