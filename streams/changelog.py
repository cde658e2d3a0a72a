"""Reading a changelog: where it ends, and what it holds from an offset to that end."""

import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

REQUEST_S = 10.0
STABLE_S = 20.0
SILENT_S = 30.0
BLOCK = 5000
POLL_S = 0.05
"""`consume` waits this long for a full block, even when it has some messages"""
BEGINNING: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
END: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Block = dict[bytes, bytes | None]


class Unsettled(Exception):
    """The changelog does not come to rest, or does not answer: someone else's transaction is open, or the broker is away."""


class Changelog:
    """One stage's changelog topic. Thread safe, blocking."""

    def __init__(self, config: Mapping[str, str], topic: str) -> None:
        self.topic = topic
        self._config: dict[str, str | int | float | bool] = dict(config) | {"log_level": 2}
        self._admin = AdminClient(self._config)

    def identity(self) -> str:
        """Changes when the topic is deleted and made again."""
        described = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=REQUEST_S)
        return str(described[self.topic].result().topic_id)

    def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Partition -> offset after its last record or marker, once no transaction is open or half finished there.

        A commit is answered before its marker is written, so an end taken at once may still move; where the end for readers
        of committed records, asked later, is the same as the end of all records, nothing is under way. Raises Unsettled.
        """
        wanted = set(partitions)
        ends: dict[int, int] = {}
        deadline = time.monotonic() + STABLE_S
        while wanted:
            high = self._offsets(wanted, END, IsolationLevel.READ_UNCOMMITTED)
            stable = self._offsets(wanted, END, IsolationLevel.READ_COMMITTED)
            ends |= {partition: high[partition] for partition in wanted if stable[partition] == high[partition]}
            wanted -= ends.keys()
            if wanted and time.monotonic() > deadline:
                raise Unsettled(f"a transaction stays open on {self.topic} {sorted(wanted)}")
            if wanted:
                self._admin.poll(0.01)
        return ends

    def start(self, partition: int) -> int:
        return self._offsets([partition], BEGINNING, IsolationLevel.READ_UNCOMMITTED)[partition]

    def _offsets(self, partitions: Iterable[int], spec: OffsetSpec, isolation: IsolationLevel) -> dict[int, int]:
        asked = {TopicPartition(self.topic, partition): spec for partition in partitions}
        admin = self._admin
        futures = admin.list_offsets(asked, isolation_level=isolation, request_timeout=REQUEST_S)
        try:
            return {at.partition: future.result().offset for at, future in futures.items()}
        except KafkaException as failure:
            # after a broker's restart librdkafka asks on with the old epoch of the leader; a new client learns the new one
            if admin is self._admin:
                self._admin = AdminClient(self._config)
            raise Unsettled(f"{self.topic}: {failure.args[0].str()}") from failure

    def read(self, partition: int, start: int, stop: int, take: Callable[[Block, int], None]) -> None:
        """Committed records of [start, stop), newest value of each key, as `take(block, next offset)`. Raises Unsettled."""
        if start >= stop:
            return
        mine = {"group.id": "-", "enable.auto.commit": False, "isolation.level": "read_committed", "enable.partition.eof": True}
        consumer = Consumer(self._config | mine)
        try:
            consumer.assign([TopicPartition(self.topic, partition, start)])
            self._read(consumer, stop, take)
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, stop: int, take: Callable[[Block, int], None]) -> None:
        done, heard = False, time.monotonic()
        while not done:
            block: Block = {}
            after = -1
            for message in consumer.consume(BLOCK, POLL_S):
                error = message.error()
                if error is None:
                    block[message.key() or b""] = message.value()
                    after = (message.offset() or 0) + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    done = (message.offset() or 0) >= stop
                elif not error.retriable() and error.code() not in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
                    raise Unsettled(f"{self.topic}: {error.str()}")
            if done:
                after = stop
            if after >= 0:
                heard = time.monotonic()
                take(block, after)
                done = done or after >= stop
            elif time.monotonic() - heard > SILENT_S:
                raise Unsettled(f"{self.topic} was silent for {SILENT_S:.0f} s before offset {stop}")
