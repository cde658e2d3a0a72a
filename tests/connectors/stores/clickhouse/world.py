"""One test's own world on the shared broker and store: topics, a database, sinks that can be killed, and what came of it."""

import json
import signal
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Producer, TopicPartition

from waterline.connectors.stores.clickhouse import migrate
from waterline.connectors.stores.clickhouse.client import connect
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.schemas.frames import encode_frame, frame_headers
from waterline.schemas.settings import Settings
from waterline.stack import ports
from waterline.stack.process import Child

RUN = Path(__file__).with_name("run_sink.py")
PATIENCE_S = 30.0
EVENTS, LETTERS = "agent.events", "dead.letters"
RECEIVED = "2026-11-20T10:00:01Z"


def wait(asks: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """The first true answer. Fails when there is none in time."""
    deadline = time.monotonic() + patience_s
    while not (answer := asks()):
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s: {what}"
        time.sleep(0.02)
    return answer


def line(event_id: str, **fields: object) -> bytes:
    """A valid line of agent.events."""
    told = {"tenant": "acme", "ts": "2026-11-20T10:00:00Z", "received_at": RECEIVED, "kind": "step", "event_id": event_id}
    return json.dumps(told | fields).encode()


class Sink(Child):
    """A sink process; its readiness and metrics by HTTP."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str], port: int) -> None:
        super().__init__("sink", command, log, environment)
        self.port = port

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        assert self.alive or self.exit_code is not None, "not started"
        return self.get("/readyz")[0] == 200

    def crashed(self) -> bool:
        """Whether it came to its crash point."""
        return self.exit_code == -signal.SIGKILL

    def stopped(self) -> bool:
        """Whether it stands still at its pause point."""
        return self.pid is not None and Path(f"/proc/{self.pid}/stat").read_text().split(")")[1].split()[0] == "T"


class Topics(dict[str, str]):
    """Declared name -> the test's own topic of that kind."""

    def __init__(self, make: Callable[..., str], partitions: int) -> None:
        super().__init__()
        self.make = make
        self.partitions = partitions

    def __missing__(self, name: str) -> str:
        self[name] = made = self.make(self.partitions, name)
        return made


def create_tables(url: str) -> str:
    """A database of its own with all tables. Returns its name."""
    database = f"w_{uuid.uuid4().hex[:8]}"
    client = connect(Settings(clickhouse=url), database="default")
    migrate.apply(client, Target(database))
    client.close()
    return database


class World:
    """`database` has the tables already."""

    def __init__(self, kafka: str, url: str, database: str, home: Path, topics: Topics) -> None:
        self.kafka = kafka
        self.home = home
        self.topics = topics
        self.group = f"sink-{uuid.uuid4().hex[:8]}"
        self.database = database
        self.config = Settings(kafka=kafka, clickhouse=url, clickhouse_database=database)
        self.sinks: list[Sink] = []
        self.client: Client = connect(self.config)
        self.merges("STOP")
        self._producer = Producer({"bootstrap.servers": kafka, "linger.ms": 2})
        self._asker = Consumer({"bootstrap.servers": kafka, "group.id": self.group})
        self._numbers: dict[int, int] = {}

    def merges(self, verb: str) -> None:
        """STOP or START, in all tables: a merge would join rows of equal keys and hide a second copy."""
        tables = f"SELECT name FROM system.tables WHERE database = '{self.database}' AND engine LIKE '%MergeTree'"
        for (table,) in self.rows(tables):
            self.client.command(f"SYSTEM {verb} MERGES {self.database}.{table}")

    def close(self) -> None:
        for sink in self.sinks:
            sink.signal(signal.SIGCONT)
            sink.kill()
        self._asker.close()
        self.client.close()

    # sinks

    def sink(self, *, topics: Sequence[str] = (EVENTS, LETTERS), wait_ready: bool = True, **settings: object) -> Sink:
        """Start one. Keyword names are settings (`sink_rows=10`) and fault switches (`crash`, `pause`, `without`)."""
        port = ports.pick()
        wanted = {
            "kafka": self.kafka,
            "clickhouse": self.config.clickhouse,
            "clickhouse_database": self.database,
            "sink_metrics_port": port,
            "sink_linger_s": 0.2,
            "sink_session_s": 6,
            "sink_instance": "one",
        } | settings
        environment = {f"WATERLINE_{name.upper()}": str(value) for name, value in wanted.items()}
        names = [f"{topic}={self.topics[topic]}" for topic in topics]
        number = len(self.sinks)
        sink = Sink([sys.executable, str(RUN), self.group, *names], self.home / f"sink{number}.log", environment, port)
        self.sinks.append(sink)
        sink.start()
        if wait_ready:
            sink.wait_until(sink.ready, time.monotonic() + PATIENCE_S)
        return sink

    @contextmanager
    def running(self, **settings: object) -> Iterator[Sink]:
        sink = self.sink(**settings)  # type: ignore[arg-type]
        try:
            yield sink
        finally:
            sink.stop()

    # Kafka

    def send(self, *lines: bytes, partition: int = 0, topic: str = EVENTS, numbered: bool = True) -> None:
        """One frame, in Kafka when this returns."""
        number = self._numbers.get(partition, 0)
        headers = frame_headers("acme", len(lines), "collector-1", number) if numbered else None
        self._numbers[partition] = number + numbered
        self.record(encode_frame(lines), headers, partition, topic)

    def record(self, value: bytes | None, headers: Any = None, partition: int = 0, topic: str = EVENTS) -> None:
        self._producer.produce(self.topics[topic], value, partition=partition, headers=headers)
        assert self._producer.flush(10) == 0

    def committed(self, partition: int = 0, topic: str = EVENTS) -> tuple[int, str]:
        """Offset and metadata, as the group has them."""
        (answer,) = self._asker.committed([TopicPartition(self.topics[topic], partition)], timeout=10)
        return answer.offset, answer.metadata or ""

    def end(self, partition: int = 0, topic: str = EVENTS) -> int:
        return int(self._asker.get_watermark_offsets(TopicPartition(self.topics[topic], partition), timeout=10)[1])

    # ClickHouse

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.client.query(query).result_rows]

    def positions(self, table: str = "events") -> list[tuple[int, int, int]]:
        """(partition, offset, index) of every physical row."""
        return self.rows(
            f"SELECT kafka_partition, kafka_offset, frame_index FROM {table}"
            f" WHERE kafka_topic IN {tuple(self.topics.values())} ORDER BY kafka_partition, kafka_offset, frame_index"
        )

    def ids(self) -> list[str]:
        """Of all physical rows of events."""
        return [
            row[0] for row in self.rows(f"SELECT event_id FROM events WHERE kafka_topic = '{self.topics[EVENTS]}' ORDER BY 1")
        ]

    def ranges(self, topic: str = EVENTS) -> list[dict[str, Any]]:
        result = self.client.query(
            f"SELECT * FROM ranges WHERE topic = '{self.topics[topic]}' ORDER BY partition, first, written_at"
        )
        return list(result.named_results())

    def letters(self) -> list[dict[str, Any]]:
        where = f"WHERE kafka_topic = '{self.topics[LETTERS]}'"
        return list(self.client.query(f"SELECT * FROM dead_letters {where} ORDER BY kafka_offset, frame_index").named_results())

    def caught_up(self, partition: int = 0, topic: str = EVENTS) -> bool:
        """Whether the group has committed all there is, with no plan open."""
        return self.committed(partition, topic) == (self.end(partition, topic), "")

    def settle(self, *partitions: int, topic: str = EVENTS) -> None:
        """Wait until all is stored and committed."""
        for partition in partitions or (0,):
            wait(lambda p=partition: self.caught_up(p, topic), f"{topic}/{partition} is not caught up")  # type: ignore[misc]
