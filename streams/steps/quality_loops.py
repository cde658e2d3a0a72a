"""Closure rates of agents (M5), told when a day is over, of the corrections of the 90 days that end with it, as is known then.

What becomes known later is in the facts of the days after. Each case is stored on its own, so that a decision costs the same
however many there are; cases older than the 90 days are let go.
"""

import msgspec
from msgspec import Struct

from waterline.schemas.events import Clock
from waterline.schemas.facts import GroupInput, QualityFact, Standing
from waterline.schemas.identity import SEPARATOR, routing_key
from waterline.schemas.topics import QUALITY_FACTS
from waterline.streams.steps.closure import Case, Closed, Closure, Pace, is_right, pace
from waterline.streams.steps.fold import Out
from waterline.streams.steps.moment import DAY, day_name, instant
from waterline.streams.steps.quality_measures import AT_LEAST, say_enough, say_rate

MEASURE = "closure_rate"
WINDOW_DAYS = 90

LoopKey = tuple[str, str, bool]
"""tenant, agent, replay"""


class Seen(Struct, array_like=True, tag=2):
    """When each artifact of an agent was first seen."""

    of: LoopKey
    artifacts: dict[str, int]


class Kept(Struct, array_like=True, tag=3):
    of: LoopKey
    decision_key: str
    case: Case


_encode = msgspec.msgpack.Encoder().encode
_fact = msgspec.json.Encoder().encode


class Loops:
    """`prefix` begins the state keys."""

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.loops: dict[LoopKey, Closure] = {}
        self.changed: dict[bytes, bytes | None] = {}
        self.saw: set[LoopKey] = set()

    def load(self, told: Seen | Kept) -> None:
        loop = self._loop(told.of)
        if isinstance(told, Seen):
            loop.artifacts = told.artifacts
        else:
            loop.cases[told.decision_key] = told.case

    def _loop(self, of: LoopKey) -> Closure:
        loop = self.loops.get(of)
        if loop is None:
            loop = self.loops[of] = Closure()
        return loop

    def take(self, given: GroupInput) -> None:
        now, before = given.now, given.previous
        if before is not None and before.corrections and (now is None or now.replay is not before.replay):
            self._put(_of(given, before), given.decision_key, None)
        if now is None:
            return
        of = _of(given, now)
        if self._loop(of).seen(now.artifact, now.at):
            self.saw.add(of)
        if now.corrections or (before is not None and before.corrections):
            self._put(of, given.decision_key, _case(now))

    def _put(self, of: LoopKey, decision_key: str, case: Case | None) -> None:
        loop = self._loop(of)
        if loop.cases.get(decision_key) != case:
            loop.take(decision_key, case)
            self.changed[self._key(of, decision_key)] = None if case is None else _encode(Kept(of, decision_key, case))

    def tell(self, replay: bool, first: int, today: int, now: int, outs: list[Out]) -> None:
        """The days from `first` to yesterday are over. `now`: how far time has come."""
        for of, loop in self.loops.items():
            if of[2] is not replay or not loop.cases:
                continue
            for day in range(max(first, today - WINDOW_DAYS), today):
                closed = loop.count((day + 1) * DAY - 1, (day + 1 - WINDOW_DAYS) * DAY)
                if closed.rate.whole or closed.waiting:
                    outs.append(_told(of, day, now, closed))
            before = len(loop.artifacts)
            for decision in loop.let_go((today - WINDOW_DAYS) * DAY):
                self.changed[self._key(of, decision)] = None
            if len(loop.artifacts) < before:
                self.saw.add(of)

    def drain(self, puts: dict[bytes, bytes | None]) -> None:
        puts.update(self.changed)
        for of in self.saw:
            puts[self._key(of, "")] = _encode(Seen(of, self.loops[of].artifacts))
        self.changed.clear()
        self.saw.clear()

    def _key(self, of: LoopKey, decision_key: str) -> bytes:
        tenant, agent, replay = of
        return self.prefix + SEPARATOR.join((tenant, agent, "r" if replay else "", decision_key)).encode()


def _of(given: GroupInput, standing: Standing) -> LoopKey:
    return given.tenant, standing.contribution.agent, standing.replay


def _case(now: Standing) -> Case | None:
    if not now.corrections:
        return None
    told = now.contribution
    right = is_right(told.outcome, told.overturned, now.corrected_at is not None)
    return Case(told.task, now.corrections, now.artifact, now.at, right, now.corrected_at)


def _told(of: LoopKey, day: int, now: int, closed: Closed) -> Out:
    tenant, agent, replay = of
    fact = QualityFact(
        tenant=tenant,
        group=agent,
        measure=MEASURE,
        day=day_name(day),
        revision=1,
        agent=agent,
        window_from=day_name(day + 1 - WINDOW_DAYS),
        window_to=day_name(day),
        decisions=closed.rate.whole + closed.waiting,
        clock=Clock.REPLAY if replay else Clock.SOURCE,
        at=instant(now),
    )
    say_rate(fact, closed.rate)
    fact.band = (pace(closed.rate) if closed.rate.whole >= AT_LEAST else Pace.INSUFFICIENT).value
    say_enough(fact, "corrections that are closed or 30 days old")
    return Out(QUALITY_FACTS, routing_key(tenant, agent), _fact(fact))
