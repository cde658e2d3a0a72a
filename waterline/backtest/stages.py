"""Both stages of the streams in memory: one partition of each, joined without Kafka. What a fold says does not depend on how
many partitions there are. State that is not at hand lies on disk, as it does in a worker."""

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from waterline.schemas.alerts import AlertTransition
from waterline.schemas.facts import GroupInput
from waterline.schemas.frames import Frame, Line
from waterline.schemas.topics import AGENT_EVENTS, ALERT_TRANSITIONS, GROUP_INPUTS
from waterline.streams.cold import LocalCopy
from waterline.streams.stage import Plan
from waterline.streams.steps.entry import nano
from waterline.streams.steps.fold import Changes, Fold, Out, Position
from waterline.streams.steps.moment import EPOCH

_input = msgspec.json.Decoder(GroupInput).decode
_transition = msgspec.json.Decoder(AlertTransition).decode


class Stage:
    """A fold, its disk, and how many frames it has taken."""

    def __init__(self, plan: Plan, topic: str, folder: Path) -> None:
        self._copy = LocalCopy(folder / plan.name, "backtest")
        self._copy.open(0, 0)
        self._fold: Fold = plan.fold(0, 1, self._copy)
        self._topic = topic
        self._taken = 0

    def take(self, frame: Frame) -> None:
        self._fold.apply(Position(self._topic, 0, self._taken), frame)
        self._taken += 1

    def drain(self) -> list[Out]:
        changes: Changes = self._fold.drain()
        if changes.puts:
            self._copy.write(changes.puts, changes.cold, self._taken)
        return changes.outs

    def close(self) -> None:
        self._copy.close()


class Costs(Struct):
    """What decisions that began in [since, until) cost, in nano-dollars."""

    since: int
    until: int
    nanos: int = 0

    def take(self, given: GroupInput) -> None:
        for standing, sign in ((given.previous, -1), (given.now, 1)):
            if standing is not None and self.since <= standing.at < self.until:
                told = standing.contribution
                self.nanos += sign * ((nano(told.automated_cost) or 0) + (nano(told.human_cost) or 0))


class Stages:
    """`hear` is told every transition."""

    def __init__(self, plans: tuple[Plan, Plan], folder: Path, costs: Costs, hear: Callable[[AlertTransition], None]) -> None:
        decide, groups = plans
        self._decide = Stage(decide, AGENT_EVENTS.name, folder)
        self._groups = Stage(groups, GROUP_INPUTS.name, folder)
        self._costs, self._hear = costs, hear

    def take(self, frame: Frame) -> None:
        self._decide.take(frame)

    def drain(self) -> None:
        lines = inputs(self._decide.drain())
        for line in lines:
            self._costs.take(line.event)
        if lines:
            self._groups.take(Frame(lines, [], EPOCH))
        for out in self._groups.drain():
            if out.topic is ALERT_TRANSITIONS:
                self._hear(_transition(out.value))

    def close(self) -> None:
        self._decide.close()
        self._groups.close()


class Priced:
    """Stage `decide` alone, for what it costs."""

    def __init__(self, plan: Plan, folder: Path, costs: Costs) -> None:
        self._decide, self._costs = Stage(plan, AGENT_EVENTS.name, folder), costs

    def take(self, frame: Frame) -> None:
        self._decide.take(frame)

    def drain(self) -> None:
        for line in inputs(self._decide.drain()):
            self._costs.take(line.event)

    def close(self) -> None:
        self._decide.close()


def inputs(outs: list[Out]) -> list[Line]:
    """Of what stage `decide` told, what is for stage `groups`."""
    raws = [out.value for out in outs if out.topic is GROUP_INPUTS]
    return [Line(number, raw, _input(raw)) for number, raw in enumerate(raws)]
