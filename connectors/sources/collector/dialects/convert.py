"""Values of attributes -> values of event fields. A converter returns None for what it cannot take; the attribute then stays.

Whatever comes out is valid for `Event`: lengths, ranges and spellings are the model's, so nothing accepted is refused downstream.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import msgspec
import orjson

from waterline.schemas.events import EARLIEST, FIELDS, LATEST, Event, Kind, Outcome, Retrieved, Status, Verdict

Converter = Callable[[Any], Any]

NAME_LIMIT = 1024
EXACT = 2**53
_NINE = Decimal("1e-9")
_MOST = Decimal("1e12")


def name(value: Any) -> str | None:
    """Text of at most 1,024 characters; lists are joined by commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        value = ",".join(str(item) for item in value if item is not None)
    if isinstance(value, int | float):
        value = str(value)
    return value[:NAME_LIMIT] or None if isinstance(value, str) else None


def number(value: Any) -> float | None:
    """A finite number; text that spells one is taken too."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def whole(value: Any) -> int | None:
    """A count: a whole number from 0 to 2^53."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= EXACT else None
    told = number(value)
    return int(told) if told is not None and told.is_integer() and 0 <= told <= EXACT else None


def millis(value: Any) -> float | None:
    told = number(value)
    return told if told is not None and 0 <= told <= 1e13 else None


def scaled(factor: float) -> Converter:
    """Milliseconds from a number in another unit."""

    def convert(value: Any) -> float | None:
        told = number(value)
        return None if told is None else millis(told * factor)

    return convert


def money(value: Any) -> str | None:
    """USD as a decimal string of at most 9 digits after the point."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        amount = Decimal(str(value))
        if not amount.is_finite() or abs(amount) > _MOST:
            return None
        return f"{amount.quantize(_NINE).normalize():f}"
    except InvalidOperation:
        return None


def instant(value: Any) -> str | None:
    """RFC 3339 text, or seconds, milliseconds, microseconds or nanoseconds since 1970 -> RFC 3339 in UTC."""
    try:
        if isinstance(value, str) and not value.isdigit():
            told = datetime.fromisoformat(value)
        else:
            told = datetime.fromtimestamp(_seconds(float(value)), UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        return None
    if told.tzinfo is None or not EARLIEST <= told < LATEST:
        return None
    return stamp(told)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _seconds(told: float) -> float:
    for limit, unit in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)):
        if abs(told) < limit:
            return told / unit
    return told / 1e9


def one_of(choices: type[StrEnum]) -> Converter:
    spelled = {choice.value: choice.value for choice in choices if choice.value}

    def convert(value: Any) -> str | None:
        return spelled.get(value.strip().lower()) if isinstance(value, str) else None

    return convert


def names(value: Any) -> list[str] | None:
    """A list of names, also as JSON text or separated by commas."""
    if isinstance(value, str):
        loaded = parsed(value)
        value = loaded if isinstance(loaded, list) else [part.strip() for part in value.split(",")]
    return [text for item in value if (text := name(item))] if isinstance(value, list) else None


def retrieved(value: Any) -> list[dict[str, Any]] | None:
    """`[{id, score, ...}]` as a list or as JSON text, in rank order."""
    rows = parsed(value) if isinstance(value, str) else value
    if not isinstance(rows, list):
        return None
    return [hit for rank, row in enumerate(rows) if isinstance(row, Mapping) if (hit := _hit(row, rank))]


def _hit(row: Mapping[str, Any], rank: int) -> dict[str, Any]:
    chunk = name(row.get("chunk_id") or row.get("id")) or ""
    document = name(row.get("doc_id") or row.get("document_id")) or chunk
    told = {"chunk_id": chunk, "doc_id": document, "doc_version": name(row.get("doc_version") or row.get("version")) or ""}
    hit: dict[str, Any] = {key: text for key, text in told.items() if text}
    if (score := number(row.get("score"))) is not None:
        hit["score"] = score
    place = whole(row.get("rank"))
    hit["rank"] = rank if place is None or place > 2**31 else place
    return hit


def parsed(text: str) -> Any:
    """The value of JSON text, None if it is not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def share(value: Any) -> float | None:
    told = number(value)
    return told if told is not None and 0 <= told <= 1 else None


def minutes(value: Any) -> float | None:
    told = number(value)
    return told if told is not None and 0 <= told <= 1e7 else None


def attempts(value: Any) -> int | None:
    told = whole(value)
    return told if told is not None and told <= 2**31 else None


_BY_FIELD: dict[str, Converter] = {
    "kind": one_of(Kind),
    "status": one_of(Status),
    "outcome": one_of(Outcome),
    "review_verdict": one_of(Verdict),
    "retrieved": retrieved,
    "act_chain": names,
    "relevant": names,
    "synthetic_fields": names,
    "reported_cost": money,
    "tool_cost": money,
    "queue_entered_at": instant,
    "duration_ms": millis,
    "time_to_first_token_ms": millis,
    "confidence": share,
    "review_minutes": minutes,
    "attempt": attempts,
    "sequence": whole,
    "requests": whole,
}
_OWN = {"tenant", "received_at", "schema_version", "ts", "trace_id", "span_id", "parent_span_id", "attributes", "measures"}
"""Fields that only the record itself or the collector may say."""

SETTABLE: frozenset[str] = FIELDS - _OWN


def converter_of(field: str) -> Converter:
    """How a value becomes that field's."""
    if field.startswith("tokens_"):
        return whole
    if field in ("clock", "usage_source", "usage_quality", "completion_state"):
        return one_of(_ENUMS[field])
    return _event_id if field == "event_id" else _BY_FIELD.get(field, name)


def _event_id(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 128 else None


_ENUMS: dict[str, type[StrEnum]] = {
    info.name: info.type
    for info in msgspec.structs.fields(Event)
    if isinstance(info.type, type) and issubclass(info.type, StrEnum)
}
assert Retrieved.__struct_fields__ == ("chunk_id", "doc_id", "doc_version", "score", "rank")
