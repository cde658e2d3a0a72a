"""Where decisions are kept: open ones in memory, all of them on disk, none longer than they can be reopened.

State keys, each followed by `tenant/key`:

    d   the head of a decision (`Life`)
    e   a chunk of its entries, with `\\x1f` and its number at the end
    l   a link: business id -> decision
    p   how many events wait for a business id;  w  each of them, with the length before and the event id at the end
    x   the index of expiry: day, then the state key that expires;  q  that of waiting events: hour, then the state key
"""

from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from waterline.schemas.identity import routing_key
from waterline.streams.steps.agenda import Agenda
from waterline.streams.steps.decision import Decision, Life
from waterline.streams.steps.entry import Chunk, decode_chunk, encode
from waterline.streams.steps.fold import Changes, Cold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, SECOND

HEAD, CHUNKS, LINK, PARKED, EVENT, EXPIRY, WAITING = b"d", b"e", b"l", b"p", b"w", b"x", b"q"
SAID = b"t"
"""what time was told last, so that a restart tells it no sooner"""
MARK = b"1"
SWEPT_AT_ONCE = 500
_decode_life = msgspec.msgpack.Decoder(Life).decode


def head_key(tenant: str, key: str) -> bytes:
    return HEAD + routing_key(tenant, key)


def chunk_key(head: bytes, number: int) -> bytes:
    return CHUNKS + head[1:] + b"\x1f%d" % number


class Keep:
    """The decisions of one partition. `touched` are those whose state is not stored yet."""

    def __init__(self, cold: Cold, limits: Limits) -> None:
        self.cold, self.limits = cold, limits
        self.grace = int(limits.decision_grace_s * SECOND)
        self.decisions: dict[tuple[str, str], Decision] = {}
        self.touched: dict[tuple[str, str], Decision] = {}
        self._gone: dict[bytes, bytes | None] = {}
        self._agendas: tuple[Agenda[tuple[str, str]], Agenda[tuple[str, str]]] = (Agenda(), Agenda())
        self._scheduled: set[tuple[str, str]] = set()
        self._looked = -1
        self._swept = False

    def open(self, tenant: str, key: str) -> Decision:
        """The decision, from memory, from disk or new."""
        if (decision := self.decisions.get((tenant, key))) is not None:
            return decision
        decision = Decision(tenant, key, self.limits.price_from, self.limits.decision_ids)
        head = head_key(tenant, key)
        if head not in self._gone and (stored := self.cold.get(head)) is not None:
            decision.life = _decode_life(stored)
            decision.restore(list(self.stored_chunks(decision)))
        self.decisions[tenant, key] = decision
        if (tenant, key) not in self._scheduled:
            self._scheduled.add((tenant, key))
            self._agendas[decision.life.replay].add(decision.life.news + self.grace, (tenant, key))
        return decision

    def stored_chunks(self, decision: Decision) -> Iterator[Chunk]:
        """The chunks of a decision, those that left the memory from disk."""
        head, chunks = head_key(decision.tenant, decision.key), decision.trail.chunks
        for number in range(max(decision.life.chunks, len(chunks))):
            if number < len(chunks) and (chunk := chunks[number]) is not None:
                yield [], chunk
            elif (stored := self.cold.get(chunk_key(head, number))) is not None:
                yield decode_chunk(stored)
            else:
                raise KeyError(f"chunk {number} of {head!r} is not stored")

    def touch(self, decision: Decision) -> None:
        self.touched[decision.tenant, decision.key] = decision

    def close(self, replay: bool, now: int, limit: int) -> None:
        """Let decisions without news for the grace period out of the memory."""
        agenda = self._agendas[replay]
        for key in agenda.due(now, limit):
            decision = self.decisions.get(key)
            if decision is None:
                self._scheduled.discard(key)
                continue
            due = decision.life.news + self.grace
            if decision.life.replay != replay:
                self._agendas[decision.life.replay].add(due, key)
            elif due > now or key in self.touched:
                agenda.add(max(due, now + SECOND), key)
            else:
                del self.decisions[key]
                self._scheduled.discard(key)

    def expire(self, now: int, expire_link: Callable[[bytes, int], int | None]) -> None:
        """Let go of what nothing reached for as long as it is kept: a bounded number at a time, counted from receipt."""
        today = now // DAY
        if self._swept or today == self._looked:
            return
        marks = list(islice(self.cold.scan(EXPIRY, expiry_key(today + 1, b"")), SWEPT_AT_ONCE))
        if len(marks) < SWEPT_AT_ONCE:
            self._looked = today
        for mark in marks:
            self._swept = True
            self._gone[mark] = None
            state = mark[len(expiry_key(today, b"")) :]
            again = expire_link(state, today) if state.startswith(LINK) else self._expire(state, today)
            if again is not None:
                self._gone[expiry_key(again, state)] = MARK

    def _expire(self, head: bytes, today: int) -> int | None:
        tenant, _, key = head[1:].decode().partition("/")
        decision = self.decisions.get((tenant, key))
        life = decision.life if decision is not None else None
        if life is None:
            stored = self.cold.get(head)
            if stored is None:
                return None
            life = _decode_life(stored)
        due = self._due(life)
        if due > today:
            life.expires = due
            return due
        self.decisions.pop((tenant, key), None)
        self.touched.pop((tenant, key), None)
        self._gone[head] = None
        self._gone |= dict.fromkeys(chunk_key(head, number) for number in range(life.chunks))
        return None

    def _due(self, life: Life) -> int:
        return life.received // DAY + self.limits.decision_keep_days + 1

    def store(self, changes: Changes) -> None:
        """Write what was touched, and keep no more in memory than the setting allows: first in, first out."""
        changes.puts.update(self._gone)
        self._gone.clear()
        self._swept = False
        for decision in self.touched.values():
            self._store(decision, changes)
        self.touched.clear()
        for key in list(islice(self.decisions, max(0, len(self.decisions) - self.limits.decisions_in_memory))):
            del self.decisions[key]

    def _store(self, decision: Decision, changes: Changes) -> None:
        life = decision.life
        head = head_key(decision.tenant, decision.key)
        if not life.expires:
            life.expires = self._due(life)
            changes.puts[expiry_key(life.expires, head)] = MARK
        for number, data in decision.trail.encode_changed():
            changes.puts[chunk_key(head, number)] = data
        life.chunks = len(decision.trail.chunks)
        changes.puts[head] = encode(life)


def expiry_key(day: int, key: bytes) -> bytes:
    return EXPIRY + b"%06d" % day + key
