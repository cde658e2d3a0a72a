"""POST /v1/litellm: what LiteLLM's `generic_api` callback sends - an array, one object, or one object a line."""

from typing import Any

from waterline.connectors.sources.collector.dialects import litellm
from waterline.connectors.sources.collector.events import records, scrub
from waterline.connectors.sources.collector.intake import Intake, canonical
from waterline.schemas.errors import ErrorCode, Permanent


def take(body: bytes, intake: Intake) -> None:
    """Take every payload of a body. Raises Permanent when it cannot be read at all."""
    for record in records(body, "a payload of LiteLLM's `generic_api` callback"):
        intake.seen += 1
        if isinstance(record, Permanent):
            intake.refuse(record.code, record.reason)
        elif not isinstance(record, dict):
            intake.refuse(ErrorCode.INVALID_EVENT, f"a payload is a JSON object, this is {type(record).__name__}")
        else:
            try:
                _take(record, intake)
            except Permanent as error:
                intake.refuse(error.code, error.reason)


def _take(record: dict[str, Any], intake: Intake) -> None:
    raw = canonical(record)
    try:
        event, bodies = litellm.event_of(record)
    except ValueError as error:
        intake.refuse(ErrorCode.INVALID_EVENT, str(error))
        return
    named = litellm.identity(record)
    if "event_id" not in event:
        event["event_id"] = intake.record_id(named or raw, apart=named is None)
    event["tenant"] = intake.door.tenant
    event["received_at"] = intake.received_at
    intake.add(event, bodies | scrub(event, intake.door.plans))
