"""A span as read from either encoding -> an event."""

from collections.abc import Sequence
from typing import Any

import orjson
from msgspec import Struct

from waterline.connectors.sources.collector.dialects import coding_agents, finish
from waterline.connectors.sources.collector.dialects.draft import Draft
from waterline.connectors.sources.collector.dialects.plan import is_body
from waterline.connectors.sources.collector.intake import END, Intake, stamp_ns
from waterline.connectors.sources.collector.resource import Base
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.identity import span_event_id

NO_TRACE, NO_SPAN = bytes(16), bytes(8)
KINDS = {2: "server", 3: "client", 4: "producer", 5: "consumer"}
BAD_ID = "has no valid trace id and span id: it is kept under an id made from its content, apart from any trace"
NO_TIME = "has no start time: the time of receipt stands in"

Source = tuple[bytes, bytes, bytes, int, int]
"""Resource, scope, and a buffer with the record's place in it: what a record without ids is identified by."""

SpanEvent = tuple[str, int, dict[str, Any]]


class SpanRecord(Struct):
    """Ids as bytes, times in nanoseconds; `failed` = the span's own status is error."""

    draft: Draft
    trace_id: bytes = b""
    span_id: bytes = b""
    parent_id: bytes = b""
    name: str = ""
    start: int = 0
    end: int = 0
    kind: int = 0
    failed: bool = False
    message: str = ""
    state: str = ""
    dropped: int = 0
    events: Sequence[SpanEvent] = ()
    links: Sequence[dict[str, str]] = ()


def has_ids(record: SpanRecord) -> bool:
    """Whether both ids have their length and are not all zero."""
    trace, span = record.trace_id, record.span_id
    return len(trace) == 16 and trace != NO_TRACE and len(span) == 8 and span != NO_SPAN


def add_span(intake: Intake, base: Base, record: SpanRecord, source: Source) -> None:
    """Take a span, or refuse it with a verdict."""
    tenant = intake.door.tenant
    draft = record.draft
    fields = draft.fields
    if (base.tenant or "waterline.tenant" in draft.special) and not same_tenant(intake, base, draft):
        return
    if record.events:
        _take_events(intake, record)
    if coding_agents.belongs(record.name):
        coding_agents.apply(draft, record.name)
    finish.finish(draft, record.failed)
    event = base.fields | fields
    if has_ids(record):
        event["trace_id"] = key = record.trace_id.hex()
        event["span_id"] = span_hex = record.span_id.hex()
        if len(record.parent_id) == 8 and record.parent_id != NO_SPAN:
            event["parent_span_id"] = record.parent_id.hex()
        if "event_id" not in event:
            event["event_id"] = span_event_id(tenant, key, span_hex)
        if "decision_key" in fields and fields["decision_key"] != key:
            draft.attributes["waterline.decision.key"] = fields["decision_key"]
        event["decision_key"] = key
    else:
        intake.warnings[BAD_ID] += 1
        if "event_id" not in event:
            resource, scope, buf, start, stop = source
            event["event_id"] = intake.record_id(resource + scope + buf[start:stop])
    if "name" not in fields:
        event["name"] = intake.door.plans.name(record.name)
    if fields["kind"] == "tool_call" and "tool" not in fields:
        event["tool"] = fields.get("step") or event["name"]
    if not _times(intake, event, record):
        return
    _extras(intake, record)
    if attributes := base.attributes | draft.attributes:
        event["attributes"] = attributes
    if measures := base.measures | draft.measures:
        event["measures"] = measures
    intake.add(event, draft.bodies)


def same_tenant(intake: Intake, base: Base, draft: Draft) -> bool:
    tenant = intake.door.tenant
    told = draft.special.pop("waterline.tenant", base.tenant)
    if told == tenant and base.tenant in ("", tenant):
        return True
    intake.refuse(ErrorCode.FORBIDDEN, f"the record names tenant {told!r}, the credential is for {tenant!r}")
    return False


def _times(intake: Intake, event: dict[str, Any], record: SpanRecord) -> bool:
    start, end = record.start, record.end
    event["received_at"] = intake.received_at
    try:
        if start:
            event["ts"] = stamp_ns(start)
            if end > start and "duration_ms" not in event:
                _duration(event, record)
        elif end:
            event["ts"] = stamp_ns(end)
        else:
            intake.warnings[NO_TIME] += 1
            event["ts"] = intake.received_at
            event["synthetic_fields"] = [*event.get("synthetic_fields", ()), "ts"]
    except Permanent as error:
        intake.refuse(error.code, error.reason)
        return False
    return True


def _duration(event: dict[str, Any], record: SpanRecord) -> None:
    """An end that no event can have is kept as text, without a duration."""
    if record.end < END * 10**9:
        event["duration_ms"] = (record.end - record.start) / 1e6
    else:
        record.draft.attributes["otlp.end_time_unix_nano"] = str(record.end)


def _extras(intake: Intake, record: SpanRecord) -> None:
    attributes = record.draft.attributes
    if record.kind > 1 and (kind := KINDS.get(record.kind)):
        attributes["span.kind"] = kind
    if record.message:
        attributes["status.message"] = intake.door.plans.clean("status.message", record.message)
    if record.state:
        attributes["trace.state"] = intake.door.plans.clean("trace.state", record.state)
    if record.links:
        attributes["span.links"] = orjson.dumps(record.links).decode()
    if record.dropped:
        record.draft.measures["otlp.dropped"] = float(record.dropped)


def _take_events(intake: Intake, record: SpanRecord) -> None:
    """Span events: an exception's type and message, the moment of the first token, and the rest as JSON."""
    draft, rest = record.draft, []
    for name, time, told in record.events:
        if name == "exception":
            for key, value in told.items():
                draft.put(intake.door.plans.op(key, value))
            continue
        if name == "ai.stream.firstChunk" and time > record.start > 0:
            draft.fields.setdefault("time_to_first_token_ms", (time - record.start) / 1e6)
        if name.startswith("gen_ai.") and name not in ("gen_ai.evaluation.result", "gen_ai.client.operation.exception"):
            draft.bodies[name] = told
            continue
        kept = {key: value for key, value in told.items() if not is_body(key)}
        draft.bodies.update({f"{name}.{key}": value for key, value in told.items() if key not in kept})
        told_as_text = {key: intake.door.plans.text(key, value) for key, value in kept.items() if value is not None}
        rest.append({"name": name, "time_unix_nano": time, "attributes": told_as_text})
    if rest:
        draft.attributes["span.events"] = intake.door.plans.clean("span.events", orjson.dumps(rest).decode())
