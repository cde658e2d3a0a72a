"""The one way out of a partition: facts, state and place in one Kafka transaction, and the fence that keeps other writers out."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from waterline.schemas.changelog import PLACE
from waterline.schemas.faults import Guard, Point, armed, crash, without

log = structlog.get_logger("streams")

TRANSACTION_S = 30.0
ATTEMPT_S = 5.0


Headers = list[tuple[str, str | bytes | None]]


class Fenced(Exception):
    """Another worker owns the partition, or the producer is beyond repair. This process must end: what it knows is stale."""


class Aborted(Exception):
    """The transaction was rolled back and nothing of it can be seen. The state must be loaded again."""


class Record(NamedTuple):
    """One record to produce."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = []


class Writer:
    """Blocking; for one thread at a time."""

    def __init__(self, config: Mapping[str, str], name: str, changelog: str, partition: int) -> None:
        self.changelog = changelog
        self.partition = partition
        self.closed = False
        self._place_offset = -1
        mine: dict[str, Any] = {
            "error_cb": self._heard,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.kbytes": 128 * 1024,
            "message.max.bytes": 8 * 2**20,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 2,
        }
        self._transactional = not without(Guard.TRANSACTION)
        if self._transactional:
            unfenced = f"-{os.getpid()}-{os.urandom(4).hex()}" if without(Guard.STREAM_FENCING) else ""
            mine |= {"transactional.id": name + unfenced, "transaction.timeout.ms": int(TRANSACTION_S * 1000)}
        self._producer = Producer(dict(config) | mine)

    def fence(self) -> None:
        """Shuts out whoever wrote before, and ends what they left open. Only after that may the changelog be read."""
        if self._transactional:
            self._attempt(self._producer.init_transactions)

    def write(self, facts: Sequence[Record], state: Mapping[bytes, bytes | None]) -> int:
        """Commits all of it or nothing. `state` holds PLACE. Returns the changelog offset after its last record.

        Raises Aborted or Fenced. While the broker is away it waits.
        """
        crash(Point.BATCH_APPLIED)
        try:
            self._begin()
            self._produce(facts)
            self._reached(Point.FACTS_WRITTEN)
            self._produce([Record(self.changelog, self.partition, key, value) for key, value in state.items()])
            self._reached(Point.STATE_WRITTEN)
            if self._transactional:
                self._attempt(self._producer.commit_transaction)
        except Aborted:
            self._abort()
            raise
        crash(Point.TRANSACTION_COMMITTED)
        while self._place_offset < 0:
            self._producer.poll(0.1)
        return self._place_offset + 1

    def close(self) -> None:
        """Nothing is flushed: what is not committed by now shall not be."""
        self.closed = True

    def _begin(self) -> None:
        self._place_offset = -1
        if self._transactional:
            self._attempt(lambda _timeout: self._producer.begin_transaction())

    def _abort(self) -> None:
        try:
            self._attempt(self._producer.abort_transaction)
        except Aborted as failure:
            raise Fenced(f"cannot abort: {failure}") from failure

    def _produce(self, records: Sequence[Record]) -> None:
        produce = self._producer.produce
        for topic, partition, key, value, headers in records:
            report = self._on_place if key == PLACE and topic == self.changelog else None
            while True:
                try:
                    produce(topic, value, key, partition, headers=headers, on_delivery=report)
                    break
                except BufferError:
                    self._producer.poll(0.1)
                except KafkaException as failure:
                    raise self._verdict(failure) from failure

    def _heard(self, error: KafkaError) -> None:
        """Without an `error_cb` a fatal error is raised inside other callbacks. Here every call tells its own."""
        log.debug("producer", partition=self.partition, error=error.str())

    def _on_place(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._place_offset = message.offset() or 0

    def _reached(self, point: Point) -> None:
        """A named place is only worth stopping at when all before it is on the broker."""
        if armed() or not self._transactional:
            self._attempt(self._flush)
            crash(point)

    def _flush(self, timeout: float) -> None:
        while self._producer.flush(timeout):
            """Delivery goes on."""

    def _attempt(self, act: Callable[[float], object]) -> None:
        again = True
        while again:
            try:
                act(ATTEMPT_S)
                again = False
            except KafkaException as failure:
                if not failure.args[0].retriable() or self.closed:
                    raise self._verdict(failure) from failure

    def _verdict(self, failure: KafkaException) -> Exception:
        error: KafkaError = failure.args[0]
        return Aborted(error.str()) if error.txn_requires_abort() else Fenced(f"{error.name()}: {error.str()}")
