"""The broker of the local stack: it keeps what was acknowledged, whatever ends it."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest
from confluent_kafka import Consumer, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.conftest import PARTITIONS
from waterline.schemas.settings import Settings
from waterline.schemas.topics import DECISION_FACTS, TOPICS
from waterline.stack import Stack, topics
from waterline.stack import kafka as broker
from waterline.streams.changelog import END


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


@pytest.mark.usefixtures("jars")
def test_no_transaction_stays_open_when_the_broker_is_killed(tmp_path: Path) -> None:
    """See waterline/stack/fence.py. Markers are due at every moment while these transactions run."""
    ids = [f"killed-{number}" for number in range(24)]
    with Stack(tmp_path, ("kafka",), settings=Settings(), free_ports=True) as stack:
        committed, ended = Queue[int](), threading.Event()
        threads = [threading.Thread(target=transact, args=(stack.kafka, each, committed, ended)) for each in ids]
        for thread in threads:
            thread.start()
        until(lambda: committed.qsize() > 20 * len(ids), 60)
        stack.kill("kafka")
        ended.set()
        for thread in threads:
            thread.join(60)
        stack.wait_ready("kafka")
        assert "its old incarnation is fenced" in (tmp_path / "logs/kafka.out.log").read_text()
        with ThreadPoolExecutor(len(ids)) as pool:
            list(pool.map(lambda each: transactional(stack.kafka, each).init_transactions(30), ids))
        until(lambda: read_to(stack.kafka, committed=True) == read_to(stack.kafka, committed=False), 30)


def transactional(bootstrap: str, name: str) -> Producer:
    return Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "linger.ms": 1, "log_level": 0})


def transact(bootstrap: str, name: str, committed: Queue[int], ended: threading.Event) -> None:
    """One small transaction after the other, until the broker is gone."""
    producer = transactional(bootstrap, name)
    producer.init_transactions(30)
    for number in itertools.count():
        if ended.is_set():
            return
        try:
            producer.begin_transaction()
            producer.produce(DECISION_FACTS.name, b"x", partition=number % PARTITIONS)
            producer.commit_transaction(1)
            committed.put(number)
        except KafkaException:
            continue


def read_to(bootstrap: str, *, committed: bool) -> dict[int, int]:
    """Partition -> where a reader comes to its end."""
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    places = {TopicPartition(DECISION_FACTS.name, partition): END for partition in range(PARTITIONS)}
    client = broker.admin(bootstrap)
    found = client.list_offsets(places, isolation_level=level, request_timeout=5)
    return {place.partition: future.result().offset for place, future in found.items()}


def until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)
