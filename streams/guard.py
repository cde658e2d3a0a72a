"""Parse, run, emit - or bury. Whatever a record holds, the only thing that leaves here is a `FoldBug`, and that once a line.

A fold that raises is broken in a way nobody foresaw, and its state with it. So the partition throws it away, loads the last
committed state, and hands the same records in again one by one and line by line (`careful`), with the lines at fault buried.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import structlog
from msgspec import structs

from waterline.schemas.dead_letter import WHOLE, DeadLetter, letter_id
from waterline.schemas.errors import ErrorCode
from waterline.schemas.frames import H_REPLAYS, BadLine, Frame, Headers
from waterline.schemas.topics import DEAD_LETTERS, STORED
from waterline.streams.cold import CopyFailed
from waterline.streams.steps.fold import Changes, Fold, Out, Position

log = structlog.get_logger("streams")

Parse = Callable[[bytes | None, Headers, int], Frame]
CONSUMER = "streams"
_BURIED_BY_THE_SINK = frozenset(topic.name for topic in STORED)
"""Both readers give the same verdict on a line that cannot be parsed; the sink buries it, so that it is one dead letter."""


_encode = msgspec.json.Encoder().encode


class Record(Protocol):
    """What is read of a consumed record; `timestamp` in seconds."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    headers: Any
    value: bytes | None


class FoldBug(Exception):
    """The fold raised. `index` is the line it was given; WHOLE when it had the record at once."""

    def __init__(self, record: Record, index: int, cause: Exception) -> None:
        super().__init__(f"{record.topic}/{record.partition}/{record.offset} line {index}: {cause!r}")
        self.index = index
        self.cause = cause


class TooManyBugs(Exception):
    """Line after line fails: it is not the lines. The worker must stop, with the records not acknowledged."""


class Guard:
    """One partition's. `careful` counts the records that are still to be taken line by line."""

    def __init__(self, inputs: Mapping[str, Parse], limit: int, buried: Callable[[ErrorCode], None]) -> None:
        self.careful = 0
        self._inputs = inputs
        self._limit = limit
        self._buried = buried
        self._found: dict[int, Exception] = {}
        self._in_a_row = 0

    def feed(self, fold: Fold, record: Record, into: Changes) -> int:
        """Takes one record into the fold and its dead letters, and in careful mode its changes, into `into`.

        Returns the lines that were applied. Raises FoldBug or CopyFailed.
        """
        if WHOLE in self._found:
            self._bury(record, BadLine(WHOLE, record.value or b"", ErrorCode.BUG, repr(self._found[WHOLE])), into)
            self._in_a_row += 1
            self._pass()
            return 0
        try:
            frame = self._inputs[record.topic](record.value, record.headers, round(record.timestamp * 1000))
        except Exception as error:
            if self.careful:
                self._count(self._in_a_row + 1)
            raise FoldBug(record, WHOLE, error) from error
        if record.topic not in _BURIED_BY_THE_SINK:
            for bad in frame.bad:
                self._bury(record, bad, into)
        at = Position(record.topic, record.partition, record.offset)
        if self.careful and frame.lines:
            return self._line_by_line(fold, record, at, frame, into)
        self._apply(fold, record, at, frame, WHOLE)
        if frame.lines:
            self._in_a_row = 0
        self._pass()
        return len(frame.lines)

    def _line_by_line(self, fold: Fold, record: Record, at: Position, frame: Frame, into: Changes) -> int:
        applied = 0
        in_a_row = self._in_a_row
        for line in frame.lines:
            if line.index in self._found:
                in_a_row += 1
                self._bury(record, BadLine(line.index, line.raw, ErrorCode.BUG, repr(self._found[line.index])), into)
                continue
            try:
                self._apply(fold, record, at, structs.replace(frame, lines=[line], bad=[]), line.index)
                merge(into, fold.drain())
            except FoldBug:
                self._count(in_a_row + 1)
                raise
            except CopyFailed:
                raise
            except Exception as error:
                self._count(in_a_row + 1)
                raise FoldBug(record, line.index, error) from error
            in_a_row = 0
            applied += 1
        self._in_a_row = in_a_row
        self._pass()
        return applied

    def blame(self, bug: FoldBug, records: int) -> None:
        """After a bug in a batch of `records`: what to do otherwise when they come again."""
        log.error("bug", at=str(bug), exc_info=bug.cause)
        if not self.careful:
            self.careful = records
        else:
            self._found[bug.index] = bug.cause

    def forget(self) -> None:
        """The records at hand will not come again, at least not to this worker."""
        self.careful = 0
        self._found.clear()

    def _apply(self, fold: Fold, record: Record, at: Position, frame: Frame, index: int) -> None:
        try:
            fold.apply(at, frame)
        except CopyFailed:
            raise
        except Exception as error:
            if self.careful and index == WHOLE:
                self._count(self._in_a_row + 1)
            raise FoldBug(record, index, error) from error

    def _count(self, in_a_row: int) -> None:
        if in_a_row >= self._limit:
            raise TooManyBugs(f"{in_a_row} lines in a row failed as a bug")

    def _pass(self) -> None:
        self._found.clear()
        if self.careful:
            self.careful -= 1

    def _bury(self, record: Record, bad: BadLine, into: Changes) -> None:
        self._buried(bad.code)
        into.outs.append(letter(record, bad))


def letter(record: Record, bad: BadLine) -> Out:
    """The dead letter of one line, or of a whole record when its index is WHOLE."""
    headers = {name: value.decode("utf-8", "replace") for name, value in dict(record.headers or ()).items()}
    replays = headers.get(H_REPLAYS, "0")
    told = DeadLetter(
        id=letter_id(CONSUMER, record.topic, record.partition, record.offset, bad.index),
        consumer=CONSUMER,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        index=bad.index,
        tenant=headers.get("wl-tenant", ""),
        code=bad.code,
        reason=bad.reason,
        first_seen=datetime.fromtimestamp(record.timestamp, UTC),
        raw=base64.b64encode(bad.raw).decode(),
        headers=headers,
        replays=int(replays) if replays.isdigit() else 0,
    )
    return Out(DEAD_LETTERS, record.topic.encode(), _encode(told))


def merge(into: Changes, later: Changes) -> None:
    """Adds what came after to what was there."""
    into.cold -= later.puts.keys()
    into.cold |= later.cold
    into.puts.update(later.puts)
    into.along.update(later.along)
    into.outs.extend(later.outs)
    into.left_out += later.left_out


def drain(fold: Fold, records: Sequence[Record], into: Changes) -> None:
    """Adds what the fold still holds back. Raises FoldBug, CopyFailed."""
    try:
        merge(into, fold.drain())
    except CopyFailed:
        raise
    except Exception as error:
        raise FoldBug(records[-1], WHOLE, error) from error
