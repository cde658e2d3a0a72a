"""Frames: every reader gives the same verdict on the same bytes, and no bytes make it raise."""

from datetime import UTC, datetime

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.schemas.errors import ErrorCode
from waterline.schemas.events import Event, Kind
from waterline.schemas.facts import QualityFact
from waterline.schemas.frames import (
    H_TYPE,
    TICK,
    encode_event,
    encode_frame,
    encode_tick,
    frame_headers,
    parse_event,
    parse_facts,
    parse_frame,
    tick_headers,
)

NOW = datetime(2026, 11, 21, 3, 27, 33, 123456, UTC)
NOW_MS = 1_795_231_653_123


def line(**fields: object) -> bytes:
    return orjson.dumps({"tenant": "acme", "ts": NOW.isoformat(), "kind": "model_call", **fields})


def test_a_written_frame_reads_back_as_the_same_bytes_and_events() -> None:
    events = [Event(tenant="acme", ts=NOW, kind=Kind.TOOL_CALL, event_id=str(i), received_at=NOW) for i in range(3)]
    lines = [encode_event(event) for event in events]
    frame = parse_frame(encode_frame(lines), frame_headers("acme", 3, "host-1", 7), NOW_MS)
    assert [line.raw for line in frame.lines] == lines
    assert [line.event for line in frame.lines] == events
    assert (frame.bad, frame.producer, frame.seq) == ([], "host-1", 7)


def test_what_a_line_lacks_is_filled_in_the_same_way_each_time() -> None:
    value = encode_frame([line(), line(), line(name="other")])
    first, second = (parse_frame(value, None, NOW_MS) for _ in range(2))
    assert first == second
    ids = [line.event.event_id for line in first.lines]
    assert len(set(ids)) == 3, "equal lines of one frame are different events"
    assert all(line.event.received_at == first.time for line in first.lines)
    assert all(parse_event(line.raw) == line.event for line in first.lines)


@pytest.mark.parametrize(
    ("told", "kept"), [("1999-01-01T00:00:00Z", False), ("2027-01-01T00:00:00Z", False), (NOW.isoformat(), True)]
)
def test_a_receipt_that_cannot_be_true_is_the_records_own(told: str, kept: bool) -> None:
    """Rows are kept by receipt: one of 1999 would be deleted on arrival."""
    frame = parse_frame(line(received_at=told), None, NOW_MS)
    assert (frame.lines[0].event.received_at == datetime.fromisoformat(told)) is kept
    assert kept or frame.lines[0].event.received_at == frame.time
    assert parse_event(frame.lines[0].raw) == frame.lines[0].event


def test_unknown_keys_move_into_the_maps() -> None:
    (parsed,) = parse_frame(line(shoe_size=43.5, color="red", deep={"a": [1]}, flag=True, gone=None), None, NOW_MS).lines
    assert parsed.event.attributes == {"color": "red", "deep": '{"a":[1]}', "flag": "true"}
    assert parsed.event.measures == {"shoe_size": 43.5}


@pytest.mark.parametrize(
    ("raw", "code", "reason"),
    [
        (b"{", ErrorCode.INVALID_JSON, "truncated"),
        (b"[1]", ErrorCode.INVALID_EVENT, "object"),
        (b"\xff\xfe", ErrorCode.INVALID_JSON, "malformed"),
        (b'{"tenant":"acme"}', ErrorCode.INVALID_EVENT, "required field `ts`"),
        (line(kind="party"), ErrorCode.INVALID_EVENT, "$.kind"),
        (line(tokens_input=-1), ErrorCode.INVALID_EVENT, "$.tokens_input"),
        (line(tokens_input=1.5), ErrorCode.INVALID_EVENT, "$.tokens_input"),
        (line(ts="yesterday"), ErrorCode.INVALID_EVENT, "$.ts"),
        (line(ts="1969-12-31T23:59:59Z"), ErrorCode.INVALID_EVENT, "$.ts"),
        (line(ts="2026-11-21T03:27:33"), ErrorCode.INVALID_EVENT, "$.ts"),
        (line(reported_cost="0.0000000001"), ErrorCode.INVALID_EVENT, "9 digits"),
        (line(tool_cost="NaN"), ErrorCode.INVALID_EVENT, "$.tool_cost"),
        (line(tenant="a/b"), ErrorCode.INVALID_EVENT, "$.tenant"),
        (line(unknown=1, tokens_input="many"), ErrorCode.INVALID_EVENT, "$.tokens_input"),
        (line(unknown=1, attributes=True), ErrorCode.INVALID_EVENT, "$.attributes"),
        (line(unknown=1, measures=[2]), ErrorCode.INVALID_EVENT, "$.measures"),
        (b'{"tenant":"acme","kind":"step","ts":"2026-11-21T03:27:33Z","duration_ms":NaN}', ErrorCode.INVALID_JSON, "invalid"),
        (b'{"tenant":"acme","kind":"step","ts":"2026-11-21T03:27:33Z","duration_ms":1e999}', ErrorCode.INVALID_JSON, "infinity"),
    ],
)
def test_a_bad_line_is_a_verdict_of_its_own(raw: bytes, code: ErrorCode, reason: str) -> None:
    frame = parse_frame(encode_frame([line(name="before"), raw, line(name="after")]), None, NOW_MS)
    assert [line.event.name for line in frame.lines] == ["before", "after"]
    assert [line.index for line in frame.lines] == [0, 2]
    (bad,) = frame.bad
    assert (bad.index, bad.raw, bad.code) == (1, raw, code)
    assert reason in bad.reason


