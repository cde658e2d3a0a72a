"""The fold of stage `groups`: what decisions and calls contribute to their agent -> facts about groups, and alerts.

Its parts share no state; each owns the state keys that begin with its `prefix`.
"""

from collections.abc import Mapping
from typing import Protocol

from waterline.schemas.facts import GroupInput, Mark
from waterline.schemas.frames import Frame
from waterline.streams.steps.budget import Budgets
from waterline.streams.steps.canary import Canaries
from waterline.streams.steps.drifting import Drifting
from waterline.streams.steps.drops import Drops
from waterline.streams.steps.expected import Expected
from waterline.streams.steps.fold import Changes, Cold, Position
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.outliers import Outliers
from waterline.streams.steps.quality import Quality
from waterline.streams.steps.rules import Rule, RuleBook
from waterline.streams.steps.silence import Silence
from waterline.streams.steps.thresholds import Thresholds


class Part(Protocol):
    """Something that is drawn from decisions as event time goes on. All state is given out by `drain`, in keys that begin with
    `prefix`, and comes back by `load`."""

    prefix: bytes

    def load(self, value: bytes) -> bool: ...

    def take(self, given: GroupInput, heard: int) -> None:
        """Calls, or what a decision is now and was before; never a mark or spending. `heard`: the latest that its kind of time
        has come to, microseconds."""

    def advance(self, replay: bool, now: int) -> None:
        """The watermark of live time, or of a replay, has come to `now`, microseconds."""

    def end(self, gone: Mapping[str, Rule], heard: tuple[int, int]) -> None:
        """Rules are in force no more. `heard`: how far time has come, live and of a replay."""

    def drain(self, changes: Changes) -> None: ...


class GroupsFold:
    """See `Fold`."""

    def __init__(self, partition: int, partitions: int, cold: Cold, limits: Limits, rules: RuleBook) -> None:
        self.expected = Expected(cold, limits)
        self.thresholds = Thresholds(partitions, limits, rules)
        self.budgets = Budgets(rules)
        self.parts: tuple[Part, ...] = (
            Silence(rules),
            Outliers(limits, rules),
            Drops(rules),
            Canaries(limits, rules),
            Drifting(cold, rules),
            Quality(cold, limits),
        )
        self._loaders = {part.prefix: part.load for part in (self.budgets, *self.parts)}

    def load(self, key: bytes, value: bytes) -> bool:
        if key.startswith(self.expected.prefix):
            return self.expected.load(key, value)
        if (load := self._loaders.get(key[:1])) is not None:
            return load(value)
        return self.thresholds.load(key, value)

    def apply(self, at: Position, frame: Frame) -> None:
        for line in frame.lines:
            given: GroupInput = line.event
            if given.mark is not None:
                self._pass(given, given.mark)
            elif given.spend is not None:
                self.budgets.take(given)
            elif given.fields is not None:
                self.thresholds.take(given)
            else:
                if given.calls is None:
                    self.expected.take(given)
                heard = self.thresholds.clocks[_replay(given)].heard
                for part in self.parts:
                    part.take(given, heard)
                self.thresholds.take(given)

    def _pass(self, given: GroupInput, mark: Mark) -> None:
        self.budgets.take(given)
        self.thresholds.take(given)
        now = self.thresholds.clocks[mark.replay].watermark
        for part in self.parts:
            part.advance(mark.replay, now)

    def drain(self) -> Changes:
        changes = Changes()
        if gone := self.thresholds.gone:
            heard = (self.thresholds.clocks[0].heard, self.thresholds.clocks[1].heard)
            for part in self.parts:
                part.end(gone, heard)
        self.expected.drain(changes)
        self.thresholds.drain(changes)
        self.budgets.drain(changes)
        for part in self.parts:
            part.drain(changes)
        return changes


def _replay(given: GroupInput) -> bool:
    told = given.calls or given.now or given.previous
    return told is not None and told.replay
