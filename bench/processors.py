"""(b) Stream processors: Waterline's runtime beside idiomatic Faust, with the counting fold and with the whole ledger; and (e)
how the time per event grows with the decisions that are open.

Same broker, same events, both workers up during the whole run and taking turns. A round sends N events and ends when the facts
that readers can see cover all of them; what is compared is events per CPU-second of the worker process, since on a small
machine the broker and the load share its cores.

    python -m bench.processors [counting] [ledger] [growth]
"""

import random
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from confluent_kafka import Consumer, Producer

from bench.counting import Topics, decode
from bench.report import Figure, bar, ratio, show, write
from waterline.schemas.events import Event, Kind
from waterline.schemas.frames import encode_event, encode_frame, frame_headers
from waterline.schemas.identity import partition_of, routing_key
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS, DECIDE_CHANGELOG, DECISION_FACTS, GROUPS_CHANGELOG, TOPICS
from waterline.stack import kafka as broker
from waterline.stack import ports, topics
from waterline.stack.process import Child

PARTITIONS = 12
FRAME = 100
DECISIONS_A_FRAME = 10
CHANGELOGS = (DECIDE_CHANGELOG, GROUPS_CHANGELOG)
OURS, THEIRS = "Waterline", "idiomatic Faust"
WANTED = 12.0
WANTED_GROWTH = 1.3
PATIENCE_S = 180.0


class Contender:
    """A worker process, what it reads and where its facts go."""

    def __init__(self, name: str, child: Child, source: str, facts: str, bootstrap: str) -> None:
        self.name = name
        self.child = child
        self.source = source
        self.framed = name == OURS
        self.seen: dict[str, int] = {}
        self.sent = 0
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "compression.type": "lz4"})
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"bench-{uuid.uuid4().hex}",
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
            }
        )
        self._consumer.subscribe([facts])

    def cpu_seconds(self) -> float:
        assert self.child.pid is not None, self.child.tail(40)
        times = psutil.Process(self.child.pid).cpu_times()
        return times.user + times.system

    def round(self, events: int, decisions: Sequence[str]) -> tuple[float, float]:
        """Events a CPU-second of the worker, and events a second by the clock, when `events` go to `decisions` in turn."""
        load = list(corpus(events, self.sent, decisions))
        used, began = self.cpu_seconds(), time.perf_counter()
        for partition, lines in load:
            self._send(partition, lines)
        self._producer.flush()
        self.sent += events
        self._wait()
        return events / (self.cpu_seconds() - used), events / (time.perf_counter() - began)

    def _send(self, partition: int, lines: list[tuple[bytes, bytes]]) -> None:
        if self.framed:
            value = encode_frame(line for _, line in lines)
            headers = frame_headers("acme", len(lines), "bench", 0)
            self._producer.produce(self.source, value, partition=partition, headers=[*headers])
        else:
            for key, line in lines:
                self._producer.produce(self.source, line, key, partition)
        self._producer.poll(0)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while sum(self.seen.values()) < self.sent:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: {sum(self.seen.values())} of {self.sent}\n{self.child.tail(40)}")
            for message in self._consumer.consume(5000, 0.05):
                if message.error() is None:
                    count = decode(message.value() or b"")
                    self.seen[count.decision_key] = max(count.revision, self.seen.get(count.decision_key, 0))

    def close(self) -> None:
        self._consumer.close()
        self.child.kill()


