"""POST /v1/events: events as JSON, an array, one object or one a line, each with a verdict of its own."""

from typing import Any, get_args

import msgspec
import orjson

from waterline.connectors.sources.collector.dialects import convert, tokens
from waterline.connectors.sources.collector.dialects.plan import Plans, is_body
from waterline.connectors.sources.collector.hints import Hints, refusal
from waterline.connectors.sources.collector.intake import Intake, canonical
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.events import FIELDS, Event
from waterline.schemas.frames import encode_event, parse_event

TEXT = frozenset(
    info.name for info in msgspec.structs.fields(Event) if hasattr(info.type, "__metadata__") and get_args(info.type)[0] is str
) - {"tenant", "event_id", "trace_id", "span_id", "parent_span_id"}
"""Fields that hold free text."""


WANTED = "an event as a JSON object with at least `ts` and `kind`"


def records(body: bytes, wanted: str) -> list[Any]:
    """The JSON values of an array, a single object or newline-delimited JSON; a line that is not JSON is its `Permanent`.

    Raises Permanent when the whole body cannot be read, or is empty: then `wanted` tells what one record is.
    """
    if not body.strip():
        raise Permanent(ErrorCode.INVALID_EVENT, f"the body is empty: send {wanted}, an array of them, or one a line")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        found = [_line(line) for line in body.split(b"\n") if line.strip()]
        if len(found) < 2 or all(isinstance(line, Permanent) for line in found):
            raise Permanent(ErrorCode.INVALID_JSON, f"the body is neither JSON nor one JSON object a line: {error}") from None
        return found
    return value if isinstance(value, list) else [value]


def _line(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Permanent(ErrorCode.INVALID_JSON, str(error))


def take(body: bytes, intake: Intake) -> None:
    """Take every event of a body. Raises Permanent when it cannot be read at all."""
    hints, event_id = Hints(), ""
    for record in records(body, WANTED):
        intake.seen += 1
        if isinstance(record, Permanent):
            intake.refuse(record.code, record.reason)
        elif not isinstance(record, dict):
            intake.refuse(ErrorCode.INVALID_EVENT, f"an event is a JSON object, this is {type(record).__name__}")
        else:
            try:
                event_id = _take(record, intake, hints)
            except Permanent as error:
                intake.refuse(error.code, error.reason)
    intake.warnings.update(hints.told.keys())
    if intake.seen == intake.accepted == 1:
        intake.only_id = event_id


def _take(record: dict[str, Any], intake: Intake, hints: Hints) -> str:
    """The event's id, empty when it was refused for what it says."""
    tenant = record.get("tenant")
    if tenant is not None and tenant != intake.door.tenant:
        reason = f"the event names tenant {tenant!r}, the credential is for {intake.door.tenant!r}"
        intake.refuse(ErrorCode.FORBIDDEN, reason)
        return ""
    raw = canonical(record)
    close: dict[str, str] = {}
    try:
        _complete(record, intake)
        close = {} if record.keys() <= FIELDS else hints.close(record)
        event: dict[str, Any] = orjson.loads(encode_event(parse_event(orjson.dumps(record))))
    except msgspec.ValidationError as error:
        intake.refuse(ErrorCode.INVALID_EVENT, f"{error}{refusal(record, close)}")
        return ""
    if close:
        hints.kept(record, close)
    if not event.get("event_id"):
        event["event_id"] = intake.record_id(raw)
    if event.get("trace_id"):
        told = event.get("decision_key")
        if told and told != event["trace_id"]:
            event.setdefault("attributes", {})["decision_key"] = told
        event["decision_key"] = event["trace_id"]
    intake.add(event, scrub(event, intake.door.plans))
    event_id: str = event["event_id"]
    return event_id


def _complete(record: dict[str, Any], intake: Intake) -> None:
    """Put into a record what the door knows, and its provider's usage in our classes."""
    raw_usage = record.pop("usage", None) if "usage" not in FIELDS else None
    if isinstance(raw_usage, dict):
        attributes = record.setdefault("attributes", {})
        if isinstance(attributes, dict):
            tokens.apply_raw(record, attributes, raw_usage)
    for money in ("reported_cost", "tool_cost"):
        if isinstance(record.get(money), int | float):
            record[money] = convert.money(record[money])
    record["tenant"] = intake.door.tenant
    record["received_at"] = intake.received_at
    record.setdefault("source", "json")


def scrub(event: dict[str, Any], plans: Plans) -> dict[str, Any]:
    """Redact the event's text in place, take out what was said and return it."""
    for field in TEXT & event.keys():
        event[field] = plans.clean(f"waterline.{field}", event[field])[: convert.NAME_LIMIT]
    for field in ("act_chain", "relevant"):
        if field in event:
            event[field] = [plans.clean(field, item)[: convert.NAME_LIMIT] for item in event[field]]
    attributes: dict[str, str] = event.get("attributes", {})
    bodies: dict[str, Any] = {}
    for key in list(attributes):
        if is_body(key):
            bodies[key] = attributes.pop(key)
        else:
            attributes[key] = plans.clean(key, attributes[key])
    return bodies
