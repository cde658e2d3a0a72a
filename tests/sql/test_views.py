"""Views: names that others rely on, what they leave out, and that a lookup reads little."""

from datetime import UTC, datetime

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from tests.sql import seed
from tests.sql.seed import TRACE_A, TRACE_A2, at
from waterline.connectors.stores.clickhouse import questions
from waterline.connectors.stores.clickhouse.macros import Target
from waterline.schemas.events import Kind
from waterline.schemas.facts import DecisionLink, DecisionState
from waterline.schemas.topics import STORED

EXPORTER = {
    "Timestamp": "DateTime64(9, 'UTC')",
    "TraceId": "String",
    "SpanId": "String",
    "ParentSpanId": "String",
    "TraceState": "String",
    "SpanName": "LowCardinality(String)",
    "SpanKind": "String",
    "ServiceName": "String",
    "ResourceAttributes": "Map(LowCardinality(String), String)",
    "ScopeName": "String",
    "ScopeVersion": "String",
    "SpanAttributes": "Map(LowCardinality(String), String)",
    "Duration": "UInt64",
    "StatusCode": "String",
    "StatusMessage": "String",
    "Events.Timestamp": "Array(DateTime64(9, 'UTC'))",
    "Events.Name": "Array(String)",
    "Events.Attributes": "Array(Map(LowCardinality(String), String))",
    "Links.TraceId": "Array(String)",
    "Links.SpanId": "Array(String)",
    "Links.TraceState": "Array(String)",
    "Links.Attributes": "Array(Map(LowCardinality(String), String))",
}
"""Columns of the OpenTelemetry collector's ClickHouse exporter, table otel_traces, in its order."""

SPAN = seed.event(
    "sp1", 7, Kind.MODEL_CALL, span_id="1" * 16, parent_span_id="2" * 16, name="chat gpt-4o", provider="openai",
    model_served="gpt-4o", tokens_input=10, tokens_cache_read=5, tokens_output=3, duration_ms=1.5,
    attributes={
        "resource.service.name": "shop", "resource.host.name": "h1", "scope.name": "lib", "span.kind": "client",
        "http.route": "/x", "status.message": "fine", "trace.state": "k=v",
        "span.events": '[{"name":"retry","time_unix_nano":1700000000123456789,"attributes":{"n":2,"why":"slow"}}]',
        "span.links": '[{"trace_id":"t9","span_id":"s9"}]',
    },
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _filled(store: seed.Store) -> None:
    seed.fill(store)
    store.put("events", [SPAN], "agent.events", 50)


def test_otel_traces_has_the_exporters_names(reader: Client) -> None:
    assert {row[0]: row[1] for row in reader.query("DESCRIBE TABLE otel_traces").result_rows} == EXPORTER


def test_a_span_reads_as_the_exporter_would_have_written_it(reader: Client) -> None:
    result = reader.query("SELECT * FROM otel_traces WHERE TraceId = {trace:String}", parameters={"trace": TRACE_A})
    (row,) = (dict(zip(result.column_names, row, strict=True)) for row in result.result_rows)
    assert row["Timestamp"].replace(tzinfo=UTC) == at(7)
    assert (row["SpanId"], row["ParentSpanId"], row["TraceState"]) == ("1" * 16, "2" * 16, "k=v")
    assert (row["SpanName"], row["SpanKind"], row["ServiceName"], row["ScopeName"]) == ("chat gpt-4o", "Client", "shop", "lib")
    assert (row["Duration"], row["StatusCode"], row["StatusMessage"]) == (1_500_000, "Ok", "fine")
    assert row["ResourceAttributes"] == {"service.name": "shop", "host.name": "h1"}
    assert row["SpanAttributes"]["http.route"] == "/x"
    assert row["SpanAttributes"]["gen_ai.operation.name"] == "chat"
    assert row["SpanAttributes"]["gen_ai.usage.input_tokens"] == "15"
    assert not {"span.kind", "span.events", "resource.host.name"} & set(row["SpanAttributes"])
    (moment,) = row["Events.Timestamp"]
    assert moment.replace(tzinfo=UTC, microsecond=0) == datetime.fromtimestamp(1700000000, UTC)
    assert (row["Events.Name"], row["Events.Attributes"]) == (["retry"], [{"n": "2", "why": "slow"}])
    assert (row["Links.TraceId"], row["Links.SpanId"]) == (["t9"], ["s9"])


def test_grafana_finds_the_time_of_a_trace(reader: Client) -> None:
    query = "SELECT Start, End FROM otel_traces_trace_id_ts WHERE TraceId = {trace:String}"
    ((start, end),) = reader.query(query, parameters={"trace": TRACE_A}).result_rows
    assert (start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)) == (at(7), at(8))


def test_a_decision_is_its_latest_revision_and_a_merged_trace_is_none(reader: Client) -> None:
    rows = reader.query("SELECT decision_key, revision FROM decisions WHERE decision_id = 'T-1'").result_rows
    assert list(rows) == [(TRACE_A, 8)]
    assert reader.query("SELECT count() FROM decisions WHERE decision_key = {key:String}", {"key": TRACE_A2}).first_row == (0,)


def test_a_leaf_that_moved_is_shown_where_it_is_now(reader: Client) -> None:
    rows = reader.query("SELECT decision_key FROM costs WHERE event_id = 'a6'").result_rows
    assert list(rows) == [(TRACE_A,)]


