"""A counting worker over topics of its own: what is sent, what must come of it, and what physically did."""

import json
import random
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from bench.counting import Topics
from waterline.schemas.changelog import RESERVED
from waterline.schemas.events import Event, Kind
from waterline.schemas.frames import encode_event, encode_frame, encode_tick, frame_headers, tick_headers
from waterline.schemas.identity import partition_of, routing_key
from waterline.schemas.topics import Topic
from waterline.stack import kafka as broker
from waterline.stack import ports, topics
from waterline.stack.process import Child

PARTITIONS = 4
WAIT_S = 60.0
PAUSE = threading.Event()
START = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Arena:
    module = "bench.counting"
    make_topics: Callable[[str], Any] = Topics

    def __init__(self, bootstrap: str, home: Path, partitions: int = PARTITIONS) -> None:
        self.bootstrap = bootstrap
        self.home = home
        self.partitions = partitions
        self.topics = type(self).make_topics(f"arena{uuid.uuid4().hex[:8]}")
        self.counts: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.workers: list[Child] = []
        self.ports: list[int] = []
        self.sent = 0
        topics.create(broker.admin(bootstrap), partitions, 1, self.topics.declared())
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 2})
        self._random = random.Random(7)

    # load

    def send(self, frames: int, lines: int = 20, decisions: int = 30, topic: int = 0) -> None:
        """Frames of events, each on its partition. `topic`: 0 events, 1 moved, 2 inputs (which nothing is expected of)."""
        for _ in range(frames):
            partition = self._random.randrange(self.partitions)
            batch = [self.event(partition, self._random.randrange(decisions)) for _ in range(lines)]
            self.produce(encode_frame(map(encode_event, batch)), partition, lines, topic)
        self._producer.flush()

    def event(self, partition: int, decision: int) -> Event:
        salt = 0
        while partition_of(routing_key("acme", key := f"d{decision}.{salt}"), self.partitions) != partition:
            salt += 1
        self.sent += 1
        tokens = self._random.randrange(1000)
        self.counts[key] += 1
        self.totals[key] += tokens
        at = START + timedelta(seconds=self.sent)
        return Event(
            event_id=str(self.sent),
            tenant="acme",
            ts=at,
            received_at=at,
            decision_key=key,
            kind=Kind.TOOL_CALL,
            tokens_input=tokens,
        )

    def produce(self, value: bytes, partition: int, lines: int, topic: int = 0) -> None:
        headers = frame_headers("acme", lines, "arena", self.sent)
        name = self.topics.inputs[topic].name
        self._producer.produce(name, value, partition=partition, headers=[*headers])
        self._producer.poll(0)

    def forget(self) -> None:
        """What was made but not sent."""
        self.counts.clear()
        self.totals.clear()
        self.sent = 0

    def open_transaction(self) -> Producer:
        """Someone's transaction on every partition of the events, that is not ended, nor by the broker for a while."""
        mine = {"transactional.id": f"{self.topics.prefix}-ghost", "transaction.timeout.ms": 600_000}
        ghost = Producer({"bootstrap.servers": self.bootstrap, **mine})
        ghost.init_transactions(10)
        ghost.begin_transaction()
        for partition in range(self.partitions):
            ghost.produce(self.topics.inputs[0].name, b"ghost", partition=partition)
        ghost.flush()
        return ghost

    def make_anew(self, topic: Topic) -> None:
        admin = broker.admin(self.bootstrap)
        for future in admin.delete_topics([topic.name]).values():
            future.result(30)
        until(lambda: bool(topics.create(admin, self.partitions, 1, [topic])), lambda: f"{topic.name} does not come back")

    def tick(self, times: int = 1) -> None:
        for n in range(times):
            for partition in range(self.partitions):
                self._producer.produce(
                    self.topics.inputs[0].name,
                    encode_tick(START + timedelta(seconds=self.sent + n)),
                    partition=partition,
                    headers=[*tick_headers("arena", n)],
                )
        self._producer.flush()

    # workers

    def start(self, prefix: str = "", **environment: str) -> Child:
        """A worker with a health port of its own; environment names lack `WATERLINE_`."""
        port = ports.pick()
        mine = {
            "WATERLINE_KAFKA": self.bootstrap,
            "WATERLINE_DATA_DIR": str(self.home),
            "WATERLINE_STREAMS_METRICS_PORT": str(port),
            "WATERLINE_STREAMS_LINGER_S": "0.05",
            "WATERLINE_STREAMS_BATCH_FRAMES": "10",
        } | {f"WATERLINE_{name.upper()}": value for name, value in environment.items()}
        log = self.home / f"worker-{len(self.workers)}.log"
        worker = Child("streams", [sys.executable, "-m", self.module, prefix or self.topics.prefix], log, mine)
        self.workers.append(worker)
        self.ports.append(port)
        worker.start()
        return worker

    def ready(self, worker: Child) -> None:
        port = self.ports[self.workers.index(worker)]
        worker.wait_until(lambda: self.ask(port, "/readyz")[0] == 200, time.monotonic() + WAIT_S)

    def ask(self, port: int, path: str) -> tuple[int, str]:
        """Status and text; status 0 when nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metric(self, worker: Child, line: str) -> float:
        text = self.ask(self.ports[self.workers.index(worker)], "/metrics")[1]
        return next((float(found.split()[-1]) for found in text.splitlines() if found.startswith(line)), 0.0)

    def ended(self, worker: Child, within: float = WAIT_S) -> int:
        """Its exit code, negative for a signal."""
        assert worker.wait(within), worker.tail(40)
        code = worker.exit_code
        assert code is not None
        return code

    def kill(self, worker: Child) -> None:
        worker.signal(signal.SIGKILL)
        worker.wait()

    def close(self) -> None:
        for worker in self.workers:
            if worker.alive:
                worker.signal(signal.SIGCONT)
                self.kill(worker)
        broker.admin(self.bootstrap).delete_topics([topic.name for topic in self.topics.declared()])

    # what came of it

    def applied(self) -> int:
        """Events in the states, as committed."""
        return sum(revision for revision, _ in self.states().values())

    def wait_applied(self, worker: Child | None = None, events: int | None = None) -> None:
        """Until every event sent (or `events`) is in the states; a worker that ends meanwhile fails the test."""
        until(lambda: self.applied() >= (self.sent if events is None else events), lambda: self._tails(worker))

    def _tails(self, worker: Child | None) -> str:
        return "\n".join(each.tail(30) for each in ([worker] if worker else self.workers))

    def states(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for message in self.read(self.topics.changelogs[0].name):
            key, value = message.key() or b"", message.value()
            if not key.startswith(RESERVED) and value:
                told = json.loads(value)
                found[told["decision_key"]] = (told["revision"], told["total"])
        return found

    def facts(self) -> list[Message]:
        return self.read(self.topics.facts.name)

    def letters(self) -> list[dict[str, object]]:
        names = {topic.name for topic in self.topics.inputs}
        letters = [json.loads(message.value() or b"") for message in self.read("dead.letters")]
        return [letter for letter in letters if letter["topic"] in names]

    def read(self, topic: str) -> list[Message]:
        """Every committed record, by partition and offset."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "arena",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )
        try:
            found = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, partition, 0) for partition in found])
            messages: list[Message] = []
            ended: set[int | None] = set()
            deadline = time.monotonic() + WAIT_S
            while len(ended) < len(found):
                assert time.monotonic() < deadline, f"{topic} does not come to its end"
                for message in consumer.consume(1000, 0.05):
                    if (error := message.error()) is None:
                        messages.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
            return sorted(messages, key=lambda message: (message.partition() or 0, message.offset() or 0))
        finally:
            consumer.close()

    def wrongs(self) -> dict[str, int]:
        """Physical defects, counted by what they are; empty when all is exact."""
        wrong: Counter[str] = Counter()
        states = self.states()
        for key, count in self.counts.items():
            wrong["wrong states"] += states.get(key) != (count, self.totals[key])
        seen: dict[str, int] = defaultdict(int)
        lanes: dict[tuple[object, int], int] = defaultdict(lambda: -1)
        for message in self.facts():
            told = json.loads(message.value() or b"")
            wrong["repeated facts"] += told["revision"] <= seen[told["decision_key"]]
            seen[told["decision_key"]] = told["revision"]
            headers = dict(message.headers() or [])
            lane, sequence = (headers["wl-producer"] or b"", message.partition() or 0), int(headers["wl-seq"] or b"-1")
            wrong["holes in a sequence"] += sequence != lanes[lane] + 1
            lanes[lane] = sequence
        for key, count in self.counts.items():
            wrong["missing facts"] += seen[key] < count
            wrong["facts of events that never were"] += seen[key] > count
        return {name: count for name, count in wrong.items() if count}


def until(true: Callable[[], bool], tell: Callable[[], str], seconds: float = WAIT_S) -> None:
    """Asks until it is so. `tell` says what is known when it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, tell()
        PAUSE.wait(0.05)
