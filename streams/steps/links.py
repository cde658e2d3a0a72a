"""Business ids of this partition: which decision each was elected for, and the events that wait for an election.

The first proposal elects; it is never taken back. An event that names only the business id waits until it is linked: at most
`parked_events` of them an id and `parked_hours` since its receipt, after which it is buried. Its own event time does not count:
a replay lets a month pass in seconds, and the link may still be on its way. Links are kept as long as decisions.
"""

import base64
from itertools import islice

import msgspec
from msgspec import Struct

from waterline.schemas.dead_letter import DeadLetter, letter_id
from waterline.schemas.errors import ErrorCode
from waterline.schemas.events import Event
from waterline.schemas.facts import DecisionLink
from waterline.schemas.frames import encode_event
from waterline.schemas.identity import routing_key
from waterline.schemas.moved import Proposal
from waterline.schemas.topics import DEAD_LETTERS, DECISION_LINKS
from waterline.streams.steps.entry import encode
from waterline.streams.steps.fold import Changes, Cold, Out, Position
from waterline.streams.steps.keep import EVENT, LINK, MARK, PARKED, WAITING, expiry_key
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, HOUR, instant, micros

CONSUMER = "streams"
SWEPT_AT_ONCE = 500
_json = msgspec.json.Encoder().encode
_event = msgspec.json.Decoder(Event).decode


class Link(Struct, array_like=True):
    """The elected decision, the last receipt of an event that used the link, and the day it expires."""

    key: str
    received: int
    expires: int = 0


class Waiting(Struct, array_like=True):
    """One event that waits, with where it lay and when it was first seen (microseconds)."""

    event: bytes
    topic: str
    partition: int
    offset: int
    index: int
    seen: int
    due: int


_link = msgspec.msgpack.Decoder(Link).decode
_waiting = msgspec.msgpack.Decoder(Waiting).decode
_count = msgspec.msgpack.Decoder(int).decode


