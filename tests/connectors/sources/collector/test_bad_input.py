"""What a sender is told about input that is broken, hostile or only odd, and that nothing of it harms the rest."""

import gzip
import time
import zlib
from typing import Any

import orjson
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from tests.connectors.sources.collector.conftest import Running, Start, Tap
from tests.connectors.sources.collector.test_http import PROTOBUF, SPAN, START, TRACE, request_json, request_protobuf, span_json

LIMIT = 200_000


@pytest.fixture(scope="module")
def small(start: Start) -> Running:
    """A collector with a small body limit."""
    return start(collector_body_limit=LIMIT)


def told(answer: Any) -> tuple[int, str]:
    """Status and message, whichever encoding the answer has."""
    if answer.headers["content-type"] == PROTOBUF:
        return answer.status_code, Status.FromString(answer.content).message
    return answer.status_code, answer.json()["message"]


GZIP = gzip.compress(b"x" * 1000)


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "status", "message"),
    [
        (b"not gzip", PROTOBUF, "gzip", 400, "invalid_encoding: the gzip data is broken"),
        (GZIP[:-9], PROTOBUF, "gzip", 400, "invalid_encoding: the gzip data ends too early"),
        (GZIP[:12] + b"\xff\xff\xff" + GZIP[15:], PROTOBUF, "gzip", 400, "invalid_encoding: the gzip data is broken"),
        (b"x", PROTOBUF, "br", 415, "unsupported_media: content-encoding 'br' is not one of gzip, zstd, identity"),
        (b"nope", PROTOBUF, "zstd", 400, "invalid_encoding: the zstd data is broken"),
        (b"<a/>", "text/xml", "", 415, "unsupported_media: content-type 'text/xml' is not one of"),
        (b"", "", "", 415, "unsupported_media: content-type '' is not one of"),
        (b"\x0a\xff\xff\xff\xff", PROTOBUF, "", 400, "invalid_protobuf: the body is not a valid ExportTraceServiceRequest"),
        (b"hello, world", PROTOBUF, "", 400, "invalid_protobuf: the body is not a valid ExportTraceServiceRequest"),
        (b"{", "application/json", "", 400, "invalid_json: the body is not JSON"),
        (b'{"a": NaN}', "application/json", "", 400, "invalid_json: the body is not JSON"),
        (b'{"a": "\xff"}', "application/json", "", 400, "invalid_json: the body is not JSON"),
        (b"[]", "application/json", "", 400, "invalid_json: the body is not an object but list"),
        (b'{"resourceSpans": {}}', "application/json", "", 400, "invalid_json: resourceSpans is not a list of objects but dict"),
        (b"[" * 100_000, "application/json", "", 400, "invalid_json: the body is not JSON"),
        (b"x" * (LIMIT + 1), PROTOBUF, "", 413, f"too_large: the body has {LIMIT + 1} bytes, the limit is {LIMIT}"),
    ],
)
def test_a_body_that_cannot_be_read(small: Running, body: bytes, kind: str, encoding: str, status: int, message: str) -> None:
    answer = small.post("/v1/traces", body, kind, **({"content_encoding": encoding} if encoding else {}))
    assert answer.status_code == status
    assert told(answer)[1].startswith(message)
    assert answer.headers["content-type"] == (PROTOBUF if kind == PROTOBUF else "application/json")
    assert "retry-after" not in answer.headers, "the same input always fails"


def test_a_zip_bomb_is_refused_before_it_is_unpacked(small: Running) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join([*(bomb.compress(b"\0" * 2**20) for _ in range(100)), bomb.flush()])
    assert len(packed) < LIMIT
    began = time.monotonic()
    answer = small.post("/v1/traces", packed, PROTOBUF, content_encoding="gzip")
    assert told(answer) == (413, f"too_large: the body inflates to more than {LIMIT} bytes, the limit is {LIMIT}")
    assert time.monotonic() - began < 5


def test_a_body_without_a_length_is_counted_as_it_comes(small: Running) -> None:
    answer = small.client.post(
        f"{small.url}/v1/traces", content=(b"x" * 10_000 for _ in range(100)), headers={"content-type": PROTOBUF}
    )
    assert told(answer) == (413, f"too_large: the body has more than {LIMIT} bytes, the limit is {LIMIT}")


