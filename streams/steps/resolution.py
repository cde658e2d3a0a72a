"""End-to-end resolution time in its parts, from the timestamps of a decision's own events.

    handover    the first of: an escalation, an entry into the queue, a review
    agent       the union of the intervals of automated work, as far as they lie before the handover
    queue       from the queue's entry (else the escalation) to the start of the first review; 0 while there is no review
    review      the union of the intervals of human review
    downstream  from the end of the last review, or of the automated work where there is none, to the first outcome
    total       the sum of the four; idle time between pieces of automated work is in none of them

Work and review last from `ts` for their duration; a review for its minutes where it told them. Times are microseconds, and
the result does not depend on the order in which events are added.
"""

from bisect import bisect_left, bisect_right

from waterline.schemas.events import Kind
from waterline.streams.steps.entry import ESCALATED, KIND_BITS, KINDS, RESOLVED, Entry
from waterline.streams.steps.moment import NEVER

WORK = frozenset(
    KINDS.index(kind)
    for kind in (
        Kind.MODEL_CALL,
        Kind.TOOL_CALL,
        Kind.RETRIEVAL,
        Kind.EMBEDDING,
        Kind.GUARDRAIL,
        Kind.STEP,
        Kind.DECISION,
    )
)
_REVIEW = KINDS.index(Kind.REVIEW)
_ESCALATION = KINDS.index(Kind.ESCALATION)


class Union:
    """A union of intervals before a limit that only ever moves down. Adding is constant while times go up."""

    __slots__ = ("ends", "limit", "starts", "total")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.total = 0
        self.limit = NEVER

    def add(self, start: int, end: int) -> None:
        if end > self.limit:
            end = self.limit
        if end <= start:
            return
        ends = self.ends
        if not ends or start > ends[-1]:
            self.starts.append(start)
            ends.append(end)
            self.total += end - start
        elif start >= self.starts[-1]:
            if end > ends[-1]:
                self.total += end - ends[-1]
                ends[-1] = end
        else:
            self._insert(start, end)

    def _insert(self, start: int, end: int) -> None:
        first = bisect_left(self.ends, start)
        stop = bisect_right(self.starts, end)
        if first < stop:
            start, end = min(start, self.starts[first]), max(end, self.ends[stop - 1])
        held = sum(self.ends[i] - self.starts[i] for i in range(first, stop))
        self.starts[first:stop] = [start]
        self.ends[first:stop] = [end]
        self.total += end - start - held

    def cut(self, limit: int) -> None:
        """Nothing from `limit` on counts any more."""
        if limit >= self.limit:
            return
        self.limit = limit
        while self.ends and self.ends[-1] > limit:
            start, end = self.starts.pop(), self.ends.pop()
            self.total -= end - start
            if start < limit:
                self.starts.append(start)
                self.ends.append(limit)
                self.total += limit - start


class Resolution:
    """The parts so far, as properties in milliseconds."""

    __slots__ = ("escalated_at", "outcome_at", "queued_at", "review", "review_end", "review_start", "work", "work_end")

    def __init__(self) -> None:
        self.work, self.review = Union(), Union()
        self.escalated_at = self.queued_at = self.review_start = self.outcome_at = NEVER
        self.review_end = self.work_end = 0

    def add(self, entry: Entry) -> None:
        flags = entry.flags
        kind = flags & KIND_BITS
        if kind in WORK:
            self.work.add(entry.ts, entry.end)
            if entry.end > self.work_end:
                self.work_end = entry.end
        elif kind == _REVIEW:
            self.review.add(entry.ts, entry.end)
            self.review_start = min(self.review_start, entry.ts)
            self.review_end = max(self.review_end, entry.end)
            self.work.cut(entry.ts)
        if flags & ESCALATED:
            at = entry.ts if kind == _ESCALATION else entry.end
            self.escalated_at = min(self.escalated_at, at)
            self.work.cut(at)
        if entry.queue:
            self.queued_at = min(self.queued_at, entry.queue)
            self.work.cut(entry.queue)
        if flags & RESOLVED:
            self.outcome_at = min(self.outcome_at, entry.ts)

    def parts(self) -> tuple[float, float, float, float]:
        """agent, queue, review, downstream in milliseconds."""
        queued = self.queued_at if self.queued_at != NEVER else self.escalated_at
        queue = max(0, self.review_start - queued) if self.review_start != NEVER and queued != NEVER else 0
        last = self.review_end or self.work_end
        downstream = max(0, self.outcome_at - last) if last and self.outcome_at != NEVER else 0
        return self.work.total / 1000, queue / 1000, self.review.total / 1000, downstream / 1000
