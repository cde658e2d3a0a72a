"""What a sender meets at the HTTP door when all is well: encodings, answers in its own type, one id per record."""

import gzip
import time
from typing import Any

import httpx
import orjson
import pytest
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from tests.connectors.sources.collector.conftest import Json, Running, Start, Tap
from waterline.connectors.sources.collector import hints
from waterline.schemas.identity import partition_of, routing_key, span_event_id

PROTOBUF = "application/x-protobuf"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
START = 1_795_166_045_250_000_000


def span_json(trace: str = TRACE, span: str = SPAN, **attributes: Any) -> Json:
    return {
        "traceId": trace,
        "spanId": span,
        "name": "step",
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": START + 1_000_000,
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }


def request_json(*spans: Json) -> Json:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def request_protobuf(count: int = 1, trace: str = TRACE, **attributes: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(count):
        span = scope.spans.add(name="step", trace_id=bytes.fromhex(trace), span_id=(number + 1).to_bytes(8, "big"))
        span.start_time_unix_nano, span.end_time_unix_nano, span.flags = START, START + 1_000_000, 0x101
        for key, value in attributes.items():
            pair = span.attributes.add(key=key)
            pair.value.string_value = value
    return request


def test_protobuf_is_answered_in_protobuf(collector: Running, tap: Tap) -> None:
    answer = collector.post("/v1/traces", request_protobuf(3).SerializeToString(), PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)
    assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
    assert len(tap.events(3)) == 3


def test_json_is_answered_in_json_and_ids_are_hex_in_any_case(collector: Running, tap: Tap) -> None:
    answer = collector.post(
        "/v1/traces", request_json(span_json(TRACE.upper(), SPAN.upper(), unknown="x")), "application/json; charset=utf-8"
    )
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, "application/json", {})
    (event,) = tap.events(1)
    assert (event["trace_id"], event["span_id"], event["decision_key"]) == (TRACE, SPAN, TRACE)
    assert event["event_id"] == span_event_id("default", TRACE, SPAN)
    assert event["attributes"]["unknown"] == "x"
    assert event["ts"] == "2026-11-20T09:14:05.250000Z"


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity"])
def test_encodings(collector: Running, tap: Tap, encoding: str) -> None:
    body = request_protobuf().SerializeToString()
    packed = {"gzip": gzip.compress(body), "zstd": zstandard.compress(body), "identity": body}[encoding]
    assert collector.post("/v1/traces", packed, PROTOBUF, content_encoding=encoding).status_code == 200
    assert len(tap.events(1)) == 1


def test_a_gzip_of_several_members_is_one_body(collector: Running, tap: Tap) -> None:
    body = orjson.dumps(request_json(span_json()))
    packed = gzip.compress(body[:20]) + gzip.compress(body[20:])
    assert collector.post("/v1/traces", packed, content_encoding="gzip").status_code == 200
    assert len(tap.events(1)) == 1


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_an_empty_request_is_a_success(collector: Running, path: str, body: bytes) -> None:
    kind = PROTOBUF if not body else "application/json"
    answer = collector.post(path, body, kind)
    assert (answer.status_code, answer.content) == (200, b"" if not body else b"{}")


def test_metrics_are_answered_and_counted_but_not_kept(collector: Running, tap: Tap) -> None:
    request = ExportMetricsServiceRequest()
    point = request.resource_metrics.add().scope_metrics.add().metrics.add(name="gen_ai.client.token.usage").sum.data_points.add()
    point.as_int = 7
    before = collector.metric('collector_metrics_dropped_total{tenant="default"}')
    assert collector.post("/v1/metrics", request.SerializeToString(), PROTOBUF).status_code == 200
    assert collector.metric('collector_metrics_dropped_total{tenant="default"}') == before + 1
    assert tap.quiet() == []


def test_the_same_request_again_has_the_same_ids(collector: Running, tap: Tap) -> None:
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": str(START), "body": {"stringValue": "a"}}] * 2}]}]}
    for _ in range(2):
        assert collector.post("/v1/logs", logs).status_code == 200
        assert collector.post("/v1/events", [{"ts": "2026-11-20T09:00:00Z", "kind": "step"}] * 2).status_code == 200
    came = tap.events(8)
    ids = [event["event_id"] for event in came]
    assert len(set(ids)) == 4, "two equal records of one request are two events, sent again they are the same two"


def test_log_records_answer_in_protobuf_too(collector: Running, tap: Tap) -> None:
    answer = collector.post("/v1/logs", b"", PROTOBUF)
    assert ExportLogsServiceResponse.FromString(answer.content) == ExportLogsServiceResponse()


