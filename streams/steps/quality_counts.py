"""What is counted of a group's decisions of a day: whole numbers alone, so that what is told depends on the decisions, not on
the order in which they came, and counts of a decision can be taken back."""

from collections.abc import Iterable

from msgspec import Struct

from waterline.schemas.events import Outcome
from waterline.schemas.facts import Standing
from waterline.streams.steps.calibration import MILLION, Bin, Calibration, count
from waterline.streams.steps.sketch import Sketch, bucket_of, merge

ESCALATED, JUDGED, OVERTURNED, REVIEWED, LABELLED, CORRECT, RESOLVED = (1 << n for n in range(7))
"""What a decision is, as bits of its code. JUDGED: a reviewer said what became of the proposal; REVIEWED: one was at it;
LABELLED: its outcome is right or wrong; RESOLVED: it has an outcome, or does not wait for a human."""
CODES = 1 << 7

Footprint = tuple[int | None, int | None, int | None, tuple[int, bool] | None]
"""A decision as it is counted: its code, the buckets of its resolution time and of its wait for a human, and its confidence in
millionths with whether it was right."""
_NOTHING: Footprint = (None, None, None, None)


def code_of(standing: Standing) -> int:
    told = standing.contribution
    outcome = told.outcome
    code = ESCALATED if told.escalated else 0
    if standing.judged:
        code |= JUDGED
    if told.overturned:
        code |= OVERTURNED
    if told.reviewed:
        code |= REVIEWED
    if outcome is Outcome.CORRECT:
        code |= LABELLED | CORRECT
    elif outcome is Outcome.INCORRECT:
        code |= LABELLED
    if outcome or told.reviewed or not told.escalated:
        code |= RESOLVED
    return code


def footprint(standing: Standing) -> Footprint:
    code = code_of(standing)
    took = bucket_of(standing.resolution_ms) if code & RESOLVED else None
    waited = bucket_of(standing.queue_ms) if code & ESCALATED and code & REVIEWED else None
    sure = None
    if code & LABELLED and standing.confidence is not None:
        sure = round(standing.confidence * MILLION), bool(code & CORRECT)
    return code, took, waited, sure


class Counts(Struct, array_like=True):
    """`codes` are how many decisions there are of each code, `took` their resolution times, `waited` how long escalated ones lay
    before a human was at them, in milliseconds; `bins` are those of `Calibration`, empty while none told a confidence."""

    codes: dict[int, int] = {}
    took: Sketch = {}
    waited: Sketch = {}
    bins: list[Bin] = []

    @staticmethod
    def none() -> "Counts":
        return Counts(codes={}, took={}, waited={}, bins=[])

    @staticmethod
    def sum(parts: Iterable["Counts"]) -> "Counts":
        """New ones, unless there is but one part."""
        first, *others = parts
        if not others:
            return first
        total, calibration = Counts.none(), Calibration()
        for part in (first, *others):
            merge(total.codes, part.codes)
            merge(total.took, part.took)
            merge(total.waited, part.waited)
            if part.bins:
                calibration.merge(Calibration(part.bins))
        total.bins = calibration.bins
        return total

    def move(self, before: Footprint | None, now: Footprint | None) -> None:
        """A decision that was counted as `before` is `now`; None is nothing."""
        old, new = before or _NOTHING, now or _NOTHING
        if old == new:
            return
        for counts, was, becomes in ((self.codes, old[0], new[0]), (self.took, old[1], new[1]), (self.waited, old[2], new[2])):
            if was != becomes:
                if was is not None:
                    _count(counts, was, -1)
                if becomes is not None:
                    _count(counts, becomes, 1)
        if old[3] != new[3]:
            if not self.bins:
                self.bins = Calibration().bins
            for sure, sign in ((old[3], -1), (new[3], 1)):
                if sure is not None:
                    count(self.bins, *sure, sign)

    def share(self, whole: int, part: int) -> tuple[int, int]:
        """How many decisions are of the codes in `whole`, and how many of these in `part`; both are sets as bits."""
        found = [(code, count) for code, count in self.codes.items() if whole >> code & 1]
        return sum(count for _, count in found), sum(count for code, count in found if part >> code & 1)

    @property
    def decisions(self) -> int:
        return sum(self.codes.values())


def _count(counts: dict[int, int], key: int, sign: int) -> None:
    number = counts.get(key, 0) + sign
    if number:
        counts[key] = number
    else:
        del counts[key]
