"""Real collectors on real Kafka, and what they wrote there."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from msgspec import Struct

from waterline.schemas.events import Payload
from waterline.schemas.frames import Frame, parse_facts, parse_frame
from waterline.schemas.topics import AGENT_EVENTS
from waterline.stack import ports
from waterline.stack.process import Child

PARTITIONS = 12
START_S = 30.0
READ_S = 20.0

NOT_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._UNKNOWN_PARTITION)
"""What a topic just made may answer."""

_payload = msgspec.json.Decoder(Payload).decode

Json = dict[str, Any]


class Running(Struct):
    """A collector process and its three addresses."""

    child: Child
    url: str
    grpc: str
    health: str
    client: httpx.Client

    def post(
        self, path: str, body: bytes | str | list[Any] | Json, kind: str = "application/json", **headers: str
    ) -> httpx.Response:
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else orjson.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(f"{self.url}{path}", content=data, headers={"content-type": kind, **named})

    def why_not(self) -> str:
        """What /readyz says: empty when it is ready."""
        try:
            answer = httpx.get(f"{self.health}/readyz", timeout=2)
        except httpx.TransportError as error:
            return f"no answer: {error}"
        return "" if answer.status_code == 200 else answer.text

    def ready(self) -> bool:
        return not self.why_not()

    def until(self, holds: Callable[[], bool]) -> None:
        self.child.wait_until(holds, time.monotonic() + START_S)

    def until_ready(self) -> None:
        self.child.wait_until(self.ready, time.monotonic() + START_S)

    def until_it_says(self, reason: str) -> None:
        """Until /readyz names a reason."""
        self.child.wait_until(lambda: reason in self.why_not(), time.monotonic() + START_S)

    def metric(self, line: str) -> float:
        """The value of the sample that begins with `line`, 0 if it is not there."""
        text = httpx.get(f"{self.health}/metrics", timeout=5).text
        return next((float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(line)), 0.0)


Start = Callable[..., Running]


@pytest.fixture(scope="module")
def start(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """`start(**settings)` starts a collector of this module's own and waits until it is ready, or with `wait=False` does not."""
    children: list[Running] = []

    def begin(wait: bool = True, **settings: object) -> Running:
        home = tmp_path_factory.mktemp("collector")
        port, grpc, probe = ports.pick(), ports.pick(), ports.pick()
        chosen = {
            "kafka": kafka,
            "data_dir": home,
            "collector_port": port,
            "collector_grpc_port": grpc,
            "collector_metrics_port": probe,
            "free_space_mark": 0,
            "partitions": PARTITIONS,
            **settings,
        }
        environment = os.environ | {f"WATERLINE_{name.upper()}": str(value) for name, value in chosen.items()}
        command = [sys.executable, "-m", "waterline.connectors.sources.collector"]
        child = Child("collector", command, home / "collector.log", environment)
        client = httpx.Client(timeout=30, trust_env=False)
        running = Running(child, f"http://127.0.0.1:{port}", f"127.0.0.1:{grpc}", f"http://127.0.0.1:{probe}", client)
        children.append(running)
        child.start()
        if wait:
            running.until_ready()
        return running

    yield begin
    for running in children:
        running.child.ask_to_end()
    for running in children:
        running.client.close()
        running.child.stop()


@pytest.fixture(scope="module")
def collector(start: Start) -> Running:
    return start()


class Tap:
    """Reads what came onto a topic since it was opened, or from its beginning."""

    def __init__(self, bootstrap: str, topic: str = AGENT_EVENTS.name, partitions: int = PARTITIONS, begin: bool = False) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "tap", "enable.auto.commit": False})
        places = [TopicPartition(topic, number) for number in range(partitions)]
        for place in places:
            place.offset = 0 if begin else self._end(place)
        self._consumer.assign(places)
        self.frames: list[tuple[int, Frame]] = []
        self.payloads: list[Json] = []
        self._lines: list[Json] = []

    def _end(self, place: TopicPartition) -> int:
        """The partition's end; a topic just made may be without a leader for a moment."""
        deadline = time.monotonic() + READ_S
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(place, timeout=5)[1])
            except KafkaException as error:
                if error.args[0].code() not in NOT_YET or time.monotonic() > deadline:
                    raise

    def events(self, number: int) -> list[Json]:
        """The next `number` good lines as JSON, in order of partition and offset. Fails on a bad line."""
        self.until(lambda: len(self.lines()) >= number)
        return self.lines()

    def lines(self) -> list[Json]:
        return self._lines

    def until(self, enough: Callable[[], bool], seconds: float = READ_S) -> None:
        """Read until it is enough. Fails on a bad line."""
        deadline = time.monotonic() + seconds
        while not enough():
            told = [event["event_id"] for event in self._lines[-20:]]
            assert time.monotonic() < deadline, f"only {len(self.frames)} frames came, the last events are {told}"
            for message in self._consumer.consume(500, 0.05):
                assert message.error() is None
                frame = parse_frame(message.value(), headers_of(message), message.timestamp()[1])
                assert not frame.bad
                self.frames.append((message.partition() or 0, frame))
                self._lines += [orjson.loads(line.raw) for line in frame.lines]

    def quiet(self, seconds: float = 0.5) -> list[Json]:
        """What came until nothing but ticks came for a while."""
        seen, since = len(self.lines()), time.monotonic()
        while time.monotonic() - since < seconds:
            read = len(self.frames)
            self.until(lambda read=read: len(self.frames) > read)  # type: ignore[misc]
            if len(self.lines()) > seen:
                seen, since = len(self.lines()), time.monotonic()
        return self.lines()

    def read_payloads(self, number: int) -> None:
        """Read `number` lines of agent.payloads into `payloads`."""
        deadline = time.monotonic() + READ_S
        while len(self.payloads) < number:
            assert time.monotonic() < deadline, self.payloads
            for message in self._consumer.consume(100, 0.05):
                frame = parse_facts(_payload, message.value(), headers_of(message), message.timestamp()[1])
                assert not frame.bad
                self.payloads += [orjson.loads(line.raw) for line in frame.lines]

    def close(self) -> None:
        self._consumer.close()


def headers_of(message: Any) -> list[tuple[str, bytes]]:
    return [(str(name), bytes(value)) for name, value in message.headers() or ()]


@pytest.fixture
def tap(kafka: str) -> Iterator[Tap]:
    opened = Tap(kafka)
    yield opened
    opened.close()


EXAMPLES = Path(__file__).parents[4] / "schemas" / "examples" / AGENT_EVENTS.name