def test_events_take_an_array_one_object_and_lines(collector: Running, tap: Tap) -> None:
    event = {"ts": "2026-11-20T09:00:00Z", "kind": "step", "decision_key": "d-1"}
    bodies: list[tuple[bytes, str, int]] = [
        (orjson.dumps([event, event]), "application/json", 2),
        (orjson.dumps(event), "application/json", 1),
        (b"\n".join(orjson.dumps({**event, "sequence": n}) for n in range(3)) + b"\n", "application/x-ndjson", 3),
        (b"[]", "application/json", 0),
    ]
    for body, kind, number in bodies:
        answer = collector.post("/v1/events", body, kind)
        told = answer.json()
        assert told.pop("event_id", None) is None or number == 1
        assert (answer.status_code, told) == (200, {"accepted": number, "rejected": 0, "errors": []})
    assert len(tap.events(6)) == 6


def test_each_line_has_its_own_verdict(collector: Running, tap: Tap) -> None:
    good = {"event_id": "e-1", "ts": "2026-11-20T09:00:00Z", "kind": "step"}
    lines = [orjson.dumps(good), b"{not json", orjson.dumps({**good, "kind": "guess"}), orjson.dumps({"kind": "step"}), b"7"]
    answer = collector.post("/v1/events", b"\n".join(lines), "application/x-ndjson")
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["rejected"]) == (207, 1, 4)
    assert [(error["index"], error["code"]) for error in told["errors"]] == [
        (1, "invalid_json"),
        (2, "invalid_event"),
        (3, "invalid_event"),
        (4, "invalid_event"),
    ]
    assert "kind" in told["errors"][1]["reason"]
    assert "ts" in told["errors"][2]["reason"]
    assert [event["event_id"] for event in tap.events(1)] == ["e-1"]


def test_an_event_that_came_alone_is_told_its_id(collector: Running, tap: Tap) -> None:
    event = {"ts": "2026-11-20T09:00:00Z", "kind": "step", "name": "alone"}
    bodies: list[Any] = [event, [event], {**event, "event_id": "mine"}]
    made, same, own = (collector.post("/v1/events", body).json()["event_id"] for body in bodies)
    assert (made == same, own) == (True, "mine")
    assert [line["event_id"] for line in tap.events(3)].count(made) == 2
    assert "event_id" not in collector.post("/v1/events", [event, event]).json()
    assert "event_id" not in collector.post("/v1/events", [{}, event]).json()
    assert "event_id" not in collector.post("/v1/events", {"kind": "step"}).json()


@pytest.mark.parametrize(
    ("more", "warnings"),
    [
        ({"tokens_inptu": 5}, ["`tokens_inptu` is kept as a measure; did you mean `tokens_input`?"]),
        ({"decison_key": "d"}, ["`decison_key` is kept as an attribute; did you mean `decision_key`?"]),
        ({"decisionKey": "d"}, ["`decisionKey` is kept as an attribute; did you mean `decision_key`?"]),
        ({"output_tokens": 5}, ["`output_tokens` is kept as a measure; did you mean `tokens_output`?"]),
        ({"agent_id": "7"}, ["`agent_id` is kept as an attribute; did you mean `agent`?"]),
        ({"agent_id": "7", "agent": "refunds"}, None),
        ({"tokens_inptu": None}, None),
        ({"shoe_size": 43, "colour": "red", "": "x", "a" * 100: "x"}, None),
    ],
)
def test_a_key_close_to_a_field_is_kept_and_told(collector: Running, tap: Tap, more: Json, warnings: list[str] | None) -> None:
    event = {"ts": "2026-11-20T09:00:00Z", "kind": "step", **more}
    answer = collector.post("/v1/events", [event, event])
    assert (answer.status_code, answer.json().get("warnings")) == (200, warnings)
    (line, _) = tap.events(2)
    kept = {**line.get("attributes", {}), **line.get("measures", {})}
    assert kept == {key: value for key, value in more.items() if value is not None and key != "agent"}


