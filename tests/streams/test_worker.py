"""A worker among others, and what it believes about offsets."""

import signal
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from tests.streams.arena import PARTITIONS, Arena, until
from waterline.schemas.events import Event, Kind
from waterline.schemas.frames import encode_event

RUNNING = 'streams_partitions{stage="decide",state="running"}'


def test_workers_share_the_partitions_and_nothing_is_lost_when_they_change(arena: Arena) -> None:
    first = arena.start()
    arena.ready(first)
    arena.send(40)
    second = arena.start()
    until(lambda: arena.metric(second, RUNNING) == PARTITIONS / 2, second.tail)
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(arena.send, 200)
        first.signal(signal.SIGTERM)
        assert arena.ended(first) == 0
        sending.result()
    arena.wait_applied(second)
    until(lambda: arena.metric(second, RUNNING) == PARTITIONS, second.tail)
    assert arena.wrongs() == {}


def test_an_offset_that_ran_ahead_loses_nothing(arena: Arena) -> None:
    """The group's offset is set past records that were never read, as Faust's commit may do (its issue 606)."""
    worker = arena.start()
    arena.send(20)
    arena.wait_applied(worker)
    arena.kill(worker)
    arena.send(20)
    group = Consumer({"bootstrap.servers": arena.bootstrap, "group.id": f"{arena.topics.prefix}-streams"})
    name = arena.topics.inputs[0].name
    ends = [group.get_watermark_offsets(TopicPartition(name, number))[1] for number in range(arena.partitions)]
    offsets = [TopicPartition(name, number, end) for number, end in enumerate(ends)]
    until(lambda: committed(group, offsets), lambda: "the group does not let go of the killed worker")
    group.close()
    arena.wait_applied(arena.start())
    assert arena.wrongs() == {}


def committed(group: Consumer, offsets: list[TopicPartition]) -> bool:
    """Whether the group took them; it does not while the killed worker is in session."""
    try:
        return all(each.error is None for each in group.commit(offsets=offsets, asynchronous=False) or [])
    except KafkaException:
        return False


def test_what_was_rolled_back_is_not_read(arena: Arena) -> None:
    worker = arena.start()
    arena.ready(worker)
    ghost = Producer({"bootstrap.servers": arena.bootstrap, "transactional.id": arena.topics.prefix})
    ghost.init_transactions(10)
    ghost.begin_transaction()
    at = arena.event(0, 0).ts
    never = Event(event_id="x", tenant="acme", ts=at, received_at=at, decision_key="never", kind=Kind.STEP)
    for partition in range(arena.partitions):
        ghost.produce(arena.topics.inputs[1].name, encode_event(never), partition=partition)
    ghost.flush()
    ghost.abort_transaction(10)
    arena.forget()
    arena.send(10)
    arena.send(10, topic=1)
    arena.wait_applied(worker)
    assert arena.wrongs() == {}
    assert "never" not in arena.states()


def test_a_topic_made_anew_under_an_old_state_stops_the_worker(arena: Arena) -> None:
    worker = arena.start()
    arena.send(20)
    arena.wait_applied(worker)
    arena.kill(worker)
    arena.make_anew(arena.topics.inputs[0])
    worker = arena.start()
    assert arena.ended(worker) == 70
    assert "made anew" in worker.tail()
