"""Burying: what cannot be stored becomes a dead letter, whole, under an id that is its position.

The sink buries what the parser refuses on every stored topic, `agent.events` among them, and what ClickHouse refuses as
data. The streams bury under their own name only what they cannot process, so a poison line is one dead letter.
"""

import base64
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from waterline.connectors.stores.clickhouse.batch import Record, receipt
from waterline.connectors.stores.clickhouse.plan import Lane
from waterline.schemas.dead_letter import DeadLetter, Stage, letter_id
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.faults import Guard, without
from waterline.schemas.frames import H_REPLAYS, H_TENANT, BadLine
from waterline.schemas.topics import DEAD_LETTERS

CONSUMER = "sink"
REASON_LIMIT = 1000
LARGEST = 8 * 2**20
"""Bytes of a dead letter, as the topic allows."""
RAW_LIMIT = 5 * 2**20
"""Bytes kept of what is buried. Only a record that was squeezed into Kafka by compression is longer."""


def letter(lane: Lane, record: Record, bad: BadLine, tenant: str = "", stage: Stage = Stage.PROCESSING) -> DeadLetter:
    """The same for the same record, whoever buries it and however often."""
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers or ()}
    replays = headers.get(H_REPLAYS, "")
    reason = bad.reason[:REASON_LIMIT]
    if len(bad.raw) > RAW_LIMIT:
        reason = f"{reason} (the first {RAW_LIMIT} of {len(bad.raw)} bytes; the rest lies in Kafka)"
    return DeadLetter(
        id=letter_id(CONSUMER, lane.topic, lane.partition, record.offset, bad.index),
        consumer=CONSUMER,
        topic=lane.topic,
        partition=lane.partition,
        offset=record.offset,
        index=bad.index,
        tenant=tenant or headers.get(H_TENANT, ""),
        stage=stage,
        code=bad.code,
        reason=reason,
        first_seen=receipt(record.timestamp_ms),
        raw=base64.b64encode(bad.raw[:RAW_LIMIT]).decode(),
        headers=headers,
        replays=int(replays) if replays.isdecimal() else 0,
    )


def refused(lane: Lane, record: Record, index: int, raw: bytes, reason: str) -> DeadLetter:
    """The letter for a good line that ClickHouse does not take."""
    told: Any = msgspec.json.decode(raw)
    tenant = told.get("tenant", "")
    bad = BadLine(index, raw, ErrorCode.STORE_REFUSED, reason)
    return letter(lane, record, bad, tenant if isinstance(tenant, str) else "", Stage.SENDING)


def _about_a_letter(one: DeadLetter) -> bool:
    try:
        msgspec.json.decode(base64.b64decode(one.raw), type=DeadLetter)
    except msgspec.DecodeError:
        return False
    return True


class Burial:
    """Delivers dead letters. Safe in many threads."""

    def __init__(self, config: dict[str, Any], topic: str = DEAD_LETTERS.name) -> None:
        mine = {"acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random", "compression.type": "lz4"}
        linger_ms = 60_000 if without(Guard.FLUSH) else 5
        self._producer = Producer(config | mine | {"message.max.bytes": LARGEST, "linger.ms": linger_ms})
        self._topic = topic

    def bury(self, letters: Sequence[DeadLetter], deadline_s: float, wait: bool = True) -> None:
        """Returns when the broker has all of them. Raises Transient when it has not within `deadline_s`; some may be there.

        A letter about a letter is not produced, or there would be no end to it: that one lies in Kafka, and the ledger counts it.
        """
        letters = [one for one in letters if one.topic != self._topic or not _about_a_letter(one)]
        outcome = _Outcome(len(letters))
        latest = time.monotonic() + deadline_s
        for one in letters:
            self._hand_over(one, outcome, latest)
        if wait:
            self._producer.flush(deadline_s)
            outcome.check()

    def _hand_over(self, one: DeadLetter, outcome: "_Outcome", latest: float) -> None:
        while True:
            try:
                self._producer.produce(self._topic, msgspec.json.encode(one), one.topic.encode(), on_delivery=outcome.note)
            except BufferError:
                if time.monotonic() > latest:
                    raise Transient(ErrorCode.KAFKA_UNAVAILABLE, "too many dead letters wait for the broker") from None
                self._producer.poll(0.1)
            except KafkaException as error:
                raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"cannot hand over a dead letter: {error}") from error
            else:
                return

    def close(self, deadline_s: float) -> None:
        self._producer.flush(deadline_s)


class _Outcome:
    def __init__(self, expected: int) -> None:
        self.left = expected
        self.error: KafkaError | None = None
        self._lock = Lock()

    def note(self, error: KafkaError | None, _message: object) -> None:
        with self._lock:
            if error is None:
                self.left -= 1
            else:
                self.error = error

    def check(self) -> None:
        if self.error is not None:
            raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"a dead letter was not delivered: {self.error.str()}")
        if self.left:
            raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{self.left} dead letters are not confirmed yet")
