"""Prices on their way to the folds: price list -> topic `price.versions` -> `PriceBook`.

What is published first into an empty topic counts as known since ever. Later versions become known 60 seconds after they
are published, so that every worker has read them before the first event they apply to; a replay then prices alike.
"""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from waterline.schemas.clients import kafka_config
from waterline.schemas.errors import ErrorCode, Transient
from waterline.schemas.facts import PriceVersion
from waterline.schemas.frames import H_PRODUCER, H_SEQ
from waterline.schemas.identity import partition_of
from waterline.schemas.settings import Settings
from waterline.schemas.topics import PRICE_VERSIONS
from waterline.streams.price_list import changes, wanted
from waterline.streams.steps.moment import EPOCH

NOTICE = timedelta(seconds=60)
TIMEOUT_S = 30.0
POLL_S = 0.05
"""`consume` waits this long for a full batch, even when it has some messages"""
WAIT_MS = 100
"""how long the broker holds back that a partition is at its end"""

_decode = msgspec.json.Decoder(PriceVersion).decode
_encode = msgspec.json.Encoder().encode


def publish(settings: Settings, now: datetime, topic: str = PRICE_VERSIONS.name) -> list[PriceVersion]:
    """Publish what changed, and return it. Raises `Permanent` for a wrong override file, `Transient` without Kafka."""
    prices = wanted(settings)
    published = read(settings, topic)
    fresh = changes(prices, published, (now + NOTICE).replace(microsecond=0) if published else EPOCH)
    if fresh:
        _produce(settings, topic, fresh, f"prices-{now:%Y%m%dT%H%M%S}-{os.getpid()}")
    return fresh


def read(settings: Settings, topic: str = PRICE_VERSIONS.name) -> list[PriceVersion]:
    """Every version in the topic."""
    feed = Feed(settings, topic)
    try:
        return feed.catch_up()
    finally:
        feed.close()


class Feed:
    """Reads the topic from its beginning and goes on. Every worker has its own; nothing is committed."""

    def __init__(self, settings: Settings, topic: str = PRICE_VERSIONS.name) -> None:
        self._topic = topic
        config = {"group.id": "prices", "enable.auto.commit": False, "enable.partition.eof": True, "fetch.wait.max.ms": WAIT_MS}
        self._consumer = Consumer({**kafka_config(settings), **config, "isolation.level": "read_committed"})
        self._behind: set[int] = set()

    def catch_up(self) -> list[PriceVersion]:
        """Waits until all that is in the topic is read."""
        partitions = self._partitions()
        self._behind = set(partitions)
        self._consumer.assign([TopicPartition(self._topic, n, OFFSET_BEGINNING) for n in partitions])
        found: list[PriceVersion] = []
        heard = time.monotonic()
        while self._behind:
            messages = self._consumer.consume(1000, POLL_S)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT_S:
                raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"no answer about {self._topic} in {TIMEOUT_S:.0f} s")
            found += self._versions(messages)
        return found

    def news(self, timeout_s: float = 0.0) -> list[PriceVersion]:
        """What came since; waits up to `timeout_s` for the first of it."""
        first = self._consumer.poll(timeout_s)
        return list(self._versions([first, *self._consumer.consume(1000, 0)])) if first is not None else []

    def close(self) -> None:
        self._consumer.close()

    def _partitions(self) -> list[int]:
        """Asks until the broker knows the topic: one that was just made may take a moment."""
        until = time.monotonic() + TIMEOUT_S
        while True:
            try:
                listed = self._consumer.list_topics(self._topic, TIMEOUT_S).topics[self._topic]
            except KafkaException as error:
                raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"cannot list {self._topic}: {error}") from error
            if listed.error is None:
                return list(listed.partitions)
            if time.monotonic() > until:
                raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{self._topic}: {listed.error.str()}")
            self._consumer.poll(0.1)

    def _versions(self, messages: Sequence[Message]) -> Iterator[PriceVersion]:
        for message in messages:
            if (error := message.error()) is not None:
                partition = message.partition()
                if error.code() == KafkaError._PARTITION_EOF and partition is not None:
                    self._behind.discard(partition)
                elif not error.retriable():
                    raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{self._topic}: {error.str()}")
            elif value := message.value():
                yield _decode(value)


def _produce(settings: Settings, topic: str, versions: Sequence[PriceVersion], producer_id: str) -> None:
    producer = Producer({**kafka_config(settings), "enable.idempotence": True, "compression.type": "zstd", "linger.ms": 50})
    partitions = len(producer.list_topics(topic, TIMEOUT_S).topics[topic].partitions)
    failed: list[str] = []
    sequences: dict[int, int] = {}
    for version in versions:
        partition = partition_of(version.provider.encode(), partitions)
        sequences[partition] = sequences.get(partition, -1) + 1
        producer.produce(
            topic,
            value=_encode(version),
            key=version.price_id.encode(),
            partition=partition,
            headers=[(H_PRODUCER, producer_id.encode()), (H_SEQ, b"%d" % sequences[partition])],
            on_delivery=lambda error, _: failed.append(error.str()) if error is not None else None,
        )
        producer.poll(0)
    left = producer.flush(TIMEOUT_S)
    if left or failed:
        raise Transient(ErrorCode.KAFKA_UNAVAILABLE, f"{left + len(failed)} price versions were not confirmed")
