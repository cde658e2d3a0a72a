"""The quick way in against the strict one: the same rows, whatever a valid event holds; and what it cannot read it refuses."""

import dataclasses
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.connectors.stores.clickhouse.world import line
from waterline.connectors.stores.clickhouse import extract
from waterline.connectors.stores.clickhouse.batch import Form, Record, build, form_of, read_record
from waterline.connectors.stores.clickhouse.client import StoreRefused, StoreUnavailable, connect
from waterline.connectors.stores.clickhouse.extract import Column
from waterline.connectors.stores.clickhouse.plan import Lane
from waterline.connectors.stores.clickhouse.store import QUICK_BYTES, ClickHouse
from waterline.schemas.events import Clock, Event, Kind, Outcome, Retrieved, Status, Verdict
from waterline.schemas.frames import encode_event, frame_headers
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS

FORM = form_of(AGENT_EVENTS)
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)

texts = st.text(max_size=12).filter(lambda text: text.isprintable() or not {"\n", "\x1f"} & set(text))
names = st.one_of(st.just(""), texts, st.sampled_from(["gpt", "\u0000", "\\", '"', "\u2028", "\U0001f600", "\u00e4" * 40]))
counts = st.one_of(st.just(0), st.integers(0, 2**53))
numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(0, 1e13)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=12))])
times = st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=zones)
money = st.decimals(-(10**15), 10**15, places=9) | st.sampled_from([Decimal("1E-9"), Decimal("1E+3"), Decimal("-0")])
chunks = st.builds(Retrieved, chunk_id=names, doc_id=names, score=st.none() | numbers, rank=st.integers(0, 2**31))

events = st.builds(
    Event,
    event_id=st.uuids().map(lambda one: one.hex),
    ts=times,
    received_at=st.just(NOW),
    tenant=st.sampled_from(["acme", "other"]),
    kind=st.sampled_from(Kind),
    clock=st.sampled_from(Clock),
    status=st.sampled_from(Status),
    outcome=st.sampled_from(Outcome),
    review_verdict=st.sampled_from(Verdict),
    schema_version=st.integers(1, 2**15),
    duration_ms=positive,
    name=names,
    agent=names,
    session_id=names,
    act_chain=st.lists(names, max_size=3),
    sequence=counts,
    attempt=st.integers(0, 2**31),
    tokens_input=counts,
    tokens_output=counts,
    time_to_first_token_ms=st.none() | positive,
    confidence=st.none() | st.floats(0, 1),
    review_minutes=st.none() | st.floats(0, 1e7),
    queue_entered_at=st.none() | times,
    reported_cost=st.none() | money,
    tool_cost=st.none() | money,
    retrieved=st.lists(chunks, max_size=3),
    relevant=st.lists(names, max_size=3),
    attributes=st.dictionaries(names, names, max_size=4),
    measures=st.dictionaries(names, numbers, max_size=4),
    synthetic_fields=st.lists(names, max_size=2),
)


class Tables:
    """Two tables like `events`, and both ways into them."""

    def __init__(self, url: str, database: str) -> None:
        self.config = Settings(clickhouse=url, clickhouse_database=database)
        self.client = connect(self.config)
        self.store = ClickHouse(self.config)
        self.names = [f"e{uuid.uuid4().hex[:8]}" for _ in range(2)]
        for name in self.names:
            self.client.command(f"CREATE TABLE {name} AS events ENGINE = MergeTree ORDER BY kafka_offset")
        described = self.client.query("DESCRIBE TABLE events").result_rows
        self.columns = [Column(*map(str, row[:4])) for row in described]

    def quickly(self, records: list[Record]) -> None:
        """Only the quick way."""
        target = extract.statement(self.names[0], self.columns, FORM.sparse, FORM.defaults)
        assert target is not None
        self.store._inserter().insert(target, (build(FORM, records, None).data,), form="LineAsString")

    def strictly(self, records: list[Record]) -> None:
        self.store.insert(self.names[1], FORM.columns, build(FORM, records, None).data, "", 30)

    def empty(self) -> None:
        for name in self.names:
            self.client.command(f"TRUNCATE TABLE {name}")

    def differences(self) -> list[tuple[object, ...]]:
        one, two = self.names
        both = " UNION ALL ".join(f"SELECT toString(tuple(*)) AS row FROM {name}" for name in (one, two))
        query = f"SELECT row, count() FROM ({both}) GROUP BY row HAVING count() % 2 = 1"
        return [tuple(found) for found in self.client.query(query).result_rows]

    def count(self) -> int:
        return int(self.client.command(f"SELECT count() FROM {self.names[0]}"))  # type: ignore[arg-type]

    def close(self) -> None:
        for name in self.names:
            self.client.command(f"DROP TABLE {name}")
        self.store.close()
        self.client.close()


@pytest.fixture(scope="module")
def tables(clickhouse_url: str, sink_tables: str) -> Iterator[Tables]:
    made = Tables(clickhouse_url, sink_tables)
    yield made
    made.close()


def read(*lines: bytes) -> list[Record]:
    headers, received = frame_headers("acme", 1, "p", 0), int(NOW.timestamp() * 1000)
    return [read_record(FORM, Lane("t", 0), offset, one, headers[3:], received) for offset, one in enumerate(lines)]


