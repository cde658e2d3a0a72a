"""Rates, bands and times of agents and their tasks, by the day (M2, M4, M5, M6). A part of the fold of stage `groups`.

A decision counts on the day of its start, for its agent as a whole (an empty task) and for its task, whenever it or a label of it
comes. What changed is told when the watermark passes a full `quality_every_s` of event time, or the end of a day; so the same
inputs tell the same, whatever the batches and restarts, and a day that stays as it is is told once. Days that are over for more
than `decision_keep_days` can change no more and are let go.

A day of a group that waits to be told stays in memory; of the others there are up to `CELLS`, the rest lies on disk.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from waterline.schemas.events import Clock
from waterline.schemas.facts import GroupInput, QualityFact, Standing
from waterline.schemas.identity import SEPARATOR, routing_key
from waterline.schemas.topics import QUALITY_FACTS
from waterline.streams.steps.fold import Changes, Cold, Out
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, SECOND, day_name, instant
from waterline.streams.steps.quality_counts import Counts, Footprint, footprint
from waterline.streams.steps.quality_loops import Kept, Loops, Seen
from waterline.streams.steps.quality_measures import MEASURES, fill
from waterline.streams.steps.rules import Rule

CELLS = 10_000
DAYS, TIMES, LOOPS = b"qd", b"qt", b"ql"
_CLOCKS = (b"s", b"r")


class Told(Struct, array_like=True):
    """`figures` are those of `quality_measures`."""

    revision: int
    figures: tuple[int, ...]


class Cell(Struct, array_like=True, tag=1):
    """One day of one group. `told` is by measure, `waits` that something changed since."""

    tenant: str
    agent: str
    task: str
    replay: bool
    day: int
    counts: Counts
    told: dict[str, Told] = {}
    waits: bool = False


class Times(Struct, array_like=True, tag=4):
    """How far time has come, live and of a replay: in steps of `quality_every_s`, and in days."""

    steps: list[int]
    days: list[int]


_decode = msgspec.msgpack.Decoder(Cell | Seen | Kept | Times).decode
_decode_cell = msgspec.msgpack.Decoder(Cell).decode
_encode = msgspec.msgpack.Encoder().encode
_fact = msgspec.json.Encoder().encode


class Quality:
    prefix = b"q"

    def __init__(self, cold: Cold, limits: Limits) -> None:
        self.cold = cold
        self.every = int(limits.quality_every_s * SECOND)
        self.keep = limits.decision_keep_days
        self.cells: dict[bytes, Cell] = {}
        self.waiting: tuple[dict[bytes, None], dict[bytes, None]] = ({}, {})
        self.touched: set[bytes] = set()
        self.times = Times([0, 0], [0, 0])
        self.loops = Loops(LOOPS)
        self.outs: list[Out] = []
        self._moved = False
        self._over: list[tuple[int, int, int]] = []

    def load(self, value: bytes) -> bool:
        told = _decode(value)
        if isinstance(told, Times):
            self.times = told
        elif isinstance(told, Cell):
            if not told.waits and len(self.cells) >= CELLS:
                return False
            key = self._key(told.tenant, told.agent, told.task, told.replay, told.day)
            self.cells[key] = told
            if told.waits:
                self.waiting[told.replay][key] = None
        else:
            self.loops.load(told)
        return True

    # what comes in

    def take(self, given: GroupInput, heard: int) -> None:
        now, before = given.now, given.previous
        if now is before:
            return
        self.loops.take(given)
        if now is not None and before is not None and _place(now) == _place(before):
            was, is_now = footprint(before), footprint(now)
            if was != is_now:
                self._move(given.tenant, now, was, is_now)
            return
        if before is not None:
            self._move(given.tenant, before, footprint(before), None)
        if now is not None:
            self._move(given.tenant, now, None, footprint(now))

    def _move(self, tenant: str, at: Standing, before: Footprint | None, now: Footprint | None) -> None:
        told, replay, day = at.contribution, at.replay, at.at // DAY
        if day < self.times.days[replay] - self.keep:
            return
        start, waiting = self._key(tenant, told.agent, "", replay, day), self.waiting[replay]
        for task in ("", told.task) if told.task else ("",):
            key = start + task.encode() if task else start
            cell = self.cells.get(key)
            if cell is None:
                stored = self.cold.get(key)
                cell = _decode_cell(stored) if stored else Cell(tenant, told.agent, task, replay, day, _nothing(), told={})
                self.cells[key] = cell
            cell.counts.move(before, now)
            cell.waits = True
            waiting[key] = None
            self.touched.add(key)

    # time

    def advance(self, replay: bool, now: int) -> None:
        step, day = now // self.every, now // DAY
        times = self.times
        if step <= times.steps[replay] and day <= times.days[replay]:
            return
        for key in self.waiting[replay]:
            self._tell(self.cells[key], now)
            self.touched.add(key)
        self.waiting[replay].clear()
        first = times.days[replay]
        times.steps[replay] = max(step, times.steps[replay])
        self._moved = True
        if day > first:
            times.days[replay] = day
            self.loops.tell(replay, first, day, now, self.outs)
            self._over.append((replay, max(0, first - self.keep), day - self.keep))

    def _tell(self, cell: Cell, now: int) -> None:
        cell.waits = False
        for measure in MEASURES:
            figures = measure.draw(cell.counts)
            told = cell.told.get(measure.name)
            if figures == told.figures if told is not None else not figures[0]:
                continue
            revision = told.revision + 1 if told is not None else 1
            cell.told[measure.name] = Told(revision, figures)
            fact = _begin(cell, measure.name, revision, now)
            fill(fact, measure, figures)
            self.outs.append(Out(QUALITY_FACTS, routing_key(cell.tenant, fact.group), _fact(fact)))

    def end(self, gone: Mapping[str, Rule], heard: tuple[int, int]) -> None:
        """No rule has a say in this."""

    # state

    def drain(self, changes: Changes) -> None:
        for replay, first, until in self._over:
            self._let_go(replay, first, until, changes)
        self._over.clear()
        for key in self.touched:
            cell = self.cells[key]
            changes.puts[key] = _encode(cell)
            if not cell.waits:
                changes.cold.add(key)
        self.touched.clear()
        self.loops.drain(changes.puts)
        if self._moved:
            changes.puts[TIMES] = _encode(self.times)
            self._moved = False
        changes.outs.extend(self.outs)
        self.outs.clear()
        if (excess := len(self.cells) - CELLS) > 0:
            for key in [key for key, cell in self.cells.items() if not cell.waits][:excess]:
                del self.cells[key]

    def _let_go(self, replay: int, first: int, until: int, changes: Changes) -> None:
        """The days from `first` to before `until`."""
        if until <= first:
            return
        start, stop = self._day(replay, first), self._day(replay, until)
        for key in self.cold.scan(start, stop):
            changes.puts[key] = None
        for key in [key for key in self.cells if start <= key < stop]:
            del self.cells[key]
            self.touched.discard(key)
            self.waiting[replay].pop(key, None)

    def _day(self, replay: int, day: int) -> bytes:
        return DAYS + _CLOCKS[replay] + b"%07d" % day

    def _key(self, tenant: str, agent: str, task: str, replay: bool, day: int) -> bytes:
        return self._day(replay, day) + f"{tenant}{SEPARATOR}{agent}{SEPARATOR}{task}".encode()


def _nothing() -> Counts:
    return Counts(codes={}, took={}, waited={}, bins=[])


def _place(standing: Standing) -> tuple[str, str, bool, int]:
    told = standing.contribution
    return told.agent, told.task, standing.replay, standing.at // DAY


def _begin(cell: Cell, measure: str, revision: int, now: int) -> QualityFact:
    day = day_name(cell.day)
    return QualityFact(
        tenant=cell.tenant,
        group=f"{cell.agent}/{cell.task}" if cell.task else cell.agent,
        measure=measure,
        day=day,
        revision=revision,
        agent=cell.agent,
        task=cell.task,
        window_from=day,
        window_to=day,
        decisions=cell.counts.decisions,
        clock=Clock.REPLAY if cell.replay else Clock.SOURCE,
        at=instant(now),
    )
