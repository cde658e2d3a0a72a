"""Whatever bytes the library takes for a request are read: records become events or verdicts, and nothing else is raised."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from waterline.connectors.sources.collector import logs, otlp
from waterline.connectors.sources.collector.dialects import aliases
from waterline.connectors.sources.collector.dialects.plan import Plans
from waterline.connectors.sources.collector.intake import Door, Intake
from waterline.connectors.sources.collector.keys import Tenant
from waterline.connectors.sources.collector.redact import Redactor
from waterline.schemas.errors import ErrorCode, WaterlineError

RECEIVED = "2026-11-20T10:14:07.001000Z"
PLANS = Plans(Redactor("acme", Tenant()).clean)
Take = Callable[[bytes, Intake], None]
REQUESTS: list[tuple[Take, Any]] = [(otlp.traces, ExportTraceServiceRequest), (logs.logs, ExportLogsServiceRequest)]
GROUP = b"\xa3\x06\x08\x01\xa4\x06"
"""An unknown field (100) of the old group type, with a number in it."""
SPAN = b"\x0a\x10" + b"\x01" * 16 + b"\x12\x08" + b"\x02" * 8


def intake(bodies: bool = False, limit: int = 983_040) -> Intake:
    return Intake(Door("acme", PLANS, bodies), 12, limit, datetime(2026, 11, 20, 10, 14, 7, 1000, UTC), RECEIVED)


def told(*parts: bytes, number: int = 1) -> bytes:
    """A field with a length."""
    body = b"".join(parts)
    return varint(number << 3 | 2) + varint(len(body)) + body


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def request(*records: bytes, resource: bytes = b"", scope: bytes = b"") -> bytes:
    """Records under one resource and scope; `resource` and `scope` are more fields beside them."""
    return told(resource, told(scope, *(told(record, number=2) for record in records), number=2))


def events(by: Intake) -> list[dict[str, Any]]:
    return [orjson.loads(line) for _, line in by.lines]


@pytest.mark.parametrize(("take", "number"), [(otlp.traces, 9), (logs.logs, 6)])
def test_an_attribute_that_says_nothing(take: Take, number: int) -> None:
    made = intake()
    take(request(told(number=number) + told(told(b"a"), told(told(b"x"), number=2), number=number)), made)
    assert [event["attributes"] for event in events(made)] == [{"a": "x"}]


@pytest.mark.parametrize("where", ["request", "resource", "scope", "record"])
@pytest.mark.parametrize(("take", "kind"), REQUESTS)
def test_an_unknown_group_is_passed_over(take: Take, kind: Any, where: str) -> None:
    made, plain = intake(), intake()
    record = SPAN if take is otlp.traces else told(SPAN[2:18], number=9)
    known = told(told(b"service.name"), told(told(b"refunds"), number=2))
    parts = {name: GROUP if name == where else b"" for name in ("request", "resource", "scope", "record")}
    resource = told(known) + parts["resource"]
    take(request(record + parts["record"], record, resource=resource, scope=parts["scope"]) + parts["request"], made)
    take(request(record, record, resource=told(known)), plain)
    assert (made.seen, made.refused) == (2, [])
    kept = [{key: value for key, value in event.items() if key != "event_id"} for event in events(made)]
    assert kept == [{key: value for key, value in event.items() if key != "event_id"} for event in events(plain)]
    assert kept[0]["agent"] == "refunds"


def test_a_span_ends_where_the_next_one_begins() -> None:
    """One with a trace id only, before one of eight bytes: together they look like a trace id and a span id."""
    made = intake()
    otlp.traces(request(SPAN[:18], told(b"abcdef", number=5)), made)
    assert made.seen == 2
    assert all("trace_id" not in event for event in events(made))


def test_a_body_of_an_event_that_fits_no_frame_is_not_kept() -> None:
    def attribute(key: bytes, value: bytes) -> bytes:
        return told(told(key), told(told(value), number=2), number=9)

    prompt = attribute(b"gen_ai.prompt", b"hello")
    made = intake(bodies=True, limit=1_000)
    otlp.traces(request(SPAN + prompt + attribute(b"big", b"x" * 1_000), SPAN[:-1] + b"\x03" + prompt), made)
    assert [verdict.code for verdict in made.refused] == [ErrorCode.TOO_LARGE]
    (event,), (payload,) = events(made), [orjson.loads(line) for _, line in made.payloads]
    assert payload["event_id"] == event["event_id"] == event["payload_ref"]


KEYS = st.sampled_from(
    [
        b"",
        b"a",
        b"waterline.tenant",
        b"waterline.usage",
        b"waterline.duration_ms",
        b"waterline.ts",
        b"waterline.tool_cost",
        b"waterline.retrieved",
        b"gen_ai.event.content",
        b"event.name",
        b"ai.response.providerMetadata",
        b"langfuse.observation.usage_details",
        b"langfuse.observation.cost_details",
        b"retrieval.documents.0.document.id",
        b"exception.type",
        b"error.type",
        *(key.encode() for keys in aliases.FIELDS.values() for key in keys[:1]),
        *(key.encode() for keys in aliases.USAGE.values() for key in keys[:1]),
        *(key.encode() for key in (*aliases.KIND, *aliases.COST, *aliases.FIRST_TOKEN, "service.name", "service.version")),
    ]
)
TEXTS = st.sampled_from([b"", b"x", b"1", b"-1", b"1e400", b"NaN", b"chat", b"{}", b"[1]", b'{"input":1}', b"acme", b"\xc3\xa9"])
NAMES = st.sampled_from(
    [b"", b"exception", b"gen_ai.choice", b"ai.stream.firstChunk", b"claude_code.api_request", b"codex.sse_event"]
)
NUMBERS = st.sampled_from([0, 1, 2, 17, 0x7F, 0x80, 2**32, 2**53 + 1, 2**63, 2**64 - 1])


@st.composite
def unknown(draw: st.DrawFn) -> bytes:
    """A field of any number and any wire type, also one that the message gives another meaning."""
    number, kind = draw(st.integers(1, 20) | st.sampled_from([100, 2**29 - 1])), draw(st.integers(0, 5))
    tag = varint(number << 3 | kind)
    match kind:
        case 0:
            return tag + varint(draw(NUMBERS))
        case 1:
            return tag + draw(st.binary(min_size=8, max_size=8))
        case 2:
            return told(draw(st.binary(max_size=6)), number=number)
        case 3:
            return tag + (draw(unknown()) if draw(st.booleans()) else b"") + varint(number << 3 | 4)
        case 5:
            return tag + draw(st.binary(min_size=4, max_size=4))
    return b""


def message(*fields: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Fields in any order, some left out, some twice, and among them ones that nobody knows."""
    return st.lists(st.one_of(*fields, *fields, unknown()), max_size=6).map(b"".join)


