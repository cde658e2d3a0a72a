"""The fold of stage `groups`: what decisions and calls contribute to their agent -> facts about groups, and alerts.

Its parts share no state; each owns the state keys that begin with its `prefix`.
"""

from waterline.schemas.facts import GroupInput
from waterline.schemas.frames import Frame
from waterline.streams.steps.budget import Budgets
from waterline.streams.steps.expected import Expected
from waterline.streams.steps.fold import Changes, Cold, Position
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.rules import RuleBook
from waterline.streams.steps.thresholds import Thresholds


class GroupsFold:
    """See `Fold`."""

    def __init__(self, partition: int, partitions: int, cold: Cold, limits: Limits, rules: RuleBook) -> None:
        self.expected = Expected(cold, limits)
        self.thresholds = Thresholds(partitions, limits, rules)
        self.budgets = Budgets(rules)

    def load(self, key: bytes, value: bytes) -> bool:
        if key.startswith(self.expected.prefix):
            return self.expected.load(key, value)
        if key.startswith(self.budgets.prefix):
            return self.budgets.load(value)
        return self.thresholds.load(key, value)

    def apply(self, at: Position, frame: Frame) -> None:
        for line in frame.lines:
            given: GroupInput = line.event
            if given.spend is not None:
                self.budgets.take(given)
                continue
            if given.mark is not None:
                self.budgets.take(given)
            elif given.calls is None:
                self.expected.take(given)
            self.thresholds.take(given)

    def drain(self) -> Changes:
        changes = Changes()
        self.expected.drain(changes)
        self.thresholds.drain(changes)
        self.budgets.drain(changes)
        return changes
