"""Frames: one Kafka record, many events. The one place that writes and reads them, so that every reader gives the same
verdict on the same bytes.

A record's value is newline-delimited JSON, one event a line; a single object is a frame of one. A bad line is a verdict
of its own and leaves the others untouched. A tick carries no event; it tells the time.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import orjson
from msgspec import Struct

from waterline.schemas.errors import ErrorCode
from waterline.schemas.events import EARLIEST, FIELDS, LATEST, SCHEMA_VERSION, Event
from waterline.schemas.identity import SEPARATOR, record_event_id
from waterline.schemas.moved import Moved

H_SCHEMA, H_COUNT, H_TENANT = "wl-schema", "wl-count", "wl-tenant"
H_PRODUCER, H_SEQ, H_TYPE, H_REPLAYS = "wl-producer", "wl-seq", "wl-type", "wl-replays"
TICK = b"tick"
MOVED = b"moved"
LINE_LIMIT = 1_000_000
FRAME_LINES = 1000
OLDEST_RECEIPT = timedelta(days=31)
"""A dead letter is replayed at most this long after its receipt."""
CLOCKS_DIFFER = timedelta(hours=1)
ZERO = Decimal(0)
LATEST_MS = int(LATEST.timestamp() * 1000) - 1
CONTROL = b"\\u001"
"""How U+001F begins in JSON, among others: few lines hold any of them."""

_decode = msgspec.json.Decoder(Event).decode
_decode_moved = msgspec.json.Decoder(Moved).decode
_encoder = msgspec.json.Encoder()

Headers = Sequence[tuple[str, bytes]] | None


class Line(Struct, gc=False):
    """A good line. `event` is the topic's model, `raw` its JSON: the bytes as they came unless something was filled in."""

    index: int
    raw: bytes
    event: Any


class BadLine(Struct, gc=False):
    """A line that can never be used, with the reason a person needs."""

    index: int
    raw: bytes
    code: ErrorCode
    reason: str


class Frame(Struct):
    """A parsed record. A tick has no lines; `time` is the Kafka timestamp, or for a tick the time it tells."""

    lines: list[Line]
    bad: list[BadLine]
    time: datetime
    tick: bool = False
    replay_tick: bool = False
    producer: str = ""
    seq: int = -1


def encode_event(event: Event) -> bytes:
    """One line, without the newline."""
    return _encoder.encode(event)


def encode_frame(lines: Iterable[bytes]) -> bytes:
    return b"\n".join(lines)


def frame_headers(tenant: str, count: int, producer: str, seq: int) -> list[tuple[str, bytes]]:
    return [
        (H_SCHEMA, b"%d" % SCHEMA_VERSION),
        (H_COUNT, b"%d" % count),
        (H_TENANT, tenant.encode()),
        (H_PRODUCER, producer.encode()),
        (H_SEQ, b"%d" % seq),
    ]


def tick_headers(producer: str, seq: int) -> list[tuple[str, bytes]]:
    return [(H_TYPE, TICK), (H_PRODUCER, producer.encode()), (H_SEQ, b"%d" % seq)]


def encode_tick(now: datetime, replay: bool = False) -> bytes:
    """`{"now": ..., "clock": "source" | "replay"}`; a replay brings its own event time."""
    return orjson.dumps({"now": now.isoformat(), "clock": "replay" if replay else "source"})


