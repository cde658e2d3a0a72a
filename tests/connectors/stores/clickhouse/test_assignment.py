"""What Kafka is asked before a partition is read."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from waterline.connectors.stores.clickhouse.assignment import Assignment, Stopped, insist
from waterline.connectors.stores.clickhouse.batch import form_of
from waterline.connectors.stores.clickhouse.partition import Limits
from waterline.connectors.stores.clickhouse.store import ClickHouse
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS


def test_a_topic_that_the_broker_did_not_know_at_first(kafka: str, kafka_admin: AdminClient) -> None:
    """librdkafka alone goes on saying `Unknown partition`."""
    name, tried = f"late.{uuid.uuid4().hex[:12]}", threading.Event()
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": name, "log_level": 0})
    consumer.subscribe([AGENT_EVENTS.name, name])
    deadline = time.monotonic() + 20
    while not consumer.assignment():
        assert time.monotonic() < deadline
        consumer.poll(0.1)

    def ask() -> tuple[int, int] | None:
        try:
            known: tuple[int, int] | None = consumer.get_watermark_offsets(TopicPartition(name, 0), 5)
        finally:
            tried.set()
        return known

    def make() -> None:
        tried.wait(10)
        kafka_admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)

    maker = threading.Thread(target=make)
    maker.start()
    assert insist(consumer, ask, "offsets", threading.Event()) == (0, 0)
    maker.join()
    consumer.close()
    kafka_admin.delete_topics([name])[name].result(30)


class Unanswered(Consumer):
    """Kafka goes away after the group was joined."""

    def committed(self, *_: object, **__: object) -> list[TopicPartition]:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def consume_until(consumer: Consumer, deadline: float) -> None:
    while time.monotonic() < deadline:
        consumer.consume(1, 0.1)


def test_an_assignment_that_kafka_does_not_answer_ends_when_the_sink_is_stopped(kafka: str) -> None:
    """The question is asked from within `consume`, which hands the exception on."""
    told = {"bootstrap.servers": kafka, "group.id": uuid.uuid4().hex, "partition.assignment.strategy": "cooperative-sticky"}
    consumer, config, stop = Unanswered(told), Settings(kafka=kafka), threading.Event()
    stop.set()
    forms, deadline = {AGENT_EVENTS.name: form_of(AGENT_EVENTS)}, time.monotonic() + 20
    with ThreadPoolExecutor(1) as pool:
        assignment = Assignment(consumer, ClickHouse(config), forms, Limits(1, 1, 1.0), config, pool, stop)
        assignment.subscribe([AGENT_EVENTS.name])
        with pytest.raises(Stopped, match="committed positions"):
            consume_until(consumer, deadline)
        consumer.close()
    assert assignment.partitions == {}
