"""(b) Stream processors: the counting fold on Waterline's runtime beside the same counting in idiomatic Faust.

Same broker, same events, both workers up during the whole run and taking turns. A round sends N events and ends when the facts
that readers can see cover all of them; what is compared is events per CPU-second of the worker process, since on a small
machine the broker and the load share its cores.
"""

import os
import sys
import time
import uuid
from collections.abc import Iterator
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
from waterline.schemas.topics import AGENT_EVENTS, DECIDE_CHANGELOG, DECISION_FACTS, TOPICS, Topic
from waterline.stack import kafka as broker
from waterline.stack import ports, topics
from waterline.stack.process import Child

PARTITIONS = 12
FRAME = 100
DECISIONS_A_FRAME = 10
DECISIONS = 2_400
EVENTS = {"Waterline": 240_000, "idiomatic Faust": 12_000}
WANTED = 12.0
PATIENCE_S = 180.0


class Contender:
    """A worker process over topics of its own."""

    def __init__(self, name: str, child: Child, source: Topic, facts: Topic, bootstrap: str) -> None:
        self.name = name
        self.child = child
        self.source = source
        self.framed = name == "Waterline"
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
        self._consumer.subscribe([facts.name])

    def cpu_seconds(self) -> float:
        assert self.child.pid is not None, self.child.tail(40)
        times = psutil.Process(self.child.pid).cpu_times()
        return times.user + times.system

    def round(self, events: int) -> tuple[float, float]:
        """Events a CPU-second of the worker, and events a second by the clock."""
        load = list(corpus(events, self.sent))
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
            self._producer.produce(self.source.name, value, partition=partition, headers=[*headers])
        else:
            for key, line in lines:
                self._producer.produce(self.source.name, line, key, partition)
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


def corpus(events: int, first: int) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
    """(partition, key and line of each event): frames of FRAME events, DECISIONS_A_FRAME decisions in each."""
    now = datetime.now(UTC)
    shelves: dict[int, list[str]] = {partition: [] for partition in range(PARTITIONS)}
    for number in range(DECISIONS):
        shelves[partition_of(routing_key("acme", f"decision-{number}"), PARTITIONS)].append(f"decision-{number}")
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
def kafka(home: Path) -> Iterator[str]:
    """Bootstrap servers of a broker for this run; WATERLINE_TEST_KAFKA names one that is there."""
    if external := os.environ.get("WATERLINE_TEST_KAFKA"):
        yield external
        return
    node = broker.Broker(home, home / "kafka.log", ports.pick(), ports.pick(), broker.classpath(Settings().cache_dir))
    node.prepare()
    child = Child("kafka", node.command(), home / "kafka.out")
    child.start()
    try:
        child.wait_until(node.answers, time.monotonic() + 60)
        yield node.bootstrap
    finally:
        child.stop()


@contextmanager
def contenders(bootstrap: str, home: Path) -> Iterator[list[Contender]]:
    prefix = f"bench{uuid.uuid4().hex[:8]}"
    mine = Topics(prefix)
    single = replace(AGENT_EVENTS, name=f"{prefix}.single")
    facts = replace(DECISION_FACTS, name=f"{prefix}.idiomatic.facts")
    changelog = replace(DECIDE_CHANGELOG, name=f"{prefix}-idiomatic-counts-changelog")
    made = (*mine.declared(), single, facts, changelog)
    admin = broker.admin(bootstrap)
    topics.create(admin, PARTITIONS, 1, (*TOPICS, *made))
    environment = {
        "WATERLINE_KAFKA": bootstrap,
        "WATERLINE_DATA_DIR": str(home / "waterline"),
        "WATERLINE_STREAMS_METRICS_PORT": "0",
        "WATERLINE_LOG_LEVEL": "warning",
    }
    ours = Child("waterline", [sys.executable, "-m", "bench.counting", prefix], home / "waterline.log", environment)
    arguments = [prefix, bootstrap, str(PARTITIONS), str(home / "faust")]
    theirs = Child("faust", [sys.executable, "-m", "bench.idiomatic_faust", *arguments], home / "faust.log")
    runners = [
        Contender("Waterline", ours, mine.inputs[0], mine.facts, bootstrap),
        Contender("idiomatic Faust", theirs, single, facts, bootstrap),
    ]
    try:
        for runner in runners:
            runner.child.start()
        yield runners
    finally:
        for runner in runners:
            runner.close()
        admin.delete_topics([topic.name for topic in made])


def run(rounds: int = 5) -> list[Figure]:
    with TemporaryDirectory() as folder, kafka(Path(folder) / "kafka") as bootstrap:
        with contenders(bootstrap, Path(folder)) as runners:
            figures = {}
            for runner in runners:
                runner.round(EVENTS[runner.name] // 4)  # starts, joins, warms up
                setting = f"{FRAME} events a frame" if runner.framed else "one event a record"
                for quantity, unit in (("events", "a CPU-second"), ("events by the clock", "a second")):
                    figures[runner.name, quantity] = Figure(runner.name, setting, quantity, unit, [])
            for number in range(rounds):
                for runner in runners if number % 2 == 0 else runners[::-1]:
                    by_cpu, by_clock = runner.round(EVENTS[runner.name])
                    figures[runner.name, "events"].rounds.append(by_cpu)
                    figures[runner.name, "events by the clock"].rounds.append(by_clock)
    return list(figures.values())


def main() -> None:
    figures = run()
    show("(b) stream processors, counting fold", figures)
    by_cpu = [figure for figure in figures if figure.quantity == "events"]
    reached = bar("processors: counting fold, events a CPU-second", WANTED, ratio(by_cpu[0], by_cpu[1]))
    print(write("processors-counting", figures, [reached]))


if __name__ == "__main__":
    main()
