"""Properties of the mapping: both encodings agree, whatever comes in is valid further on, the better name wins."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from tests.connectors.sources.collector.test_golden import RECEIVED_MS, intake, taken
from waterline.connectors.sources.collector import events, gateway, logs, otlp, otlp_json
from waterline.connectors.sources.collector.dialects import aliases, convert
from waterline.connectors.sources.collector.dialects.kinds import KINDS
from waterline.connectors.sources.collector.dialects.plan import VALUES_PER_KEY, plan_of
from waterline.connectors.sources.collector.intake import Intake
from waterline.schemas.events import FIELDS
from waterline.schemas.frames import encode_frame, frame_headers, parse_frame

KEYS = [
    *(key for keys in (*aliases.FIELDS.values(), *aliases.USAGE.values(), *aliases.RESOURCE.values()) for key in keys),
    *aliases.KIND,
    *aliases.COST,
    *aliases.FIRST_TOKEN,
    *aliases.BODIES,
    *(f"waterline.{field}" for field in sorted(FIELDS)),
    *("waterline.decision.id", "waterline.usage", "retrieval.documents.0.document.id", "retrieval.documents.1.document.score"),
    *("langfuse.observation.usage_details", "langfuse.observation.cost_details", "ai.response.providerMetadata"),
    *("event.name", "tool_name", "success", "decision", "source", "duration_ms", "error", "resource.name", "model"),
]
SPECIAL = [
    *(
        "chat",
        "LLM",
        "ai.generateText",
        "openai.responses",
        "model_call",
        "correct",
        "reject",
        "allow",
        "true",
        "2026-11-20T09:00:00Z",
    ),
    *(
        "0.001",
        "1e400",
        "-3",
        "[1, 2]",
        '{"input_tokens": 5, "output_tokens": 2}',
        '{"total": 0.1}',
        '[{"id": "d", "score": "x"}]',
        "",
    ),
    *("claude_code.api_request", "codex.sse_event", "x" * 2000),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(["a\x1fb", "\x1f", "\x1e\\u001f"])
SCALARS = st.one_of(
    st.sampled_from(SPECIAL),
    TEXT,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.integers(0, 3000),
    st.binary(max_size=9),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5)
ATTRIBUTES = st.dictionaries(st.sampled_from(KEYS) | TEXT, VALUES, max_size=12)
IDS = st.binary(min_size=0, max_size=17) | st.binary(min_size=16, max_size=16)
NANOS = st.integers(0, 2**64 - 1) | st.integers(1_700_000_000_000_000_000, 1_800_000_000_000_000_000)

SPAN = st.fixed_dictionaries(
    {
        "trace_id": IDS,
        "span_id": st.binary(min_size=8, max_size=8),
        "parent_span_id": st.binary(max_size=8),
        "name": TEXT | st.sampled_from(["claude_code.llm_request", "x" * 1500]),
        "kind": st.integers(0, 5),
        "start_time_unix_nano": NANOS,
        "end_time_unix_nano": NANOS,
        "attributes": ATTRIBUTES,
        "trace_state": TEXT,
        "flags": st.integers(0, 2**32 - 1),
        "dropped_attributes_count": st.integers(0, 9),
        "status": st.none() | st.fixed_dictionaries({"code": st.integers(0, 2), "message": TEXT}),
    }
)
RESOURCE = st.dictionaries(st.sampled_from(KEYS) | TEXT, VALUES, max_size=5)


def fill(value: AnyValue, told: Any) -> None:
    if isinstance(told, bool):
        value.bool_value = told
    elif isinstance(told, str):
        value.string_value = told
    elif isinstance(told, int):
        value.int_value = told
    elif isinstance(told, float):
        value.double_value = told
    elif isinstance(told, bytes):
        value.bytes_value = told
    elif isinstance(told, list):
        value.array_value.SetInParent()
        for item in told:
            fill(value.array_value.values.add(), item)
    else:
        value.kvlist_value.SetInParent()
        for key, item in told.items():
            fill(value.kvlist_value.values.add(key=key).value, item)


def request(resource: dict[str, Any], spans: list[dict[str, Any]]) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    block = made.resource_spans.add()
    for key, value in resource.items():
        fill(block.resource.attributes.add(key=key).value, value)
    scope = block.scope_spans.add()
    scope.scope.name = "openinference.instrumentation.x"
    for told in spans:
        plain = {key: value for key, value in told.items() if key not in ("attributes", "status")}
        span = scope.spans.add(**plain)
        for key, value in told["attributes"].items():
            fill(span.attributes.add(key=key).value, value)
        if told["status"]:
            span.status.code, span.status.message = told["status"]["code"], told["status"]["message"]
    return made


def as_json(value: Any) -> Any:
    """Protobuf's own JSON, but with hex ids, as OTLP wants it."""
    from google.protobuf.json_format import MessageToDict

    told = MessageToDict(value, use_integers_for_enums=True)
    for block in told.get("resourceSpans", ()):
        for scope in block.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                span.update(_hex(span))
    return told


