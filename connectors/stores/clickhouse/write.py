"""Writing one planned range: rows, ledger, dead letters, in this order and each so that doing it again does nothing.

Runs in a thread. What was done of a job is noted in it, so a later attempt goes on where the last one stopped.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct

from waterline.connectors.stores.clickhouse import ledger, letters
from waterline.connectors.stores.clickhouse.batch import Body, Form, Position, Record, build, original
from waterline.connectors.stores.clickhouse.plan import Lane, Range
from waterline.connectors.stores.clickhouse.window import Window
from waterline.schemas.dead_letter import DeadLetter
from waterline.schemas.errors import ErrorCode, Permanent, Transient
from waterline.schemas.faults import Guard, Point, crash, without


class Store(Protocol):
    """ClickHouse, as far as writing needs it. All raise Transient for everything that may pass."""

    def insert(self, table: str, columns: Sequence[str], data: bytes, token: str, deadline_s: float) -> None:
        """JSON lines as one block under a token. Raises Permanent when they are refused as data; then none is in."""

    def insert_quickly(self, form: Form, data: bytes, token: str, deadline_s: float) -> None:
        """As `insert`, for a body that is `quick`."""

    def trial(self, table: str, columns: Sequence[str], data: bytes, deadline_s: float) -> None:
        """Whether the lines would be taken: raises Permanent as `insert` would, and stores nothing."""

    def positions(self, form: Form, lane: Lane, first: int, last: int | None) -> frozenset[Position]:
        """Where stored rows lie whose offset is `first` to `last`."""


class Grave(Protocol):
    def bury(self, letters: Sequence[DeadLetter], deadline_s: float, wait: bool = True) -> None:
        """Returns when all are delivered. Raises Transient."""


class Job(Struct, gc=False):
    """A range under way. `split`: it is a half of a refused batch. `planned_at`: when (time.monotonic) the commit of its
    plan last proved that the partition is ours. What follows is progress; `verdicts`: why trials refused a row (None: taken)."""

    lane: Lane
    form: Form
    planned: Range
    records: list[Record]
    window: Window | None
    present: frozenset[Position]
    held: ledger.Held
    split: bool = False
    planned_at: float = 0.0

    body: Body | None = None
    letters: list[DeadLetter] | None = None
    unsure: bool = False
    verdicts: dict[bytes, str | None] = {}
    inserted: bool = False
    listed: bool = False

    @property
    def size(self) -> int:
        return sum(record.size for record in self.records)


class Done(Struct, gc=False):
    """The range is in the store and its dead letters are in Kafka."""

    rows: int
    copies: int
    buried: int
    seconds: float


class Refused(Struct, gc=False):
    """ClickHouse does not take the batch as data, and it holds more than one record: split it."""

    reason: str


class Later(Struct, gc=False):
    """Something that may pass: write the same job again."""

    reason: str


Outcome = Done | Refused | Later


class Writer:
    """Begins no step (rows, a trial, ledger, letters) later than half of the session after the plan's commit, and gives it
    less than the other half: a process that stood still begins nothing when the partition may be another's. What it had
    begun before is harmless by its token or its letters' ids alone."""

    def __init__(self, store: Store, grave: Grave, session_s: float) -> None:
        self._store = store
        self._grave = grave
        self._send_within_s = 0.5 * session_s
        self.deadline_s = 0.45 * session_s

    def write(self, job: Job) -> Outcome:
        """Never raises."""
        begin = time.monotonic()
        try:
            refusal = self._rows(job)
            if refusal is not None:
                return Refused(refusal)
            crash(Point.AFTER_INSERT)
            body, buried = self._ledger(job)
            crash(Point.AFTER_LEDGER)
            if job.letters:
                self._check(job)
                self._grave.bury(job.letters, self.deadline_s, wait=not without(Guard.FLUSH))
            crash(Point.AFTER_LETTERS)
        except Transient as error:
            return Later(str(error))
        except Exception as error:
            return Later(f"{ErrorCode.BUG}: {type(error).__name__}: {error}")
        if job.window is not None:
            job.window.add(body.keys)
        return Done(body.rows, len(body.copied), buried, time.monotonic() - begin)

    def _check(self, job: Job) -> None:
        if time.monotonic() - job.planned_at > self._send_within_s and not without(Guard.DEADLINE):
            raise Transient(ErrorCode.KAFKA_UNAVAILABLE, "the plan was committed too long ago; committing it again")

    def _rows(self, job: Job) -> str | None:
        """Insert what is not yet in. Answers the reason when the range is to be split."""
        if job.inserted:
            return None
        if job.unsure and not without(Guard.PRESENCE):
            job.present |= self._store.positions(job.form, job.lane, job.planned.first, job.planned.last)
            job.body, job.unsure = None, False
        if job.body is None:
            job.body = build(job.form, job.records, job.window, job.present)
            job.letters = [letters.letter(job.lane, record, bad) for record in job.records for bad in record.bad]
        try:
            self._insert(job, job.body)
        except Permanent as error:
            if sum(bool(record.rows) for record in job.records) > 1:
                return error.reason
            self._sift(job, job.body)
        job.inserted = True
        return None

    def _insert(self, job: Job, body: Body) -> None:
        if body.data:
            form = job.form
            token = "" if without(Guard.TOKEN) else job.planned.token(form.table, job.lane)
            crash(Point.BEFORE_INSERT)
            self._check(job)
            job.unsure = True
            if body.quick:
                self._store.insert_quickly(form, body.data, token, self.deadline_s)
            else:
                self._store.insert(form.table, form.columns, body.data, token, self.deadline_s)

    def _sift(self, job: Job, body: Body) -> None:
        """Take the lines that ClickHouse refuses out of a single frame, and insert the rest under the same token.

        Each line's verdict is its own, given by a trial that stores nothing, so a retry takes out the same ones. If the
        rest is refused all the same, all of it is buried.
        """
        record = next(record for record in job.records if record.rows)
        indexes = {row: index for index, row in zip(record.indexes, record.rows, strict=True)}
        lines = body.data.split(b"\n")
        self._try(job, [line for line in lines if line not in job.verdicts])
        bad = {indexes[line]: (line, why) for line in lines if (why := job.verdicts[line]) is not None}
        try:
            sifted = self._build(job, record, bad)
            self._insert(job, sifted)
        except Permanent as error:
            bad |= {indexes[line]: (line, error.reason) for line in lines if indexes[line] not in bad}
            sifted = self._build(job, record, bad)
        job.body = sifted
        job.letters = (job.letters or []) + [
            letters.refused(job.lane, record, index, original(line), why) for index, (line, why) in sorted(bad.items())
        ]

    @staticmethod
    def _build(job: Job, record: Record, bad: Iterable[int]) -> Body:
        refused = frozenset((record.offset, index) for index in bad)
        return build(job.form, job.records, job.window, job.present, refused)

    def _try(self, job: Job, lines: list[bytes]) -> None:
        """Note the verdict on each of the lines. Many bad ones take longer than one attempt may: the next one goes on here."""
        if not lines:
            return
        form = job.form
        self._check(job)
        try:
            self._store.trial(form.table, form.columns, b"\n".join(lines), self.deadline_s)
        except Permanent as error:
            if len(lines) == 1:
                job.verdicts[lines[0]] = error.reason
                return
            half = len(lines) // 2
            self._try(job, lines[:half])
            self._try(job, lines[half:])
        else:
            job.verdicts.update(dict.fromkeys(lines))

    def _ledger(self, job: Job) -> tuple[Body, int]:
        body, buried = job.body or Body(b"", 0, b"", []), len(job.letters or ())
        if not job.listed:
            row = ledger.written(job.lane, job.planned, job.records, body.rows, body.copied, buried, job.held, datetime.now(UTC))
            self._check(job)
            token = "" if without(Guard.LEDGER_TOKEN) else job.planned.token(ledger.RANGES, job.lane)
            self._store.insert(ledger.RANGES, ledger.Written.__struct_fields__, ledger.encode([row]), token, self.deadline_s)
            job.listed = True
        return body, buried