class Links:
    """See the module. What was touched is in memory until it is stored."""

    def __init__(self, cold: Cold, limits: Limits) -> None:
        self.cold, self.limits = cold, limits
        self._links: dict[bytes, Link | None] = {}
        self._parked: dict[bytes, Waiting | None] = {}
        self._counts: dict[bytes, int] = {}
        self._marks: dict[bytes, bytes | None] = {}
        self._swept = False
        self._looked = -1

    def find(self, tenant: str, alias: str, received: int) -> str | None:
        """The decision that a business id was elected for."""
        state = LINK + routing_key(tenant, "", alias)
        link = self._get(state)
        if link is None:
            return None
        if received // DAY > link.received // DAY:
            link.received = received
            self._links[state] = link
        return link.key

    def elect(self, proposal: Proposal, outs: list[Out]) -> bool:
        """Whether the proposal was the first for its business id."""
        key = routing_key(proposal.tenant, "", proposal.decision_id)
        state = LINK + key
        if self._get(state) is not None:
            return False
        received = micros(proposal.at)
        expires = received // DAY + self.limits.decision_keep_days + 1
        self._links[state] = Link(proposal.decision_key, received, expires)
        self._marks[expiry_key(expires, state)] = MARK
        told = DecisionLink(
            tenant=proposal.tenant, decision_id=proposal.decision_id, decision_key=proposal.decision_key, elected_at=proposal.at
        )
        outs.append(Out(DECISION_LINKS, key, _json(told)))
        return True

    def park(self, event: Event, at: Position, index: int, seen: int, since: int, outs: list[Out]) -> None:
        """Hold an event back until its business id is linked; it waits from `since`, a time of receipt."""
        routing = routing_key(event.tenant, "", event.decision_id)
        state = _shelf(routing) + event.event_id.encode()
        if self._held(state) is not None:
            return
        due = since + int(self.limits.parked_hours * HOUR)
        waiting = Waiting(encode_event(event), at.topic, at.partition, at.offset, index, seen, due)
        count = self._counted(routing)
        if count >= self.limits.parked_events:
            outs.append(_letter(waiting, f"{count} events already wait for {event.decision_id!r} to be linked"))
            return
        self._parked[state] = waiting
        self._counts[routing] = count + 1
        self._marks[_waiting_key(due, state)] = MARK

    def release(self, tenant: str, alias: str) -> list[Event]:
        """The events that wait for a business id; they wait no more."""
        routing = routing_key(tenant, "", alias)
        if not self._counted(routing):
            return []
        shelf = _shelf(routing)
        states = {state for state in self._parked if state.startswith(shelf)}
        states.update(self.cold.scan(shelf, shelf + b"\xff"))
        held = [(state, self._held(state)) for state in sorted(states)]
        self._parked.update(dict.fromkeys(states))
        self._counts[routing] = 0
        return [_event(waiting.event) for _, waiting in held if waiting is not None]

    def bury(self, now: int, outs: list[Out]) -> None:
        """Give up events that have waited too long, a bounded number at a time."""
        hour = now // HOUR
        if self._swept or hour == self._looked:
            return
        stop = WAITING + b"%010d" % (hour + 1)
        marks = list(islice(self.cold.scan(WAITING, stop), SWEPT_AT_ONCE))
        if len(marks) < SWEPT_AT_ONCE:
            self._looked = hour
        for mark in marks:
            self._swept = True
            self._marks[mark] = None
            state = mark[len(stop) :]
            if (waiting := self._held(state)) is None:
                continue
            hours = self.limits.parked_hours
            outs.append(_letter(waiting, f"no decision was linked to its business id within {hours:g} hours"))
            self._parked[state] = None
            routing = _routing(state)
            self._counts[routing] = self._counted(routing) - 1

    def expire(self, state: bytes, today: int) -> int | None:
        """Let go of a link that nothing used for long; the day to look again if it is not that old."""
        link = self._get(state)
        if link is None:
            return None
        due = link.received // DAY + self.limits.decision_keep_days + 1
        if due > today:
            link.expires = due
            self._links[state] = link
            return due
        self._links[state] = None
        return None

    def store(self, changes: Changes) -> None:
        for state, link in self._links.items():
            changes.puts[state] = None if link is None else encode(link)
        for state, waiting in self._parked.items():
            changes.puts[state] = None if waiting is None else encode(waiting)
        for routing, count in self._counts.items():
            changes.puts[PARKED + routing] = encode(count) if count else None
        changes.puts.update(self._marks)
        for touched in (self._links, self._parked, self._counts, self._marks):
            touched.clear()
        self._swept = False

    def _get(self, state: bytes) -> Link | None:
        if state in self._links:
            return self._links[state]
        stored = self.cold.get(state)
        return None if stored is None else _link(stored)

    def _held(self, state: bytes) -> Waiting | None:
        if state in self._parked:
            return self._parked[state]
        stored = self.cold.get(state)
        return None if stored is None else _waiting(stored)

    def _counted(self, routing: bytes) -> int:
        if (count := self._counts.get(routing)) is not None:
            return count
        stored = self.cold.get(PARKED + routing)
        return 0 if stored is None else _count(stored)


def _shelf(routing: bytes) -> bytes:
    """What the keys of the events that wait for a business id begin with, and no others."""
    return EVENT + b"%05d" % len(routing) + routing


def _routing(state: bytes) -> bytes:
    return state[6 : 6 + int(state[1:6])]


def unlinked(event: Event, at: Position, index: int, seen: int, reason: str) -> Out:
    """A dead letter for an event that can never reach a decision."""
    return _letter(Waiting(encode_event(event), at.topic, at.partition, at.offset, index, seen, 0), reason)


def _waiting_key(due: int, state: bytes) -> bytes:
    return WAITING + b"%010d" % (due // HOUR + 1) + state


def _letter(waiting: Waiting, reason: str) -> Out:
    letter = DeadLetter(
        id=letter_id(CONSUMER, waiting.topic, waiting.partition, waiting.offset, waiting.index),
        consumer=CONSUMER,
        topic=waiting.topic,
        partition=waiting.partition,
        offset=waiting.offset,
        index=waiting.index,
        tenant=_event(waiting.event).tenant,
        code=ErrorCode.UNLINKED,
        reason=reason,
        first_seen=instant(waiting.seen),
        raw=base64.b64encode(waiting.event).decode(),
    )
    return Out(DEAD_LETTERS, waiting.topic.encode(), _json(letter))
