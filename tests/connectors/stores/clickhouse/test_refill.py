"""Tables that are lost come back from Kafka: each row once, with a ledger without gap or overlap."""

import dataclasses
from datetime import UTC, datetime

import msgspec
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.connectors.stores.clickhouse.conftest import NewWorld
from tests.connectors.stores.clickhouse.world import EVENTS, LETTERS, World, line, wait
from waterline import refill
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.connectors.stores.clickhouse.plan import REFILL
from waterline.refill import Refill, Refused
from waterline.schemas.dead_letter import DeadLetter
from waterline.schemas.errors import ErrorCode
from waterline.schemas.topics import STORED

SESSION_S = 6
LEAVES = {"sink_instance": ""}
"""A sink without a name of its own leaves the group at once when it is stopped; one with a name stays for its session."""


@pytest.fixture
def world(new_world: NewWorld) -> World:
    """With two partitions, tables of its own, and a sink that has stored some frames, a copy and a line that is none."""
    world = new_world(2, own_tables=True)
    with world.running(**LEAVES):
        for n in range(4):
            world.send(line(f"a{n}"), line(f"b{n}"), partition=n % 2)
        world.send(line("a0"), b"{", partition=0)
        world.settle(0, 1)
        wait(lambda: len(world.letters()) == 1, "the letter is not stored")
        settle_letters(world)
    return world


def run(world: World, *tables: str, ledger: bool = False, begin: int = 0, wait_s: float = SESSION_S + 5) -> None:
    """Refill what is named; partition 0 of agent.events begins at `begin`."""
    topics = tuple(dataclasses.replace(topic, name=world.topics[topic.name]) for topic in STORED if topic.table in tables)
    kept = {(topic.name, at): (0, 0) for topic in topics for at in range(world.topics.partitions)}
    if begin:
        kept[world.topics[EVENTS], 0] = (begin, 0)
    admin = AdminClient({"bootstrap.servers": world.kafka})
    refill.wait_until_empty(admin, wait_s, world.group)
    refill.run(world.client, admin, Target(world.database), Refill(topics, ledger, kept, {}, {}), world.group)


def settle_letters(world: World) -> None:
    world.settle(*(at for at in (0, 1) if world.end(at, LETTERS)), topic=LETTERS)


def is_whole(world: World, topic: str = EVENTS) -> bool:
    """The ledger begins at 0, follows itself, and agrees with the rows."""
    query = (
        "SELECT first_offset, gaps, overlaps, missing_rows, surplus_rows, holes, complete FROM completeness"
        f" WHERE topic = '{world.topics[topic]}' AND ranges > 0 ORDER BY partition"
    )
    found = world.rows(query)
    assert found == [(0, [], [], 0, 0, [], True)] * len(found)
    return bool(found)


def test_a_dropped_table_is_filled_again(world: World) -> None:
    before, letters = world.positions(), [one["id"] for one in world.letters()]
    old = [(row["partition"], row["first"], row["last"]) for row in world.ranges()]
    world.client.command("DROP TABLE events SYNC")
    run(world, "events")
    assert (world.positions(), world.ranges()) == ([], [])
    with world.running(**LEAVES):
        world.settle(0, 1)
        settle_letters(world)
    assert world.positions() == before
    assert is_whole(world)
    assert is_whole(world, LETTERS)
    assert {one["id"] for one in world.letters()} == set(letters), "buried again, under the same id"
    assert [(row["partition"], row["first"], row["last"]) for row in world.ranges()][:1] <= old


def test_equal_ranges_are_not_swallowed(new_world: NewWorld) -> None:
    """One batch, cut alike both times: its tokens, of rows and ledger, are the same."""
    world = new_world(1, own_tables=True)
    world.send(line("a"), line("b"))
    for turn in range(2):
        with world.running(**LEAVES):
            world.settle()
        assert (world.ids(), [(row["first"], row["last"]) for row in world.ranges()]) == (["a", "b"], [(0, 0)])
        assert is_whole(world)
        if not turn:
            run(world, "events")


