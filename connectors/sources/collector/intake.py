"""One request on its way in: the lines it becomes, each with its partition, and a verdict on every record that is not taken."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import orjson
from msgspec import Struct, field

from waterline.connectors.sources.collector.dialects.plan import Plans
from waterline.connectors.sources.collector.quota import Quota
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.frames import CONTROL, LINE_LIMIT
from waterline.schemas.identity import SEPARATOR, partition_of, record_event_id, routing_key

END = 7_258_118_400
"""Seconds from 1970 to 2200: no event is later."""

Lines = list[tuple[int, bytes]]
"""(partition, line)"""

_seconds: dict[int, str] = {}


class Door(Struct, frozen=True):
    """What a credential opens: one tenant, with its redaction, its choice about bodies and what it may still send."""

    tenant: str
    plans: Plans
    bodies: bool = False
    quotas: tuple[Quota, ...] = ()


class Verdict(Struct, frozen=True):
    """Why a record was not taken; `index` is its place in the request, from 0."""

    index: int
    code: ErrorCode
    reason: str


class Intake(Struct):
    """`accepted` counts events, `warnings` what was odd about records that were taken all the same. `only_id` is the id of
    the event where a request sent just one and the answer shall name it."""

    door: Door
    partitions: int
    line_limit: int
    now: datetime
    received_at: str = ""
    accepted: int = 0
    seen: int = 0
    lines: Lines = field(default_factory=list)
    payloads: Lines = field(default_factory=list)
    refused: list[Verdict] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)
    bodies_dropped: int = 0
    only_id: str = ""
    occurrences: dict[bytes, int] = field(default_factory=dict)

    def refuse(self, code: ErrorCode, reason: str) -> None:
        self.refused.append(Verdict(self.seen - 1, code, reason))

    def record_id(self, canonical: bytes, apart: bool = True) -> str:
        """The id of a record that brings none. Equal records of one request differ by their occurrence, unless `apart` is off."""
        if not apart:
            return record_event_id(self.door.tenant, canonical, 0)
        occurrence = self.occurrences.get(canonical, 0)
        self.occurrences[canonical] = occurrence + 1
        return record_event_id(self.door.tenant, canonical, occurrence)

    def add(self, event: dict[str, Any], bodies: dict[str, Any]) -> None:
        """Take an event, complete but for its payloads. What parts names in keys is a space in them."""
        event_id = event["event_id"] = event["event_id"].replace(SEPARATOR, " ")
        payloads = self._payloads(event, bodies) if bodies else ()
        line = orjson.dumps(event)
        if CONTROL in line:
            event |= {name: text.replace(SEPARATOR, " ") for name, text in event.items() if isinstance(text, str)}
            line = orjson.dumps(event)
        if len(line) > self.line_limit:
            self.refuse(ErrorCode.TOO_LARGE, f"the event has {len(line)} bytes, the limit is {self.line_limit}")
            return
        tenant = self.door.tenant
        key = routing_key(tenant, event.get("decision_key", ""), event.get("decision_id", ""), event_id)
        self.lines.append((partition_of(key, self.partitions), line))
        self.payloads += payloads
        self.accepted += 1

    def _payloads(self, event: dict[str, Any], bodies: dict[str, Any]) -> Lines:
        """The bodies that are kept, as lines; the event is told where they are."""
        lines: Lines = []
        if not self.door.bodies:
            self.bodies_dropped += len(bodies)
            return lines
        plans, event_id = self.door.plans, event["event_id"]
        same = {key: event[key] for key in ("tenant", "event_id", "ts", "received_at")}
        partition = partition_of(event_id.encode(), self.partitions)
        for key, value in bodies.items():
            line = orjson.dumps({**same, "name": key, "body": plans.text(key, value)})
            if len(line) > self.line_limit:
                self.bodies_dropped += 1
                continue
            lines.append((partition, line))
            event["payload_ref"] = event_id
        return lines


def canonical(record: Any) -> bytes:
    """JSON with sorted keys: what identifies a record that names no id. Raises Permanent when it is nested too deep to write."""
    try:
        return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise Permanent(ErrorCode.INVALID_JSON, f"the record cannot be read: {error}") from None


def line_limit(frame_bytes: int) -> int:
    """An event must fit a frame."""
    return min(LINE_LIMIT, frame_bytes)


def stamp_ns(nanoseconds: int) -> str:
    """Nanoseconds since 1970 -> RFC 3339 with microseconds. Raises Permanent for a time after 2199."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    text = _seconds.get(seconds)
    if text is None:
        if not 0 <= seconds < END:
            raise Permanent(ErrorCode.INVALID_EVENT, f"the time {nanoseconds} ns is not between 1970 and 2200")
        if len(_seconds) > 10_000:
            _seconds.clear()
        text = _seconds[seconds] = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest // 1000:06d}Z"
