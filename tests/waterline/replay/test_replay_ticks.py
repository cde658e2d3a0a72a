"""A replay's ticks on a real broker: into every partition, numbered, read back as event time."""

from datetime import UTC, datetime
from typing import cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from waterline.replay.ticks import Ticks
from waterline.schemas.frames import Frame, Headers, parse_frame
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS

NOW = datetime(2026, 10, 3, 12, 34, 56, 789, tzinfo=UTC)
"""No other test tells this time."""


def test_a_tick_tells_event_time_in_every_partition(kafka: str) -> None:
    ticks = Ticks(Settings(kafka=kafka))
    ticks.tell(NOW)
    ticks.tell(NOW)
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "ticks-test", "enable.auto.commit": False})
    partitions = sorted(consumer.list_topics(AGENT_EVENTS.name, timeout=10).topics[AGENT_EVENTS.name].partitions)
    consumer.assign([TopicPartition(AGENT_EVENTS.name, partition, OFFSET_BEGINNING) for partition in partitions])
    read: list[tuple[int | None, Frame]] = []
    while len(read) < 2 * len(partitions):
        message = consumer.poll(10)
        assert message is not None, f"{len(read)} ticks of {2 * len(partitions)}"
        assert message.error() is None
        frame = parse_frame(message.value(), cast(Headers, message.headers()), message.timestamp()[1])
        if frame.tick and frame.time == NOW:
            read.append((message.partition(), frame))
    consumer.close()
    assert {(partition, frame.seq) for partition, frame in read} == {(p, seq) for p in partitions for seq in (0, 1)}
    assert len({frame.producer for _, frame in read}) == 1
    assert all(frame.replay_tick and not frame.bad for _, frame in read)


def test_a_broker_that_is_not_there_is_said() -> None:
    with pytest.raises(KafkaException):
        Ticks(Settings(kafka="127.0.0.1:1"))