def test_a_line_of_another_tenant_than_the_frame_is_refused() -> None:
    frame = parse_frame(encode_frame([line(), line(tenant="other")]), frame_headers("acme", 2, "p", 0), NOW_MS)
    assert [line.event.tenant for line in frame.lines] == ["acme"]
    assert frame.bad[0].code is ErrorCode.INVALID_FRAME


def test_a_frame_that_lost_lines_is_refused_whole() -> None:
    frame = parse_frame(encode_frame([line(), line()]), frame_headers("acme", 3, "p", 0), NOW_MS)
    assert frame.lines == []
    assert (frame.bad[0].index, frame.bad[0].code) == (-1, ErrorCode.INVALID_FRAME)


def test_a_tick_tells_the_time_and_holds_no_event() -> None:
    frame = parse_frame(encode_tick(NOW), tick_headers("p", 4), 0)
    assert (frame.tick, frame.replay_tick, frame.time, frame.lines) == (True, False, NOW, [])
    assert parse_frame(encode_tick(NOW, replay=True), tick_headers("p", 5), 0).replay_tick
    assert parse_frame(b"what", tick_headers("p", 6), 0).bad[0].code is ErrorCode.INVALID_FRAME


@given(
    st.binary(max_size=200),
    st.lists(st.tuples(st.sampled_from(["wl-count", "wl-tenant", "wl-type", "x"]), st.binary(max_size=9))),
)
def test_no_bytes_make_it_raise_and_no_line_is_lost(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    frame = parse_frame(value, headers, NOW_MS)
    lines = [raw for raw in value.split(b"\n") if raw.strip()]
    assert frame.tick or frame.bad or len(frame.lines) == len(lines)


def test_facts_pass_through_as_they_came() -> None:
    fact = QualityFact(tenant="acme", group="a/t", day="2026-11-21", revision=3, window_from="a", window_to="b")
    raw = msgspec.json.encode(fact)
    frame = parse_facts(msgspec.json.Decoder(QualityFact).decode, raw + b"\n{}", None, NOW_MS)
    assert [(line.raw, line.event) for line in frame.lines] == [(raw, fact)]
    assert frame.bad[0].code is ErrorCode.INVALID_EVENT


@pytest.mark.parametrize("name", ["agent", "task", "decision_key"])
def test_a_name_that_would_be_two_in_a_key_is_refused(name: str) -> None:
    event = {"tenant": "acme", "ts": "2026-01-05T09:00:00Z", "kind": "step", "attributes": {"a": "\x1f \x1b"}}
    good = parse_frame(orjson.dumps(event), [], 0)
    assert (len(good.lines), good.lines[0].event.attributes) == (1, {"a": "\x1f \x1b"})
    (bad,) = parse_frame(orjson.dumps(event | {name: "a\x1fb"}), [], 0).bad
    assert "U+001F" in bad.reason
    assert name in bad.reason


@pytest.mark.parametrize("now", ["0001-01-01T00:00:00+14:00", "9999-12-31T00:00:00Z", "never"])
def test_a_tick_of_no_time_is_a_bad_line(now: str) -> None:
    frame = parse_frame(orjson.dumps({"now": now}), [(H_TYPE, TICK)], 0)
    assert frame.bad[0].code is ErrorCode.INVALID_FRAME
