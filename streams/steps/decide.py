"""The fold of stage `decide`: events of one partition -> decisions, with their costs.

Each line either is at home here or is handed on through `agent.moved`. One drain tells each decision that was touched once,
as it is then; the revision is the number of its events, so it does not depend on where batches end.
"""

from collections.abc import Iterable

import msgspec

from waterline.schemas.events import Event
from waterline.schemas.facts import GroupInput
from waterline.schemas.frames import Frame
from waterline.schemas.identity import partition_of, routing_key
from waterline.schemas.topics import AGENT_MOVED, COST_FACTS, DECISION_FACTS, GROUP_INPUTS, Topic
from waterline.streams.steps.decision import Decision
from waterline.streams.steps.fold import Changes, Cold, Out, Position
from waterline.streams.steps.keep import Keep
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import SECOND, micros
from waterline.streams.steps.prices import PriceBook
from waterline.streams.steps.snapshot import contribution, cost_fact, snapshot

_encode = msgspec.json.Encoder().encode


class DecideFold:
    """See `Fold`. `book` may grow while the fold lives; a version applies only to events received after it was known."""

    def __init__(self, partition: int, partitions: int, cold: Cold, book: PriceBook, limits: Limits) -> None:
        self.partition, self.partitions = partition, partitions
        self.book, self.limits = book, limits
        self.keep = Keep(cold, limits)
        self.skew = int(limits.clock_skew_s * SECOND)
        self.now = [0, 0]
        self.outs: list[Out] = []

    def load(self, key: bytes, value: bytes) -> bool:
        """Nothing is needed in memory before an event asks for it."""
        return False

    def apply(self, at: Position, frame: Frame) -> None:
        if frame.tick:
            clock = frame.replay_tick
            self.now[clock] = max(self.now[clock], micros(frame.time))
            self.keep.close(clock, self.now[clock], 1000)
            return
        latest = micros(frame.time) + self.skew
        decisions = self.keep.decisions
        for line in frame.lines:
            event: Event = line.event
            key = event.decision_key or event.decision_id or event.event_id
            decision = decisions.get((event.tenant, key))
            if decision is None:
                routing = routing_key(event.tenant, key)
                if partition_of(routing, self.partitions) != self.partition:
                    self.outs.append(Out(AGENT_MOVED, routing, line.raw))
                    continue
                decision = self.keep.open(event.tenant, key)
            self._take(decision, event, latest)
        self.keep.close(False, self.now[0], len(frame.lines) * 2)
        self.keep.close(True, self.now[1], len(frame.lines) * 2)

    def _take(self, decision: Decision, event: Event, latest: int) -> None:
        ts = micros(event.ts)
        received = micros(event.received_at) if event.received_at is not None else latest - self.skew
        start = min(ts, received + self.skew)
        if not decision.apply(event, ts, received, start, self.book):
            return
        life = decision.life
        clock = life.replay = event.clock == "replay"
        news = min(ts + round(event.duration_ms * 1000), received + self.skew, latest)
        life.news = max(life.news, news)
        life.received = max(life.received, received)
        self.now[clock] = max(self.now[clock], news)
        self.keep.touch(decision)

    def drain(self) -> Changes:
        changes = Changes(outs=self.outs)
        self.outs = []
        for decision in self.keep.touched.values():
            self._tell(decision, changes.outs)
        self.keep.store(changes)
        changes.cold.update(changes.puts)
        return changes

    def _tell(self, decision: Decision, outs: list[Out]) -> None:
        key = routing_key(decision.tenant, decision.key)
        ledger = decision.ledger
        if ledger.dirty:
            facts = [_encode(cost_fact(decision, entry)) for entry in ledger.dirty.values()]
            ledger.dirty.clear()
            outs.extend(_frames(COST_FACTS, key, facts))
        outs.append(Out(DECISION_FACTS, key, _encode(snapshot(decision))))
        life = decision.life
        now, before = contribution(decision), life.published
        if now != before:
            same = now is not None and before is not None and (now.agent, now.task) == (before.agent, before.task)
            for part in ((before, now),) if same else ((before, None), (None, now)):
                one = part[1] or part[0]
                if one is None:
                    continue
                group = f"{one.agent}/{one.task}"
                told = GroupInput(
                    tenant=decision.tenant,
                    group=group,
                    decision_key=decision.key,
                    revision=decision.revision,
                    now=part[1],
                    previous=part[0],
                )
                outs.append(Out(GROUP_INPUTS, routing_key(decision.tenant, group), _encode(told)))
            life.published = now


def _frames(topic: Topic, key: bytes, facts: Iterable[bytes], most: int = 500_000) -> Iterable[Out]:
    """Facts of one decision as frames that stay well under a record's limit."""
    lines: list[bytes] = []
    size = 0
    for fact in facts:
        if lines and size + len(fact) > most:
            yield Out(topic, key, b"\n".join(lines))
            lines, size = [], 0
        lines.append(fact)
        size += len(fact) + 1
    if lines:
        yield Out(topic, key, b"\n".join(lines))
