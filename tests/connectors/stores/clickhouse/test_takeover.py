"""What becomes of a partition while it is being opened: an answer to what was asked before never outlives what came since."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from msgspec import Struct

from waterline.connectors.stores.clickhouse.assignment import Assignment, Stopped, insist
from waterline.connectors.stores.clickhouse.batch import Form, Position, Record, encoder_name, form_of
from waterline.connectors.stores.clickhouse.ledger import Held
from waterline.connectors.stores.clickhouse.partition import Limits, Partition, Phase
from waterline.connectors.stores.clickhouse.plan import Lane, Range
from waterline.connectors.stores.clickhouse.store import ClickHouse
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS

FORM, LANE, LIMITS = form_of(AGENT_EVENTS), Lane("agent.events", 3), Limits(10, 1000, 1.0)
CONFIG = Settings(sink_window=0)
ENCODER = encoder_name(0)
PLAN = Range(0, 9, ENCODER)
NOW = 100.0


class Store(ClickHouse):
    """Says when it is asked for a partition, answers when it may. `rows`: where the table has some."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.asked, self.may = threading.Semaphore(0), threading.Semaphore(0)
        self.rows: frozenset[Position] = frozenset()
        self.fault: Exception | None = None

    def prepare(self, tables: object, durability: str) -> None:
        if self.fault:
            raise self.fault

    def listed(self, lane: Lane) -> int | None:
        self.asked.release()
        assert self.may.acquire(timeout=10)
        return None

    def window_keys(self, form: Form, lane: Lane, before: int | None, size: int) -> bytes:
        return b""

    def positions(self, form: Form, lane: Lane, first: int, last: int | None) -> frozenset[Position]:
        return frozenset(at for at in self.rows if first <= at[0] <= (at[0] if last is None else last))


class Said(Struct):
    """A position as Kafka answers it; a TopicPartition with an error can only librdkafka make."""

    offset: int
    error: KafkaError | None = None
    topic: str = LANE.topic
    partition: int = LANE.partition
    metadata: str = ""


class Group(Consumer):
    """Without a broker; `answers` is what it is told of the group's positions, one after the other."""

    answers: tuple[Said, ...] = ()

    def meanwhile(self) -> None:
        """Happens while it is asked."""

    def committed(self, given: object, timeout: float = -1) -> list[Said]:  # type: ignore[override]
        self.meanwhile()
        said, *self.answers = self.answers  # type: ignore[assignment]
        return [said]

    def list_topics(self, topic: str = "", timeout: float = -1) -> None:  # type: ignore[override]
        """Nobody to ask."""


