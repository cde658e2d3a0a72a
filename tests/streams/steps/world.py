"""A world without Kafka for the decide fold: partitions, queues and disks as plain data, and events to send through it."""

import random
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from waterline.schemas.dead_letter import DeadLetter
from waterline.schemas.events import Clock, Event, Kind
from waterline.schemas.facts import CostFact, DecisionFact, DecisionLink, DecisionState, GroupInput, PriceVersion, Standing
from waterline.schemas.frames import (
    H_TYPE,
    TICK,
    Frame,
    encode_event,
    encode_tick,
    parse_frame,
    parse_moved,
)
from waterline.schemas.identity import partition_of, routing_key
from waterline.schemas.topics import (
    AGENT_EVENTS,
    AGENT_MOVED,
    COST_FACTS,
    DEAD_LETTERS,
    DECISION_FACTS,
    DECISION_LINKS,
    GROUP_INPUTS,
)
from waterline.streams.steps.decide import DecideFold
from waterline.streams.steps.decision import Decision
from waterline.streams.steps.fold import Changes, Position
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import EPOCH, SECOND, micros
from waterline.streams.steps.prices import PriceBook
from waterline.streams.steps.snapshot import snapshot

T0 = datetime(2026, 11, 20, 9, tzinfo=UTC)
TENANT = "acme"
Record = tuple[bytes, list[tuple[str, bytes]], int]


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


def price(key: str, since: datetime = EPOCH, known: datetime = EPOCH, match: str = "", **units: str) -> PriceVersion:
    provider, _, model = key.partition("/")
    rule = f'{{"order":[0,0],"provider":{{"equals":"{provider}"}},"model":{{"starts_with":"{model}"}}}}'
    return PriceVersion(
        price_id=f"{key}@{since:%Y%m%d}/{known:%Y%m%d}",
        price_key=key,
        provider=provider,
        model=model,
        known_from=known,
        effective_from=since,
        unit_prices=units,
        match=match or ("" if provider == "human" else rule),
    )


def small_book() -> PriceBook:
    """gpt at 2 / 0.2 / 8 USD per million input, cached, output; rerank at 2 USD per thousand; reviewers at 60 USD an hour."""
    return PriceBook(
        [
            price("openai/gpt", tokens_input="2", tokens_cache_read="0.2", tokens_output="8"),
            price("cohere/rerank", requests="2000"),
            price("human/*/*", review_ms="16.666666666666666667"),
        ]
    )


_ids = iter(range(1, 10**9))


def event(kind: Kind = Kind.MODEL_CALL, at: float = 0.0, key: str = "k", **fields: Any) -> Event:
    """An event of decision `key`, `at` seconds after nine; received a second later."""
    ts = T0 + seconds(at)
    given: dict[str, Any] = {"event_id": f"e{next(_ids):06d}", "received_at": ts + seconds(1), "tenant": TENANT}
    given |= {"decision_key": key, "ts": ts, "kind": kind}
    return Event(**(given | fields))


def call(at: float = 0.0, **fields: Any) -> Event:
    """A model call of 1,000 input and 100 output tokens: 0.0028 USD in the small book."""
    given: dict[str, Any] = {
        "provider": "openai",
        "model_served": "gpt",
        "tokens_input": 1000,
        "tokens_output": 100,
        "source": "otlp",
    }
    return event(Kind.MODEL_CALL, at, **(given | fields))


def decide(events: Iterable[Event], limits: Limits | None = None, book: PriceBook | None = None) -> Decision:
    """All events under one key, in one fold."""
    limits, book = limits or Limits(), book or small_book()
    decision = Decision(TENANT, "k", limits.price_from, limits.decision_ids)
    for one in events:
        assert one.received_at is not None
        ts, received = micros(one.ts), micros(one.received_at)
        decision.apply(one, ts, received, min(ts, received + int(limits.clock_skew_s * SECOND)), book)
    return decision


def fact_of(events: Iterable[Event], **how: Any) -> DecisionFact:
    return snapshot(decide(events, **how))


def content(fact: DecisionFact) -> dict[str, Any]:
    """A fact without what depends on how it came about."""
    told = msgspec.to_builtins(fact)
    for name in ("decision_key", "revision", "previous"):
        told.pop(name, None)
    return dict(told)


class Disk(dict[bytes, bytes]):
    """`Cold`, and the changelog."""

    def scan(self, start: bytes, stop: bytes) -> Iterator[bytes]:
        return iter(sorted(key for key in self if start <= key < stop))

    def write(self, changes: Changes) -> None:
        """As the runtime does: what goes along, with whatever there is to be written."""
        along = changes.along if changes.puts or changes.outs else {}
        for key, value in (changes.puts | along).items():
            if value is None:
                self.pop(key, None)
            else:
                self[key] = value