def parse_frame(value: bytes | None, headers: Headers, timestamp_ms: int) -> Frame:
    """Parse a record of `agent.events`. Never raises: what is wrong is in `bad`.

    Filled in where a line lacks them: `event_id` (a hash of the tenant, the line and its occurrence in the frame),
    `received_at` (the record's Kafka timestamp) and `decision_key` (the trace id). A `received_at` that cannot be true beside
    the record's timestamp is replaced by it, since rows are kept by receipt: an old one would be deleted on arrival.
    """
    head = _head(headers)
    received = _instant(timestamp_ms)
    frame = Frame([], [], received)
    _read_origin(frame, head)
    if head.get(H_TYPE) == TICK:
        _read_tick(frame, value)
        return frame
    if not value:
        frame.bad.append(BadLine(-1, b"", ErrorCode.INVALID_FRAME, "the record has no value"))
        return frame
    tenant = head.get(H_TENANT, b"").decode("utf-8", "replace")
    raws = [raw for raw in value.split(b"\n") if raw and not raw.isspace()]
    if len(raws) > FRAME_LINES:
        reason = f"the record holds {len(raws)} lines, the limit is {FRAME_LINES}"
        frame.bad.append(BadLine(-1, value, ErrorCode.TOO_LARGE, reason))
        return frame
    occurrences: dict[bytes, int] = {}
    for index, raw in enumerate(raws):
        verdict = _read_line(index, raw, tenant, received, occurrences)
        if isinstance(verdict, Line):
            frame.lines.append(verdict)
        else:
            frame.bad.append(verdict)
    count = _number(head.get(H_COUNT))
    if not raws:
        frame.bad.append(BadLine(-1, value, ErrorCode.INVALID_FRAME, "the record holds no line"))
    elif count not in (-1, len(raws)):
        reason = f"header {H_COUNT} says {count} lines, the value holds {len(raws)}"
        frame.bad = [BadLine(-1, value, ErrorCode.INVALID_FRAME, reason)]
        frame.lines.clear()
    return frame


def parse_moved(value: bytes | None, headers: Headers, timestamp_ms: int) -> Frame:
    """Parse a record of `agent.moved`: lines of `schemas.moved` where the header says so, else events. Never raises."""
    if _head(headers).get(H_TYPE) == MOVED:
        return parse_facts(_decode_moved, value, headers, timestamp_ms)
    return parse_frame(value, headers, timestamp_ms)


def encode_moved(line: Moved) -> bytes:
    """One line of `agent.moved`, without the newline."""
    return _encoder.encode(line)


def parse_facts(decode: Callable[[bytes], Struct], value: bytes | None, headers: Headers, timestamp_ms: int) -> Frame:
    """Parse a record of any other topic: one fact a line, read by the topic's `decode`, passed on as it came. Never raises."""
    head = _head(headers)
    frame = Frame([], [], _instant(timestamp_ms))
    _read_origin(frame, head)
    if head.get(H_TYPE) == TICK:
        _read_tick(frame, value)
        return frame
    for index, raw in enumerate(raw for raw in (value or b"").split(b"\n") if raw and not raw.isspace()):
        try:
            frame.lines.append(Line(index, raw, decode(raw)))
        except msgspec.ValidationError as error:
            frame.bad.append(BadLine(index, raw, ErrorCode.INVALID_EVENT, str(error)))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            frame.bad.append(BadLine(index, raw, ErrorCode.INVALID_JSON, str(error)))
    return frame


def parse_event(raw: bytes) -> Event:
    """One event from JSON. Raises `msgspec.ValidationError` with the field's name, or `msgspec.DecodeError`.

    Keys that no field has are moved into `attributes` (text, lists and objects as JSON) or `measures` (numbers)."""
    try:
        event = _decode(raw)
    except msgspec.ValidationError:
        event = _decode_with_unknown_keys(raw)
    for name, at in (("ts", event.ts), ("received_at", event.received_at)):
        if at is not None and not EARLIEST <= at < LATEST:
            raise msgspec.ValidationError(f"Expected a time from {EARLIEST.year} to {LATEST.year} - at `$.{name}`")
    for name, amount in (("reported_cost", event.reported_cost), ("tool_cost", event.tool_cost)):
        if amount is not None and not _is_money(amount):
            raise msgspec.ValidationError(f"Expected a finite amount with at most 9 digits after the point - at `$.{name}`")
    if name := _parted(event, raw):
        raise msgspec.ValidationError(f"Expected text without U+001F, which parts names in keys - at `$.{name}`")
    return event


def _parted(event: Event, raw: bytes) -> str:
    """The first field whose text would be two in a key; empty where none is."""
    if CONTROL not in raw:
        return ""
    return next((name for name in FIELDS if isinstance(text := getattr(event, name), str) and SEPARATOR in text), "")


def _read_origin(frame: Frame, head: Mapping[str, bytes]) -> None:
    frame.producer = head.get(H_PRODUCER, b"").decode("utf-8", "replace")
    frame.seq = _number(head.get(H_SEQ))


