"""One partition of one stage: a fold, its place in the input, and at most one transaction in flight.

What comes is applied at once when the partition was at rest. While it is busy, what comes waits for company: for the
transaction that commits in a thread, and until that one's beginning is the linger time ago; a full batch does not wait, and
is applied while the transaction before it commits. If one is rolled back, the fold is thrown away with all that was applied
since, the committed state is loaded again, and the same records are applied anew.
"""

import asyncio
import math
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import KafkaException
from msgspec import Struct, field

from waterline.schemas.changelog import PLACE
from waterline.schemas.faults import Guard as Switch
from waterline.schemas.faults import Point, crash, without
from waterline.streams.changelog import Unsettled
from waterline.streams.cold import CopyFailed
from waterline.streams.guard import FoldBug, Guard, TooManyBugs, drain
from waterline.streams.outbox import records
from waterline.streams.state import State
from waterline.streams.steps.fold import Changes
from waterline.streams.writer import Aborted, Fenced, Record, Writer

if TYPE_CHECKING:
    from waterline.streams.stage import Stage

log = structlog.get_logger("streams")

PLACE_EVERY_S = 60.0
BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)

Event = Any
"""faust.Event, which is not typed"""


class Batch(Struct):
    """What one transaction carries, and the events it settles."""

    events: list[Event]
    facts: list[Record] = field(default_factory=list)
    state: dict[bytes, bytes | None] = field(default_factory=dict)
    cold: set[bytes] = field(default_factory=set)
    frames: int = 0
    lines: int = 0
    left_out: int = 0
    begun: float = 0.0


class RolledBack(Exception):
    """These events were applied to a state that is gone."""

    def __init__(self, events: list[Event], reason: str) -> None:
        super().__init__(reason)
        self.events = events


