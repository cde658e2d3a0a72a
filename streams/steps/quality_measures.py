"""What is told of a group's decisions of a day (M2, M4, M6), and how it is drawn from counts.

The bands are those of the override rate (rates.py): whether humans change what is proposed. The escalation rate, whether it is
handed to them, has none.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from math import ceil

from msgspec import Struct

from waterline.schemas.facts import QualityFact
from waterline.streams.steps.calibration import MILLION
from waterline.streams.steps.quality_counts import CODES, CORRECT, ESCALATED, JUDGED, LABELLED, OVERTURNED, Counts
from waterline.streams.steps.rates import Rate, band
from waterline.streams.steps.sketch import value_of

AT_LEAST = 20
"""samples under which a measure is `insufficient`"""
QUANTILES = (0.5, 0.95, 0.99)

Figures = tuple[int, ...]
"""samples, then what a measure says, as whole numbers: what is equal is no news"""
Draw = Callable[[Counts], Figures]
Holds = Callable[[int], object]
"""Whether a decision of this code is one."""


class Unit(StrEnum):
    RATIO = "ratio"
    MS = "ms"
    SCORE = "score"


class Measure(Struct, frozen=True):
    """`of` says what its samples are. `scale` is what a score's figure is divided by for each of them."""

    name: str
    meaning: str
    unit: Unit
    of: str
    draw: Draw
    scale: int = 1
    banded: bool = False


def share(whole: Holds, part: Holds) -> Draw:
    every = sum(1 << code for code in range(CODES) if whole(code))
    some = sum(1 << code for code in range(CODES) if whole(code) and part(code))
    return lambda counts: counts.share(every, some)


def ranked(sketch: Mapping[int, int]) -> Figures:
    """How many samples there are, and the bucket at rank ceil(q n) for each q of `QUANTILES`."""
    total = sum(sketch.values())
    ranks, found, seen = [ceil(q * total) for q in QUANTILES], list[int](), 0
    for bucket in sorted(sketch):
        seen += sketch[bucket]
        while len(found) < len(ranks) and ranks[len(found)] <= seen:
            found.append(bucket)
    return total, *(found if total else ())


def _labels(counts: Counts) -> tuple[int, int]:
    return sum(one.decisions for one in counts.bins), sum(one.right for one in counts.bins)


def _brier(counts: Counts) -> Figures:
    return *_labels(counts), sum(one.squares for one in counts.bins)


def _error(counts: Counts) -> Figures:
    return *_labels(counts), sum(abs(MILLION * one.right - one.confidence) for one in counts.bins)


def _known_alone(code: int) -> bool:
    return not code & ESCALATED and bool(code & (LABELLED | OVERTURNED))


def _wrong(code: int) -> bool:
    return bool(code & OVERTURNED) or bool(code & LABELLED and not code & CORRECT)


def _reviewed_escalation(code: int) -> bool:
    return bool(code & ESCALATED and code & JUDGED)


_CONFIDENT = "labels with a confidence"

MEASURES: tuple[Measure, ...] = (
    Measure(
        "accuracy",
        "right decisions / decisions whose outcome is right or wrong",
        Unit.RATIO,
        "labels",
        share(lambda code: code & LABELLED, lambda code: code & CORRECT),
    ),
    Measure(
        "escalation_rate",
        "escalated decisions / decisions",
        Unit.RATIO,
        "decisions",
        share(lambda code: True, lambda code: code & ESCALATED),
    ),
    Measure(
        "override_rate",
        "decisions whose proposal a human changed / decisions with a verdict",
        Unit.RATIO,
        "reviews",
        share(lambda code: code & JUDGED, lambda code: code & OVERTURNED),
        banded=True,
    ),
    Measure(
        "escalation_precision",
        "of the escalated decisions with a verdict, those that a human changed",
        Unit.RATIO,
        "reviews of escalations",
        share(_reviewed_escalation, lambda code: code & OVERTURNED),
    ),
    Measure(
        "missed_escalations",
        "of the decisions that were not escalated and of which it is known, those that were found wrong",
        Unit.RATIO,
        "known decisions without an escalation",
        share(_known_alone, _wrong),
    ),
    Measure(
        "time_to_human",
        "of escalated decisions: from the queue's entry, else the escalation, to the first review",
        Unit.MS,
        "reviewed escalations",
        lambda counts: ranked(counts.waited),
    ),
    Measure(
        "brier_score",
        "mean of (confidence - right)^2; `part` of the samples are right",
        Unit.SCORE,
        _CONFIDENT,
        _brier,
        MILLION * MILLION,
    ),
    Measure(
        "calibration_error",
        "expected calibration error in ten bins of confidence; `part` of the samples are right",
        Unit.SCORE,
        _CONFIDENT,
        _error,
        MILLION,
    ),
    Measure(
        "resolution_ms",
        "agent, queue, review and downstream together, of decisions that have an outcome or do not wait for a human",
        Unit.MS,
        "resolved decisions",
        lambda counts: ranked(counts.took),
    ),
)


def fill(fact: QualityFact, measure: Measure, figures: Figures) -> None:
    """Says `figures` in `fact`."""
    samples, *told = figures
    fact.samples = samples = max(samples, 0)
    if measure.unit is Unit.RATIO:
        say_rate(fact, Rate(told[0], samples))
        if measure.banded:
            fact.band = band(Rate(told[0], samples), AT_LEAST).value
    elif measure.unit is Unit.SCORE:
        fact.part, fact.value = told[0], told[1] / (measure.scale * samples) if samples else None
    elif samples:
        fact.p50, fact.p95, fact.p99 = (value_of(bucket) for bucket in told)
    say_enough(fact, measure.of)


def say_rate(fact: QualityFact, rate: Rate) -> None:
    """What is taken back of a day that was let go leaves less than nothing there; nothing is what is known of it then."""
    whole = max(rate.whole, 0)
    rate = Rate(min(max(rate.part, 0), whole), whole)
    fact.samples, fact.part, fact.value = rate.whole, rate.part, rate.value
    if (interval := rate.interval) is not None:
        fact.low, fact.high = interval.low, interval.high


def say_enough(fact: QualityFact, of: str) -> None:
    if fact.samples < AT_LEAST:
        fact.state, fact.reason = "insufficient", f"{fact.samples} {of}, {AT_LEAST} are needed"
