"""What the fold remembers of an event: enough to do again everything the decision drew from it."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec
from msgspec import Struct

from waterline.schemas.events import Kind

KINDS: tuple[Kind, ...] = (
    Kind.MODEL_CALL,
    Kind.TOOL_CALL,
    Kind.RETRIEVAL,
    Kind.EMBEDDING,
    Kind.GUARDRAIL,
    Kind.STEP,
    Kind.DECISION,
    Kind.ESCALATION,
    Kind.REVIEW,
    Kind.OUTCOME,
    Kind.CORRECTION,
    Kind.EVALUATION,
    Kind.POLICY,
    Kind.DEPLOYMENT,
    Kind.SESSION,
)
"""Entries are stored with a kind's position here: only ever append."""

KIND_BITS = 31
FAILED, RETRIED, OVERTURNED, ESCALATED, RESOLVED = 32, 64, 128, 256, 512
NANO = Decimal("1e-9")
MOST_DOLLARS = 10**6
"""More than this for one leaf is no amount of money but a broken number. Thousands of them still add up to what state can hold,
which is 2^63 nano-dollars."""


class Leaf(Struct, array_like=True, gc=False):
    """A billed unit of work. Costs are whole nano-dollars. `base` is what its own price says, `state` what it counts as
    beside the other leaves of its decision; empty while no fact of it was told. `spent` is what budgets were told of it."""

    component: str
    base: str
    state: str
    call: bool
    gateway: bool
    received: int
    tokens: dict[str, int]
    reasoning: int
    price: str
    cost: int
    reported: int | None
    response_id: str
    span: str
    parent: str
    source: str
    provider: str
    model: str
    service_tier: str
    team: str
    agent: str
    task: str
    agent_version: str
    credential_id: str
    spent: int = 0


class Entry(Struct, array_like=True, gc=False):
    """One event of a decision. Times are microseconds; `start` is `ts`, but not later than its receipt allows.
    `said` holds what the event was the first (or last) to say when it came."""

    event_id: str
    ts: int
    end: int
    start: int
    flags: int
    queue: int
    said: dict[str, Any] | None
    leaf: Leaf | None


Stored = tuple[str, str, str, int, dict[str, str]]
"""A price as it is stored: id, key, model, known from (microseconds), unit prices."""

Chunk = tuple[list[Stored], list[Entry]]
"""Entries and the prices their leaves refer to: what is stored under one key, and handed over at once."""

_decoder = msgspec.msgpack.Decoder(Chunk)
encode = msgspec.msgpack.Encoder().encode


def decode_chunk(data: bytes) -> Chunk:
    chunk: Chunk = _decoder.decode(data)
    return chunk


def nano(amount: Decimal | None) -> int | None:
    """Whole nano-dollars, half-even; None for what is no amount of money."""
    if amount is None or not amount.is_finite() or abs(amount) > MOST_DOLLARS:
        return None
    return int(amount.quantize(NANO, ROUND_HALF_EVEN).scaleb(9))


def money(nanos: int) -> Decimal:
    return Decimal(nanos).scaleb(-9)
