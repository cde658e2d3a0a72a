"""The fold of stage `decide`: events of one partition -> decisions, with their costs.

Each line either is at home here or is handed on through `agent.moved`. An event belongs to the decision its `decision_key`
names; without one it is work of a decision that is called as its business id, or a review, outcome or correction that waits
until that id is linked; without both it is a decision of its own. Merging is `merging.py`'s part.

A drain tells each decision that was touched, as it is then, and so does each mark of time before it is told: what comes
after a mark was not known before it, however many marks a batch has. The revision counts a decision's events, so it does not
depend on where batches end. Closing changes no fact: a decision at rest leaves the memory, and a late event finds it on disk.
"""

import msgspec

from waterline.schemas.events import Clock, Event, Kind
from waterline.schemas.frames import Frame, Line, frame_headers
from waterline.schemas.identity import partition_of, routing_key
from waterline.schemas.topics import AGENT_MOVED
from waterline.streams.steps.decision import Decision
from waterline.streams.steps.entry import encode
from waterline.streams.steps.fold import Changes, Cold, Out, Position
from waterline.streams.steps.keep import SAID, Keep
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.links import Links, unlinked
from waterline.streams.steps.merging import Merging
from waterline.streams.steps.moment import SECOND, micros
from waterline.streams.steps.prices import PriceBook
from waterline.streams.steps.tally import Tally
from waterline.streams.steps.telling import tell

WAITING_KINDS = frozenset({Kind.REVIEW, Kind.OUTCOME, Kind.CORRECTION})
"""What may come long after the decision, from people and systems that know only its business id."""
APART = frozenset({Kind.DEPLOYMENT, Kind.POLICY, Kind.SESSION})
"""What makes no decision of its own."""
CLOSED_AT_ONCE = 1000
_decode_said = msgspec.msgpack.Decoder(list[int]).decode


class DecideFold:
    """See `Fold`. `book` may grow while the fold lives; a version applies only to events received after it was known."""

    def __init__(self, partition: int, partitions: int, cold: Cold, book: PriceBook, limits: Limits) -> None:
        self.partition, self.partitions = partition, partitions
        self.book, self.limits = book, limits
        self.skew = int(limits.clock_skew_s * SECOND)
        self.keep = Keep(cold, limits)
        self.links = Links(cold, limits)
        self.outs: list[Out] = []
        self.tally = Tally(partition, partitions, limits.required_fields)
        self.merging = Merging(self.keep, self.links, self.outs, self.tally, self._take, self.is_here)
        self.now = [0, 0]
        self._time_known = self._time_told = False
        self._seen = 0

    def __len__(self) -> int:
        """Decisions in memory."""
        return len(self.keep.decisions)

    def load(self, key: bytes, value: bytes) -> bool:
        """Nothing is needed in memory before an event asks for it."""
        return False

    def is_here(self, routing: bytes) -> bool:
        return partition_of(routing, self.partitions) == self.partition

    def apply(self, at: Position, frame: Frame) -> None:
        self._seen = self.merging.seen = micros(frame.time)
        if frame.tick:
            self._tick(frame.replay_tick)
            return
        strays: dict[tuple[str, int], list[Line]] = {}
        decisions = self.keep.decisions
        for line in frame.lines:
            event = line.event
            if type(event) is not Event:
                self.merging.take(event)
            elif (decision := decisions.get((event.tenant, event.decision_key))) is not None and not decision.life.merged_into:
                self._take(decision, event)
            else:
                self._find_home(at, line, event, strays)
            if self.merging.due:
                self.merging.work()
        for lines in strays.values():
            self.outs.append(_moved(lines))
        for replay in (False, True):
            self.keep.close(replay, self.now[replay], 2 * len(frame.lines))

    def _tick(self, replay: bool) -> None:
        if not self._time_known:
            self._time_known = True
            if (stored := self.keep.cold.get(SAID)) is not None:
                self.tally.said = _decode_said(stored)
        if self.tally.time(replay, self._seen):
            self._tell()
            self._time_told = True
        self.now[replay] = max(self.now[replay], self._seen)
        self.keep.close(replay, self.now[replay], CLOSED_AT_ONCE)
        if not replay:
            self.links.bury(self.now[replay], self.outs)
            self.keep.expire(self.now[replay], self.links.expire)

    def _find_home(self, at: Position, line: Line, event: Event, strays: dict[tuple[str, int], list[Line]]) -> None:
        routing = _routing(event)
        partition = partition_of(routing, self.partitions)
        if partition != self.partition:
            strays.setdefault((event.tenant, partition), []).append(line)
        elif event.decision_key:
            self.merging.give(event, event.decision_key)
        elif event.decision_id:
            self._find_by_alias(at, line.index, event)
        elif event.kind in WAITING_KINDS:
            reason = "the event names neither a decision_key nor a decision_id"
            self.outs.append(unlinked(event, at, line.index, self._seen, reason))
        elif event.kind not in APART:
            self.merging.give(event, event.event_id)

    def _find_by_alias(self, at: Position, index: int, event: Event) -> None:
        received = micros(event.received_at) if event.received_at is not None else self._seen
        if (elected := self.links.find(event.tenant, event.decision_id, received)) is not None:
            self.merging.give(event, elected)
        elif event.kind not in WAITING_KINDS:
            self.merging.give(event, event.decision_id)
        else:
            self.links.park(event, at, index, self._seen, max(self.now[False], received), self.outs)

    def _take(self, decision: Decision, event: Event) -> None:
        ts, seen = micros(event.ts), self._seen
        received = micros(event.received_at) if event.received_at is not None else seen
        latest = received + self.skew
        end = decision.apply(event, ts, received, ts if ts < latest else latest, self.book)
        if not end:
            return
        self.tally.add(event, min(end, latest), decision.key)
        life = decision.life
        replay = life.replay = event.clock is Clock.REPLAY
        news = min(end, latest, seen + self.skew)
        if news > life.news:
            life.news = news
            if news > self.now[replay]:
                self.now[replay] = news
        if seen > life.received:
            life.received = seen
        self.keep.touched[decision.tenant, decision.key] = decision
        if event.decision_id and event.decision_id not in life.aliases:
            self.merging.propose(decision, event.decision_id, received)

    def drain(self) -> Changes:
        self._tell()
        changes = Changes(outs=self.outs.copy())
        self.outs.clear()
        if self._time_told:
            changes.puts[SAID] = encode(self.tally.said)
            self._time_told = False
        self.keep.store(changes)
        self.links.store(changes)
        changes.cold.update(changes.puts)
        return changes

    def _tell(self) -> None:
        for decision in self.keep.touched.values():
            tell(decision, self.outs, self.tally)
        self.tally.drain(self.outs)


def _routing(event: Event) -> bytes:
    return routing_key(event.tenant, event.decision_key, event.decision_id, event.event_id)


def _moved(lines: list[Line]) -> Out:
    """Lines of one tenant and one partition; any of their keys leads there."""
    event: Event = lines[0].event
    headers = frame_headers(event.tenant, len(lines), "", 0)[:3]
    return Out(AGENT_MOVED, _routing(event), b"\n".join(line.raw for line in lines), headers)
