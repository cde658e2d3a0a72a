"""Both stages in memory, from raw events to transitions, with a disk for each so that they can be killed between two batches."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Self

import msgspec

from tests.streams.steps.scenarios import BUDGETS, Batch
from tests.streams.steps.world import T0, Disk, World
from waterline.schemas.alerts import AlertTransition
from waterline.schemas.events import Event
from waterline.schemas.frames import Frame, Line, encode_event, encode_frame
from waterline.schemas.identity import partition_of, routing_key
from waterline.schemas.topics import AGENT_EVENTS, ALERT_TRANSITIONS, GROUP_INPUTS
from waterline.streams import rules_file
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rules import RuleBook, Rules

PARTITIONS = 3


def rules() -> Rules:
    """The default ones, and the budgets of the scenarios."""
    read, mistakes = rules_file.parse(rules_file.DEFAULT.read_bytes() + BUDGETS.encode())
    assert not mistakes
    return read


class Stages(World):
    """`told`: every transition so far. Times are moved by `shift`."""

    def __init__(
        self, in_force: Rules, disk: Disk | None = None, partitions: int = PARTITIONS, shift: timedelta = timedelta(0)
    ) -> None:
        super().__init__(partitions)
        self.told: list[AlertTransition] = []
        self.shift = shift
        self.disk, self.rules = disk or Disk(), RuleBook(in_force)
        self._load()
        self._heard = 0

    def _load(self) -> None:
        self.groups = GroupsFold(0, self.partitions, self.disk, Limits(), self.rules)
        for key, value in self.disk.items():
            self.groups.load(key, value)

    def send(self, events: Iterable[Event], astray: bool = False) -> None:
        """Frames for each partition, which arrive when their last event was received."""
        frames: dict[int, list[Event]] = {}
        for one in events:
            routing = routing_key(one.tenant, one.decision_key, one.decision_id, one.event_id)
            frames.setdefault(partition_of(routing, self.partitions), []).append(one)
        for partition, sent in frames.items():
            queue = self.queues[AGENT_EVENTS.name, partition]
            for n in range(0, len(sent), 1000):
                part = sent[n : n + 1000]
                at = max(one.received_at or one.ts for one in part)
                queue.append((encode_frame(map(encode_event, part)), [], round(at.timestamp() * 1000)))

    def take_in(self, batch: Batch) -> None:
        if batch.events:
            self.send(moved(one, self.shift) for one in batch.events)
            self.run()
        self.tick(T0 + timedelta(seconds=batch.at) + self.shift)
        self.run()
        given = self.inputs[self._heard :]
        self._heard = len(self.inputs)
        lines = [Line(n, b"", one) for n, one in enumerate(given)]
        self.groups.apply(Position(GROUP_INPUTS.name, 0, self._heard), Frame(lines, [], instant(0)))
        changes = self.groups.drain()
        self.disk.write(changes)
        outs = [out for out in changes.outs if out.topic is ALERT_TRANSITIONS]
        self.told += [msgspec.json.decode(out.value, type=AlertTransition) for out in outs]

    def kill(self) -> None:
        """Everything anew, from what was written."""
        self.restart()
        self._load()

    def fork(self) -> Self:
        """Another that goes on from what was written, as if this one had been killed here."""
        other = type(self)(self.rules.now, Disk(self.disk))
        other.disks = [Disk(disk) for disk in self.disks]
        other.restart()
        other.offsets = self.offsets.copy()
        other.decisions, other.costs, other.links = self.decisions.copy(), self.costs.copy(), self.links.copy()
        other.contributions, other.told = self.contributions.copy(), self.told.copy()
        return other


def moved(one: Event, shift: timedelta) -> Event:
    assert one.received_at is not None
    return msgspec.structs.replace(one, ts=one.ts + shift, received_at=one.received_at + shift)