def test_protobuf_that_is_not_utf8(small: Running) -> None:
    body = request_protobuf(1, key="AAAA").SerializeToString().replace(b"AAAA", b"A\xff\xfeA")
    status, message = told(small.post("/v1/traces", body, PROTOBUF))
    assert (status, message.split(":")[0]) == (400, "invalid_protobuf")


def test_protobuf_nested_too_deep(small: Running) -> None:
    request = request_protobuf()
    value = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="deep").value
    for _ in range(200):
        value = value.array_value.values.add()
    status, message = told(small.post("/v1/traces", request.SerializeToString(), PROTOBUF))
    assert (status, message.split(":")[0]) == (400, "invalid_protobuf")


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
def test_otlp_json_nested_too_deep(small: Running, path: str) -> None:
    deep = '{"arrayValue":{"values":[' * 65 + '{"stringValue":"x"}' + "]}}" * 65
    record = '{"traceId":"00","attributes":[{"key":"deep","value":' + deep + "}]}"
    names = ("resourceSpans", "scopeSpans", "spans") if path == "/v1/traces" else ("resourceLogs", "scopeLogs", "logRecords")
    body = f'{{"{names[0]}":[{{"{names[1]}":[{{"{names[2]}":[{record}]}}]}}]}}'
    assert told(small.post(path, body)) == (400, "invalid_json: an attribute is nested deeper than 64")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/litellm"])
def test_lines_nested_too_deep(small: Running, path: str) -> None:
    line = '{"ts":"2026-11-20T09:00:00Z","startTime":1,"kind":"step","deep":' + "[" * 400 + "]" * 400 + "}"
    answer = small.post(path, line)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "invalid_json")


def test_nested_attributes_are_kept_as_json(collector: Running, tap: Tap) -> None:
    nested = {
        "kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"boolValue": True}]}}}]}
    }
    span = {**span_json(), "attributes": [{"key": "nested", "value": nested}]}
    assert collector.post("/v1/traces", request_json(span)).json() == {}
    assert tap.events(1)[0]["attributes"]["nested"] == '{"a":[1,true]}'


def test_numbers_that_no_json_holds_are_kept_as_text(collector: Running, tap: Tap) -> None:
    request = request_protobuf()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for key, number in {"nan": float("nan"), "inf": float("inf"), "tiny": 1e-300, "huge": 1e300}.items():
        span.attributes.add(key=key).value.double_value = number
    span.attributes.add(key="most").value.int_value = 2**63 - 1
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = -5
    span.attributes.add(key="gen_ai.usage.output_tokens").value.double_value = float("nan")
    assert collector.post("/v1/traces", request.SerializeToString(), PROTOBUF).status_code == 200
    (event,) = tap.events(1)
    assert event["measures"] == {"tiny": 1e-300, "huge": 1e300, "gen_ai.usage.input_tokens": -5.0}
    wanted = {"nan": "nan", "inf": "inf", "most": str(2**63 - 1), "gen_ai.usage.output_tokens": "nan"}
    assert event["attributes"] == wanted
    assert "tokens_input" not in event


def test_ten_thousand_attributes(collector: Running, tap: Tap) -> None:
    request = request_protobuf(1, **{f"key.{number}": f"value {number}" for number in range(10_000)})
    assert collector.post("/v1/traces", request.SerializeToString(), PROTOBUF).status_code == 200
    (event,) = tap.events(1)
    assert len(event["attributes"]) == 10_000


def test_an_event_that_fits_no_frame_is_refused_alone(collector: Running, tap: Tap) -> None:
    request = request_protobuf(2)
    request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="big").value.string_value = "x" * 1_100_000
    answer = collector.post("/v1/traces", request.SerializeToString(), PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_spans) == (200, 1)
    assert partial.error_message.startswith("1 refused, too_large: the event has 1100")
    assert len(tap.events(1)) == 1


def test_times_of_1970_and_of_next_year(collector: Running, tap: Tap) -> None:
    times = {"1970-01-01T00:00:00.000001Z": 1000, "2027-12-31T23:59:59.999999Z": 1_830_297_599_999_999_999}
    spans = [
        span_json(span=f"{n:016x}") | {"startTimeUnixNano": str(t), "endTimeUnixNano": str(t)}
        for n, t in enumerate(times.values(), 1)
    ]
    assert collector.post("/v1/traces", request_json(*spans)).json() == {}
    assert {event["ts"] for event in tap.events(2)} == set(times)