def _hex(span: dict[str, Any]) -> dict[str, str]:
    import base64

    return {key: base64.b64decode(span[key]).hex() for key in ("traceId", "spanId", "parentSpanId") if key in span}


def lines(by: Intake) -> list[Any]:
    return [orjson.loads(line) for _, line in by.lines]


@settings(max_examples=150, deadline=None)
@given(RESOURCE, st.lists(SPAN, max_size=3))
def test_protobuf_and_json_agree(resource: dict[str, Any], spans: list[dict[str, Any]]) -> None:
    message = request(resource, spans)
    one, other = intake(), intake()
    otlp.traces(message.SerializeToString(), one)
    otlp_json.traces(orjson.dumps(as_json(message)), other)
    assert one.refused == other.refused
    assert one.warnings == other.warnings
    made, same = lines(one), lines(other)
    for event, twin in zip(made, same, strict=True):
        if "span_id" not in event:  # an id made from the record's bytes differs with the encoding
            event["event_id"] = twin["event_id"]
        assert event == twin


def test_a_start_time_at_the_very_end_of_the_body() -> None:
    made = intake()
    otlp.traces(
        request({}, [{"span_id": b"12345678", "start_time_unix_nano": 1, "attributes": {}, "status": None}]).SerializeToString(),
        made,
    )
    assert made.accepted == 1


@settings(max_examples=150, deadline=None)
@given(RESOURCE, st.lists(SPAN, max_size=3))
def test_every_line_is_valid_for_every_reader(resource: dict[str, Any], spans: list[dict[str, Any]]) -> None:
    made = intake()
    otlp.traces(request(resource, spans).SerializeToString(), made)
    assert_valid(made)
    assert made.accepted + len(made.refused) == len(spans) == made.seen


@settings(max_examples=150, deadline=None)
@given(ATTRIBUTES, VALUES | st.sampled_from(SPECIAL), TEXT | st.sampled_from(["gen_ai.evaluation.result", "gen_ai.choice"]))
def test_every_log_record_too(attributes: dict[str, Any], body: Any, name: str) -> None:
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add(event_name=name, time_unix_nano=1, severity_text=name)
    fill(record.body, body)
    for key, value in attributes.items():
        fill(record.attributes.add(key=key).value, value)
    made = intake()
    logs.logs(message.SerializeToString(), made)
    assert_valid(made)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | TEXT | st.sampled_from(SPECIAL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
PAYLOAD_KEYS = [
    *("id", "litellm_call_id", "trace_id", "session_id", "call_type", "status", "model", "model_group", "custom_llm_provider"),
    *("response_cost", "startTime", "endTime", "completionStartTime", "metadata", "prompt_tokens", "completion_tokens"),
    *("total_tokens", "end_user", "error_str", "error_information", "cache_hit"),
]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(PAYLOAD_KEYS) | TEXT, JSON, max_size=12), st.dictionaries(TEXT, JSON, max_size=3))
def test_every_litellm_payload_too(payload: dict[str, Any], metadata: dict[str, Any]) -> None:
    made = intake()
    gateway.take(orjson.dumps([{"startTime": 1.0, "metadata": {"requester_metadata": metadata}, **payload}]), made)
    assert_valid(made)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FIELDS | {"usage"})) | TEXT, JSON, max_size=8))
def test_every_json_event_too(event: dict[str, Any]) -> None:
    made = intake()
    events.take(orjson.dumps([{**event, "ts": "2026-11-20T09:00:00Z", "kind": "step"}]), made)
    assert_valid(made)


def assert_valid(made: Intake) -> None:
    raw = [line for _, line in made.lines]
    if raw:
        frame = parse_frame(encode_frame(raw), frame_headers("acme", len(raw), "p", 0), RECEIVED_MS)
        assert frame.bad == []
        assert [line.raw for line in frame.lines] == raw, "as they are, with nothing to fill in"


