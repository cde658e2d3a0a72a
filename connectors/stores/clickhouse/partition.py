"""One partition's life: records are collected, a batch is cut, planned, written, committed, and cut again. Pure but for the
window it hands on; the loop (sink.py) does what it asks for.

One range is under way at a time, while the next one is being collected.
"""

from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from itertools import islice

from msgspec import Struct

from waterline.connectors.stores.clickhouse.batch import Form, Position, Record, cut
from waterline.connectors.stores.clickhouse.ledger import Held
from waterline.connectors.stores.clickhouse.plan import Lane, Range
from waterline.connectors.stores.clickhouse.window import Window
from waterline.connectors.stores.clickhouse.write import Job

RETRY_FIRST_S, RETRY_MOST_S = 0.1, 5.0


class Limits(Struct, frozen=True):
    """Where a batch ends. A range without rows (ticks, holes) may wait for `idle_s`."""

    rows: int
    size: int
    linger_s: float
    idle_s: float = 10.0
    days: int = 60


class Phase(Enum):
    OPENING = auto()
    """The window is being read; records are collected meanwhile."""
    COLLECTING = auto()
    PLANNING = auto()
    """A batch is cut; its plan is to be committed, again at `retry_at` when writing it failed."""
    WRITING = auto()
    """A thread has the batch."""
    HALTED = auto()
    """Only a person can go on; `reason` tells how."""


class Partition:
    def __init__(
        self,
        lane: Lane,
        form: Form,
        limits: Limits,
        encoder: str,
        start: int,
        committed: int | None,
        plan: Range | None = None,
    ) -> None:
        self.lane = lane
        self.form = form
        self.limits = limits
        self.encoder = encoder
        self.committed = committed
        self.asked = committed
        self.phase = Phase.OPENING
        self.reason = ""
        self.retry_at = 0.0
        self.failures = 0
        self.job: Job | None = None
        self.window: Window | None = None
        self.present: frozenset[Position] = frozenset()
        self.present_to = -1
        self.finished: int | None = None
        self.busy = False
        self.paused = False
        self.lost = False
        self.generation = 0
        self.restart(start, plan)

    def restart(self, start: int, plan: Range | None = None) -> None:
        """Begin anew at `start`; what was collected is dropped, and so is what an opening or a write under way finds.
        Kafka must be read from there, and the window filled."""
        self.phase = Phase.OPENING
        self._drop()
        self.first = self.covered = start
        self.forced = [plan] if plan else []
        self.split = False
        self.resume_at: int | None = None
        self.pending: deque[Record] = deque()
        self.rows = self.size = 0
        self.since: float | None = None

    def _drop(self) -> None:
        self.generation += 1
        self.job = None
        self.finished = None

    def opened(self, window: Window | None, present: frozenset[Position]) -> None:
        if self.phase is not Phase.OPENING:
            return
        self.window = window
        self._found(present)
        self.phase = Phase.COLLECTING
        self.recovered()

    def _found(self, present: frozenset[Position]) -> None:
        """These rows lie in the table already. They may be millions: the highest offset is looked for once."""
        self.present = present
        self.present_to = max((offset for offset, _ in present), default=-1)

    def halt(self, reason: str) -> None:
        """For good. A range under way is dropped: its plan stays open, so whoever goes on repeats it."""
        self.phase, self.reason = Phase.HALTED, reason
        self._drop()

    # collecting

    def wants(self, offset: int) -> bool:
        """False for what came before and for a partition that only a person can set going."""
        return offset >= self.covered and self.phase is not Phase.HALTED

    def take(self, record: Record, now: float) -> None:
        self.pending.append(record)
        self.rows += len(record.rows) + len(record.bad)
        self.size += record.size
        self.reached(record.offset + 1, now)

    def reached(self, offset: int, now: float) -> None:
        """Everything before `offset` was read, whether records lay there or not."""
        if offset > self.covered:
            self.covered = offset
            if self.since is None:
                self.since = now

    def full(self) -> bool:
        """Whether collecting more would only cost memory."""
        return not self.incomplete and (self.rows >= self.limits.rows or self.size >= self.limits.size)

    @property
    def incomplete(self) -> bool:
        """Whether a range that is already decided still has to be read to its end."""
        return bool(self.forced) and self.forced[0].last >= self.covered

    def due(self, now: float, press: bool = False) -> bool:
        """Whether the next range can be cut; `press`: as soon as there is anything."""
        if self.phase is not Phase.COLLECTING or self.covered == self.first:
            return False
        if self.forced:
            return not self.incomplete
        if press or self.full() or self.resume_at is not None:
            return True
        linger = self.limits.linger_s if self.rows else self.limits.idle_s
        return self.since is not None and now - self.since >= linger

    def start(self, held: Held, now: float) -> Job:
        """Cut the next range off what is pending. Its plan is to be committed before it is written."""
        planned = self.forced.pop(0) if self.forced else self._cut()
        records: list[Record] = []
        while self.pending and self.pending[0].offset <= planned.last:
            records.append(self.pending.popleft())
        self._count(records, -1)
        self.first = planned.next
        self.since = now if self.covered > self.first else None
        self.job = Job(self.lane, self.form, planned, records, self.window, self.present, held, self.split)
        self.split = self.split and bool(self.forced)
        self.phase = Phase.PLANNING
        return self.job

    def _cut(self) -> Range:
        count = cut(self.pending, self.limits.rows, self.limits.size, self.limits.days)
        whole = count == len(self.pending)
        last = self.covered - 1 if whole else next(islice(self.pending, count, None)).offset - 1
        return Range(self.first, last, self.encoder)

    def _count(self, records: Iterable[Record], sign: int) -> None:
        for record in records:
            self.rows += sign * (len(record.rows) + len(record.bad))
            self.size += sign * record.size

    # what became of the range under way

    def written(self) -> None:
        """It is in the store; its end is to be committed."""
        if not self.job:
            return
        self.finished = self.job.planned.next
        self.job = None
        if self.present and self.first > self.present_to:
            self._found(frozenset())
        self.phase = Phase.COLLECTING
        self.recovered()

    def halved(self) -> None:
        """It was refused as data: its halves are next, each under a plan of its own. What an attempt of unknown outcome
        was found to have left in the table is there for them too."""
        if not self.job:
            return
        records, planned = self.job.records, self.job.planned
        if self.job.present is not self.present:
            self._found(self.present | self.job.present)
        left, right = planned.split([record.offset for record in records])
        self.forced[:0] = [left, right]
        self.split = True
        self.pending.extendleft(reversed(records))
        self._count(records, 1)
        self.first = planned.first
        self.job = None
        self.phase = Phase.COLLECTING
        self.recovered()

    def failed(self, reason: str, now: float, phase: Phase) -> None:
        """Try again in a while, from `phase` on (COLLECTING: the commit of a finished range)."""
        if self.phase is Phase.HALTED:
            return
        self.failures += 1
        self.reason = reason
        self.retry_at = now + min(RETRY_MOST_S, RETRY_FIRST_S * 2 ** min(self.failures - 1, 16))
        self.phase = phase

    def recovered(self) -> None:
        if self.phase is Phase.HALTED:
            return
        self.failures, self.retry_at, self.reason = 0, 0.0, ""

    @property
    def held_bytes(self) -> int:
        """Bytes of records in memory."""
        return self.size + (self.job.size if self.job else 0)
