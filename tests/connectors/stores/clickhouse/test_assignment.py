"""What Kafka is asked before a partition is read."""

import threading
import time
import uuid

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from waterline.connectors.stores.clickhouse.assignment import insist
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
    assert insist(consumer, ask, "offsets") == (0, 0)
    maker.join()
    consumer.close()
    kafka_admin.delete_topics([name])[name].result(30)
