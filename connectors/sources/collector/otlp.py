"""OTLP traces in protobuf -> events. One pass over the bytes; what repeats (resources, attributes) is decided once."""

import struct
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from waterline.connectors.sources.collector import wire
from waterline.connectors.sources.collector.dialects.draft import Draft
from waterline.connectors.sources.collector.dialects.plan import Plans
from waterline.connectors.sources.collector.intake import Intake
from waterline.connectors.sources.collector.resource import base_of
from waterline.connectors.sources.collector.spans import SpanRecord, add_span
from waterline.schemas.errors import ErrorCode, Permanent

_STATUSES: dict[bytes, tuple[bool, str]] = {b"": (False, ""), b"\x18\x01": (False, ""), b"\x18\x02": (True, "")}


def check(kind: type[Message], body: bytes) -> Message:
    """Parse a request whole, which refuses what is not valid protobuf or UTF-8. Raises Permanent."""
    try:
        message = kind()
        message.ParseFromString(body)
    except DecodeError as error:
        raise Permanent(ErrorCode.INVALID_PROTOBUF, f"the body is not a valid {kind.DESCRIPTOR.name}: {error}") from None
    return message


def scopes(kind: type[Message], body: bytes) -> tuple[bytes, list[wire.Block]]:
    """A request and its scopes, whose positions are in the bytes returned. Raises Permanent as `check`."""
    message = check(kind, body)
    try:
        return body, list(wire.blocks(body))
    except wire.Unusual:
        message.DiscardUnknownFields()
        body = message.SerializeToString()
        return body, list(wire.blocks(body))


def traces(body: bytes, intake: Intake) -> None:
    """Take every span of a request. Raises Permanent when the body is not an ExportTraceServiceRequest."""
    body, blocks = scopes(ExportTraceServiceRequest, body)
    for resource, scope, records in blocks:
        base = base_of(intake.door, resource, scope)
        for start, stop in records:
            intake.seen += 1
            try:
                record = read_span(body, start, stop, intake.door.plans)
            except wire.Unusual:
                span = Span.FromString(body[start:stop])
                span.DiscardUnknownFields()
                plain = span.SerializeToString()
                record = read_span(plain, 0, len(plain), intake.door.plans)
            add_span(intake, base, record, (resource, scope, body, start, stop))


def metrics(body: bytes) -> int:
    """How many metrics a request holds. Raises Permanent when the body is not an ExportMetricsServiceRequest."""
    message: Any = check(ExportMetricsServiceRequest, body)
    return sum(len(scope.metrics) for resource in message.resource_metrics for scope in resource.scope_metrics)


def read_span(buf: bytes, pos: int, stop: int, plans: Plans) -> SpanRecord:
    """One span. Raises wire.Unusual for a form no known emitter writes."""
    draft = Draft()
    record = SpanRecord(draft)
    targets, put = draft.targets, draft.put
    known, learn = plans.ops.get, plans.learn
    if pos + 28 <= stop and buf[pos : pos + 2] == b"\x0a\x10" and buf[pos + 18 : pos + 20] == b"\x12\x08":
        record.trace_id, record.span_id = buf[pos + 2 : pos + 18], buf[pos + 20 : pos + 28]
        pos += 28
    while pos < stop:
        tag = buf[pos]
        if tag == 0x4A:
            size = buf[pos + 1]
            pos += 2
            if size >= 0x80:
                size, pos = wire.varint(buf, pos - 1)
            end = pos + size
            pair = buf[pos:end]
            pos = end
            op = known(pair) or learn(pair)
            where, slot, value, more = op
            target = targets[where]
            if more is None and slot not in target:
                target[slot] = value
            else:
                put(op)
        elif tag == 0x39 and pos + 18 <= stop and buf[pos + 9] == 0x41:
            record.start, record.end = _times(buf, pos)
            pos += 18
        elif tag == 0x30 and buf[pos + 1] < 0x80:
            record.kind = buf[pos + 1]
            pos += 2
        elif tag == 0x85 and buf[pos + 1] == 0x01:
            pos += 6
        else:
            pos = _other(record, tag, buf, pos + 1)
    return record


def _other(record: SpanRecord, tag: int, buf: bytes, pos: int) -> int:
    """The fields with a length, and the rare ones; returns the position after the field."""
    if tag in _NUMBERS:
        return _number(record, tag, buf, pos)
    if tag not in _LENGTHS:
        raise wire.Unusual
    size = buf[pos]
    pos += 1
    if size >= 0x80:
        size, pos = wire.varint(buf, pos - 1)
    stop = pos + size
    if tag == 0x2A:
        record.name = buf[pos:stop].decode()
    elif tag == 0x22:
        record.parent_id = buf[pos:stop]
    elif tag == 0x7A:
        record.failed, record.message = _STATUSES.get(buf[pos:stop]) or _status(buf[pos:stop])
    elif tag == 0x0A:
        record.trace_id = buf[pos:stop]
    elif tag == 0x12:
        record.span_id = buf[pos:stop]
    elif tag == 0x1A:
        record.state = buf[pos:stop].decode()
    elif tag == 0x5A:
        event = Span.Event.FromString(buf[pos:stop])
        told = {pair.key: wire.plain(pair.value) for pair in event.attributes}
        record.events = [*record.events, (event.name, event.time_unix_nano, told)]
    else:
        link = Span.Link.FromString(buf[pos:stop])
        record.links = [*record.links, {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()}]
    return stop


_NUMBERS = frozenset({0x30, 0x39, 0x41, 0x50, 0x60, 0x70})
_LENGTHS = frozenset({0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x5A, 0x6A, 0x7A})
_times = struct.Struct("<xQxQ").unpack_from


def _number(record: SpanRecord, tag: int, buf: bytes, pos: int) -> int:
    if tag == 0x39:
        record.start = int.from_bytes(buf[pos : pos + 8], "little")
        return pos + 8
    if tag == 0x41:
        record.end = int.from_bytes(buf[pos : pos + 8], "little")
        return pos + 8
    number, pos = wire.varint(buf, pos)
    if tag == 0x30:
        record.kind = number
    else:
        record.dropped += number
    return pos


def _status(raw: bytes) -> tuple[bool, str]:
    status = Status.FromString(raw)
    return status.code == Status.STATUS_CODE_ERROR, status.message
