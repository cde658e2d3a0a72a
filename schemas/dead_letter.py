"""A record or line that could not be used, whole, so that it can be looked at, mended and replayed. Topic `dead.letters`."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from waterline.schemas.errors import ErrorCode
from waterline.schemas.events import Instant


class Stage(StrEnum):
    RECEIVING = "receiving"
    PROCESSING = "processing"
    SENDING = "sending"


WHOLE = -1
"""`index` of a dead letter that is a whole record and not one line of it."""


class DeadLetter(Struct, kw_only=True, omit_defaults=True):
    """`id` is a function of its position, so burying twice is burying once."""

    id: Annotated[str, Meta(description="consumer/topic/partition/offset/index")]
    consumer: Annotated[str, Meta(description="who buried it: sink or streams")]
    topic: str
    partition: int
    offset: int
    index: Annotated[int, Meta(description="line of the frame, from 0; -1 = the whole record")] = WHOLE
    tenant: str = ""
    stage: Stage = Stage.PROCESSING
    code: ErrorCode
    reason: str
    first_seen: Annotated[Instant, Meta(description="the record's Kafka timestamp, so that burying again gives the same letter")]
    raw: Annotated[str, Meta(description="the bytes, base64")]
    headers: dict[str, str] = field(default_factory=dict)
    replays: Annotated[int, Meta(ge=0, description="how often it was replayed before")] = 0


def letter_id(consumer: str, topic: str, partition: int, offset: int, index: int) -> str:
    return f"{consumer}/{topic}/{partition}/{offset}/{index}"
