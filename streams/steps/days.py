"""What the decisions and calls of an agent look like on one day: a distribution for each thing that can drift.

Calls count on the day in which they ended (to the minute), decisions on that of their start. What a later revision of a decision
takes back is taken back exactly. Numbers are kept as sketches (sketch.py); of names the first `CATEGORIES` a day, what comes
beyond counts as `OTHER`, so that only a day with more names than that depends on the order in which they came.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from msgspec import Struct

from waterline.schemas.events import Kind
from waterline.schemas.facts import Standing
from waterline.streams.steps.sketch import bucket_of

CATEGORIES = 64
OTHER, NONE = "(other)", "(none)"
OF_CALLS = {Kind.TOOL_CALL: "tools", Kind.MODEL_CALL: "models"}
NAMES = ("tools", "models", "output_class", "escalation_reason")
NUMBERS = ("confidence", "steps", "tokens", "agent_ms", "resolution_ms")
ABOUT = (*NAMES, *NUMBERS)
Names = dict[str, int]
Counts = Mapping[str | int, int]
Place = tuple[str, int]
"""artifact, day since 1970"""


class AgentKey(Struct, frozen=True, order=True):
    tenant: str
    agent: str
    replay: bool


class Told(Struct, array_like=True, frozen=True):
    """What was said last of one distribution; `revision` counts up with each word. `sequential` and `since`: what
    day_evidence.py says, and the day since when; nothing while the day is not over."""

    revision: int = 0
    baseline: str = ""
    pinned: bool = False
    before: int = 0
    now: int = 0
    psi: float = 0.0
    wasserstein: float = 0.0
    sequential: str = ""
    since: int | None = None


class Day(Struct, array_like=True, tag="day"):
    """One artifact on one day. `news`: what changed since it was told; None = nothing did. `left`: it is over, and kept on disk
    only."""

    key: AgentKey
    artifact: str
    number: int
    names: dict[str, Names]
    sketches: dict[str, dict[int, int]]
    told: dict[str, Told]
    news: list[str] | None = None
    left: bool = False

    @property
    def place(self) -> Place:
        return self.artifact, self.number

    @property
    def untested(self) -> list[str]:
        return [about for about, told in self.told.items() if not told.sequential]

    def distribution(self, about: str) -> Counts:
        """What is taken back of an artifact that was forgotten meanwhile leaves less than nothing, and is left out."""
        counts = cast("Counts", self.names.get(about, {}) if about in NAMES else self.sketches.get(about, {}))
        if min(counts.values(), default=0) >= 0:
            return counts
        return {name: count for name, count in counts.items() if count > 0}

    def name(self, about: str, name: str, count: int) -> None:
        """Counts, or with a negative count takes back."""
        if (known := self.names.get(about)) is None:
            known = self.names[about] = {}
        if name not in known and len(known) >= CATEGORIES:
            name = OTHER
        total = known[name] = known.get(name, 0) + count
        if not total and len(known) < CATEGORIES:
            del known[name]

    def number_of(self, about: str, value: float, sign: int) -> None:
        if (sketch := self.sketches.get(about)) is None:
            sketch = self.sketches[about] = {}
        bucket = bucket_of(value)
        if total := sketch.get(bucket, 0) + sign:
            sketch[bucket] = total
        else:
            del sketch[bucket]

    def replace(self, before: Standing | None, now: Standing | None) -> list[str]:
        """A decision is `now` what it was `before`: takes back, counts, and tells which distributions that changed."""
        changed = []
        for about, old, new in zip(OF_DECISIONS, _said(before), _said(now), strict=True):
            if old != new:
                changed.append(about)
                count = self.name if about in NAMES else self.number_of
                if old is not None:
                    count(about, old, -1)
                if new is not None:
                    count(about, new, 1)
        return changed


OF_DECISIONS = ("output_class", "escalation_reason", *NUMBERS)
_NOTHING = (None,) * len(OF_DECISIONS)


def _said(standing: Standing | None) -> tuple[Any, ...]:
    """What a decision says for each of `OF_DECISIONS`; None where it says nothing."""
    if standing is None:
        return _NOTHING
    return (
        standing.output_class or None,
        (standing.escalation_reason or NONE) if standing.contribution.escalated else None,
        standing.confidence,
        standing.steps,
        standing.tokens,
        standing.agent_ms,
        standing.resolution_ms,
    )


def added(distributions: Iterable[Counts]) -> dict[str | int, int]:
    total: dict[str | int, int] = {}
    for one in distributions:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total