def corpus(events: int, first: int, decisions: Sequence[str]) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
    """(partition, key and line of each event): frames of FRAME events, DECISIONS_A_FRAME decisions in each."""
    now = datetime.now(UTC)
    shelves: dict[int, list[str]] = {partition: [] for partition in range(PARTITIONS)}
    for decision in decisions:
        shelves[partition_of(routing_key("acme", decision), PARTITIONS)].append(decision)
    for frame in range(events // FRAME):
        partition = frame % PARTITIONS
        keys, at = shelves[partition], frame // PARTITIONS * DECISIONS_A_FRAME
        lines = []
        for index in range(FRAME):
            decision = keys[(at + index % DECISIONS_A_FRAME) % len(keys)]
            event = Event(
                event_id=f"{first + frame * FRAME + index:032x}",
                source="bench",
                ts=now,
                received_at=now,
                tenant="acme",
                session_id="session",
                decision_key=decision,
                span_id=f"{index:016x}",
                kind=Kind.MODEL_CALL,
                name="chat",
                agent="support",
                task="refund",
                provider="openai",
                model_requested="gpt-4o-mini",
                model_served="gpt-4o-mini-2024-07-18",
                tokens_input=index,
                tokens_output=17,
                finish_reason="stop",
            )
            lines.append((routing_key("acme", decision), encode_event(event)))
        yield partition, lines


@contextmanager
def kafka() -> Iterator[tuple[str, Path]]:
    """Bootstrap servers of a broker for this run, and a folder."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        node = broker.Broker(
            home / "kafka", home / "kafka.log", ports.pick(), ports.pick(), broker.classpath(Settings().cache_dir)
        )
        node.prepare()
        child = Child("kafka", node.command(), home / "kafka.out")
        child.start()
        try:
            child.wait_until(node.answers, time.monotonic() + 60)
            topics.create(broker.admin(node.bootstrap), PARTITIONS, 1, TOPICS)
            yield node.bootstrap, home
        finally:
            child.kill()


@contextmanager
def contenders(bootstrap: str, home: Path, ledger: bool, alone: bool = False) -> Iterator[list[Contender]]:
    """Ours and, unless `alone`, theirs, over new topics; with the ledger ours reads and writes the declared ones."""
    prefix = f"bench{uuid.uuid4().hex[:8]}"
    mine, table = Topics(prefix), "states" if ledger else "counts"
    names = [
        f"{prefix}.single",
        f"{prefix}.idiomatic.facts",
        *(f"{prefix}.{topic.name}" for topic in TOPICS if topic not in CHANGELOGS),
    ]
    changelog = replace(DECIDE_CHANGELOG, name=f"{prefix}-idiomatic-{table}-changelog")
    made = (*mine.declared(), changelog, *(replace(AGENT_EVENTS, name=name) for name in names))
    topics.create(broker.admin(bootstrap), PARTITIONS, 1, made)
    environment = {
        "WATERLINE_KAFKA": bootstrap,
        "WATERLINE_DATA_DIR": str(home / prefix),
        "WATERLINE_STREAMS_METRICS_PORT": "0",
        "WATERLINE_LOG_LEVEL": "warning",
    }
    worker = ["waterline.streams"] if ledger else ["bench.counting", prefix]
    ours = Child("waterline", [sys.executable, "-m", *worker], home / "waterline.log", environment)
    source, facts = (AGENT_EVENTS.name, DECISION_FACTS.name) if ledger else (mine.inputs[0].name, mine.facts.name)
    runners = [Contender(OURS, ours, source, facts, bootstrap)]
    if not alone:
        module = "bench.idiomatic_ledger" if ledger else "bench.idiomatic_faust"
        arguments = [prefix, bootstrap, str(PARTITIONS), str(home / "faust")]
        theirs = Child("faust", [sys.executable, "-m", module, *arguments], home / "faust.log")
        told = f"{prefix}.{DECISION_FACTS.name}" if ledger else f"{prefix}.idiomatic.facts"
        runners.append(Contender(THEIRS, theirs, f"{prefix}.single", told, bootstrap))
    try:
        for runner in runners:
            runner.child.start()
        yield runners
    finally:
        for runner in runners:
            runner.close()


def compare(ledger: bool, events: dict[str, int], decisions: int, rounds: int = 5) -> list[Figure]:
    """Both in turn, decisions new to each round, so that states do not grow from round to round."""
    figures: dict[tuple[str, str], Figure] = {}
    with kafka() as (bootstrap, home), contenders(bootstrap, home, ledger) as runners:
        for runner in runners:
            runner.round(events[runner.name] // 4, named("warm", decisions))  # starts, joins, warms up
            setting = (
                f"{'ledger' if ledger else 'counting'}, {f'{FRAME} events a frame' if runner.framed else 'one event a record'}"
            )
            for quantity, unit in (("events", "a CPU-second"), ("events by the clock", "a second")):
                figures[runner.name, quantity] = Figure(runner.name, setting, quantity, unit, [])
        for number in range(rounds):
            for runner in runners if number % 2 == 0 else runners[::-1]:
                by_cpu, by_clock = runner.round(events[runner.name], named(str(number), decisions))
                figures[runner.name, "events"].rounds.append(by_cpu)
                figures[runner.name, "events by the clock"].rounds.append(by_clock)
    return list(figures.values())


def named(what: str, count: int) -> list[str]:
    return [f"{what}-{number}" for number in range(count)]


def growth(sizes: Sequence[int] = (1_000, 10_000, 100_000), events: int = 60_000, rounds: int = 5) -> list[Figure]:
    """The ledger alone: CPU time per event for events of decisions drawn from those that are open, ten events each."""
    figures = []
    chance = random.Random(5)
    for size in sizes:
        figure = Figure(OURS, f"{size} decisions open", "time per event", "CPU-microseconds", [])
        with kafka() as (bootstrap, home), contenders(bootstrap, home, ledger=True, alone=True) as (ours,):
            every = named("open", size)
            ours.round(size // DECISIONS_A_FRAME * FRAME, every)
            for number in range(rounds):
                fresh = named(f"fresh{number}", events // FRAME)
                picked = chance.sample(every, min(size, events // FRAME)) + fresh
                chance.shuffle(picked)
                figure.rounds.append(1e6 / ours.round(events, picked)[0])
        figures.append(figure)
    return figures


def main(wanted: Sequence[str], rounds: int = 5) -> None:
    for name, ledger, events, decisions in (
        ("counting", False, {OURS: 240_000, THEIRS: 12_000}, 2_400),
        ("ledger", True, {OURS: 120_000, THEIRS: 6_000}, 2_400),
    ):
        if name in wanted:
            figures = compare(ledger, events, decisions, rounds)
            show(f"(b) stream processors, {name}", figures)
            by_cpu = [figure for figure in figures if figure.quantity == "events"]
            told = bar(f"processors, {name}: events a CPU-second", None if ledger else WANTED, ratio(by_cpu[0], by_cpu[1]))
            print(write(f"processors-{name}", figures, [told]))
    if "growth" in wanted:
        figures = growth(rounds=rounds)
        show("(e) stream processors, open decisions", figures)
        told = bar("time per event, 100x open decisions to 1x", WANTED_GROWTH, ratio(figures[-1], figures[0]), at_most=True)
        print(write("processors-growth", figures, [told]))


if __name__ == "__main__":
    main(sys.argv[1:] or ["counting", "ledger", "growth"])
