"""What events say of their agent, counted by the minute before it travels: one line for many calls.

An event counts in the minute in which it ended, once, when its decision takes it in; a copy is not taken in. So the counts add
up to those of the distinct raw events, whatever way and in whatever order these came.
"""

from operator import attrgetter

import msgspec

from waterline.schemas.control import Scope
from waterline.schemas.events import Clock, Event, Kind, Status, read_required
from waterline.schemas.facts import Calls, Fields, GroupInput, Mark, Spend
from waterline.schemas.identity import partition_of, routing_key
from waterline.schemas.topics import GROUP_INPUTS
from waterline.streams.steps.entry import Leaf
from waterline.streams.steps.examples import EXAMPLES, Ranked, raised
from waterline.streams.steps.fold import Out
from waterline.streams.steps.moment import DAY, SECOND
from waterline.streams.steps.sketch import bucket_of

COUNTED = frozenset({Kind.TOOL_CALL, Kind.MODEL_CALL})
WORK = COUNTED | {Kind.RETRIEVAL, Kind.GUARDRAIL, Kind.STEP, Kind.DECISION, Kind.ESCALATION}
"""What an agent does, so that it can say who it is and what it decides. People and indexers, who speak of it later, cannot."""
MINUTE = 60 * SECOND
MARK_EVERY = 5 * SECOND
"""of event time on the wall: how late an idle stream may learn that time goes on"""

_encode = msgspec.json.Encoder().encode
_Key = tuple[str, str, Kind, str, int, bool, str]


class Spent:
    """Of one name on one day: see `Spend`."""

    __slots__ = ("at", "dearest", "less", "nanos")

    def __init__(self) -> None:
        self.nanos = self.at = 0
        self.dearest: Ranked[int] = []
        self.less: dict[str, int] = {}

    def add(self, nanos: int, ts: int, decision: tuple[int, str]) -> None:
        self.nanos += nanos
        if ts > self.at:
            self.at = ts
        cost, key = decision
        if nanos < 0:
            self.dearest = [one for one in self.dearest if one[1] != key]
            self.less[key] = cost
        elif key not in self.less:
            raised(self.dearest, decision)


class Tally:
    """The counts of one partition since the last drain, and what it last said of its time."""

    def __init__(self, partition: int, partitions: int, required: str = "") -> None:
        """`required` as in the setting `required_fields`."""
        self.partition = partition
        self._required = read_required(required)
        # at once what nearly every event has; `kind`, which all have, makes it a tuple whatever is required
        self._usual = attrgetter("kind", "kind", *(group[0] for group in self._required))
        self._fields: dict[tuple[str, str, int, bool], Fields] = {}
        self._calls: dict[_Key, Calls] = {}
        self._spending: dict[tuple[str, Scope, str, int, bool], Spent] = {}
        self._marks: dict[bool, int] = {}
        self.said = [0, 0]
        self._everywhere = one_key_of_each(partitions)

    def add(self, event: Event, end: int, decision_key: str) -> None:
        """One event that its decision has taken in; `end` in microseconds."""
        kind = event.kind
        if kind not in WORK:
            return
        minute, replay = end // MINUTE, event.clock is Clock.REPLAY
        self._look(event, minute, replay, decision_key)
        if (kind is not Kind.TOOL_CALL and kind is not Kind.MODEL_CALL) or not event.agent:
            return
        name = event.tool if kind is Kind.TOOL_CALL else event.model_served or event.model_requested
        artifact = event.artifact_id or event.agent_version
        key = (event.tenant, event.agent, kind, name or event.name, minute, replay, artifact)
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = Calls(kind, key[3], key[4], replay=key[5], artifact=artifact)
        calls.count += 1
        bucket = bucket_of(event.duration_ms)
        calls.durations[bucket] = calls.durations.get(bucket, 0) + 1
        if kind is Kind.MODEL_CALL:
            slowest = calls.slowest
            if len(slowest) < EXAMPLES or event.duration_ms >= slowest[-1][0]:
                raised(slowest, (event.duration_ms, decision_key))
        if event.status is not Status.OK:
            calls.errors += 1
            if len(calls.examples) < EXAMPLES and decision_key not in calls.examples:
                calls.examples.append(decision_key)

    def _look(self, event: Event, minute: int, replay: bool, decision_key: str) -> None:
        key = (event.tenant, event.source, minute, replay)
        fields = self._fields.get(key)
        if fields is None:
            fields = self._fields[key] = Fields(key[1], minute, replay=replay)
        fields.count += 1
        if all(self._usual(event)):
            return
        for names in self._required:
            if not any(getattr(event, name) for name in names):
                fields.missing += 1
                if len(fields.examples) < EXAMPLES and decision_key not in fields.examples:
                    fields.examples.append(decision_key)
                return

    def spend(self, tenant: str, leaf: Leaf, ts: int, nanos: int, replay: bool, decision: tuple[int, str]) -> None:
        """A leaf costs `nanos` more than was said before; `decision`: what all of its decision costs, and its key."""
        day = ts // DAY
        named = ((Scope.AGENT, leaf.agent), (Scope.TEAM, leaf.team), (Scope.KEY, leaf.credential_id), (Scope.TENANT, ""))
        for scope, name in named:
            if name or scope is Scope.TENANT:
                key = (tenant, scope, name, day, replay)
                if (spent := self._spending.get(key)) is None:
                    spent = self._spending[key] = Spent()
                spent.add(nanos, ts, decision)

    def time(self, replay: bool, now: int) -> bool:
        """All that this partition will hear from now on is, as far as it knows, later than `now`. Whether there is a mark of it
        to be told."""
        due = now - self.said[replay] >= (1 if replay else MARK_EVERY)
        if due:
            self._marks[replay] = self.said[replay] = now
        return due

    def drain(self, outs: list[Out]) -> None:
        for (tenant, agent, *_), calls in self._calls.items():
            outs.append(
                Out(GROUP_INPUTS, routing_key(tenant, agent), _encode(GroupInput(tenant=tenant, agent=agent, calls=calls)))
            )
        self._calls.clear()
        for (tenant, source, *_), fields in self._fields.items():
            line = _encode(GroupInput(tenant=tenant, fields=fields))
            outs.append(Out(GROUP_INPUTS, routing_key(tenant, f"source:{source}"), line))
        self._fields.clear()
        for (tenant, scope, name, day, replay), spent in self._spending.items():
            if spent.nanos:
                less = [(cost, key) for key, cost in spent.less.items()][:EXAMPLES]
                told = Spend(scope, name, day, spent.nanos, spent.at, replay, [*spent.dearest, *less])
                line = _encode(GroupInput(tenant=tenant, spend=told))
                outs.append(Out(GROUP_INPUTS, routing_key(tenant, f"{scope}:{name}"), line))
        self._spending.clear()
        for replay, now in self._marks.items():
            line = _encode(GroupInput(mark=Mark(self.partition, replay, now)))
            outs.extend(Out(GROUP_INPUTS, key, line) for key in self._everywhere)
        self._marks.clear()


def one_key_of_each(partitions: int) -> list[bytes]:
    """A key for each partition, by which it is chosen."""
    found: dict[int, bytes] = {}
    number = 0
    while len(found) < partitions:
        key = b"mark/%d" % number
        found.setdefault(partition_of(key, partitions), key)
        number += 1
    return [found[partition] for partition in range(partitions)]
