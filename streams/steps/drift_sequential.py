"""A mixture of Shiryaev-Roberts procedures over rows of cells: bounded state, and the same bits for any batching.

Each bet j keeps R_j <- (1 + R_j) e_j, with e_j what it pays on the observation; M = sum w_j R_j. While every e_j has a
conditional mean of at most 1, M_t - t is a supermartingale, so the mean time until M first reaches A is at least A, however
often one looks (Pollak 1985; e-detectors: Shin, Ramdas and Rinaldo 2022).
"""

from collections.abc import Sequence
from math import log

import numpy as np
from msgspec import Struct, field

from waterline.streams.steps.drift_scores import Array, Ints

SIZES = (0.1, 0.2, 0.4, 0.8)
"""Shifts that are bet on, in standard deviations of the score."""
SHORTEST, LONGEST = 100, 1000
DEEPEST = -690.0
"""What a bet has lost within a block, as a logarithm, is no more than this: lower it could not be told from all. It would take a
change in the other direction that was found long before; and to understate a bet never costs a false alarm."""

HIGHEST = 1e300
"""What R is cut at where nobody stops at the alarm."""


def block_of(observations: float) -> int:
    """How long the cells are kept after so many observations: a twentieth of them. A block begins with clean sums."""
    return min(max(int(observations) // 20, SHORTEST), LONGEST)


class Run(Struct):
    """How far a mixture has come. `left`: observations until the block ends. Per bet: `paid`, the logarithm of what it paid
    since the block began; `sums`, R at the block's begin plus the inverse payments since, so that R is exp(paid) sums; `least`,
    the least that `paid` ever was, seen from the block's begin, after which observation (`at`) and `when`. From there on the
    bet has only gained: the change is put there."""

    seen: int = 0
    left: int = 0
    paid: list[float] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    when: list[float] = field(default_factory=list)


def fresh(bets: int, block: int, began: float = 0.0) -> Run:
    return Run(0, block, [0.0] * bets, [0.0] * bets, [0.0] * bets, [0] * bets, [began] * bets)


def signed(sizes: Sequence[float], sides: int) -> Array:
    """Bets of each size: up and down for `sides` 0, else of that sign alone."""
    signs = (1.0, -1.0) if not sides else (float(sides),)
    return np.array([sign * size for sign in signs for size in sizes])


def weights(sizes: Sequence[float], arl0: float, sides: int) -> Array:
    """w_g = N^-c with N = max(A g^2 / 2, 2) and c such that they add up to 1: larger shifts, found soon, cost less of the
    budget. Half to each sign if there are two; in the order of `signed`."""
    logs = [log(max(arl0 * size**2 / 2, 2)) for size in sizes]
    low, high = 0.0, 64.0
    for _ in range(80):
        middle = (low + high) / 2
        if sum(np.exp(-middle * one) for one in logs) > 1:
            low = middle
        else:
            high = middle
    one = np.exp(-low * np.array(logs))
    one /= one.sum()
    return np.tile(one / 2, 2) if not sides else one


class Mixture:
    """The arithmetic of a run within one block; whoever drives it ends the block when nothing is `left` of it."""

    def __init__(self, weight: Array, run: Run) -> None:
        self.weight = weight
        self.seen, self.left = run.seen, run.left
        self.paid, self.sums, self.least = np.array(run.paid), np.array(run.sums), np.array(run.least)
        self.at, self.when = np.array(run.at, dtype=np.int64), np.array(run.when)

    def run(self) -> Run:
        parts = (self.paid, self.sums, self.least, self.at, self.when)
        return Run(self.seen, self.left, *(part.tolist() for part in parts))

    def path(self, table: Array, rows: Ints) -> tuple[Array, Array, Array]:
        """(M after each observation, paid, sums), the latter two (bets, n + 1) with what was before first. Keeps nothing."""
        steps = np.empty((len(self.weight), len(rows) + 1))
        steps[:, 0] = self.paid
        np.take(table, rows, axis=1, out=steps[:, 1:])
        paid = np.add.accumulate(steps, axis=1)
        steps[:, 0] = self.sums
        np.exp(-np.maximum(paid[:, :-1], DEEPEST), out=steps[:, 1:])
        sums = np.add.accumulate(steps, axis=1)
        with np.errstate(over="ignore"):
            rising = np.exp(paid[:, 1:])
            rising *= sums[:, 1:]
            level = np.zeros(len(rows))
            for weight, one in zip(self.weight, rising, strict=True):
                level += weight * one
        return level, paid, sums

    def keep(self, paid: Array, sums: Array, times: Array, used: int) -> None:
        """Takes over the first `used` observations of a `path`."""
        if not used:
            return
        lowest = paid[:, 1 : used + 1].argmin(axis=1)
        value = paid[np.arange(len(paid)), lowest + 1]
        lower = value < self.least
        self.least = np.where(lower, value, self.least)
        self.at = np.where(lower, self.seen + lowest + 1, self.at)
        self.when = np.where(lower, times[lowest], self.when)
        self.paid, self.sums = paid[:, used].copy(), sums[:, used].copy()
        self.seen += used
        self.left -= used

    def end_block(self, next_block: int) -> None:
        self.left = next_block
        with np.errstate(over="ignore"):
            self.sums = np.minimum(np.exp(self.paid) * self.sums, HIGHEST)
        self.least = self.least - self.paid
        self.paid = np.zeros_like(self.paid)

    def leader(self) -> int:
        """The bet that holds most of M."""
        return int(np.argmax(np.log(self.weight * self.sums) + self.paid))
