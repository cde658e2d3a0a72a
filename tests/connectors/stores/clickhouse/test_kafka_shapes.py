"""What a topic may look like beside frames in a row: transactions, compaction, deletion, positions that are lost or moved."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.connectors.stores.clickhouse.conftest import NewWorld
from tests.connectors.stores.clickhouse.world import EVENTS, World, line, wait

LINKS = "decision.links"
ALONE: dict[str, Any] = {"sink_instance": ""}
"""Not a static member, so that it leaves the group when it stops."""


def link(alias: str) -> bytes:
    return b'{"tenant":"acme","decision_id":"%s","decision_key":"k","elected_at":"2026-11-20T10:00:00Z"}' % alias.encode()


def commit(world: World, offset: int, metadata: str = "") -> None:
    """Move the group's position from outside."""
    consumer = Consumer({"bootstrap.servers": world.kafka, "group.id": world.group, "enable.auto.commit": False})
    position = TopicPartition(world.topics[EVENTS], 0, offset, metadata)
    consumer.commit(offsets=[position], asynchronous=False)
    consumer.close()


def edges(world: World, topic: str = EVENTS) -> list[tuple[int, int, int]]:
    return [(row["first"], row["last"], row["rows"]) for row in world.ranges(topic)]


def test_transactions(world: World) -> None:
    """Commit markers take offsets; what was aborted is no record. Ranges cover both, and the last marker too."""
    producer = Producer({"bootstrap.servers": world.kafka, "transactional.id": world.group})
    producer.init_transactions(30)
    for alias, commits in (("a", True), ("b", False), ("c", True)):
        producer.begin_transaction()
        producer.produce(world.topics[LINKS], link(alias), partition=0)
        producer.flush()
        producer.commit_transaction() if commits else producer.abort_transaction()
    with world.running(topics=(LINKS,)):
        wait(lambda: edges(world, LINKS), "nothing listed")
        world.settle(topic=LINKS)
    ranges = edges(world, LINKS)
    assert world.end(topic=LINKS) == 6
    assert (ranges[0][0], ranges[-1][1]) == (0, 5)
    assert sum(rows for *_, rows in ranges) == 2
    assert sum(row["records"] for row in world.ranges(LINKS)) == 2


def test_a_plan_that_ends_in_holes(world: World) -> None:
    """The range of the plan ends at a marker: it is complete when the next record or the end of the partition is seen."""
    producer = Producer({"bootstrap.servers": world.kafka, "transactional.id": world.group})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(world.topics[LINKS], link("a"), partition=0)
    producer.commit_transaction(30)
    sink = world.sink(topics=(LINKS,), wait_ready=False, crash="after_insert", without="presence")
    wait(sink.crashed, "did not crash")
    assert world.committed(topic=LINKS)[1].startswith("plan:0-")
    with world.running(topics=(LINKS,), without="presence"):
        world.settle(topic=LINKS)
    assert len(world.positions("decision_links")) == 1
    assert sum(row["rows"] for row in world.ranges(LINKS)) == 1


def test_a_value_that_was_deleted(world: World) -> None:
    """A tombstone of a compacted topic is a record without rows."""
    world.record(link("a"), topic=LINKS)
    world.record(None, topic=LINKS)
    world.record(link("b"), topic=LINKS)
    with world.running(topics=(LINKS,)):
        world.settle(topic=LINKS)
    assert [(row["records"], row["rows"], row["buried"]) for row in world.ranges(LINKS)] == [(3, 2, 0)]


def delete_before(world: World, admin: AdminClient, offset: int) -> None:
    (future,) = admin.delete_records([TopicPartition(world.topics[EVENTS], 0, offset)]).values()
    future.result(30)


def test_records_deleted_before_they_were_read_are_a_gap(world: World, kafka_admin: AdminClient) -> None:
    for n in range(5):
        world.send(line(f"a{n}"))
    with world.running():
        world.settle()
    for n in range(5):
        world.send(line(f"b{n}"))
    delete_before(world, kafka_admin, 8)
    with world.running() as sink:
        world.settle()
        assert f'sink_lost_records_total{{topic="{world.topics[EVENTS]}"}} 3.0' in sink.get("/metrics")[1]
        assert "deleted before it was read" in sink.log.read_text()
    assert [(first, last) for first, last, _ in edges(world)][-1] == (8, 9)
    assert edges(world)[-2][1] == 4
    assert world.ids() == ["a0", "a1", "a2", "a3", "a4", "b3", "b4"]


