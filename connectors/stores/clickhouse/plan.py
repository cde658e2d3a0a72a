"""Ranges of offsets and the plan of one, as it stands in the commit metadata. Pure.

A batch is a range of one partition: all offsets from `first` to `last`, whether a record lies at each of them or not
(a topic that is written in transactions or compacted has holes). Ranges follow each other without gap or overlap. The
plan is committed at the unchanged position `first` before anything is inserted, so whoever owns the partition next can
repeat exactly this range, with the same encoder, under the same token.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

PLAN = re.compile(r"plan:(?P<first>\d{1,19})-(?P<last>\d{1,19}):(?P<encoder>[A-Za-z0-9.]{1,32})")

REFILL = "refill"
"""Metadata of positions that a refill has moved back, until it is done."""


class Lane(Struct, frozen=True, order=True, gc=False):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


class Range(Struct, frozen=True, gc=False):
    """Offsets `first` to `last`, both included, and the encoder that makes their rows."""

    first: int
    last: int
    encoder: str

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise ValueError(f"no range: {self.first}-{self.last}")

    @property
    def next(self) -> int:
        """The offset after the range: what is committed when it is done."""
        return self.last + 1

    def split(self, offsets: Sequence[int]) -> tuple["Range", "Range"]:
        """Two ranges that together are this one, each with half of its records, which lie at `offsets` (rising, at least two)."""
        middle = offsets[len(offsets) // 2]
        return Range(self.first, middle - 1, self.encoder), Range(middle, self.last, self.encoder)

    def metadata(self) -> str:
        """The plan, for the commit of `first`."""
        return f"plan:{self.first}-{self.last}:{self.encoder}"

    def token(self, table: str, lane: Lane) -> str:
        """What ClickHouse knows an insert of this range into `table` by."""
        return f"{table}:{lane.topic}:{lane.partition}:{self.first}-{self.last}:{self.encoder}"


class PlanError(Exception):
    """The metadata of a commit is a plan that cannot be followed. The message says what to do."""


def read_plan(offset: int, metadata: str | None) -> Range | None:
    """The open plan at a committed position; None when there is none.

    Raises PlanError when the metadata is a plan for another position or no plan that this version writes: to guess
    would be to insert rows twice. Raises it too where a refill was broken off: what Kafka keeps from there on may be gone.
    """
    if metadata == REFILL:
        raise PlanError("a refill was broken off: stop the sink and run `waterline refill` again")
    if not metadata or not metadata.startswith("plan:"):
        return None
    found = PLAN.fullmatch(metadata)
    if not found or int(found["last"]) < int(found["first"]):
        raise PlanError(f"commit metadata {metadata!r} is no plan; run the version that wrote it, or commit {offset} without it")
    plan = Range(int(found["first"]), int(found["last"]), found["encoder"])
    if plan.first != offset:
        raise PlanError(f"commit metadata {metadata!r} stands at offset {offset}; commit the plan's first offset or none")
    return plan
