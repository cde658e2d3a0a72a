"""Whether a confidence means what it says: Brier score and expected calibration error of labelled decisions (M4).

    Brier score   mean of (confidence - right)^2, right = 1 or 0: 0 is perfect, 0.25 is what always saying 0.5 gets
    ECE           sum over ten bins of  n_bin / n * |share right in the bin - mean confidence in the bin|

G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78 (1950), 1-3;
M. P. Naeini, G. F. Cooper and M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015. The
bins are of equal width: [0, 0.1), [0.1, 0.2), ..., [0.9, 1]. The error of few decisions is large by chance alone, so it
stands beside how many there are.

Confidences count as whole millionths, so that counts add up exactly, whatever the order and the parts.
"""

from collections.abc import Iterable

from msgspec import Struct

from waterline.streams.steps.rates import Rate

BINS = 10
MILLION = 1_000_000


class Bin(Struct, array_like=True):
    """`confidence` is the sum of confidences in millionths, `squares` that of squared errors in millionths of millionths."""

    decisions: int = 0
    right: int = 0
    confidence: int = 0
    squares: int = 0

    @property
    def accuracy(self) -> Rate:
        return Rate(self.right, self.decisions)

    @property
    def mean_confidence(self) -> float | None:
        return self.confidence / (MILLION * self.decisions) if self.decisions else None


class Calibration:
    """Counts of one group. `bins` are in order of confidence and are all there is to store."""

    def __init__(self, bins: Iterable[Bin] | None = None) -> None:
        self.bins = list(bins) if bins is not None else [Bin() for _ in range(BINS)]

    def add(self, confidence: float, right: bool, sign: int = 1) -> None:
        """A labelled decision, or with `sign` -1 one that is taken back. Raises ValueError for what is no confidence."""
        if not 0 <= confidence <= 1:
            raise ValueError(f"{confidence} is no confidence")
        count(self.bins, round(confidence * MILLION), right, sign)

    def merge(self, other: "Calibration") -> None:
        for mine, theirs in zip(self.bins, other.bins, strict=True):
            mine.decisions += theirs.decisions
            mine.right += theirs.right
            mine.confidence += theirs.confidence
            mine.squares += theirs.squares

    @property
    def decisions(self) -> int:
        return sum(one.decisions for one in self.bins)

    @property
    def brier(self) -> float | None:
        """None of nothing."""
        count = self.decisions
        return sum(one.squares for one in self.bins) / (MILLION * MILLION * count) if count else None

    @property
    def error(self) -> float | None:
        """Expected calibration error; None of nothing."""
        count = self.decisions
        off = sum(abs(MILLION * one.right - one.confidence) for one in self.bins)
        return off / (MILLION * count) if count else None


def count(bins: list[Bin], millionths: int, right: bool, sign: int = 1) -> None:
    """As `Calibration.add`, of a confidence in millionths."""
    found = bins[bin_of(millionths)]
    found.decisions += sign
    found.right += sign * right
    found.confidence += sign * millionths
    found.squares += sign * (millionths - MILLION * right) ** 2


def bin_of(millionths: int) -> int:
    return min(millionths * BINS // MILLION, BINS - 1)
