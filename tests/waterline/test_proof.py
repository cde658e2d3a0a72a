"""The proof: it holds on a whole store, names each gap in a broken one, and does not wait for commit markers."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer
from rich.console import Console

from tests.conftest import NewTopicOf
from tests.sql import seed
from tests.sql.seed import PARTITION, Store, ranges
from waterline import proof
from waterline.commands.verify import show_proof
from waterline.connectors.stores.clickhouse import migrate
from waterline.connectors.stores.clickhouse.client import connect
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.proof import Held, Lane, Problem, Proof, prove
from waterline.schemas.frames import H_TYPE, TICK
from waterline.schemas.settings import Settings

EVENTS = ("agent.events", PARTITION)


class Told:
    """A Kafka that holds what the test says; offsets from `markers_from` on hold no record, and the sink has passed those
    below `read`."""

    def __init__(self, begin: int, end: int, markers_from: int = 2**62, read: int = 0) -> None:
        self.offsets, self.markers_from, self.read = (begin, end), markers_from, read

    def held(self) -> Held:
        return {EVENTS: self.offsets}

    def committed(self) -> dict[Lane, int]:
        return {EVENTS: self.read} if self.read else {}

    def with_records(self, wanted: Held) -> set[Lane]:
        return {lane for lane, (first, end) in wanted.items() if first < min(end, self.markers_from)}


@pytest.fixture
def target(clickhouse_url: str) -> Iterator[Target]:
    target = Target(f"test_{uuid.uuid4().hex[:12]}")
    with closing(connect(Settings(clickhouse=clickhouse_url), database="default")) as client:
        migrate.apply(client, target)
        yield target
        client.command(f"DROP DATABASE {target.database}")


@pytest.fixture
def store(clickhouse_url: str, target: Target) -> Iterator[Store]:
    with closing(Store(clickhouse_url, target.database)) as store:
        yield store


@pytest.fixture
def reader(clickhouse_url: str, target: Target) -> Iterator[Client]:
    with closing(connect(Settings(clickhouse=clickhouse_url, clickhouse_database=target.database))) as client:
        yield client


def fill(store: Store) -> None:
    """Offsets 0 to 11, an event each, in two ranges."""
    store.put("events", seed.EVENTS, "agent.events")
    store.put("ranges", [ranges(0, 5, 6), ranges(6, 11, 6)])


def test_a_whole_store_is_proven(store: Store, reader: Client) -> None:
    fill(store)
    told = prove(Told(0, 12), reader, 0)
    assert told.holds
    assert told.lines == [
        {"topic": "agent.events", "partitions": 1, "records": 12, "ticks": 0, "rows": 12, "copies": 0, "buried": 0, "missing": 0,
         "duplicates": 0, "never_read": 0, "in_flight": 0}
    ]  # fmt: skip


def test_an_empty_store_is_proven_and_what_waits_in_kafka_is_told(reader: Client) -> None:
    assert prove(Told(0, 0), reader, 0).holds
    told = prove(Told(0, 5), reader, 0)
    assert (told.holds, told.in_flight) == (True, {EVENTS: 5})


def test_commit_markers_are_not_waited_for(store: Store, reader: Client) -> None:
    fill(store)
    told = prove(Told(0, 14, markers_from=12), reader, 30)
    assert (told.holds, told.in_flight) == (True, {})


def test_what_does_not_arrive_in_time_is_a_problem(store: Store, reader: Client) -> None:
    fill(store)
    began = time.monotonic()
    assert prove(Told(0, 14), reader, 1).problems == [Problem(*EVENTS, "in flight", "still in flight after 1 s", 12, 13)]
    assert 1 <= time.monotonic() - began < 20


def lose_rows(store: Store) -> None:
    store.put("events", seed.EVENTS[:11], "agent.events")
    store.put("ranges", [ranges(0, 5, 6), ranges(6, 11, 6)])


def leave_a_gap(store: Store) -> None:
    store.put("events", [*seed.EVENTS[:6]], "agent.events")
    store.put("events", seed.EVENTS[9:], "agent.events", 9)
    store.put("ranges", [ranges(0, 5, 6), ranges(9, 11, 3)])


def read_twice(store: Store) -> None:
    store.put("events", seed.EVENTS, "agent.events")
    store.put("ranges", [ranges(0, 7, 8), ranges(6, 11, 4)])


def write_twice(store: Store) -> None:
    fill(store)
    store.put("events", seed.EVENTS[6:8], "agent.events", 6)


def lose_a_number(store: Store) -> None:
    store.put("events", seed.EVENTS, "agent.events")
    store.put("ranges", [ranges(0, 5, 6), ranges(6, 11, 6, number=7)])


def begin_late(store: Store) -> None:
    store.put("events", seed.EVENTS[4:], "agent.events", 4)
    store.put("ranges", [ranges(4, 11, 8)])


def lose_a_letter(store: Store) -> None:
    store.put("events", seed.EVENTS[:11], "agent.events")
    store.put("ranges", [ranges(0, 11, 11, buried=1)])


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lose_rows, [("missing", None, None), ("missing", 6, 11)]),
        (leave_a_gap, [("gap", 6, 8), ("hole", None, None)]),
        (read_twice, [("overlap", 6, 7)]),
        (write_twice, [("surplus", None, None), ("surplus", 6, 11), ("stored twice", None, None)]),
        (lose_a_number, [("hole", None, None)]),
        (begin_late, [("gap", 0, 3), ("hole", None, None)]),
        (lose_a_letter, [("dead letters", None, None)]),
    ],
)
def test_each_gap_is_named(
    store: Store, reader: Client, spoil: Callable[[Store], None], named: list[tuple[str, int | None, int | None]]
) -> None:
    spoil(store)
    told = prove(Told(0, 12), reader, 0)
    assert [(one.what, one.first, one.last) for one in told.problems] == named
    assert {(one.topic, one.partition) for one in told.problems} == {EVENTS}


def test_what_kafka_deleted_before_it_was_read_is_a_gap(store: Store, reader: Client) -> None:
    fill(store)
    told = prove(Told(20, 20), reader, 0)
    assert told.problems == [Problem(*EVENTS, "gap", "deleted by Kafka before it was read", 12, 19)]


def test_the_real_broker_tells_records_from_markers(kafka: str, new_topic: NewTopicOf) -> None:
    topic = new_topic(1, "proof")
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(30)
    for commit in (True, False):
        producer.begin_transaction()
        producer.produce(topic, b"x", partition=0)
        producer.flush(30)
        producer.commit_transaction(30) if commit else producer.abort_transaction(30)
    with closing(proof.Kafka(Settings(kafka=kafka))) as broker:
        assert broker.with_records({(topic, 0): (0, 4)}) == {(topic, 0)}
        assert broker.with_records({(topic, 0): (1, 4)}) == set(), "a commit marker, an aborted record and its marker"
        assert broker.with_records(broker.held()) <= set(broker.held()), "all partitions are asked at once"
        assert broker.held()[EVENTS][0] == 0


def test_the_real_broker_tells_records_from_ticks(kafka: str, new_topic: NewTopicOf) -> None:
    topic = new_topic(1, "proof")
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    for headers in ([(H_TYPE, TICK)], [(H_TYPE, TICK)], [], [(H_TYPE, TICK)]):
        producer.produce(topic, b"x", partition=0, headers=[*headers])
    assert producer.flush(30) == 0
    with closing(proof.Kafka(Settings(kafka=kafka))) as broker:
        asked = {until: bool(broker.with_records({(topic, 0): (0, until)})) for until in (1, 2, 3)}
        assert asked == {1: False, 2: False, 3: True}
        assert broker.with_records({(topic, 0): (3, 4)}) == set()


def said(capsys: pytest.CaptureFixture[str], told: Proof) -> str:
    """The last lines of what the command prints."""
    show_proof(Console(width=150), told)
    return capsys.readouterr().out


def test_what_was_not_read_is_not_called_proven(capsys: pytest.CaptureFixture[str], store: Store, reader: Client) -> None:
    fill(store)
    assert "proven: 0 missing, 0 duplicates\n" in said(capsys, prove(Told(0, 12, read=12), reader, 0))
    told = said(capsys, prove(Told(0, 20), reader, 0))
    assert "proven as far as it is read, not beyond: 0 missing, 0 duplicates, 8 offsets not read yet" in told
    assert "not proven, 1 problem: 0 missing, 0 duplicates, 8 offsets not read yet" in said(
        capsys, prove(Told(0, 20), reader, 0.1)
    )


def test_offsets_never_read_are_in_the_summary(capsys: pytest.CaptureFixture[str], store: Store, reader: Client) -> None:
    leave_a_gap(store)
    told = prove(Told(0, 12), reader, 0)
    assert told.lines[0]["never_read"] == told.never_read == 3
    printed = said(capsys, told)
    assert "not proven, 2 problems: 0 missing, 0 duplicates, 3 offsets never read" in printed
    assert "offsets 6-8: gap: never read; Kafka still has it: stop the sink and run `waterline refill`" in printed
    (gap, _) = prove(Told(9, 12), reader, 0).problems
    assert gap == Problem(*EVENTS, "gap", "never read", 6, 8), "Kafka has it no more"


def test_a_store_that_forgot_what_the_sink_had_read_is_noticed(store: Store, reader: Client) -> None:
    """An empty one, and one that was put back to an older state; neither is waited for."""
    why = "the sink had read this, the store does not know it; Kafka still has it: stop the sink and run `waterline refill`"
    told = prove(Told(2, 30, read=24), reader, 0)
    deleted = Problem(*EVENTS, "gap", "the store does not know it, and Kafka has deleted it", 0, 1)
    assert told.problems == [deleted, Problem(*EVENTS, "lost", why, 2, 23)]
    assert (told.in_flight, told.never_read) == ({EVENTS: 6}, 24)
    fill(store)
    assert prove(Told(2, 24, read=24), reader, 0).problems == [Problem(*EVENTS, "lost", why, 12, 23)]
    assert prove(Told(2, 12, read=12), reader, 0).holds


def test_a_table_that_is_gone_is_named(capsys: pytest.CaptureFixture[str], store: Store, reader: Client) -> None:
    fill(store)
    reader.command("DROP VIEW completeness")
    (problem,) = prove(Told(0, 12), reader, 0).problems
    assert (problem.what, problem.reason) == ("missing views", "completeness; `waterline migrate` makes them again")
    reader.command("DROP TABLE events SYNC")
    told = prove(Told(0, 12), reader, 0)
    assert [one.what for one in told.problems] == ["missing tables"]
    printed = said(capsys, told)
    assert f"missing tables: {reader.database}.events: made once and gone" in " ".join(printed.split())
    assert "not proven, 1 problem\n" in printed


def test_a_ledger_that_begins_late_asks_for_numbers_from_there(store: Store, reader: Client) -> None:
    """Kafka had deleted offsets 0 to 5, and with them the producer's numbers 0 to 5; number 10 did not arrive."""
    store.put("events", seed.EVENTS[6:], "agent.events", 6)
    late = [msgspec.structs.replace(ranges(6, 8, 3), begin_offset=6), msgspec.structs.replace(ranges(9, 11, 3), begin_offset=6)]
    store.put("ranges", late)
    told = prove(Told(6, 12), reader, 0)
    assert told.holds
    assert told.since == {EVENTS: 6}
    store.put("ranges", [msgspec.structs.replace(ranges(12, 12, 0, copied=["a"], number=13), begin_offset=6)])
    (hole,) = prove(Told(6, 13), reader, 0).problems
    assert (hole.what, hole.reason) == ("hole", "1 records of c-1 never arrived")


def test_the_command_says_what_it_proved(capsys: pytest.CaptureFixture[str], store: Store, reader: Client) -> None:
    lose_rows(store)
    show_proof(Console(width=150), prove(Told(0, 12), reader, 0))
    printed = capsys.readouterr().out
    assert "agent.events/3 offsets 6-11: missing: 5 rows are there, 6 were written" in printed
    assert "not proven, 2 problems: 1 missing, 0 duplicates" in printed