def test_a_plan_whose_records_were_deleted_is_given_up_without_a_second_row(world: World, kafka_admin: AdminClient) -> None:
    for n in range(4):
        world.send(line(f"a{n}"))
    sink = world.sink(wait_ready=False, crash="after_insert")
    wait(sink.crashed, "did not crash")
    delete_before(world, kafka_admin, 2)
    world.send(line("b0"))
    with world.running():
        world.settle()
    assert world.ids() == ["a0", "a1", "a2", "a3", "b0"]
    assert edges(world)[0][0] == 2
    assert sum(rows for *_, rows in edges(world)) == 3


def test_lost_positions_are_found_in_the_ledger(world: World) -> None:
    """Kafka forgets the group; a range was inserted and not listed. Nothing is stored again."""
    world.send(line("a0"))
    with world.running():
        world.settle()
    world.send(line("b0"))
    sink = world.sink(wait_ready=False, crash="after_insert")
    wait(sink.crashed, "did not crash")
    world.send(line("c0"))
    world.group += "-new"
    with world.running():
        wait(lambda: len(world.ids()) == 3, "not all stored")
        wait(lambda: world.ranges()[-1]["last"] == 2, "not all listed")
    assert world.ids() == ["a0", "b0", "c0"]
    assert [(first, last) for first, last, _ in edges(world)] == [(0, 0), (1, 2)]
    assert edges(world)[-1][2] == 2


def halted(world: World, told: str) -> None:
    sink = world.sink(wait_ready=False)
    wait(lambda: told in sink.get("/readyz")[1], f"does not say {told!r}: {sink.get('/readyz')}")
    assert sink.get("/readyz")[0] == 503
    assert sink.get("/healthz")[0] == 200


def test_a_position_that_was_moved_back_stops_the_partition(world: World) -> None:
    world.send(line("a0"))
    world.send(line("a1"))
    with world.running(**ALONE):
        world.settle()
    commit(world, 0)
    halted(world, "the position was moved back to 0")
    assert world.ids() == ["a0", "a1"]


def test_a_plan_of_another_version_stops_the_partition(world: World) -> None:
    world.send(line("a0"))
    commit(world, 0, "plan:0-0:99.5")
    halted(world, "is of another version")
    assert world.ids() == []


def test_a_topic_made_anew_stops_the_partition(world: World, kafka_admin: AdminClient, new_topic: Callable[..., str]) -> None:
    for n in range(3):
        world.send(line(f"a{n}"))
    with world.running(**ALONE):
        world.settle()
    name = world.topics[EVENTS]
    kafka_admin.delete_topics([name])[name].result(30)

    def make() -> bool:
        return kafka_admin.create_topics([NewTopic(name, 1, 1)])[name].exception(30) is None

    wait(make, "cannot make the topic anew")
    commit(world, 3)
    halted(world, "it was truncated or made anew")


def test_another_window_size_takes_over_after_the_plan(world: World) -> None:
    """The open plan is repeated with the window it was made with; later ranges use the new one."""
    world.send(line("a0"))
    sink = world.sink(wait_ready=False, crash="after_insert", sink_window=100)
    wait(sink.crashed, "did not crash")
    world.send(line("a0"), line("b0"))
    with world.running(sink_window=10):
        world.settle()
    assert [(row["encoder"], row["rows"], row["copies"]) for row in world.ranges()] == [("1.100", 1, 0), ("1.10", 1, 1)]


def test_a_range_ends_at_sixty_days_of_receipt(world: World) -> None:
    """Receipts as old as a producer may claim are spread over many days; a batch of all stored topics stays below the limit."""
    world.send(*(line(f"a{n}") for n in range(3)))
    with world.running():
        world.settle()
    assert len(world.ids()) == 3


@pytest.mark.parametrize("partitions", [3])
def test_two_sinks_share_and_hand_over(new_world: NewWorld, partitions: int) -> None:
    world = new_world(partitions)
    with world.running(**ALONE) as first:
        for n in range(30):
            world.send(line(f"a{n:02}"), partition=n % partitions)
        second = world.sink(**ALONE)
        wait(lambda: "given up" in first.log.read_text(), "nothing was handed over")
        for n in range(30):
            world.send(line(f"b{n:02}"), partition=n % partitions)
        world.settle(*range(partitions))
        second.stop()
        for n in range(30):
            world.send(line(f"c{n:02}"), partition=n % partitions)
        world.settle(*range(partitions))
    assert world.ids() == sorted(f"{letter}{n:02}" for letter in "abc" for n in range(30))
    for partition in range(partitions):
        mine = [row for row in world.ranges() if row["partition"] == partition]
        assert [row["first"] for row in mine] == [0] + [row["last"] + 1 for row in mine[:-1]]
