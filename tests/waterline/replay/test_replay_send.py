"""The ways in, spoken to a listener: what is sent, and what is done when it is not accepted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from waterline.replay.door import Door, Refused
from waterline.replay.recording import packaged_runs
from waterline.replay.schedule import items_in_order, windows
from waterline.replay.send import Sender
from waterline.replay.telemetry import Item, Route
from waterline.schemas.events import Event, Kind, Status

if TYPE_CHECKING:
    from tests.waterline.replay.conftest import Listener

START = datetime(2026, 10, 1, tzinfo=UTC)
GRACE = timedelta(minutes=15)
PLENTY = packaged_runs()[:60]


def items() -> list[Item]:
    return items_in_order(PLENTY, START, timedelta(hours=3), seed=7)


def events(route: Route) -> list[Event]:
    return [item.event for item in items() if item.route is route]


def replay(listener: Listener, key: str = "") -> Sender:
    with Door(listener.url, key, patience_s=5) as door:
        sender = Sender(door, ticks=None)
        sender.send(windows(items(), timedelta(days=1)), GRACE, 0.0, lambda _: None)
    return sender


def spans_of(listener: Listener) -> list[Span]:
    requests = [ExportTraceServiceRequest.FromString(body) for body in listener.bodies("/v1/traces")]
    return [span for req in requests for resource in req.resource_spans for scope in resource.scope_spans for span in scope.spans]


def attributes(span: Span) -> dict[str, object]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value") or "string_value") for a in span.attributes}


def test_each_event_is_sent_once_by_its_route(listener: Listener) -> None:
    sender = replay(listener, key="wl_secret")
    lines = [orjson.loads(line) for body in listener.bodies("/v1/events") for line in body.splitlines()]
    calls = [call for body in listener.bodies("/v1/litellm") for call in orjson.loads(body)]
    assert [line["event_id"] for line in lines] == [event.event_id for event in events(Route.EVENTS)]
    assert [call["id"] for call in calls] == [event.response_id for event in events(Route.LITELLM)]
    assert {f"{span.span_id.hex()}" for span in spans_of(listener)} == {event.span_id for event in events(Route.OTLP)}
    assert len(spans_of(listener)) == len(events(Route.OTLP))
    assert sender.accepted == {route.value: len(events(route)) for route in Route}
    assert {headers.get("authorization") for _, headers, _ in listener.requests} == {"Bearer wl_secret"}


def test_spans_say_what_the_events_say(listener: Listener) -> None:
    replay(listener)
    told = {span.span_id.hex(): span for span in spans_of(listener)}
    for event in events(Route.OTLP):
        span = told[event.span_id]
        said = attributes(span)
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (event.trace_id, event.parent_span_id)
        assert abs((span.end_time_unix_nano - span.start_time_unix_nano) / 1e6 - event.duration_ms) < 0.001
        assert (span.status.code == 2) == (event.status is Status.ERROR)
        assert said["waterline.clock"] == "replay"
        if event.kind is Kind.MODEL_CALL:
            assert said["gen_ai.usage.input_tokens"] == event.tokens_input + event.tokens_cache_read
            assert said["gen_ai.usage.output_tokens"] == event.tokens_output
        if event.kind is Kind.DECISION:
            assert said["waterline.decision.id"] == event.decision_id
        else:
            assert "waterline.decision.id" not in said


def test_what_is_sent_again_has_the_ids_it_had(listener: Listener) -> None:
    replay(listener)
    once = {span.SerializeToString() for span in spans_of(listener)}
    listener.requests.clear()
    replay(listener)
    assert {span.SerializeToString() for span in spans_of(listener)} == once


def test_a_litellm_payload_counts_cached_tokens_as_prompt(listener: Listener) -> None:
    replay(listener)
    calls = {call["id"]: call for body in listener.bodies("/v1/litellm") for call in orjson.loads(body)}
    for event in events(Route.LITELLM):
        call = calls[event.response_id]
        usage = call["metadata"]["usage_object"]
        assert usage["prompt_tokens"] == event.tokens_input + event.tokens_cache_read == call["prompt_tokens"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == event.tokens_cache_read
        assert call["endTime"] - call["startTime"] == pytest.approx(event.duration_ms / 1000, abs=1e-3)
        assert call["trace_id"] == event.trace_id


def test_a_busy_collector_is_asked_again_when_it_says(listener: Listener) -> None:
    listener.answers = [(503, {"retry-after": "0.01"}, b"busy"), (429, {}, b""), (200, {}, b"{}")]
    with Door(listener.url, patience_s=5) as door:
        assert door.post("/v1/events", b"{}", "application/json").status_code == 200
        assert door.retries == 2
    assert len(listener.requests) == 3


def test_a_collector_that_stays_busy_is_given_up_with_its_reason(listener: Listener) -> None:
    listener.answers = [(503, {"retry-after": "60"}, b"kafka_unavailable")]
    with Door(listener.url, patience_s=1) as door, pytest.raises(Refused, match="503 kafka_unavailable"):
        door.post("/v1/events", b"{}", "application/json")
    assert len(listener.requests) == 1


def test_what_is_wrong_for_good_is_not_tried_again(listener: Listener) -> None:
    listener.answers = [(401, {}, b"unknown key")]
    with Door(listener.url) as door, pytest.raises(Refused, match="401: unknown key"):
        door.post("/v1/events", b"{}", "application/json")
    assert len(listener.requests) == 1


def test_an_event_the_collector_refuses_stops_the_replay(listener: Listener) -> None:
    with Door(listener.url) as door:
        sender = Sender(door, ticks=None)
        plain = [item for item in items() if item.route is Route.EVENTS]
        listener.answers = [(207, {}, b'{"accepted": 1, "rejected": 1, "errors": [{"index": 0, "reason": "bad ts"}]}')]
        with pytest.raises(Refused, match="bad ts"):
            sender.send(windows(plain, timedelta(days=1)), GRACE, 0.0, lambda _: None)


def test_nobody_there_is_said(listener: Listener) -> None:
    with Door("http://127.0.0.1:1", patience_s=0.1) as door, pytest.raises(Refused, match="ConnectError"):
        door.post("/v1/events", b"{}", "application/json")