def test_the_better_name_wins_whatever_the_order() -> None:
    told = {"llm.model_name": "worse", "gen_ai.response.model": "better", "ai.response.model": "better"}
    for order in (told, dict(reversed(told.items()))):
        made = intake()
        otlp.traces(request({}, [{**BARE, "attributes": order}]).SerializeToString(), made)
        (event,) = taken(made)
        assert event["model_served"] == "better"
        assert event["attributes"]["llm.model_name"] == "worse"
        assert "gen_ai.response.model" not in event["attributes"]
        assert "ai.response.model" not in event["attributes"], "the same said twice is said once"


def test_what_is_set_as_our_own_wins_over_every_dialect() -> None:
    told = {
        "gen_ai.agent.name": "theirs",
        "waterline.agent": "ours",
        "waterline.kind": "decision",
        "gen_ai.operation.name": "chat",
    }
    made = intake()
    otlp.traces(request({"service.name": "svc"}, [{**BARE, "attributes": told}]).SerializeToString(), made)
    (event,) = taken(made)
    assert (event["agent"], event["kind"]) == ("ours", "decision")
    assert event["attributes"]["gen_ai.agent.name"] == "theirs"


@pytest.mark.parametrize(
    ("resource", "attributes", "agent"),
    [
        ({"service.name": "svc"}, {}, "svc"),
        ({"service.name": "svc", "gen_ai.agent.name": "refunds"}, {}, "refunds"),
        ({"service.name": "svc", "gen_ai.agent.name": "refunds"}, {"gen_ai.agent.name": "returns"}, "returns"),
        ({"service.name": "svc"}, {"gen_ai.agent.name": "returns", "agent.name": "other"}, "returns"),
        ({"service.name": "svc", "gen_ai.agent.name": "refunds", "waterline.agent": "ours"}, {}, "ours"),
        ({"service.name": "svc", "waterline.agent": "ours"}, {"gen_ai.agent.name": "returns"}, "returns"),
        ({"service.name": "unknown_service:python"}, {}, None),
    ],
)
def test_the_agent_is_named_by_the_span_or_else_by_its_resource(
    resource: dict[str, Any], attributes: dict[str, Any], agent: str | None
) -> None:
    made = intake()
    otlp.traces(request(resource, [{**BARE, "attributes": attributes}]).SerializeToString(), made)
    (event,) = taken(made)
    assert event.get("agent") == agent


def test_a_span_takes_no_name_from_its_parent_whatever_the_batching() -> None:
    parent = {**BARE, "attributes": {"gen_ai.agent.name": "refunds"}}
    child = {**BARE, "span_id": b"c" * 8, "parent_span_id": b"s" * 8, "attributes": {"gen_ai.operation.name": "execute_tool"}}
    for batches in ([[parent, child]], [[child], [parent]]):
        agents: dict[str, str] = {}
        for spans in batches:
            made = intake()
            otlp.traces(request({"service.name": "svc"}, spans).SerializeToString(), made)
            agents |= {event["span_id"]: event["agent"] for event in taken(made)}
        assert agents == {(b"s" * 8).hex(): "refunds", (b"c" * 8).hex(): "svc"}


BARE: dict[str, Any] = {"trace_id": b"t" * 16, "span_id": b"s" * 8, "name": "n", "start_time_unix_nano": 10**18, "status": None}


def test_a_key_with_many_values_is_not_remembered_without_end() -> None:
    made = intake()
    spans = [{**BARE, "attributes": {"response": f"r{number}"}} for number in range(3 * VALUES_PER_KEY)]
    otlp.traces(request({}, spans).SerializeToString(), made)
    assert len(made.door.plans.ops) == VALUES_PER_KEY


@pytest.mark.parametrize("field", sorted(convert.SETTABLE))
def test_every_field_can_be_set_as_an_attribute(field: str) -> None:
    assert plan_of(f"waterline.{field}")[1] == field
    assert plan_of(f"waterline.{field.replace('_', '.')}")[1] == field


def test_no_key_stands_for_two_things() -> None:
    groups = [
        *aliases.FIELDS.values(),
        *aliases.USAGE.values(),
        aliases.KIND,
        aliases.COST,
        tuple(aliases.FIRST_TOKEN),
        tuple(aliases.BODIES),
    ]
    keys = [key for group in groups for key in group]
    assert len(keys) == len(set(keys))
    assert set(aliases.FIELDS) <= convert.SETTABLE


def test_every_key_of_kinds_has_its_place_in_their_order() -> None:
    assert sorted(aliases.KIND) == sorted(KINDS)
