"""What a refill comes to, before anything is touched: what is lost, what Kafka keeps no more, what would be dropped with it."""

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from clickhouse_connect.driver.client import Client

from tests.sql import seed
from tests.sql.seed import PARTITION, Store, ranges
from waterline.commands.refill import tell
from waterline.connectors.stores.clickhouse import migrate
from waterline.connectors.stores.clickhouse.client import connect
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.connectors.stores.clickhouse.plan import REFILL
from waterline.proof import Held
from waterline.refill import NAMES, Positions, Refused, look
from waterline.schemas.settings import Settings

EVENTS = ("agent.events", PARTITION)
KEPT: Held = {EVENTS: (0, 12)}


def at(offset: int, metadata: str = "") -> Positions:
    """What the sink has committed."""
    return {EVENTS: (offset, metadata)}


@pytest.fixture
def client(clickhouse_url: str) -> Iterator[Client]:
    with closing(connect(Settings(clickhouse=clickhouse_url), database="default")) as client:
        yield client


@pytest.fixture
def target(client: Client) -> Iterator[Target]:
    target = Target(f"test_{uuid.uuid4().hex[:12]}")
    migrate.apply(client, target)
    yield target
    client.command(f"DROP DATABASE {target.database}")


@pytest.fixture
def store(clickhouse_url: str, target: Target) -> Iterator[Store]:
    """Events at offsets 0 to 11, in two ranges."""
    with closing(Store(clickhouse_url, target.database)) as store:
        store.put("events", seed.EVENTS, "agent.events")
        store.put("ranges", [ranges(0, 5, 6), ranges(6, 11, 6)])
        yield store


def test_nothing_is_lost_in_a_whole_store(client: Client, target: Target, store: Store) -> None:
    assert look(client, target, KEPT, at(12), ()).empty
    assert look(client, target, {EVENTS: (0, 50)}, at(12), ()).empty, "what is not read yet is not lost"


def test_a_table_is_lost_when_the_ledger_does_not_know_what_was_read(client: Client, target: Target, store: Store) -> None:
    found = look(client, target, {EVENTS: (0, 30)}, at(20), ())
    assert ([topic.table for topic in found.topics], found.ledger, found.older) == (["events"], False, {})
    client.command(f"TRUNCATE TABLE {target.database}.ranges")
    assert look(client, target, KEPT, at(12), ()).empty, "rows are there: the ledger has forgotten by age"
    client.command(f"TRUNCATE TABLE {target.database}.events")
    assert [topic.table for topic in look(client, target, KEPT, at(12), ()).topics] == ["events"]


@pytest.mark.parametrize("wanted", [[], ["payloads"]])
def test_a_refill_that_was_broken_off_is_found(client: Client, target: Target, store: Store, wanted: list[str]) -> None:
    """After each step, and beside another one; unlike a sink that died before its last commit."""

    def found(committed: Positions) -> list[str]:
        return [topic.table for topic in look(client, target, KEPT, committed, wanted).topics]

    for offset in (0, 6):
        assert found(at(offset)) == wanted
    assert found(at(0, REFILL)) == ["events", *wanted], "positions are moved"
    client.command(f"TRUNCATE TABLE {target.database}.events")
    assert found(at(0, REFILL)) == ["events", *wanted], "the table is made anew"
    client.command(f"TRUNCATE TABLE {target.database}.ranges")
    assert found(at(0, REFILL)) == ["events", *wanted], "the ledger is copied"
    assert found(at(0)) == wanted


def test_a_store_that_went_on_after_it_was_lost(client: Client, target: Target, clickhouse_url: str) -> None:
    with closing(Store(clickhouse_url, target.database)) as store:
        store.put("events", seed.EVENTS[8:], "agent.events", 8)
        store.put("ranges", [ranges(8, 11, 4)])
    found = look(client, target, KEPT, at(12), ())
    assert [topic.table for topic in found.topics] == ["events"]
    assert found.older == {}, "all that would be dropped is in Kafka"


def test_what_kafka_keeps_no_more_is_told(client: Client, target: Target, store: Store) -> None:
    found = look(client, target, {EVENTS: (5, 12)}, at(12), ["events"])
    assert (dict(found.gone), found.older) == ({EVENTS: (0, 4)}, {"events": 5})
    assert tell(found) == [
        "events: from agent.events, 1 partitions, 7 offsets",
        "Kafka keeps no more, so this does not come back:",
        f"  agent.events/{PARTITION} offsets 0-4",
        "events still has 5 rows that Kafka keeps no more",
    ]
    client.command(f"DROP TABLE {target.database}.events SYNC")
    found = look(client, target, {EVENTS: (5, 12)}, at(12), ())
    assert (dict(found.gone), found.older) == ({EVENTS: (0, 4)}, {})


def test_a_lost_ledger_and_a_lost_database(client: Client, target: Target, store: Store) -> None:
    client.command(f"DROP TABLE {target.database}.ranges SYNC")
    found = look(client, target, KEPT, at(12), ())
    assert (found.topics, found.ledger) == ((), True)
    found = look(client, Target("nowhere"), KEPT, at(12), ())
    assert ([topic.table for topic in found.topics] + ["ranges"], found.ledger) == ([*NAMES], True)


def test_what_cannot_be_refilled_is_refused(client: Client, target: Target) -> None:
    with pytest.raises(Refused, match="evnts cannot be refilled; these can: events, "):
        look(client, target, KEPT, {}, ["evnts"])
    with pytest.raises(Refused, match="a lost replica is filled from the others"):
        look(client, Target(target.database, "c1"), KEPT, {}, ["events"])