def test_events_find_their_decision(reader: Client) -> None:
    """By their trace, by a trace that was merged, and by the business id alone."""
    query = (
        "SELECT event_id, decision FROM decision_events WHERE tenant = 'acme' AND event_id IN ('a1', 'a6', 'a7', 'g0') ORDER BY 1"
    )
    assert list(reader.query(query).result_rows) == [("a1", TRACE_A), ("a6", TRACE_A), ("a7", TRACE_A), ("g0", "g0")]


def test_events_follow_merges_to_the_end(reader: Client, store: seed.Store) -> None:
    """m0 -> m1 -> ... -> m9; T-9 is linked to m3; c1 -> c2 -> c3 -> c1 is a circle, which a0 -> a1 leads into; and a way that
    is longer than any real one ends."""
    merges = [(f"m{n}", f"m{n + 1}") for n in range(9)]
    merges += [("c2", "c3"), ("c3", "c1"), ("c1", "c2"), ("a0", "a1"), ("a1", "c2")]
    merges += [(f"z{n:03}", f"z{n + 1:03}") for n in range(200)]
    facts = [seed.decision(key, 2, 0, tenant="merged", state=DecisionState.MERGED, merged_into=into) for key, into in merges] + [
        seed.decision("m9", 3, 0, tenant="merged", events=1)
    ]
    store.put("decision_facts", facts, "decision.facts", 5000)
    store.put(
        "decision_links",
        [DecisionLink(tenant="merged", decision_id="T-9", decision_key="m3", elected_at=at(0))],
        "decision.links",
        5000,
    )
    keys = ["m0", "m5", "m9", "c1", "c2", "c3", "a0", "z000", "z199"]
    events = [seed.event(f"e-{key}", 0, Kind.STEP, tenant="merged", decision_key=key) for key in keys]
    events.append(seed.event("e-T", 0, Kind.OUTCOME, tenant="merged", decision_key="", decision_id="T-9"))
    store.put("events", events, "agent.events", 5000)
    rows = reader.query("SELECT event_id, decision FROM decision_events WHERE tenant = 'merged'").result_rows
    found: dict[str, str] = {row[0]: row[1] for row in rows}
    ends = {"e-m0": "m9", "e-m5": "m9", "e-m9": "m9", "e-T": "m9", "e-z199": "z200"}
    ends |= dict.fromkeys(("e-c1", "e-c2", "e-c3", "e-a0"), "c1")
    assert {key: found[key] for key in ends} == ends
    assert found["e-z000"] == "z064", "64 steps"


@pytest.mark.parametrize("name", ["stored_twice", "unequal_ranges"])
def test_questions_about_all_tables_ask_all_tables(name: str) -> None:
    assert "FROM stored_rows" in questions.find(name, questions.load()).sql


def test_the_rows_of_every_table_are_stored_rows(reader: Client, target: Target) -> None:
    query = "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = '{}'"
    ((sql,),) = reader.query(query.format("stored_rows")).result_rows
    assert [topic.table for topic in STORED if f"FROM {target.database}.{topic.table}" not in sql] == []
    ((proof,),) = reader.query(query.format("completeness")).result_rows
    assert f"FROM {target.database}.stored_rows" in proof


LOOKUPS = {
    "decisions by key": "SELECT realized_cost, expected_cost FROM decisions WHERE tenant = 'acme' AND decision_key = 'key-777'",
    "events by key": "SELECT event_id FROM events WHERE tenant = 'acme' AND decision_key = 'key-777'",
    "spans by trace": "SELECT SpanName FROM otel_traces WHERE TraceId = 'trace-777'",
    "event by id": "SELECT kind FROM events WHERE event_id = 'id-777'",
    "events by alias": "SELECT event_id FROM events WHERE decision_id = 'T-777'",
}


@pytest.fixture(scope="module")
def many(reader: Client) -> Client:
    """200,000 events and decision facts more."""
    reader.command(
        "INSERT INTO events (tenant, agent, kind, ts, received_at, event_id, decision_key, decision_id, trace_id, span_id)"
        " SELECT 'acme', 'a' || toString(number % 7), 'step', now64() - number, now64(), 'id-' || toString(number),"
        " 'key-' || toString(number), 'T-' || toString(number), 'trace-' || toString(number), 's' FROM numbers(200000)"
    )
    reader.command(
        "INSERT INTO decision_facts (tenant, decision_key, revision, started_at, ended_at, events, agent, task, day)"
        " SELECT 'acme', 'key-' || toString(number), 1, now64(), now64(), 1, 'booking', 'refund', '' FROM numbers(200000)"
    )
    return reader


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_lookup_skips_nearly_everything(many: Client, name: str) -> None:
    """Rows of the big tables that the plan would read, by primary key and Bloom filters."""
    result = many.query(LOOKUPS[name])
    assert len(result.result_rows) == 1
    assert int(str(result.summary["read_rows"])) < 40_000


def test_a_scan_reads_everything(many: Client) -> None:
    """So that the numbers above say something."""
    assert int(str(many.query("SELECT max(duration_ms) FROM events").summary["read_rows"])) > 200_000


def test_the_seed_is_valid() -> None:
    """What the questions are tested on could have come through the door."""
    for event in seed.EVENTS:
        assert msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event
