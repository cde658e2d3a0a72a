"""Rates, bands and times of agents and their tasks, by the day (M2, M4, M5, M6). A part of the fold of stage `groups`.

A decision counts on the day of its start, whenever it or a label of it comes, with its task; an agent as a whole (an empty task)
is all its tasks, and the decisions without one. What changed is told when the watermark passes a full `quality_every_s` of event
time, or the end of a day; so the same inputs tell the same, whatever the batches and restarts, and a day that stays as it is is
told once. What comes when a replay's time stands still, since it is over, is told after `STILL` of live time. Days that are over
for more than `decision_keep_days` can change no more and are let go.

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
STILL = 10 * SECOND
DAYS, TIMES, LOOPS = b"qd", b"qt", b"ql"
_CLOCKS = (b"s", b"r")
_AFTER = bytes([ord(SEPARATOR) + 1])


class Told(Struct, array_like=True):
    """`figures` are those of `quality_measures`."""

    revision: int
    figures: tuple[int, ...]


class Cell(Struct, array_like=True, tag=1):
    """One day of one task; without a task, of decisions that have none. `told` is by measure, without a task of the agent as a
    whole. `waits`: something changed since."""

    tenant: str
    agent: str
    task: str
    replay: bool
    day: int
    counts: Counts
    told: dict[str, Told] = {}
    waits: bool = False


class Times(Struct, array_like=True, tag=4):
    """How far time has come, live and of a replay: in steps of `quality_every_s`, and in days. `replayed` is it in microseconds
    for a replay, and `still` since when, of live time, something of it waits while it stands; 0 while nothing does."""

    steps: list[int]
    days: list[int]
    replayed: int = 0
    still: int = 0


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
        cell, key = self._cell(tenant, told.agent, told.task, replay, day)
        cell.counts.move(before, now)
        cell.waits = True
        self.waiting[replay][key] = None
        self.touched.add(key)

    def _cell(self, tenant: str, agent: str, task: str, replay: bool, day: int) -> tuple[Cell, bytes]:
        key = self._key(tenant, agent, task, replay, day)
        cell = self.cells.get(key)
        if cell is None:
            stored = self.cold.get(key)
            cell = _decode_cell(stored) if stored else Cell(tenant, agent, task, replay, day, Counts.none(), told={})
            self.cells[key] = cell
        return cell, key

    # time

    def advance(self, replay: bool, now: int) -> None:
        step, day = now // self.every, now // DAY
        times = self.times
        if replay and now > times.replayed:
            times.replayed, times.still, self._moved = now, 0, True
        elif not replay and self.waiting[True]:
            self._stand(now)
        if step <= times.steps[replay] and day <= times.days[replay]:
            return
        self._tell_all(replay, now)
        first = times.days[replay]
        times.steps[replay] = max(step, times.steps[replay])
        self._moved = True
        if day > first:
            times.days[replay] = day
            self.loops.tell(replay, first, day, now, self.outs)
            self._over.append((replay, max(0, first - self.keep), day - self.keep))

    def _stand(self, live: int) -> None:
        """Something of a replay waits, and live time has come to `live`."""
        times = self.times
        if not times.still:
            times.still, self._moved = live, True
        elif live >= times.still + STILL:
            self._tell_all(True, times.replayed)
            times.still, self._moved = 0, True

    def _tell_all(self, replay: bool, now: int) -> None:
        """What changed, of tasks and then of their agents."""
        agents: dict[bytes, tuple[Cell, set[bytes]]] = {}
        for key in self.waiting[replay]:
            cell = self.cells[key]
            cell.waits = False
            whole, begin = self._cell(cell.tenant, cell.agent, "", replay, cell.day)
            agents[begin] = whole, set()
            self.touched.add(key)
            if cell.task:
                self._tell(cell, cell.counts, now)
        self.waiting[replay].clear()
        for key in self.touched:
            cell = self.cells[key]
            begin = self._key(cell.tenant, cell.agent, "", cell.replay, cell.day)
            if begin in agents:
                agents[begin][1].add(key)
        for begin, (whole, parts) in agents.items():
            parts.update(self.cold.scan(begin, begin[:-1] + _AFTER))
            self._tell(whole, Counts.sum(self._counts(key) for key in parts), now)
            self.touched.add(begin)

    def _counts(self, key: bytes) -> Counts:
        if (cell := self.cells.get(key)) is not None:
            return cell.counts
        stored = self.cold.get(key)
        return _decode_cell(stored).counts if stored else Counts.none()

    def _tell(self, cell: Cell, counts: Counts, now: int) -> None:
        for measure in MEASURES:
            figures = measure.draw(counts)
            told = cell.told.get(measure.name)
            if figures == told.figures if told is not None else not figures[0]:
                continue
            revision = told.revision + 1 if told is not None else 1
            cell.told[measure.name] = Told(revision, figures)
            fact = _begin(cell, measure.name, revision, counts.decisions, now)
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


def _place(standing: Standing) -> tuple[str, str, bool, int]:
    told = standing.contribution
    return told.agent, told.task, standing.replay, standing.at // DAY


def _begin(cell: Cell, measure: str, revision: int, decisions: int, now: int) -> QualityFact:
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
        decisions=decisions,
        clock=Clock.REPLAY if cell.replay else Clock.SOURCE,
        at=instant(now),
    )
