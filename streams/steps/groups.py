"""The fold of stage `groups`: what decisions and calls contribute to their agent -> facts about groups, and alerts.

Its parts share no state; each owns the state keys that begin with its `prefix`.
"""

from waterline.schemas.facts import GroupInput, Mark
from waterline.schemas.frames import Frame
from waterline.streams.steps.budget import Budgets
from waterline.streams.steps.drops import Drops
from waterline.streams.steps.expected import Expected
from waterline.streams.steps.fold import Changes, Cold, Position
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.outliers import Outliers
from waterline.streams.steps.rules import RuleBook
from waterline.streams.steps.silence import Silence
from waterline.streams.steps.thresholds import Thresholds


class GroupsFold:
    """See `Fold`."""

    def __init__(self, partition: int, partitions: int, cold: Cold, limits: Limits, rules: RuleBook) -> None:
        self.expected = Expected(cold, limits)
        self.thresholds = Thresholds(partitions, limits, rules)
        self.budgets = Budgets(rules)
        self.silence = Silence(rules)
        self.outliers = Outliers(limits, rules)
        self.drops = Drops(rules)

    def load(self, key: bytes, value: bytes) -> bool:
        if key.startswith(self.expected.prefix):
            return self.expected.load(key, value)
        for part in (self.budgets, self.silence, self.outliers, self.drops):
            if key.startswith(part.prefix):
                return part.load(value)
        return self.thresholds.load(key, value)

    def apply(self, at: Position, frame: Frame) -> None:
        for line in frame.lines:
            given: GroupInput = line.event
            if given.mark is not None:
                self._pass(given, given.mark)
            elif given.spend is not None:
                self.budgets.take(given)
            else:
                if given.calls is None:
                    self.expected.take(given)
                    self.outliers.take(given, self.thresholds.clocks[_replay(given)].heard)
                    self.drops.take(given)
                self.silence.take(given)
                self.thresholds.take(given)

    def _pass(self, given: GroupInput, mark: Mark) -> None:
        self.budgets.take(given)
        self.thresholds.take(given)
        now = self.thresholds.clocks[mark.replay].watermark
        self.outliers.advance(mark.replay, now)
        self.drops.advance(mark.replay, now)
        if not mark.replay:
            self.silence.advance(now)

    def drain(self) -> Changes:
        changes = Changes()
        if gone := self.thresholds.gone:
            heard = (self.thresholds.clocks[0].heard, self.thresholds.clocks[1].heard)
            self.silence.end(gone, heard[0])
            self.outliers.end(gone, heard)
            self.drops.end(gone, heard)
        self.expected.drain(changes)
        self.thresholds.drain(changes)
        self.budgets.drain(changes)
        self.silence.drain(changes)
        self.outliers.drain(changes)
        self.drops.drain(changes)
        return changes


def _replay(given: GroupInput) -> bool:
    standing = given.now or given.previous
    return standing is not None and standing.replay
