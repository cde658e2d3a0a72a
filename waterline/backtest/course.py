"""How time passes over history: the ticks are not kept, but when each event was received is.

Live time is the receipt: it goes on by the second while events come, and in steps between them. A replay tells its own time when
all that happened until then was sent; that is not kept either, so it is told at every `step` from the first replayed event on,
when the first event behind it comes. `waterline replay-runs` does so by the day, unless it is given a speed.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Protocol

from waterline.schemas.events import Clock, Event
from waterline.schemas.frames import Frame, Line
from waterline.streams.steps.moment import HOUR, SECOND, instant, micros
from waterline.streams.steps.tally import MARK_EVERY

BATCH = 500
"""Events that are applied before the folds are asked what they have to tell."""
BUSY = 2 * HOUR
"""So long after an event time goes on in steps of `MARK_EVERY`; later in steps of `SLOW`, as hardly anything is due."""
SLOW = 60 * SECOND


class Taker(Protocol):
    def take(self, frame: Frame) -> None: ...

    def drain(self) -> None: ...


class Course:
    """Hands events and ticks to `takers`. `close_s`: how long after its last event a replay's time is told to have come."""

    def __init__(self, takers: Sequence[Taker], step: timedelta, close_s: float) -> None:
        self._takers = takers
        self._step, self._close = step // timedelta(microseconds=1), int(close_s * SECOND)
        self._lines: list[Line] = []
        self._now = self._ticked = 0
        self._replay_until = 0

    def run(self, events: Iterable[Event], until: int) -> None:
        """All events, in order of receipt, and then what is due `until` (microseconds)."""
        for event in events:
            assert event.received_at is not None
            self._pass(micros(event.received_at))
            if event.clock is Clock.REPLAY:
                self._pass_replay(micros(event.ts) + round(event.duration_ms * 1000))
            self._lines.append(Line(len(self._lines), b"", event))
            if len(self._lines) >= BATCH:
                self._flush()
        self._flush()
        if self._now:
            self._pass(until)
        if self._replay_until:
            self._tick(self._replay_until, replay=True)
            self._tick(self._replay_until + self._close, replay=True)

    def _pass(self, received: int) -> None:
        """Live time has come to a receipt; before what was received then is taken."""
        second = received - received % SECOND
        if second > self._ticked:
            self._flush()
            if self._ticked:
                at = self._ticked + self._pause(self._ticked)
                while at < second:
                    self._tick(at)
                    at += self._pause(at)
            self._tick(second)
            self._ticked = second
        self._now = max(self._now, received)

    def _pause(self, at: int) -> int:
        return MARK_EVERY if at - self._now < BUSY else SLOW

    def _pass_replay(self, end: int) -> None:
        if not self._replay_until:
            self._replay_until = end + self._step
        elif end > self._replay_until:
            self._flush()
            self._tick(self._replay_until, replay=True)
            self._replay_until += self._step * -(-(end - self._replay_until) // self._step)

    def _flush(self) -> None:
        if self._lines:
            self._give(Frame(self._lines, [], instant(self._now)))
            self._lines = []

    def _tick(self, at: int, replay: bool = False) -> None:
        self._give(Frame([], [], instant(at), tick=True, replay_tick=replay))

    def _give(self, frame: Frame) -> None:
        for taker in self._takers:
            taker.take(frame)
            taker.drain()