class World:
    """Folds for some partitions, joined by queues. Whatever they tell is kept, and checked as it comes."""

    def __init__(self, partitions: int = 3, limits: Limits | None = None, seed: int = 0) -> None:
        self.partitions, self.limits, self.book = partitions, limits or Limits(), small_book()
        self.random = random.Random(seed)
        self.disks = [Disk() for _ in range(partitions)]
        self.folds = [self._fold(n) for n in range(partitions)]
        self.queues = {(topic, n): deque[Record]() for topic in (AGENT_EVENTS.name, AGENT_MOVED.name) for n in range(partitions)}
        self.offsets = dict.fromkeys(self.queues, -1)
        self.decisions: dict[str, DecisionFact] = {}
        self.costs: dict[tuple[str, str], CostFact] = {}
        self.contributions: dict[str, Standing] = {}
        self.inputs: list[GroupInput] = []
        self.links: dict[str, DecisionLink] = {}
        self.letters: list[DeadLetter] = []

    def _fold(self, partition: int) -> DecideFold:
        return DecideFold(partition, self.partitions, self.disks[partition], self.book, self.limits)

    def send(self, events: Iterable[Event], astray: bool = False) -> None:
        """Each event as a frame of its own, to its partition, or with `astray` to any."""
        for one in events:
            key = routing_key(one.tenant, one.decision_key, one.decision_id, one.event_id)
            partition = self.random.randrange(self.partitions) if astray else partition_of(key, self.partitions)
            sent = one.received_at or one.ts
            self.queues[AGENT_EVENTS.name, partition].append((encode_event(one), [], round(sent.timestamp() * 1000)))

    def tick(self, now: datetime, replay: bool = False) -> None:
        for partition in range(self.partitions):
            record = (encode_tick(now, replay), [(H_TYPE, TICK)], round(now.timestamp() * 1000))
            self.queues[AGENT_EVENTS.name, partition].append(record)

    def run(self, shuffled: bool = False, restarts: bool = False) -> None:
        """Until nothing is queued. `shuffled` interleaves partitions and batches at random, `restarts` throws folds away."""
        while waiting := [at for at, queue in self.queues.items() if queue]:
            topic, partition = self.random.choice(waiting) if shuffled else waiting[0]
            self.take(topic, partition)
            if not shuffled or self.random.random() < 0.4:
                self.drain(partition)
                if restarts and self.random.random() < 0.3:
                    self.folds[partition] = self._fold(partition)
            if shuffled and not any(self.queues.values()):
                for number in range(self.partitions):
                    self.drain(number)
        for number in range(self.partitions):
            self.drain(number)
        if any(self.queues.values()):
            self.run(shuffled, restarts)

    def restart(self) -> None:
        """Every fold anew, from disk."""
        self.folds = [self._fold(n) for n in range(self.partitions)]

    def take(self, topic: str, partition: int) -> None:
        """Apply the next record."""
        value, headers, timestamp = self.queues[topic, partition].popleft()
        self.offsets[topic, partition] += 1
        parse = parse_frame if topic == AGENT_EVENTS.name else parse_moved
        frame: Frame = parse(value, headers, timestamp)
        assert not frame.bad
        self.folds[partition].apply(Position(topic, partition, self.offsets[topic, partition]), frame)

    def drain(self, partition: int) -> None:
        changes = self.folds[partition].drain()
        self.disks[partition].write(changes)
        for out in changes.outs:
            if out.topic is AGENT_MOVED:
                to = partition_of(out.key, self.partitions)
                self.queues[AGENT_MOVED.name, to].append((out.value, out.headers, round(T0.timestamp() * 1000)))
                continue
            for line in out.value.split(b"\n"):
                self._hear(msgspec.json.decode(line, type=out.topic.model), partition_of(out.key, self.partitions) == partition)

    def _hear(self, told: Any, at_home: bool) -> None:
        if isinstance(told, DecisionFact):
            assert at_home
            before = self.decisions.get(told.decision_key)
            assert before is None or told.revision > before.revision
            self.decisions[told.decision_key] = told
        elif isinstance(told, CostFact):
            before_cost = self.costs.get((told.decision_key, told.event_id))
            assert before_cost is None or told.revision > before_cost.revision
            self.costs[told.decision_key, told.event_id] = told
        elif isinstance(told, GroupInput):
            self.inputs.append(told)
            if told.calls is not None or told.mark is not None:
                return
            assert self.contributions.pop(told.decision_key, None) == told.previous
            if told.now is not None:
                self.contributions[told.decision_key] = told.now
        elif isinstance(told, DecisionLink):
            assert told.decision_id not in self.links, "an election is final"
            self.links[told.decision_id] = told
        else:
            self.letters.append(told)

    def live(self) -> dict[str, DecisionFact]:
        return {key: fact for key, fact in self.decisions.items() if fact.state is DecisionState.OPEN}


TOLD = (DECISION_FACTS, COST_FACTS, GROUP_INPUTS, DECISION_LINKS, DEAD_LETTERS)
REPLAY = Clock.REPLAY