def test_no_time_and_an_impossible_time(collector: Running, tap: Tap) -> None:
    spans = [
        span_json(span="0000000000000001") | {"startTimeUnixNano": "0", "endTimeUnixNano": "0"},
        span_json(span="0000000000000002") | {"startTimeUnixNano": str(2**64 - 1)},
        span_json(span="0000000000000003") | {"endTimeUnixNano": "1"},
    ]
    partial = collector.post("/v1/traces", request_json(*spans)).json()["partialSuccess"]
    assert partial["rejectedSpans"] == "1"
    assert partial["errorMessage"] == (
        f"1 refused, invalid_event: the time {2**64 - 1} ns is not between 1970 and 2200; "
        "1 has no start time: the time of receipt stands in"
    )
    timeless, backwards = sorted(tap.events(2), key=lambda event: str(event["span_id"]))
    assert (timeless["ts"], timeless["synthetic_fields"]) == (timeless["received_at"], ["ts"])
    assert "duration_ms" not in backwards


@pytest.mark.parametrize(
    ("trace", "span"), [("0" * 32, SPAN), (TRACE, "0" * 16), ("", ""), ("abc", SPAN), ("zz" * 16, SPAN), (TRACE + "00", SPAN)]
)
def test_ids_that_are_none(collector: Running, tap: Tap, trace: str, span: str) -> None:
    answer = collector.post("/v1/traces", request_json(span_json(trace, span)))
    partial = answer.json()["partialSuccess"]
    assert (answer.status_code, partial["rejectedSpans"]) == (200, "0"), "a warning: nothing is to be sent again"
    assert partial["errorMessage"].startswith("1 has no valid trace id and span id")
    (event,) = tap.events(1)
    assert "trace_id" not in event
    assert len(event["event_id"]) == 32


def test_two_spans_of_one_id_are_two_copies_of_one_event(collector: Running, tap: Tap) -> None:
    assert collector.post("/v1/traces", request_json(span_json(), span_json())).json() == {}
    assert len({event["event_id"] for event in tap.events(2)}) == 1


@pytest.mark.parametrize("where", ["resource", "span"])
def test_a_tenant_in_the_telemetry_does_not_change_whose_it_is(collector: Running, tap: Tap, where: str) -> None:
    claim = [{"key": "waterline.tenant", "value": {"stringValue": "other"}}]
    request = request_json({**span_json(), "attributes": claim} if where == "span" else span_json())
    if where == "resource":
        request["resourceSpans"][0]["resource"] = {"attributes": claim}
    partial = collector.post("/v1/traces", request).json()["partialSuccess"]
    assert partial["rejectedSpans"] == "1"
    assert "forbidden: the record names tenant 'other', the credential is for 'default'" in partial["errorMessage"]
    answer = collector.post("/v1/events", [{"tenant": "other", "ts": "2026-11-20T09:00:00Z", "kind": "step"}])
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "forbidden")
    assert tap.quiet() == []


def test_values_out_of_range_stay_as_they_were_told(collector: Running, tap: Tap) -> None:
    """What a field cannot hold is no reason to lose the event."""
    odd = {"waterline.outcome": "maybe", "waterline.confidence": "7", "waterline.duration_ms": "-1", "waterline.task": "t" * 2000}
    assert collector.post("/v1/traces", request_json(span_json(**odd))).json() == {}
    (event,) = tap.events(1)
    assert event["attributes"] == odd
    assert event["task"] == "t" * 1024
    assert event["duration_ms"] == 1.0


def test_a_connection_that_breaks_off_harms_nobody(collector: Running) -> None:
    import socket

    host, port = collector.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
    assert collector.post("/v1/traces", orjson.dumps(request_json(span_json()))).status_code == 200
    assert collector.metric('collector_refused_total{code="bug"') == 0


def test_unknown_fields_of_a_newer_protocol_are_ignored(collector: Running, tap: Tap) -> None:
    request = request_protobuf()
    span = request.resource_spans[0].scope_spans[0].spans[0].SerializeToString() + b"\xa2\x06\x03new" + b"\xaa\x06\x00"
    scope = b"\x12" + bytes([len(span)]) + span
    body = b"\x12" + bytes([len(scope)]) + scope
    body = b"\x0a" + bytes([len(body)]) + body
    assert ExportTraceServiceRequest.FromString(body)
    assert collector.post("/v1/traces", body, PROTOBUF).status_code == 200
    assert tap.events(1)[0]["trace_id"] == TRACE
    assert START
