"""What no agent would send, straight onto the topic: bad records, bad lines among good ones, lines in a wrong partition."""

import threading
from datetime import UTC, datetime

import orjson
from confluent_kafka import KafkaError, Message, Producer
from msgspec import Struct

from tests.faults.load import Load, Truth
from waterline.schemas.topics import AGENT_EVENTS
from waterline.stack import Stack

MARK = "poison"
"""Header by which a dead letter is known to be of a record sent here."""
DELIVERY_S = 150.0


class Record(Struct):
    """`bad`: how many of its lines must become dead letters; those that are not bad must be stored."""

    name: str
    value: bytes
    bad: int


def make(seed: int, load: Load) -> list[Record]:
    """Its good lines are added to what `load` says must be there."""
    key = f"{seed:08x}-poison"
    now = datetime.now(UTC).isoformat()

    def good(number: int) -> bytes:
        event_id = f"{key}-{number}"
        load.ids.add(event_id)
        load.truth.setdefault(key, Truth()).events += 1
        event = {"tenant": "default", "agent": "fault-agent", "kind": "step", "ts": now}
        return orjson.dumps({**event, "event_id": event_id, "decision_key": key})

    return [
        Record(f"{seed}-bytes", b"\x00\xff not json %d" % seed, 1),
        Record(f"{seed}-kind", b'{"kind":"party","ts":"2026-01-01T00:00:00Z","decision_key":"p%d"}' % seed, 1),
        Record(f"{seed}-line", good(1) + b'\n{"half":\n' + good(2), 1),
        Record(f"{seed}-empty", b"", 1),
        Record(f"{seed}-two", b"[]\n" + good(3) + b'\n{"ts":"soon","kind":"step"}', 2),
    ]


class Poisoner(threading.Thread):
    """Sends the records one by one into partition after partition, so that most good lines lie in a wrong one."""

    def __init__(self, stack: Stack, seed: int, records: list[Record], within_s: float) -> None:
        super().__init__(name="poison", daemon=True)
        self.seed = seed
        self.records = records
        self.pause_s = within_s / (len(records) + 1)
        self.partitions = stack.settings.partitions
        self.failure = ""
        self.producer = Producer({"bootstrap.servers": stack.kafka, "enable.idempotence": True, "log_level": 0})

    def run(self) -> None:
        timer = threading.Event()
        for number, record in enumerate(self.records):
            timer.wait(self.pause_s)
            headers: list[tuple[str, str | bytes | None]] = [(MARK, record.name)]
            partition = (self.seed + number) % self.partitions
            self.producer.produce(
                AGENT_EVENTS.name, record.value, partition=partition, headers=headers, on_delivery=self._delivered
            )
            self.producer.poll(0)
        if self.producer.flush(DELIVERY_S):
            self.failure = f"the poison was not delivered in {DELIVERY_S:.0f} s"

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.failure = f"the poison was not delivered: {error}"