class Partition:
    """Made on assignment. `fence` first, then `start`; it takes events while it is awake."""

    def __init__(self, stage: "Stage", number: int, identity: str) -> None:
        self.stage = stage
        self.number = number
        self.doing = "fencing"
        self.trouble = ""
        self.moved_at = time.monotonic()
        self.idle = asyncio.Event()
        self.writer = Writer(stage.config, f"{stage.group}-{stage.name}-{number}", stage.changelog.topic, number)
        path = stage.folder / f"{stage.name}-{number:03d}"
        self.state = State(stage.changelog, number, partial(stage.fold, number, stage.partitions), path, identity)
        self._guard = Guard(stage.inputs, stage.bugs_in_a_row, lambda code: stage.meter.buried(code).inc())
        self._placed_at = time.monotonic()
        self._took_off_at = -math.inf
        self._queue: deque[Event] = deque()
        self._more, self._room, self._awake = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._flight: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._producer = f"{stage.group}-{stage.name}-{number}".encode()

    # life

    async def fence(self) -> None:
        await self.stage.thread(self.writer.fence)

    def start(self) -> None:
        self._task = asyncio.create_task(self._live())

    def wake(self) -> None:
        self.idle.clear()
        self._awake.set()

    def rest(self) -> None:
        """Drops what is queued, finishes what is in flight; `idle` is set when that is done."""
        self._awake.clear()
        self._queue.clear()
        self._room.set()
        self._more.set()

    def close(self) -> None:
        """It belongs to another worker now."""
        self.rest()
        self.writer.close()
        for task in (self._task, self._flight):
            if task:
                task.cancel()
        self.state.copy.close()

    async def offer(self, event: Event) -> None:
        """Queues an event, waiting while the queue is full."""
        while len(self._queue) >= self.stage.batch_frames and self._awake.is_set():
            self._room.clear()
            await self._room.wait()
        if self._awake.is_set():
            self._queue.append(event)
            if len(self._queue) in (1, self.stage.batch_frames):
                self._more.set()

    async def _live(self) -> None:
        try:
            await self._recover()
            while True:
                if not self._awake.is_set():
                    await self._rest()
                await self._more.wait()
                await self._gather()
                self._more.clear()
                await self._turn()
        except TooManyBugs as error:
            self.stage.die(f"{self}: {error}", bug=True)
        except Fenced as error:
            if not self.writer.closed:
                self.stage.die(f"{self}: shut out by another worker or by the broker: {error}")
        except Exception:
            log.exception("unforeseen", partition=str(self))
            self.stage.die(f"{self}: unforeseen error", bug=True)

    async def _rest(self) -> None:
        self.doing = "resting"
        self._queue.clear()
        self._guard.forget()
        try:
            await self._settle()
        except RolledBack:
            await self._recover()
        self.idle.set()
        await self._awake.wait()
        self.doing = "running"

    # work

    async def _gather(self) -> None:
        """Waits for company for what is queued."""
        while (patience := self._patience()) > 0:
            self._more.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience if patience < math.inf else None):
                    await self._more.wait()

    def _patience(self) -> float:
        """Seconds that what is queued may wait; for ever = until the flight has landed."""
        full = len(self._queue) >= self.stage.batch_frames
        if full or not self._queue or not self._awake.is_set() or self._guard.careful:
            return 0.0
        if self._flight and not self._flight.done():
            return math.inf
        return self._took_off_at + self.stage.linger_s - time.monotonic()

    async def _turn(self) -> None:
        """Applies what is queued, up to a batch, and sends it on its way when the flight before it has landed."""
        limit = 1 if self._guard.careful else self.stage.batch_frames
        events = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
        self._room.set()
        try:
            if self._flight and self._flight.done():
                await self._settle()
            if events:
                batch = self._digest(events)
                await self._settle()
                self._take_off(batch)
        except FoldBug as bug:
            self._guard.blame(bug, len(events))
            await self._rewind(events)
        except CopyFailed as failure:
            self.trouble = str(failure)
            await self._rewind(events)
        except RolledBack as lost:
            await self._rewind(lost.events + events)
        if self._queue:
            self._more.set()

    def _digest(self, events: list[Event]) -> Batch:
        """Applies events to the fold. Those of an assignment that is over are left: they come again, to whoever owns them."""
        batch, changes = Batch(events, begun=time.monotonic()), Changes()
        generation, applied, fold = self.stage.generation(), self.state.applied, self.state.fold
        skip = not without(Switch.APPLIED)
        for event in events:
            message = event.message
            if message.generation_id != generation:
                continue
            if skip and message.offset <= applied.get(message.topic, -1):
                self.stage.meter.skipped.inc()
                continue
            batch.lines += self._guard.feed(fold, message, changes)
            batch.frames += 1
            applied[message.topic] = message.offset
        if batch.frames:
            drain(fold, [event.message for event in events], changes)
        self._pack(batch, changes)
        return batch

    def _pack(self, batch: Batch, changes: Changes) -> None:
        if not (changes.puts or changes.outs or (batch.frames and time.monotonic() - self._placed_at > PLACE_EVERY_S)):
            return
        stage, state = self.stage, self.state
        batch.facts = records(changes.outs, stage.partitions_of, state.sequence, self._producer)
        batch.state, batch.cold, batch.left_out = changes.puts | changes.along, changes.cold, changes.left_out
        batch.state[PLACE] = self.state.place()

    def _take_off(self, batch: Batch) -> None:
        if not batch.state:
            self._acknowledge(batch)
            return
        self.state.copy.lay(batch.state)
        self._took_off_at = time.monotonic()
        self._flight = asyncio.create_task(self._fly(batch))

    async def _fly(self, batch: Batch) -> None:
        try:
            failure = await self.stage.thread(self._commit, batch)
        except Aborted as error:
            self.stage.meter.aborted.inc()
            raise RolledBack(batch.events, str(error)) from error
        finally:
            self._more.set()
        self._placed_at = time.monotonic()
        self.stage.meter.committed(batch.facts, self._placed_at - batch.begun)
        self.stage.meter.left_out.inc(batch.left_out)
        self._acknowledge(batch)
        if failure:
            self.trouble = failure
            raise RolledBack([], failure)
        self.state.copy.lift()

    def _commit(self, batch: Batch) -> str:
        """In a thread: the transaction, then the local copy. Why the copy could not be written, or nothing."""
        covered = self.writer.write(batch.facts, batch.state)
        try:
            self.state.copy.write(batch.state, batch.cold, covered)
        except CopyFailed as failure:
            return str(failure)
        crash(Point.COPY_WRITTEN)
        return ""

    def _acknowledge(self, batch: Batch) -> None:
        self.moved_at = time.monotonic()
        self.stage.meter.applied(batch.frames, batch.lines)
        generation = self.stage.generation()
        for event in batch.events:
            if event.message.generation_id == generation:
                event.ack()

    async def _settle(self) -> None:
        """Waits for the flight. Raises RolledBack or Fenced."""
        flight, self._flight = self._flight, None
        if flight:
            await flight

    # state

    async def _rewind(self, events: list[Event]) -> None:
        try:
            await self._settle()
        except RolledBack as earlier:
            events = earlier.events + events
        self._queue.extendleft(reversed(events))
        log.warning("rewind", partition=str(self), events=len(events), reason=self.trouble)
        await self._recover()

    async def _recover(self) -> None:
        """Loads the committed state, trying until that succeeds."""
        self.doing = "loading"
        attempt = 0
        while True:
            try:
                await self.stage.thread(self._load)
                break
            except (Unsettled, CopyFailed, KafkaException) as error:
                self.trouble = str(error)
                log.warning("loading failed", partition=str(self), reason=self.trouble)
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                attempt += 1
        self.doing, self.trouble = "running", ""
        self.moved_at = time.monotonic()
        self._more.set()

    def _load(self) -> None:
        began = time.monotonic()
        kept = self.state.load()
        self.stage.meter.recovered("copy" if kept else "changelog", time.monotonic() - began)

    def __str__(self) -> str:
        return f"{self.stage.name} {self.number}"
