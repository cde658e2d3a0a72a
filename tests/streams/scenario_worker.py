"""A worker over topics of its own, with the rules and prices of the scenarios: python -m tests.streams.scenario_worker PREFIX"""

import sys
from dataclasses import dataclass, replace

from tests.streams.steps.stages import rules
from tests.streams.steps.world import small_book
from waterline.schemas.frames import Frame
from waterline.schemas.settings import settings
from waterline.schemas.topics import TOPICS, Topic
from waterline.streams.__main__ import plans
from waterline.streams.run import run
from waterline.streams.stage import MakeFold, Plan
from waterline.streams.steps.fold import Changes, Cold, Fold, Out, Position
from waterline.streams.steps.rules import RuleBook
from waterline.streams.worker import Worker


@dataclass(frozen=True, slots=True)
class Own:
    """Every topic under a prefix. Records come when they say, and stay."""

    prefix: str

    def declared(self) -> list[Topic]:
        return [self.of(topic) for topic in TOPICS]

    def of(self, topic: Topic) -> Topic:
        kept = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        return replace(topic, name=self.name(topic.name), config=topic.config | kept)

    def name(self, topic: str) -> str:
        return f"{self.prefix}.{topic}"

    def plan(self, plan: Plan) -> Plan:
        return replace(
            plan,
            inputs={self.name(topic): parse for topic, parse in plan.inputs.items()},
            outputs=[self.name(topic) for topic in plan.outputs],
            changelog=self.name(plan.changelog),
            fold=MakeOwn(self, plan.fold),
        )


@dataclass(frozen=True, slots=True)
class MakeOwn:
    own: Own
    make: MakeFold

    def __call__(self, partition: int, partitions: int, cold: Cold) -> Fold:
        return OwnFold(self.own, self.make(partition, partitions, cold))


@dataclass(frozen=True, slots=True)
class OwnFold:
    """A fold that tells on topics under a prefix."""

    own: Own
    fold: Fold

    def load(self, key: bytes, value: bytes) -> bool:
        return self.fold.load(key, value)

    def apply(self, at: Position, frame: Frame) -> None:
        self.fold.apply(at, frame)

    def drain(self) -> Changes:
        changes = self.fold.drain()
        changes.outs = [Out(self.own.of(out.topic), out.key, out.value, out.headers) for out in changes.outs]
        return changes


if __name__ == "__main__":
    own, config = Own(sys.argv[1]), settings()
    decide, groups = (own.plan(plan) for plan in plans(config, small_book(), RuleBook(rules())))
    run(Worker(config, decide, groups, f"{sys.argv[1]}-streams"))