class Mine(Assignment):
    """One partition, assigned; `kafka` is what the broker would say it holds."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor) -> None:
        consumer = self.group = Group({"bootstrap.servers": "127.0.0.1:1", "group.id": "mine", "log_level": 0})
        super().__init__(consumer, store, {AGENT_EVENTS.name: FORM}, LIMITS, CONFIG, pool, threading.Event())
        self.store = store
        self.kafka = Held(0, 0)

    def _asked(self, lane: Lane) -> Held:
        return self.kafka

    def take(self, plan: Range | None = None) -> Partition:
        partition = self.partitions[LANE.topic, LANE.partition] = Partition(LANE, FORM, LIMITS, ENCODER, 0, 0, plan)
        self._consumer.incremental_assign([TopicPartition(LANE.topic, LANE.partition, 0)])
        return partition

    def take_back(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not done():
            assert time.monotonic() < deadline
            self.settle(NOW)
            time.sleep(0.005)


@pytest.fixture
def mine() -> Iterator[Mine]:
    with ThreadPoolExecutor(1) as pool:
        made = Mine(Store(), pool)
        yield made
        made.store.may.release(10)
    made._consumer.close()


def collect(partition: Partition, count: int) -> None:
    for offset in range(partition.covered, partition.covered + count):
        partition.take(Record(offset, 0, None, [b"row"], range(1), b"", frozenset(), [], 3), NOW)


def test_a_partition_that_halts_while_it_is_opened_stays_halted(mine: Mine) -> None:
    partition = mine.take()
    collect(partition, 5)
    mine.open(partition, NOW)
    assert mine.store.asked.acquire(timeout=10)
    mine.kafka = Held(0, 2)
    mine.out_of_range(partition)
    mine.store.may.release()
    mine.take_back(lambda: not partition.busy)
    assert partition.phase is Phase.HALTED
    assert "it was truncated or made anew" in partition.reason
    mine.kafka = Held(7, 9)
    assert mine.out_of_range(partition) == 0
    assert partition.phase is Phase.HALTED


def test_a_plan_that_is_given_up_while_it_is_opened_is_opened_again_beside_its_rows(mine: Mine) -> None:
    mine.store.rows = frozenset((offset, 0) for offset in range(10))
    partition = mine.take(PLAN)
    mine.open(partition, NOW)
    assert mine.store.asked.acquire(timeout=10)
    mine.kafka = Held(5, 20)
    assert mine.out_of_range(partition) == 5
    mine.store.may.release()
    mine.take_back(lambda: not partition.busy)
    assert (partition.phase, partition.first) == (Phase.OPENING, 5)
    mine.open(partition, NOW)
    mine.store.may.release()
    mine.take_back(lambda: not partition.busy)
    assert (partition.phase, partition.first, partition.forced) == (Phase.COLLECTING, 5, [])
    assert partition.present == {(offset, 0) for offset in range(5, 10)}


def test_halves_in_memory_are_written_before_reading_goes_on_behind_what_was_deleted(mine: Mine) -> None:
    partition = mine.take()
    partition.opened(None, frozenset())
    collect(partition, 10)
    partition.start(mine.kafka, NOW)
    collect(partition, 2)
    partition.halved()
    mine.kafka = Held(20, 30)
    assert mine.out_of_range(partition) == 8
    written = []
    while mine.settled(partition):
        assert partition.due(NOW), "waits for what Kafka does not hold"
        written += [record.offset for record in partition.start(mine.kafka, NOW).records]
        partition.written()
        partition.finished = None
    assert written == list(range(12))
    assert (partition.phase, partition.first, partition.asked) == (Phase.OPENING, 20, 20)
    assert mine._consumer.assignment()[0].offset == 20


def test_reading_again_goes_on_behind_what_is_in_memory(mine: Mine) -> None:
    """The records before may be deleted in the meantime, and asking for them would go on without end."""
    partition = mine.take()
    partition.opened(None, frozenset())
    collect(partition, 10)
    mine.kafka = Held(5, 20)
    assert mine.out_of_range(partition) == 0
    assert mine._consumer.assignment()[0].offset == 10
    assert (partition.first, partition.rows) == (0, 10)


def test_a_position_that_one_partition_got_no_answer_for_is_asked_again(mine: Mine) -> None:
    """An error stands beside the position, whose offset then says nothing."""
    mine.group.answers = (Said(-1001, KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)), Said(42))
    mine._assigned(mine.group, [TopicPartition(LANE.topic, LANE.partition)])
    partition = mine.partitions[LANE.topic, LANE.partition]
    assert (partition.committed, partition.first) == (42, 42)


def test_an_opening_that_fails_unforeseen_is_told_and_tried_again(mine: Mine) -> None:
    partition = mine.take()
    mine.store.fault = AssertionError("odd")
    mine.open(partition, NOW)
    mine.take_back(lambda: not partition.busy)
    assert partition.phase is Phase.OPENING
    assert partition.reason == "bug: AssertionError: odd"
    mine.store.fault = None
    mine.store.may.release()
    mine.open(partition, partition.retry_at)
    mine.take_back(lambda: not partition.busy)
    assert (partition.phase, partition.reason) == (Phase.COLLECTING, "")


def test_who_is_told_to_stop_does_not_wait_for_kafka(mine: Mine) -> None:
    """The first question is asked all the same: what is under way may need its answer."""
    stop, asked = threading.Event(), []

    def ask() -> None:
        asked.append(time.monotonic())
        assert len(asked) < 20
        if len(asked) == 3:
            stop.set()

    with pytest.raises(Stopped):
        insist(mine.group, ask, "offsets", stop)
    assert len(asked) == 3
    assert insist(mine.group, lambda: 7, "offsets", stop) == 7


def test_it_is_not_ready_before_it_knows_where_to_begin(mine: Mine) -> None:
    told: list[list[str]] = []
    mine.group.answers = (Said(42),)
    mine.group.meanwhile = lambda: told.append(mine.unready())  # type: ignore[method-assign]
    mine._assigned(mine.group, [TopicPartition(LANE.topic, LANE.partition)])
    assert told == [["has not joined the group yet"]]
    assert mine.unready() == ["1 partitions are being opened"]
