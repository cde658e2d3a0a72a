"""OTLP log records -> events: coding agents' and GenAI events by name, other records as steps."""

import re
from typing import Any

from msgspec import Struct
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from waterline.connectors.sources.collector import wire
from waterline.connectors.sources.collector.dialects import coding_agents, finish
from waterline.connectors.sources.collector.dialects.draft import Draft
from waterline.connectors.sources.collector.intake import Intake, stamp_ns
from waterline.connectors.sources.collector.otlp import scopes
from waterline.connectors.sources.collector.resource import Base, base_of
from waterline.connectors.sources.collector.spans import NO_SPAN, NO_TRACE, same_tenant
from waterline.schemas.errors import Permanent

ERROR_SEVERITY = 17
BAD_IDS = "has an invalid trace id or span id: it is kept without it"
NO_TIME = "has no time: the time of receipt stands in"
_EVENT_NAME = re.compile(r"^[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+$")


class LogEntry(Struct):
    """Times in nanoseconds, ids as bytes; `canonical` identifies the record."""

    draft: Draft
    canonical: bytes
    time: int = 0
    severity: int = 0
    severity_text: str = ""
    body: Any = None
    trace_id: bytes = b""
    span_id: bytes = b""
    event_name: str = ""


def logs(body: bytes, intake: Intake) -> None:
    """Take every record of a request. Raises Permanent when the body is not an ExportLogsServiceRequest."""
    body, blocks = scopes(ExportLogsServiceRequest, body)
    plans = intake.door.plans
    for resource, scope, records in blocks:
        base = base_of(intake.door, resource, scope)
        for start, stop in records:
            intake.seen += 1
            raw = body[start:stop]
            told = LogRecord.FromString(raw)
            draft = Draft()
            for pair in told.attributes:
                draft.put(plans.op(pair.key, wire.plain(pair.value)))
            entry = LogEntry(
                draft,
                resource + scope + raw,
                told.time_unix_nano or told.observed_time_unix_nano,
                told.severity_number,
                told.severity_text,
                wire.plain(told.body),
                told.trace_id,
                told.span_id,
                told.event_name,
            )
            add_log(intake, base, entry)


def add_log(intake: Intake, base: Base, entry: LogEntry) -> None:
    """Take a record, or refuse it with a verdict."""
    draft = entry.draft
    fields, attributes = draft.fields, draft.attributes
    if (base.tenant or "waterline.tenant" in draft.special) and not same_tenant(intake, base, draft):
        return
    name = _event_name(entry)
    if coding_agents.belongs(name):
        coding_agents.apply(draft, name)
    elif name.startswith("gen_ai."):
        _genai(draft, name)
    if entry.body is not None and entry.body != name:
        _take_body(intake, entry, name)
    failed = entry.severity >= ERROR_SEVERITY and "kind" not in fields
    finish.finish(draft, failed)
    event = base.fields | fields
    event["received_at"] = intake.received_at
    event["event_id"] = fields.get("event_id") or intake.record_id(entry.canonical)
    if name:
        event.setdefault("name", intake.door.plans.name(name))
    _place(intake, event, entry)
    if not _time(intake, event, entry.time):
        return
    if entry.severity_text:
        attributes["log.severity"] = intake.door.plans.clean("log.severity", entry.severity_text)
    if merged := base.attributes | attributes:
        event["attributes"] = merged
    if measures := base.measures | draft.measures:
        event["measures"] = measures
    intake.add(event, draft.bodies)


def _event_name(entry: LogEntry) -> str:
    """`claude_code.api_request` may stand in the event name, in the body, or without its prefix in `event.name`."""
    attributes = entry.draft.attributes
    told = entry.event_name or attributes.get("event.name", "")
    if isinstance(entry.body, str) and len(entry.body) < 128 and entry.body.endswith(told) and _EVENT_NAME.match(entry.body):
        told = entry.body
    if told:
        attributes.pop("event.name", None)
    return told


def _genai(draft: Draft, name: str) -> None:
    """GenAI events repeat a span (messages, operation details) or judge it (evaluation)."""
    fields = draft.fields
    if name == "gen_ai.evaluation.result":
        fields["kind"] = "evaluation"
        for key, field in (("gen_ai.evaluation.name", "step"), ("gen_ai.evaluation.score.label", "output_class")):
            if key in draft.attributes:
                fields.setdefault(field, draft.attributes.pop(key)[:1024])
        return
    fields["kind"] = "step"
    if draft.usage:
        draft.measures.update({f"gen_ai.usage.{slot}": float(number) for slot, number in draft.usage.items()})
        draft.usage.clear()


def _take_body(intake: Intake, entry: LogEntry, name: str) -> None:
    """What was said stays out; an ordinary log line's text is kept."""
    draft, body = entry.draft, entry.body
    if name.startswith("gen_ai.") or coding_agents.belongs(name) or not isinstance(body, str):
        draft.bodies[f"{name or 'log'}.body"] = body
    else:
        draft.attributes["log.body"] = intake.door.plans.clean("log.body", body)


def _place(intake: Intake, event: dict[str, Any], entry: LogEntry) -> None:
    trace, span = entry.trace_id, entry.span_id
    if len(trace) == 16 and trace != NO_TRACE:
        event["trace_id"] = event["decision_key"] = trace.hex()
        if len(span) == 8 and span != NO_SPAN:
            event["parent_span_id"] = span.hex()
    elif trace.strip(b"\0") or span.strip(b"\0"):
        intake.warnings[BAD_IDS] += 1


def _time(intake: Intake, event: dict[str, Any], told: int) -> bool:
    """The start: a record is written when its work ended."""
    if not told:
        intake.warnings[NO_TIME] += 1
        event["ts"] = intake.received_at
        event["synthetic_fields"] = [*event.get("synthetic_fields", ()), "ts"]
        return True
    try:
        event["ts"] = stamp_ns(max(0, told - int(event.get("duration_ms", 0.0) * 1e6)))
    except Permanent as error:
        intake.refuse(error.code, error.reason)
        return False
    return True
