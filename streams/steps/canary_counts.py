"""What the decisions of one side of a canary come to. Everything is a sum, so that a decision can be taken back, and the order in
which decisions come does not matter."""

from typing import TypeVar
from zlib import crc32

from msgspec import Struct

from waterline.schemas.events import Outcome
from waterline.schemas.facts import Standing
from waterline.streams.steps.canary_evidence import Mean, Share
from waterline.streams.steps.entry import nano
from waterline.streams.steps.sketch import Sketch, bucket_of

CLASSES, OTHERS = 200, 16
"""Classes of output that are told apart, and names that all further ones share."""
MOST = 10**13
"""Nano-dollars; a decision that cost more counts as that."""
_LOW = 60
K = TypeVar("K", int, str)


class Sums(Struct, array_like=True):
    """Decisions, and how many of them: were handed to a human, had a call of a tool that failed, are labelled, and as wrong,
    have a known cost (nano-dollars; the sum of squares is over * 2^60 + under). `millis` is a sketch of the agent's own time,
    `classes` counts outputs."""

    decisions: int = 0
    escalated: int = 0
    failed: int = 0
    labelled: int = 0
    wrong: int = 0
    priced: int = 0
    nanos: int = 0
    over: int = 0
    under: int = 0
    millis: Sketch = {}
    classes: dict[str, int] = {}

    @classmethod
    def none(cls) -> "Sums":
        return cls(millis={}, classes={})

    def count(self, standing: Standing, sign: int) -> None:
        """Take in a decision (1), or take it back (-1)."""
        told = standing.contribution
        self.decisions += sign
        if told.escalated:
            self.escalated += sign
        if standing.tool_errors:
            self.failed += sign
        if told.outcome is Outcome.CORRECT or told.outcome is Outcome.INCORRECT:
            self.labelled += sign
            if told.outcome is Outcome.INCORRECT:
                self.wrong += sign
        if not standing.unpriced and told.automated_cost is not None and (nanos := nano(told.automated_cost)) is not None:
            nanos = min(nanos, MOST)
            self.priced += sign
            self.nanos += sign * nanos
            self._square(0, sign * nanos * nanos)
        if standing.agent_ms > 0:
            _add(self.millis, bucket_of(standing.agent_ms), sign)
        _add(self.classes, self._class(standing.output_class), sign)

    def _square(self, over: int, under: int) -> None:
        under += self.under
        self.over += over + (under >> _LOW)
        self.under = under & (1 << _LOW) - 1

    def _class(self, name: str) -> str:
        if name in self.classes or len(self.classes) < CLASSES or name.startswith("(other "):
            return name
        return f"(other {crc32(name.encode()) % OTHERS})"

    def merge(self, other: "Sums") -> None:
        self.decisions += other.decisions
        self.escalated += other.escalated
        self.failed += other.failed
        self.labelled += other.labelled
        self.wrong += other.wrong
        self.priced += other.priced
        self.nanos += other.nanos
        self._square(other.over, other.under)
        for bucket, count in other.millis.items():
            _add(self.millis, bucket, count)
        for name, count in other.classes.items():
            _add(self.classes, self._class(name), count)

    @property
    def wrongs(self) -> Share:
        return Share(self.wrong, self.labelled)

    @property
    def escalations(self) -> Share:
        return Share(self.escalated, self.decisions)

    @property
    def failures(self) -> Share:
        return Share(self.failed, self.decisions)

    @property
    def costs(self) -> Mean:
        """USD."""
        if not self.priced:
            return Mean(0, 0.0, 0.0)
        spread = ((self.over << _LOW) + self.under) * self.priced - self.nanos**2
        variance = spread / (self.priced * max(self.priced - 1, 1)) / 1e18
        return Mean(self.priced, self.nanos / self.priced / 1e9, variance)


def _add(counts: dict[K, int], key: K, count: int) -> None:
    counts[key] = counts.get(key, 0) + count