def _head(headers: Headers) -> dict[str, bytes]:
    """A foreign producer may send a header without a value."""
    return {name: value or b"" for name, value in headers or ()}


def _instant(timestamp_ms: int) -> datetime:
    """A record's timestamp is its producer's claim."""
    return EARLIEST + timedelta(milliseconds=min(max(timestamp_ms, 0), LATEST_MS))


def _number(text: bytes | None) -> int:
    """A number of at most 18 digits, which fits every integer on its way; -1 for anything else."""
    return int(text) if text and len(text) <= 18 and text.isdigit() else -1


def _read_line(index: int, raw: bytes, tenant: str, received: datetime, occurrences: dict[bytes, int]) -> Line | BadLine:
    if len(raw) > LINE_LIMIT:
        return BadLine(index, raw, ErrorCode.TOO_LARGE, f"the line has {len(raw)} bytes, the limit is {LINE_LIMIT}")
    try:
        event = _decode(raw)
        received_at = event.received_at
        known = EARLIEST <= event.ts < LATEST and (received_at is None or EARLIEST <= received_at < LATEST)
        known = known and not _parted(event, raw)
        if event.reported_cost is not None or event.tool_cost is not None:
            known = known and _is_money(event.reported_cost or ZERO) and _is_money(event.tool_cost or ZERO)
    except (msgspec.DecodeError, UnicodeDecodeError):
        known = False
    if not known:
        try:
            event = parse_event(raw)
        except msgspec.ValidationError as error:
            return BadLine(index, raw, ErrorCode.INVALID_EVENT, str(error))
        except (msgspec.DecodeError, orjson.JSONDecodeError, UnicodeDecodeError) as error:
            return BadLine(index, raw, ErrorCode.INVALID_JSON, str(error))
        raw = encode_event(event)
    if tenant and event.tenant != tenant:
        reason = f"the line's tenant is {event.tenant!r}, the frame's is {tenant!r}"
        return BadLine(index, raw, ErrorCode.INVALID_FRAME, reason)
    keyless = not event.decision_key and bool(event.trace_id)
    received_at = event.received_at
    unreceived = received_at is None or not received - OLDEST_RECEIPT <= received_at <= received + CLOCKS_DIFFER
    if not event.event_id or unreceived or keyless:
        if not event.event_id:
            occurrence = occurrences.get(raw, 0)
            occurrences[raw] = occurrence + 1
            event.event_id = record_event_id(event.tenant, raw, occurrence)
        if unreceived:
            event.received_at = received
        if keyless:
            event.decision_key = event.trace_id
        raw = encode_event(event)
    return Line(index, raw, event)


def _is_money(amount: Decimal) -> bool:
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -9


def _decode_with_unknown_keys(raw: bytes) -> Event:
    fields: Any = orjson.loads(raw)
    if not isinstance(fields, dict) or FIELDS.issuperset(fields):
        return _decode(raw)
    attributes, measures = _map(fields, "attributes"), _map(fields, "measures")
    for key in [key for key in fields if key not in FIELDS]:
        value = fields.pop(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            attributes.setdefault(key, value if isinstance(value, str) else _text(key, value))
        elif math.isfinite(value):
            measures.setdefault(key, float(value))
    return msgspec.convert({**fields, "attributes": attributes, "measures": measures}, Event, strict=True)


def _map(fields: dict[str, Any], key: str) -> dict[str, Any]:
    value = fields.get(key)
    if value is not None and not isinstance(value, dict):
        raise msgspec.ValidationError(f"Expected `object`, got `{type(value).__name__}` - at `$.{key}`")
    return dict(value or {})


def _text(key: str, value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        raise msgspec.ValidationError(f"Expected fewer levels of nesting - at `$.{key}`") from None


def _read_tick(frame: Frame, value: bytes | None) -> None:
    frame.tick = True
    try:
        told: Any = orjson.loads(value or b"")
        now = datetime.fromisoformat(told["now"]).astimezone(UTC)
        if not EARLIEST <= now < LATEST:
            raise ValueError(f"{now} is no time of an event")
        frame.time = now
        frame.replay_tick = told.get("clock") == "replay"
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        frame.bad.append(BadLine(-1, value or b"", ErrorCode.INVALID_FRAME, f"the tick tells no time: {error}"))