def inside(number: int, of: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return of.map(lambda body: told(body, number=number))


def of_number(number: int) -> st.SearchStrategy[bytes]:
    return NUMBERS.map(lambda value: varint(number << 3) + varint(value))


def of_time(number: int) -> st.SearchStrategy[bytes]:
    return NUMBERS.map(lambda value: varint(number << 3 | 1) + value.to_bytes(8, "little"))


DOUBLES = st.binary(min_size=8, max_size=8).map(lambda raw: b"\x21" + raw)
VALUES = st.recursive(
    message(inside(1, TEXTS), of_number(2), of_number(3), DOUBLES, inside(7, st.binary(max_size=4))),
    lambda value: message(
        inside(5, message(inside(1, value))), inside(6, message(inside(1, message(inside(1, KEYS), inside(2, value)))))
    ),
    max_leaves=4,
)
PAIR = st.tuples(inside(1, KEYS), inside(2, VALUES)).map(b"".join) | message(inside(1, KEYS), inside(2, VALUES)) | st.just(b"")
IDS = st.sampled_from([b"", b"\0" * 8, b"\1" * 8, b"\1" * 16, b"\2" * 7])
EVENT = message(of_time(1), inside(2, NAMES), inside(3, PAIR))
STATUS = st.sampled_from([b"", b"\x18\x01", b"\x18\x02"]) | message(inside(2, TEXTS), of_number(3))
SPANS = message(
    *(inside(number, IDS) for number in (1, 2, 4)), inside(3, TEXTS), inside(5, NAMES), of_number(6), of_time(7), of_time(8),
    inside(9, PAIR), of_number(10), inside(11, EVENT), inside(13, message(inside(1, IDS), inside(4, PAIR))), inside(15, STATUS),
    st.just(SPAN),
)  # fmt: skip
RECORDS = message(
    of_time(1), of_number(2), inside(3, TEXTS), inside(5, VALUES), inside(6, PAIR), inside(9, IDS), inside(10, IDS), of_time(11),
    inside(12, NAMES),
)  # fmt: skip


def requests(record: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    scope = message(inside(1, message(inside(1, TEXTS), inside(2, TEXTS), inside(3, PAIR))), inside(2, record))
    resource = inside(1, message(inside(1, PAIR)))
    return message(inside(1, message(resource, inside(2, scope))))


def takes(take: Take, kind: Any, body: bytes) -> None:
    """Raises what the reader raises beyond WaterlineError; a body that the library reads has each of its records judged."""
    made = intake(bodies=True)
    try:
        parsed = kind.FromString(body)
    except DecodeError:
        parsed = None
    try:
        take(body, made)
    except WaterlineError:
        assert parsed is None
        return
    assert parsed is not None
    names = ("resource_spans", "scope_spans", "spans") if take is otlp.traces else ("resource_logs", "scope_logs", "log_records")
    scopes = [scope for resource in getattr(parsed, names[0]) for scope in getattr(resource, names[1])]
    assert made.seen == sum(len(getattr(scope, names[2])) for scope in scopes) == made.accepted + len(made.refused)


@settings(max_examples=100, deadline=None)
@given(requests(SPANS))
def test_any_bytes_of_traces(body: bytes) -> None:
    takes(otlp.traces, ExportTraceServiceRequest, body)


@settings(max_examples=60, deadline=None)
@given(requests(RECORDS))
def test_any_bytes_of_logs(body: bytes) -> None:
    takes(logs.logs, ExportLogsServiceRequest, body)