def test_a_range_of_another_topic_that_is_under_way_is_neither_lost_nor_doubled(world: World) -> None:
    seen = datetime.now(UTC)
    letter = DeadLetter(
        id="l", consumer="sink", topic="t", partition=0, offset=0, code=ErrorCode.BUG, reason="", raw="", first_seen=seen
    )
    world.record(msgspec.json.encode(letter), topic=LETTERS)
    end = world.end(topic=LETTERS)
    sink = world.sink(crash="after_ledger", wait_ready=False)
    wait(sink.crashed, "it does not come to its crash point")
    assert world.committed(topic=LETTERS)[1].startswith(f"plan:{end - 1}-")
    assert len(world.letters()) == 2, "rows and ledger row of the open range are there"
    world.client.command("DROP TABLE events SYNC")
    run(world, "events")
    with world.running(**LEAVES):
        world.settle(0, 1)
        settle_letters(world)
    assert is_whole(world)
    assert is_whole(world, LETTERS)
    places = world.positions("dead_letters")
    assert len(places) == len(set(places))


def test_a_lost_ledger_is_written_again_beside_the_rows(world: World) -> None:
    before = world.positions()
    rows = {topic: sum(row["rows"] for row in world.ranges(topic)) for topic in (EVENTS, LETTERS)}
    world.client.command("DROP TABLE ranges SYNC")
    run(world, ledger=True)
    with world.running(**LEAVES):
        world.settle(0, 1)
        settle_letters(world)
    assert world.positions() == before
    assert is_whole(world)
    assert is_whole(world, LETTERS)
    assert sum(row["rows"] for row in world.ranges()) == rows[EVENTS]


def test_nothing_is_moved_under_a_running_sink(world: World) -> None:
    before, positions = world.positions(), [world.committed(at) for at in (0, 1)]
    with world.running():
        with pytest.raises(Refused, match=r"a sink runs \(one at .*\): stop it first"):
            run(world, "events", wait_s=1)
        admin = AdminClient({"bootstrap.servers": world.kafka})
        topic = dataclasses.replace(STORED[0], name=world.topics[EVENTS])
        for ledger in (False, True):
            found = Refill((topic,), ledger, {(topic.name, 0): (0, 0)}, {}, {})
            with pytest.raises(Refused, match="a sink has started: stop it first"):
                refill.run(world.client, admin, Target(world.database), found, world.group)
    assert (world.positions(), [world.committed(at) for at in (0, 1)]) == (before, positions)


def test_a_sink_that_starts_in_between_stands_still(world: World) -> None:
    before, admin = world.positions(), AdminClient({"bootstrap.servers": world.kafka})
    refill.wait_until_empty(admin, SESSION_S + 5, world.group)
    refill._rewind(admin, {(world.topics[EVENTS], at): (0, 0) for at in (0, 1)}, REFILL, world.group)
    sink = world.sink(wait_ready=False, **LEAVES)
    wait(lambda: "run `waterline refill` again" in sink.get("/readyz")[1], "it does not say that it stands still")
    assert world.positions() == before
    sink.stop()
    assert [world.committed(at) for at in (0, 1)] == [(0, REFILL)] * 2
    run(world, "events")
    assert [world.committed(at) for at in (0, 1)] == [(0, "")] * 2


def test_a_plan_that_cannot_be_read_is_refused_before_anything_is_touched(world: World) -> None:
    before, position = world.positions(), world.committed()
    admin = AdminClient({"bootstrap.servers": world.kafka})
    refill.wait_until_empty(admin, SESSION_S + 5, world.group)
    broken = TopicPartition(world.topics[LETTERS], 0, 0, "plan:5-2:1.5")
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(world.group, [broken])])[world.group].result(30)
    with pytest.raises(Refused, match=r"/0: commit metadata 'plan:5-2:1.5' is no plan; run the version that wrote it"):
        run(world, "events")
    assert (world.positions(), world.committed()) == (before, position)
    run(world, "events", "dead_letters")


def test_what_kafka_keeps_no_more_is_left_out(world: World) -> None:
    admin = AdminClient({"bootstrap.servers": world.kafka})
    place = TopicPartition(world.topics[EVENTS], 0, 1)
    admin.delete_records([place])[place].result(30)
    world.client.command("DROP TABLE events SYNC")
    run(world, "events", begin=1)
    with world.running(**LEAVES):
        world.settle(0, 1)
    assert world.positions()[0] == (0, 1, 0)
    (row,) = world.rows(
        f"SELECT first_offset, complete FROM completeness WHERE topic = '{world.topics[EVENTS]}' AND partition = 0"
    )
    assert row == (1, True)
