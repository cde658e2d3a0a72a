"""What travels is what is stored: a record goes in as the sink sends it and comes back as the same model."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from msgspec import Struct

from waterline.connectors.stores.clickhouse.macros import Target
from waterline.schemas.events import Clock, Event, Kind, Outcome, Retrieved, Status, Verdict
from waterline.schemas.topics import AGENT_EVENTS, STORED, Topic

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
POSITION = {"kafka_topic": "t", "kafka_partition": 11, "kafka_offset": 2**40, "frame_index": 999}
AT = datetime(2026, 11, 20, 9, 14, 5, 123456, tzinfo=UTC)

WIDE = Event(
    event_id="e1", schema_version=2, source="otlp", emitter_version="1.2", ts=AT, duration_ms=12.5, received_at=AT,
    clock=Clock.REPLAY, tenant="acme", team="x", environment="prod", session_id="s", decision_key="k", decision_id="T-1",
    trace_id="t", span_id="sp", parent_span_id="pa", sequence=2**53, subject="u", actor="a", act_chain=["a", "b"],
    credential_id="c", authorization="allow:p1", kind=Kind.RETRIEVAL, name="n", agent="ag", agent_version="3",
    runtime="langgraph", task="refund", step="st", artifact_id="ar", prompt_version="p", model_config_id="m", stage="canary",
    response_id="r", provider="openai", model_requested="q", model_served="w", tokens_input=1, tokens_cache_read=2,
    tokens_cache_write_5m=3, tokens_cache_write_1h=4, tokens_input_audio=5, tokens_cache_read_audio=6, tokens_input_image=7,
    tokens_output=8, tokens_reasoning=9, tokens_output_audio=10, tokens_output_image=11, tokens_total=2**53, requests=1,
    time_to_first_token_ms=0.5, finish_reason="stop", tool="search", target_system="crm", attempt=2,
    retrieved=[Retrieved("c1", "d1", "v1", 0.75, 1), Retrieved(chunk_id="c2", rank=2)], relevant=["d1"], status=Status.REFUSED,
    error_type="E", retry_class="transient", output_class="o", confidence=0.25, escalation_reason="er", queue_entered_at=AT,
    reviewer="rv", review_verdict=Verdict.REJECT, review_minutes=2.5, outcome=Outcome.INCORRECT, correction_key="ck",
    reported_cost=Decimal("0.020000001"), tool_cost=Decimal("3"), attributes={"a": "ü\n"}, measures={"m": 1.5},
    payload_ref="ref", synthetic_fields=["ts"],
)  # fmt: skip
SMALL = Event(ts=AT, tenant="acme", kind=Kind.STEP, event_id="e2", received_at=AT)


def store(engine: Client, target: Target, table: str, line: bytes) -> None:
    settings = {"date_time_input_format": "best_effort", "async_insert": 0}
    body = line[:-1] + b"," + json.dumps(POSITION).encode()[1:]
    engine.raw_insert(f"{target.database}.{table}", insert_block=body, fmt="JSONEachRow", settings=settings)


def read(engine: Client, target: Target, table: str, model: type[Struct]) -> list[Struct]:
    settings = {
        "date_time_output_format": "iso",
        "output_format_json_quote_decimals": 1,
        "output_format_json_quote_64bit_integers": 0,
    }
    columns = ", ".join(f"`{name}`" for name in model.__struct_encode_fields__)
    rows = engine.raw_query(f"SELECT {columns} FROM {target.database}.{table}", fmt="JSONEachRow", settings=settings)
    return [msgspec.convert(restore(json.loads(row)), model, strict=False) for row in rows.splitlines()]


def restore(row: dict[str, Any]) -> dict[str, Any]:
    """A tuple cannot be null; one without a day is one that was absent."""
    if isinstance(row.get("previous"), dict) and not row["previous"]["day"]:
        row["previous"] = None
    return row


def examples(topic: Topic) -> list[bytes]:
    """A file is one record, or a recording with the events it is `expected` to become."""
    told = [json.loads(path.read_bytes()) for path in sorted((EXAMPLES / topic.name).glob("*.json"))]
    return [json.dumps(line).encode() for one in told for line in one.get("expected", [one])]


@pytest.fixture(scope="module")
def lasting(engine: Client, target: Target) -> Target:
    """Examples have the dates they have; here no row is too old."""
    for table in ("events", "payloads", "dead_letters"):
        engine.command(f"ALTER TABLE {target.database}.{table} REMOVE TTL")
    return target


@pytest.mark.parametrize("topic", STORED, ids=lambda topic: topic.table)
def test_a_golden_example_comes_back_as_it_went_in(engine: Client, lasting: Target, topic: Topic) -> None:
    lines = examples(topic)
    if topic is AGENT_EVENTS:
        lines += [msgspec.json.encode(WIDE), msgspec.json.encode(SMALL)]
    assert lines, f"{topic.name} has no golden example"
    for line in lines:
        store(engine, lasting, topic.table, line)
    key = repr
    assert sorted(read(engine, lasting, topic.table, topic.model), key=key) == sorted(
        (msgspec.json.decode(line, type=topic.model) for line in lines), key=key
    )
    positions = engine.query(f"SELECT DISTINCT {', '.join(POSITION)} FROM {lasting.database}.{topic.table}").result_rows
    assert positions == [tuple(POSITION.values())]
