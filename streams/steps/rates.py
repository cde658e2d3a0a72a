"""Rates, how far to trust them, and the bands of human override (M4).

    interval     Wilson's score interval: (p + z^2/2n  +-  z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), p = part / whole
    difference   of two rates: Newcombe's hybrid score interval, from the two intervals above

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212; chosen over the
normal interval as L. D. Brown, T. T. Cai and A. DasGupta advise, "Interval estimation for a binomial proportion", Statistical
Science 16 (2001), 101-133. R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics
in Medicine 17 (1998), 873-890, method 10.

Both take the counted things as independent; of decisions that come in bursts of the same kind they are too narrow.
"""

from enum import StrEnum
from math import hypot, sqrt

from msgspec import Struct

Z = 1.959963984540054
"""The normal quantile of 97.5 %: intervals are two-sided, 95 %."""


class Interval(Struct, frozen=True, array_like=True):
    low: float
    high: float


class Rate(Struct, frozen=True, array_like=True):
    """`part` of `whole`. Rates of disjoint things add up."""

    part: int = 0
    whole: int = 0

    def __add__(self, other: "Rate") -> "Rate":
        return Rate(self.part + other.part, self.whole + other.whole)

    @property
    def value(self) -> float | None:
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> Interval | None:
        """95 %; None of nothing."""
        return wilson(self.part, self.whole)


def wilson(part: int, whole: int, z: float = Z) -> Interval | None:
    """Wilson's interval of `part / whole` at the normal quantile `z`; None of nothing. Raises ValueError for what is no rate."""
    if not 0 <= part <= whole:
        raise ValueError(f"{part} of {whole} is no rate")
    if not whole:
        return None
    p, spread = part / whole, z * z / whole
    middle = (p + spread / 2) / (1 + spread)
    half = z * sqrt(p * (1 - p) / whole + spread / (4 * whole)) / (1 + spread)
    return Interval(
        max(0.0, middle - half) if part else 0.0,
        min(1.0, middle + half) if part < whole else 1.0,
    )


def difference(after: Rate, before: Rate) -> Interval | None:
    """95 % interval of `after.value - before.value`; None where one of them is a rate of nothing. A difference whose interval
    holds 0 is none that was shown."""
    new, old = after.interval, before.interval
    if new is None or old is None:
        return None
    p, q = after.part / after.whole, before.part / before.whole
    return Interval(p - q - hypot(p - new.low, old.high - q), p - q + hypot(new.high - p, q - old.low))


class Band(StrEnum):
    """What a share of overridden reviews asks for: nothing, a look, new escalation logic, other criteria."""

    INSUFFICIENT = "insufficient"
    CALIBRATED = "calibrated"
    WATCH = "watch"
    RETRAIN = "retrain"
    RETHINK = "rethink"


def band(overridden: Rate, at_least: int = 1) -> Band:
    """Under 15 % calibrated, to 25 % watch, over 25 % retrain, from 40 % rethink; of fewer than `at_least` reviews insufficient.
    Compared as whole numbers, so that 25 of 100 is exactly 25 %."""
    part, whole = 100 * overridden.part, overridden.whole
    if whole < max(at_least, 1):
        return Band.INSUFFICIENT
    if part >= 40 * whole:
        return Band.RETHINK
    if part > 25 * whole:
        return Band.RETRAIN
    return Band.WATCH if part >= 15 * whole else Band.CALIBRATED
