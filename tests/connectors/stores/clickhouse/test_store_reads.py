"""What the sink reads back from ClickHouse, and the levels of durability it gives the tables."""

import json
from collections.abc import Iterator

import pytest

from tests.connectors.stores.clickhouse.world import create_tables, line
from waterline.connectors.stores.clickhouse.batch import Record, build, form_of, read_record
from waterline.connectors.stores.clickhouse.client import StoreRefused
from waterline.connectors.stores.clickhouse.plan import Lane
from waterline.connectors.stores.clickhouse.store import FSYNC, ClickHouse
from waterline.connectors.stores.clickhouse.window import key_of
from waterline.schemas.errors import Transient
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS, AGENT_PAYLOADS, DEAD_LETTERS, Topic

EVENTS, LANE = form_of(AGENT_EVENTS), Lane("agent.events", 7)
RECEIVED_MS = 1_795_168_801_000


@pytest.fixture
def store(clickhouse_url: str) -> Iterator[ClickHouse]:
    made = ClickHouse(Settings(clickhouse=clickhouse_url, clickhouse_database=create_tables(clickhouse_url)))
    yield made
    made.close()


def frame(offset: int, *lines: bytes) -> Record:
    return read_record(EVENTS, LANE, offset, b"\n".join(lines), None, RECEIVED_MS)


def insert(store: ClickHouse, *records: Record) -> None:
    store.insert("events", EVENTS.columns, build(EVENTS, records, None).data, "", 30)


def test_the_window_comes_back_newest_first_and_only_from_below(store: ClickHouse) -> None:
    insert(store, frame(3, line("a"), line("b", tenant="other")), frame(9, line("\u00e4'\\"), line("d")), frame(12, line("e")))
    wanted = [key_of("acme", "d"), key_of("acme", "\u00e4'\\"), key_of("other", "b"), key_of("acme", "a")]
    assert store.window_keys(EVENTS, LANE, 12, 10) == b"".join(wanted)
    assert store.window_keys(EVENTS, LANE, 12, 3) == b"".join(wanted[:3])
    assert store.window_keys(EVENTS, LANE, None, 1) == key_of("acme", "e")
    assert store.window_keys(EVENTS, Lane("agent.events", 8), None, 10) == b""


@pytest.mark.parametrize("topic", [AGENT_PAYLOADS, DEAD_LETTERS], ids=lambda topic: topic.name)
def test_every_kind_of_identity_is_the_same_on_both_sides(store: ClickHouse, topic: Topic) -> None:
    form = form_of(topic)
    at = "2026-11-20T10:00:00Z"
    payload = {"tenant": "acme", "event_id": "e", "ts": at, "received_at": at, "name": "n", "body": "b"}
    letter = {"id": "i", "consumer": "sink", "topic": "t", "partition": 1, "offset": 2, "code": "bug", "reason": "", "raw": ""}
    value = json.dumps(payload if topic is AGENT_PAYLOADS else letter | {"first_seen": at}).encode()
    record = read_record(form, LANE, 1, value, None, RECEIVED_MS)
    store.insert(form.table, form.columns, build(form, [record], None).data, "", 30)
    assert store.window_keys(form, LANE, None, 10) == record.keys != b""


def test_positions_and_ranges(store: ClickHouse) -> None:
    insert(store, frame(3, line("a"), line("b")), frame(9, line("c")))
    assert store.positions(EVENTS, LANE, 3, 8) == {(3, 0), (3, 1)}
    assert store.positions(EVENTS, LANE, 4, None) == {(9, 0)}
    assert store.listed(LANE) is None


def test_a_trial_stores_nothing(store: ClickHouse) -> None:
    store.trial("events", EVENTS.columns, build(EVENTS, [frame(1, line("a"))], None).data, 30)
    with pytest.raises(StoreRefused):
        store.trial("events", EVENTS.columns, build(EVENTS, [frame(1, line("a", ts="2026-11-20t10:00:00z"))], None).data, 30)
    assert store.positions(EVENTS, LANE, 0, None) == frozenset()


def test_a_missing_table_may_pass_and_is_named(store: ClickHouse) -> None:
    with pytest.raises(Transient, match=r"no table w_\w+\.absent; run `waterline migrate`"):
        store.prepare(["events", "absent"], "normal")


def test_durability_is_a_setting_of_the_tables(store: ClickHouse) -> None:
    def told() -> list[bool]:
        query = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
        ((engine,),) = store._read(query, {})
        return [f"{name} = 1" in engine for name in FSYNC]

    store.prepare(["events"], "normal")
    assert told() == [False, False, False]
    store.prepare(["events"], "fsync")
    assert told() == [True, True, True]
    insert(store, frame(1, line("a")))
    assert store.positions(EVENTS, LANE, 1, 1) == {(1, 0)}
    store.prepare(["events"], "normal")
    assert told() == [False, False, False]
