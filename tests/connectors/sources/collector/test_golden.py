"""Every dialect's example becomes exactly the events it is said to become, in whatever encoding it comes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.connectors.sources.collector.conftest import EXAMPLES, Json, Running, Tap
from waterline.connectors.sources.collector import events, gateway, otlp, otlp_json
from waterline.connectors.sources.collector.dialects.plan import Plans
from waterline.connectors.sources.collector.intake import Door, Intake
from waterline.connectors.sources.collector.keys import Tenant
from waterline.connectors.sources.collector.redact import Redactor

RECEIVED = "2026-11-20T10:14:07.001000Z"
RECEIVED_MS = round(datetime.fromisoformat(RECEIVED).timestamp() * 1000)
TAKE = {"/v1/traces": otlp_json.traces, "/v1/logs": otlp_json.logs, "/v1/litellm": gateway.take, "/v1/events": events.take}
PATHS = sorted(EXAMPLES.glob("*.json"))
DIALECTS = {
    "OTel GenAI",
    "OTel GenAI before v1.37",
    "OpenInference",
    "OpenLLMetry",
    "OpenLLMetry before 0.5",
    "Vercel AI SDK",
    "Claude Code",
    "Codex",
    "Gemini CLI",
    "LiteLLM",
    "Langfuse",
    "Waterline",
    "Waterline JSON",
    "provider usage",
}


def intake(tenant: str = "acme") -> Intake:
    door = Door(tenant, Plans(Redactor(tenant, Tenant()).clean))
    return Intake(door, 12, 983_040, datetime(2026, 11, 20, 10, 14, 7, 1000, UTC), RECEIVED)


def load(path: Path) -> Json:
    example: Json = orjson.loads(path.read_bytes())
    return example


def taken(by: Intake) -> list[Any]:
    assert by.refused == []
    return [orjson.loads(line) for _, line in by.lines]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_an_example_becomes_its_events(path: Path) -> None:
    example, made = load(path), intake()
    TAKE[example["route"]](orjson.dumps(example["input"]), made)
    assert taken(made) == example["expected"]


@pytest.mark.parametrize("path", [p for p in PATHS if load(p)["route"] == "/v1/traces"], ids=lambda path: path.stem)
def test_protobuf_and_json_say_the_same(path: Path) -> None:
    example, made = load(path), intake()
    otlp.traces(protobuf(example["input"]), made)
    assert taken(made) == example["expected"]


def protobuf(request: Json) -> bytes:
    """OTLP JSON as protobuf; the ids are hex there and base64 in protobuf's own JSON."""
    message = Parse(orjson.dumps(request), ExportTraceServiceRequest())
    spans = [s for r in request["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"]]
    built = [s for r in message.resource_spans for scope in r.scope_spans for s in scope.spans]
    for told, span in zip(spans, built, strict=True):
        span.trace_id, span.span_id = bytes.fromhex(told["traceId"]), bytes.fromhex(told["spanId"])
        span.parent_span_id = bytes.fromhex(told.get("parentSpanId", ""))
    return message.SerializeToString()


def test_every_dialect_has_an_example_that_says_where_it_is_from() -> None:
    examples = [load(path) for path in PATHS]
    assert {example["dialect"] for example in examples} == DIALECTS
    assert all(example["source"] and example["expected"] for example in examples)


def test_no_example_keeps_what_was_said() -> None:
    for path in PATHS:
        text = orjson.dumps(load(path)["expected"]).decode()
        for said in ("haiku", "scrambled", "Where is my booking", "fix the failing", "Refunds are", '"hi"'):
            assert said not in text, (path.stem, said)


def test_examples_through_the_running_collector(collector: Running, tap: Tap) -> None:
    """The same bytes over HTTP: the same events but for tenant, receipt and ids made from them."""
    wanted: list[Any] = []
    for path in PATHS:
        example = load(path)
        answer = collector.post(example["route"], example["input"])
        assert answer.status_code == 200, (path.stem, answer.text)
        wanted += example["expected"]
    came = tap.events(len(wanted))
    assert sorted(map(comparable, came)) == sorted(map(comparable, wanted))


def comparable(event: Json) -> str:
    made = {"tenant", "received_at", "event_id"}
    return orjson.dumps({k: v for k, v in event.items() if k not in made}, option=orjson.OPT_SORT_KEYS).decode()
