"""The smallest stateful stream there is, on Waterline's runtime: events counted and summed by decision, one fact for each
decision a batch touched. What it costs is what the runtime costs.

    python -m bench.counting PREFIX     a worker over PREFIX.events, .moved, .inputs, .facts, .group.facts and its changelogs

Tests run it too: whatever happens to it, its facts and states must add up.
"""

import sys
from dataclasses import dataclass, replace

import msgspec
from msgspec import Struct

from waterline.schemas.frames import Frame, parse_frame
from waterline.schemas.settings import settings
from waterline.schemas.topics import AGENT_EVENTS, AGENT_MOVED, DECIDE_CHANGELOG, DECISION_FACTS, GROUPS_CHANGELOG, Topic
from waterline.streams.run import run
from waterline.streams.stage import Plan
from waterline.streams.steps.fold import Changes, Cold, Out, Position
from waterline.streams.worker import Worker


class Count(Struct):
    """State and fact alike: `revision` counts the events, `total` sums their `tokens_input`."""

    tenant: str
    decision_key: str
    revision: int = 0
    total: int = 0


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Count).decode


class CountingFold:
    """A `Fold`. A tool call named `boom` makes it raise, so that tests can see what a bug does."""

    def __init__(self, facts: Topic) -> None:
        self._facts = facts
        self._counts: dict[tuple[str, str], Count] = {}
        self._touched: dict[tuple[str, str], Count] = {}

    def load(self, key: bytes, value: bytes) -> bool:
        count = decode(value)
        self._counts[count.tenant, count.decision_key] = count
        return True

    def apply(self, at: Position, frame: Frame) -> None:
        counts, touched = self._counts, self._touched
        for line in frame.lines:
            event = line.event
            key = (event.tenant, event.decision_key)
            count = counts.get(key)
            if count is None:
                count = counts[key] = Count(*key)
            count.revision += 1
            count.total += event.tokens_input
            touched[key] = count
            if event.tool == "boom":
                raise ZeroDivisionError(event.name)

    def drain(self) -> Changes:
        changes = Changes()
        puts, outs = changes.puts, changes.outs
        for (tenant, decision), count in self._touched.items():
            key = f"{tenant}/{decision}".encode()
            puts[key] = encode(count)
            outs.append(Out(self._facts, key, encode(count)))
        self._touched = {}
        return changes


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of one run, all below one prefix."""

    prefix: str

    def declared(self) -> tuple[Topic, ...]:
        return (*self.inputs, self.facts, self.group_facts, *self.changelogs)

    @property
    def inputs(self) -> tuple[Topic, Topic, Topic]:
        moved = replace(AGENT_MOVED, name=f"{self.prefix}.moved")
        return replace(AGENT_EVENTS, name=f"{self.prefix}.events"), moved, replace(moved, name=f"{self.prefix}.inputs")

    @property
    def facts(self) -> Topic:
        return replace(DECISION_FACTS, name=f"{self.prefix}.facts")

    @property
    def group_facts(self) -> Topic:
        return replace(DECISION_FACTS, name=f"{self.prefix}.group.facts")

    @property
    def changelogs(self) -> tuple[Topic, Topic]:
        return (
            replace(DECIDE_CHANGELOG, name=f"{self.prefix}.decide.changelog"),
            replace(GROUPS_CHANGELOG, name=f"{self.prefix}.groups.changelog"),
        )


def plans(topics: Topics) -> tuple[Plan, Plan]:
    events, moved, inputs = (topic.name for topic in topics.inputs)
    decide, groups = (topic.name for topic in topics.changelogs)

    parse = {events: parse_frame, moved: parse_frame}
    return (
        Plan("decide", parse, [topics.facts.name], decide, MakeCounting(topics.facts)),
        Plan("groups", {inputs: parse_frame}, [topics.group_facts.name], groups, MakeCounting(topics.group_facts)),
    )


@dataclass(frozen=True, slots=True)
class MakeCounting:
    facts: Topic

    def __call__(self, partition: int, partitions: int, cold: Cold) -> CountingFold:
        return CountingFold(self.facts)


if __name__ == "__main__":
    decide, groups = plans(Topics(sys.argv[1]))
    run(Worker(settings(), decide, groups, f"{sys.argv[1]}-streams"))
