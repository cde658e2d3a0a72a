"""OTLP in JSON -> the same records as from protobuf.

Ids are hex in any case, enums numbers (names are taken too), 64-bit numbers text or numbers, unknown keys ignored.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import orjson

from waterline.connectors.sources.collector.dialects.draft import Draft
from waterline.connectors.sources.collector.intake import Intake, canonical
from waterline.connectors.sources.collector.logs import LogEntry, add_log
from waterline.connectors.sources.collector.resource import Base, make_base
from waterline.connectors.sources.collector.spans import SpanRecord, add_span, has_ids
from waterline.schemas.errors import ErrorCode, Permanent

Json = dict[str, Any]

DEPTH_LIMIT = 64

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_ENUMS: dict[str, int] = {f"SPAN_KIND_{name}": number for number, name in enumerate(_KINDS)} | {
    "STATUS_CODE_UNSET": 0,
    "STATUS_CODE_OK": 1,
    "STATUS_CODE_ERROR": 2,
}


def traces(body: bytes, intake: Intake) -> None:
    """Take every span. Raises Permanent when the body is not an ExportTraceServiceRequest in JSON."""
    for base, origin, record in _records(body, intake, "resourceSpans", "scopeSpans", "spans"):
        span = _span(record, intake)
        raw = b"" if has_ids(span) else origin + canonical(record)
        add_span(intake, base, span, (b"", b"", raw, 0, len(raw)))


def logs(body: bytes, intake: Intake) -> None:
    """Take every log record. Raises Permanent when the body is not an ExportLogsServiceRequest in JSON."""
    for base, origin, record in _records(body, intake, "resourceLogs", "scopeLogs", "logRecords"):
        add_log(intake, base, _log(record, origin, intake))


def metrics(body: bytes) -> int:
    """How many metrics a request holds. Raises Permanent when the body is not an ExportMetricsServiceRequest in JSON."""
    resources = _list(_load(body), "resourceMetrics")
    return sum(len(_list(scope, "metrics")) for resource in resources for scope in _list(resource, "scopeMetrics"))


def _load(body: bytes) -> Json:
    try:
        value = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise Permanent(ErrorCode.INVALID_JSON, f"the body is not JSON: {error}") from None
    return _object(value, "the body")


def _records(body: bytes, intake: Intake, resources: str, scopes: str, records: str) -> Iterator[tuple[Base, bytes, Json]]:
    for resource in _list(_load(body), resources):
        told = _object(resource.get("resource") or {}, "resource")
        for scope in _list(resource, scopes):
            named = _object(scope.get("scope") or {}, "scope")
            base = make_base(intake.door, attributes(told), _text(named, "name"), _text(named, "version"))
            origin = canonical([told, named])
            for record in _list(scope, records):
                intake.seen += 1
                yield base, origin, record


def _span(record: Json, intake: Intake) -> SpanRecord:
    status = _object(record.get("status") or {}, "status")
    span = SpanRecord(
        _draft(record, intake),
        trace_id=_id(record, "traceId"),
        span_id=_id(record, "spanId"),
        parent_id=_id(record, "parentSpanId"),
        name=_text(record, "name"),
        start=_number(record, "startTimeUnixNano"),
        end=_number(record, "endTimeUnixNano"),
        kind=_number(record, "kind"),
        failed=_number(status, "code") == 2,
        message=_text(status, "message"),
        state=_text(record, "traceState"),
    )
    for key in ("droppedAttributesCount", "droppedEventsCount", "droppedLinksCount"):
        span.dropped += _number(record, key)
    span.events = [(_text(event, "name"), _number(event, "timeUnixNano"), attributes(event)) for event in _list(record, "events")]
    span.links = [
        {"trace_id": _id(link, "traceId").hex(), "span_id": _id(link, "spanId").hex()} for link in _list(record, "links")
    ]
    return span


def _log(record: Json, origin: bytes, intake: Intake) -> LogEntry:
    return LogEntry(
        _draft(record, intake),
        origin + canonical(record),
        time=_number(record, "timeUnixNano") or _number(record, "observedTimeUnixNano"),
        severity=_number(record, "severityNumber"),
        severity_text=_text(record, "severityText"),
        body=value(record["body"]) if record.get("body") is not None else None,
        trace_id=_id(record, "traceId"),
        span_id=_id(record, "spanId"),
        event_name=_text(record, "eventName"),
    )


def _draft(record: Json, intake: Intake) -> Draft:
    draft, plans = Draft(), intake.door.plans
    for pair in _list(record, "attributes"):
        told = pair.get("value")
        draft.put(plans.op(_text(pair, "key"), None if told is None else value(told)))
    return draft


def attributes(record: Json) -> Json:
    """A list of KeyValue as a dict."""
    return {_text(pair, "key"): value(pair.get("value") or {}) for pair in _list(record, "attributes")}


def value(told: Any, depth: int = 0) -> Any:
    """An AnyValue in JSON as a Python value. Raises Permanent for a shape it cannot have."""
    if depth > DEPTH_LIMIT:
        raise Permanent(ErrorCode.INVALID_JSON, f"an attribute is nested deeper than {DEPTH_LIMIT}")
    for key, inner in _object(told, "value").items():
        if key == "stringValue" and isinstance(inner, str):
            return inner
        if key == "intValue":
            return _number(told, key)
        if key == "doubleValue" and isinstance(inner, int | float | str):
            return _double(inner)
        if key == "boolValue" and isinstance(inner, bool):
            return inner
        if key == "arrayValue":
            return [value(item, depth + 1) for item in _list(_object(inner, key), "values")]
        if key == "kvlistValue":
            pairs = _list(_object(inner, key), "values")
            return {_text(pair, "key"): value(pair.get("value") or {}, depth + 1) for pair in pairs}
        if key == "bytesValue" and isinstance(inner, str):
            return _bytes(inner)
        if key in _VALUES:
            raise _wrong(key, "a value of its type", inner)
    return None


_VALUES = {"stringValue", "doubleValue", "boolValue", "bytesValue"}


def _double(inner: float | str) -> float:
    try:
        return float(inner)
    except ValueError:
        raise _wrong("doubleValue", "a number", inner) from None


def _bytes(inner: str) -> bytes:
    try:
        return base64.b64decode(inner, validate=True)
    except binascii.Error:
        raise _wrong("bytesValue", "base64", inner) from None


def _id(record: Json, key: str) -> bytes:
    """Hex of any case; text that is not hex is no id, and is answered with a warning."""
    try:
        return bytes.fromhex(_text(record, key))
    except ValueError:
        return b"?"


def _number(record: Json, key: str) -> int:
    told = record.get(key)
    if told is None:
        return 0
    if isinstance(told, str):
        if told in _ENUMS:
            return _ENUMS[told]
        try:
            told = int(told[:32])
        except ValueError:
            raise _wrong(key, "a whole number", told) from None
    if isinstance(told, float) and told.is_integer():
        told = int(told)
    if not isinstance(told, int) or isinstance(told, bool) or not -(2**63) <= told < 2**64:
        raise _wrong(key, "a whole number of 64 bits", told)
    return told


def _text(record: Json, key: str) -> str:
    told = record.get(key)
    if told is None:
        return ""
    if not isinstance(told, str):
        raise _wrong(key, "text", told)
    return told


def _list(record: Json, key: str) -> list[Json]:
    told = record.get(key)
    if told is None:
        return []
    if not isinstance(told, list) or not all(isinstance(item, dict) for item in told):
        raise _wrong(key, "a list of objects", told)
    return told


def _object(told: Any, key: str) -> Json:
    if not isinstance(told, dict):
        raise _wrong(key, "an object", told)
    return told


def _wrong(key: str, wanted: str, told: Any) -> Permanent:
    return Permanent(ErrorCode.INVALID_JSON, f"{key} is not {wanted} but {type(told).__name__}")
