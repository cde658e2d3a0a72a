"""The broker of the local stack: it keeps what was acknowledged, whatever ends it."""

from collections.abc import Callable

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from waterline.schemas.topics import TOPICS
from waterline.stack import topics


def test_declared_topics_are_there_and_equal_to_their_declaration(kafka_admin: AdminClient) -> None:
    present = set(kafka_admin.list_topics(timeout=10).topics)
    assert {topic.name for topic in TOPICS} <= present
    assert topics.differences(kafka_admin, 12) == []


def test_commit_metadata_comes_back(kafka: str, new_topic: Callable[..., str]) -> None:
    name = new_topic(partitions=1)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(name, b"x")
    assert producer.flush(10) == 0
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": name, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    consumer.subscribe([name])
    message = consumer.poll(15)
    assert message is not None
    assert message.value() == b"x"
    consumer.commit(offsets=[TopicPartition(name, 0, 0, metadata="plan:0-0:v1")], asynchronous=False)
    (committed,) = consumer.committed([TopicPartition(name, 0)], timeout=10)
    consumer.close()
    assert (committed.offset, committed.metadata) == (0, "plan:0-0:v1")
