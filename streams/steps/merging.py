"""Several traces under one business id are one decision: proposing, losing, handing over.

    a decision proposes each business id its events carry, once    -> Proposal, to the id's owner
    the owner elects the first; any other decision has lost        -> Lost, to that decision
    a decision that lost retracts its facts and hands over          -> Absorb, one for each stored chunk
    what still comes for it is handed on                            -> Forward

Two ids can send two decisions to each other. A line that comes back to where it was says so by its path; of the decisions on
that circle the one with the smallest key is the one that stays, and takes back what it handed over.
"""

from collections import deque
from collections.abc import Callable

from waterline.schemas.events import Event
from waterline.schemas.frames import H_TYPE, MOVED, encode_moved
from waterline.schemas.identity import routing_key
from waterline.schemas.moved import Absorb, Forward, Lost, Moved, Proposal
from waterline.schemas.topics import AGENT_MOVED
from waterline.streams.steps.decision import Decision
from waterline.streams.steps.entry import decode_chunk
from waterline.streams.steps.fold import Out
from waterline.streams.steps.keep import Keep
from waterline.streams.steps.links import Links
from waterline.streams.steps.moment import DAY, instant
from waterline.streams.steps.tally import Tally
from waterline.streams.steps.telling import retract

ALIASES = 32
"""Business ids that one decision proposes; further ones stay unlinked."""
ABSORBED = 64
"""Decisions that one remembers to have absorbed, the newest; it spares them a circle, which would end as well."""

_HEADERS = [(H_TYPE, MOVED)]


class Merging:
    """`due` holds what decisions of this partition still have to be told, `seen` is the time of the record at hand.
    What is for others goes to `outs`."""

    def __init__(
        self,
        keep: Keep,
        links: Links,
        outs: list[Out],
        tally: Tally,
        take: Callable[[Decision, Event], None],
        is_here: Callable[[bytes], bool],
    ) -> None:
        self.keep, self.links, self.outs, self.tally = keep, links, outs, tally
        self.due: deque[Moved] = deque()
        self.seen = 0
        self._take, self._is_here = take, is_here

    def take(self, line: Moved) -> None:
        self.due.append(line)

    def give(self, event: Event, key: str) -> None:
        """An event for a decision, wherever that lives."""
        self._send(Forward(tenant=event.tenant, decision_key=key, event=event))

    def propose(self, decision: Decision, alias: str, received: int) -> None:
        if len(decision.life.aliases) < ALIASES:
            decision.life.aliases.append(alias)
            at = instant(received)
            self._send(Proposal(tenant=decision.tenant, decision_id=alias, decision_key=decision.key, at=at))

    def work(self) -> None:
        """Do all that is due, and what comes of it."""
        while self.due:
            line = self.due.popleft()
            if isinstance(line, Proposal):
                self._elect(line)
                continue
            decision = self.keep.open(line.tenant, line.decision_key)
            if not self._is_live(decision, line):
                continue
            absorbed = decision.life.absorbed
            absorbed.extend(key for key in line.path if key not in absorbed and key != decision.key)
            del absorbed[:-ABSORBED]
            if isinstance(line, Forward):
                self._take(decision, line.event)
            elif isinstance(line, Absorb):
                self._absorb(decision, line)
            elif line.into != decision.key and line.into not in absorbed:
                self._hand_over(decision, line.into)

    def _send(self, line: Moved) -> None:
        if isinstance(line, Proposal):
            routing = routing_key(line.tenant, "", line.decision_id)
        else:
            routing = routing_key(line.tenant, line.decision_key)
        if self._is_here(routing):
            self.due.append(line)
        else:
            self.outs.append(Out(AGENT_MOVED, routing, encode_moved(line), _HEADERS))

    def _elect(self, line: Proposal) -> None:
        if self.links.elect(line, self.outs):
            for event in self.links.release(line.tenant, line.decision_id):
                self.give(event, line.decision_key)
            return
        elected = self.links.find(line.tenant, line.decision_id, 0)
        if elected is not None and elected != line.decision_key:
            self._send(Lost(tenant=line.tenant, decision_key=line.decision_key, into=elected))

    def _is_live(self, decision: Decision, line: Lost | Forward | Absorb) -> bool:
        """Whether the decision takes the line itself; if it merged into another, the line goes there."""
        into = decision.life.merged_into
        if not into:
            return True
        if self.seen // DAY > decision.life.received // DAY:
            decision.life.received = self.seen
            self.keep.touch(decision)
        path = [*line.path, decision.key]
        if into in line.path and decision.key == min(path[path.index(into) :]):
            decision.life.merged_into = ""
            self.keep.touch(decision)
            return True
        line.path, line.decision_key = path, into
        self._send(line)
        return False

    def _absorb(self, decision: Decision, line: Absorb) -> None:
        life = decision.life
        life.news, life.received = max(life.news, line.news), max(life.received, line.received)
        life.replay = line.replay
        if decision.merge(decode_chunk(line.state)):
            self.keep.touch(decision)

    def _hand_over(self, decision: Decision, into: str) -> None:
        life = decision.life
        chunks = list(self.keep.stored_chunks(decision))
        life.retractions += 1
        for prices, entries in chunks:
            decision.trail.know(prices)
            retract(decision, entries, self.outs, self.tally)
            self._send(
                Absorb(
                    tenant=decision.tenant,
                    decision_key=into,
                    state=decision.trail.encode(entries),
                    news=life.news,
                    received=life.received,
                    replay=life.replay,
                    path=[decision.key],
                )
            )
        life.retractions += life.entries
        life.merged_into = into
        life.received = max(life.received, self.seen)
        decision.clear()
        decision.trail.changed = set(range(len(chunks)))
        self.keep.touch(decision)