def test_hints_are_few_and_cost_little_however_many_keys_there_are(collector: Running) -> None:
    slips = {f"tokens_inpu{number}": number for number in range(3000)}
    events = [{"ts": "2026-11-20T09:00:00Z", "kind": "step", key: value} for key, value in slips.items()]
    before = time.perf_counter()
    answer = collector.post("/v1/events", events)
    assert time.perf_counter() - before < 5
    assert (answer.status_code, answer.json()["accepted"], len(answer.json()["warnings"])) == (200, 3000, hints.TOLD)
    one = {"ts": "2026-11-20T09:00:00Z", "kind": "step", **slips}
    named = [warning.split("`")[1] for warning in collector.post("/v1/events", one).json()["warnings"]]
    assert named == list(slips)[: hints.TOLD], "the first ones, in the order they were sent"
    looked = hints.Hints()
    for event in events:
        looked.close(event)
    assert len(looked._looked) == hints.KEYS


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (
            {"ts": "2026-11-20T09:00:00Z", "kind": "guess"},
            "Invalid enum value 'guess' - at `$.kind`; `kind` is one of model_call, tool_call, retrieval, embedding, guardrail, "
            "step, decision, escalation, review, outcome, correction, evaluation, policy, deployment, session",
        ),
        (
            {"ts": "2026-11-20T09:00:00Z", "kind": "review", "review_verdict": "yes"},
            "Invalid enum value 'yes' - at `$.review_verdict`; `review_verdict` is one of approve, override, correct, reject",
        ),
        (
            {"ts": "2026-11-20T09:00:00Z", "kidn": "step"},
            "Object missing required field `kind`; `kidn` is no field, did you mean `kind`?",
        ),
    ],
)
def test_a_refusal_says_what_to_send_instead(collector: Running, event: Json, reason: str) -> None:
    answer = collector.post("/v1/events", event)
    told = {"accepted": 0, "rejected": 1, "errors": [{"index": 0, "code": "invalid_event", "reason": reason}]}
    assert (answer.status_code, answer.json()) == (400, told)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/v1/events", "an event as a JSON object with at least `ts` and `kind`"),
        ("/v1/litellm", "a payload of LiteLLM's `generic_api` callback"),
    ],
)
@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_body_is_told_what_is_missing(collector: Running, path: str, wanted: str, body: bytes) -> None:
    for kind in ("application/json", "application/x-ndjson"):
        answer = collector.post(path, body, kind)
        message = f"invalid_event: the body is empty: send {wanted}, an array of them, or one a line"
        assert (answer.status_code, answer.json()) == (400, {"code": 3, "message": message, "error": "invalid_event"})


def test_when_no_line_is_good_the_answer_is_400(collector: Running) -> None:
    answer = collector.post("/v1/events", [{"kind": "step"}])
    assert (answer.status_code, answer.json()["accepted"]) == (400, 0)


def test_litellm_takes_an_array_lines_and_one(collector: Running, tap: Tap) -> None:
    one = {
        "id": "r-1",
        "litellm_call_id": "c-1",
        "startTime": 1795166045.25,
        "endTime": 1795166046.25,
        "status": "success",
        "model": "m",
    }
    assert collector.post("/v1/litellm", [one]).status_code == 200
    assert collector.post("/v1/litellm", one).status_code == 200
    assert collector.post("/v1/litellm", orjson.dumps(one) + b"\n" + orjson.dumps({**one, "id": "r-2"})).status_code == 200
    came = tap.events(4)
    assert len({event["event_id"] for event in came}) == 2, "the same call is the same event however often it is posted"
    answer = collector.post("/v1/litellm", [{**one, "startTime": None}])
    assert (answer.status_code, answer.json()["errors"][0]["reason"]) == (400, "startTime is missing or not a time")


def test_a_line_lies_where_the_java_client_would_put_it(collector: Running, tap: Tap) -> None:
    traces = [f"{number:032x}" for number in range(1, 41)]
    assert collector.post("/v1/traces", request_json(*(span_json(trace) for trace in traces))).status_code == 200
    tap.events(40)
    for partition, frame in tap.frames:
        for line in frame.lines:
            assert partition == partition_of(routing_key("default", line.event.decision_key), 12)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/v1/traces", 405, "invalid_parameter"), ("POST", "/v1/nothing", 404, "not_found"), ("POST", "/", 404, "not_found")],
)
def test_wrong_doors(collector: Running, method: str, path: str, status: int, code: str) -> None:
    answer = httpx.request(method, f"{collector.url}{path}", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_the_health_port_is_bound_where_the_setting_says(start: Start) -> None:
    made = start(wait=False, health_host="127.0.0.2")
    made.health = made.health.replace("127.0.0.1", "127.0.0.2")
    made.until_ready()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{made.health.replace('127.0.0.2', '127.0.0.1')}/readyz")


def test_probes(collector: Running) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        answer = httpx.get(f"{collector.health}{path}")
        assert (answer.status_code, answer.text) == (200, "ok")
    assert collector.metric("collector_free_bytes") > 0
