"""How reliable a chain of steps is (M10): a chain holds when every step does, so its reliability is the product.

    chain        R = p_1 p_2 ... p_n: Lusser's law, for steps that fail independently; 0.98 over ten steps is 0.817
    validator    one that catches the share c of a step's errors lifts it to 1 - (1 - p)(1 - c); with c = 0.9, 0.980 over ten

R. Lusser, "Reliability through safety margins", US Army Ordnance Missile Command, 1958. Where steps fail together, the product
is not what happens: hold it against the share of chains in which no step failed.
"""

from collections.abc import Iterable, Sequence
from math import prod
from statistics import NormalDist

from waterline.streams.steps.rates import Interval, Rate, wilson


def chain(steps: Iterable[float]) -> float:
    """Reliability of a chain whose steps succeed with these probabilities; 1 without steps."""
    return prod(map(_probability, steps), start=1.0)


def validated(step: float, catches: float) -> float:
    """Reliability of a step behind a validator that catches the share `catches` of its errors, each of which is then mended."""
    return 1 - (1 - _probability(step)) * (1 - _probability(catches))


def chain_interval(steps: Sequence[Rate]) -> Interval | None:
    """Bounds of the product that hold with at least 95 %, as far as Wilson's do: those of each step at a level of 5 % / n, so
    that all hold at once (Bonferroni). None while a step was never run."""
    z = NormalDist().inv_cdf(1 - 0.025 / max(len(steps), 1))
    bounds = [wilson(step.part, step.whole, z) for step in steps]
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(steps):
        return None
    return Interval(chain(bound.low for bound in known), chain(bound.high for bound in known))


def _probability(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is no probability")
    return value