@settings(max_examples=60, deadline=None)
@given(st.lists(events, min_size=1, max_size=20))
def test_both_ways_store_the_same(tables: Tables, given_events: list[Event]) -> None:
    tables.empty()
    lines = [line for line in map(encode_event, given_events) if b"[{}" not in line and b",{}" not in line]
    records = read(*lines)
    assert not [bad for record in records for bad in record.bad]
    if records:
        assert build(FORM, records, None).quick
        tables.quickly(records)
        tables.strictly(records)
    assert tables.differences() == []


def test_objects_in_lists_with_nothing_but_defaults_go_the_strict_way() -> None:
    (least,) = read(line("a", retrieved=[{"rank": 1}, {}]))
    assert not build(FORM, [least], None).quick
    spaced = read(line("a").replace(b"{", b'{"retrieved": [ { } ], ', 1))
    assert not build(FORM, spaced, None).quick
    assert build(FORM, read(line("a", retrieved=[{"rank": 1}], attributes={"arguments": "{}"})), None).quick


def test_a_line_with_nothing_but_the_least(tables: Tables) -> None:
    tables.empty()
    records = read(b'{"tenant":"acme","kind":"step","ts":"2026-11-21T09:00:00Z"}')
    tables.quickly(records)
    tables.strictly(records)
    assert tables.differences() == []
    (row,) = tables.client.query(
        f"SELECT schema_version, clock, status FROM {tables.names[0]} ORDER BY kafka_offset LIMIT 1"
    ).result_rows
    assert row[0] >= 1
    assert "" not in row


@pytest.mark.parametrize(
    "fields",
    [
        {"ts": "2026-11-20t10:00:00z"},
        {"queue_entered_at": "2026-11-20t10:00:00z"},
        {"reported_cost": "1e30"},
        {"tool_cost": "1" + "0" * 40},
    ],
)
def test_what_it_cannot_read_it_refuses_whole(tables: Tables, fields: dict[str, str]) -> None:
    before = tables.count()
    records = read(line("a"), line("b", **fields), line("c"))
    assert sum(len(record.rows) for record in records) == 3
    with pytest.raises(Exception, match="throwIf"):
        tables.quickly(records)
    with pytest.raises(StoreRefused):
        tables.strictly(records)
    assert tables.count() == before


def test_only_numbered_frames_go_this_way() -> None:
    received = int(NOW.timestamp() * 1000)
    foreign = read_record(FORM, Lane("t", 0), 1, line("b"), None, received)
    assert build(FORM, read(line("a")), None).quick
    assert not build(FORM, [*read(line("a")), foreign], None).quick


def test_a_column_that_could_be_misread_unseen_closes_the_way() -> None:
    least = [Column("ts", "DateTime64(6, 'UTC')", "", "")]
    assert extract.statement("t", least, (), ()) is not None
    assert extract.statement("t", [*least, Column("cost", "Decimal(38, 9)", "", "")], (), ()) is None
    assert extract.statement("t", [*least, Column("cost", "Nullable(Decimal(38, 9))", "", "")], (), ()) is None
    assert extract.statement("t", [*least, Column("n", "UInt8", "DEFAULT", "1")], (), ()) is None


def large(more: bytes, *columns: str) -> tuple[Form, bytes]:
    """17 rows, together large enough for the quick way, that end in `more`; and a form with a table of its own."""
    topic = dataclasses.replace(AGENT_EVENTS, table=f"e{uuid.uuid4().hex[:8]}")
    records = read(*(line(f"a{n}", attributes={"long": "x" * (QUICK_BYTES // 16)}) for n in range(17)))
    data = b"\n".join(row[:-1] + more + b"}" for one in records for row in one.rows)
    return msgspec.structs.replace(FORM, topic=topic, columns=(*FORM.columns, *columns)), data


def test_a_column_that_the_table_lacks_closes_the_way_until_a_migration_brings_it(tables: Tables) -> None:
    form, data = large(b',"later":"told"', "later")
    assert len(data) >= QUICK_BYTES
    tables.client.command(f"CREATE TABLE {form.table} AS events ENGINE = MergeTree ORDER BY kafka_offset")
    try:
        with pytest.raises(StoreUnavailable, match="later"):
            tables.store.insert_quickly(form, data, "", 30)
        tables.client.command(f"ALTER TABLE {form.table} ADD COLUMN later String")
        target = tables.store._quick(form)
        assert target is not None
        assert "`later`" in target
        tables.store.insert_quickly(form, data, "", 30)
        assert tables.client.command(f"SELECT countIf(later = 'told') FROM {form.table}") == 17
    finally:
        tables.client.command(f"DROP TABLE {form.table}")


def test_what_a_table_was_is_forgotten_when_it_refuses(tables: Tables) -> None:
    """A trial must not judge by the type that a column had before."""
    form, data = large(b',"reported_cost":"1e30"')
    tables.client.command(f"CREATE TABLE {form.table} AS events ENGINE = MergeTree ORDER BY kafka_offset")
    try:
        assert tables.store._quick(form) is not None
        tables.client.command(f"ALTER TABLE {form.table} MODIFY COLUMN attempt String")
        assert tables.store._columns(form.table) == tables.columns
        with pytest.raises(StoreRefused):
            tables.store.insert(form.table, form.columns, data, "", 30)
        assert tables.store._columns(form.table) != tables.columns
    finally:
        tables.client.command(f"DROP TABLE {form.table}")
