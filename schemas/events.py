"""The wide event: one unit of work, as wide as it needs to be. Topic `agent.events`, table `events`.

Field names are the column names of the table, and the values travel in the form ClickHouse's JSONEachRow reads, so a
valid line needs no re-encoding on its way into the store. Absent means unknown: empty text, zero, empty list or null.
"""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

SCHEMA_VERSION = 1
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with offset; microseconds are kept")]
Name = Annotated[str, Meta(max_length=1024)]
Money = Annotated[Decimal, Meta(description="USD as a decimal string, at most 9 digits after the point")]
Tokens = Annotated[int, Meta(ge=0, le=2**53)]
Millis = Annotated[float, Meta(ge=0, le=1e13, description="milliseconds")]
TenantName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="letters, digits, _ . -")]


class Kind(StrEnum):
    """What the unit of work was. Closed: every dialect maps onto it."""

    MODEL_CALL = "model_call"
    TOOL_CALL = "tool_call"
    RETRIEVAL = "retrieval"
    EMBEDDING = "embedding"
    GUARDRAIL = "guardrail"
    STEP = "step"
    DECISION = "decision"
    ESCALATION = "escalation"
    REVIEW = "review"
    OUTCOME = "outcome"
    CORRECTION = "correction"
    EVALUATION = "evaluation"
    POLICY = "policy"
    DEPLOYMENT = "deployment"
    SESSION = "session"


class Status(StrEnum):
    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    REFUSED = "refused"


class Outcome(StrEnum):
    NONE = ""
    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What a human reviewer did with the agent's proposal; all but `approve` overturn it."""

    NONE = ""
    APPROVE = "approve"
    OVERRIDE = "override"
    CORRECT = "correct"
    REJECT = "reject"


class UsageSource(StrEnum):
    NONE = ""
    PROVIDER = "provider"
    RECOVERED = "recovered"
    ESTIMATED = "estimated"
    MISSING = "missing"


class UsageQuality(StrEnum):
    NONE = ""
    CONSISTENT = "consistent"
    INCONSISTENT = "inconsistent"


class CompletionState(StrEnum):
    NONE = ""
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    ERROR = "error"
    CACHED = "cached"


class Clock(StrEnum):
    """Whether `ts` is the source's own clock or was laid over time by a replay."""

    SOURCE = "source"
    REPLAY = "replay"


class Retrieved(Struct, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """One chunk that a retrieval returned, in rank order."""

    chunk_id: Name = ""
    doc_id: Name = ""
    doc_version: Name = ""
    score: float | None = None
    rank: Annotated[int, Meta(ge=0, le=2**31)] = 0


class Event(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """See the module. `tenant`, `ts` and `kind` are required; all else may be absent."""

    # identity of the record
    event_id: Annotated[str, Meta(max_length=128, description="the caller's id; same id = same event, first one wins")] = ""
    schema_version: Annotated[int, Meta(ge=1, le=2**15)] = SCHEMA_VERSION
    source: Annotated[Name, Meta(description="otlp, json, litellm, kafka, replay, ...")] = ""
    emitter_version: Name = ""
    # time
    ts: Annotated[Instant, Meta(description="start, event time")]
    duration_ms: Millis = 0.0
    received_at: Instant | None = None
    clock: Clock = Clock.SOURCE
    # where it belongs
    tenant: TenantName
    team: Name = ""
    environment: Name = ""
    session_id: Name = ""
    decision_key: Annotated[Name, Meta(description="trace id, else the caller's explicit id")] = ""
    decision_id: Annotated[Name, Meta(description="business id such as a ticket number; an alias of decision_key")] = ""
    trace_id: Name = ""
    span_id: Name = ""
    parent_span_id: Name = ""
    sequence: Annotated[int, Meta(ge=0, le=2**53)] = 0
    # who
    subject: Annotated[Name, Meta(description="the user or service on whose behalf")] = ""
    actor: Annotated[Name, Meta(description="the agent that acted")] = ""
    act_chain: Annotated[list[Name], Meta(description="RFC 8693 act claims, outermost first")] = field(default_factory=list)
    credential_id: Annotated[Name, Meta(description="virtual key or grant id, never a secret")] = ""
    authorization: Annotated[Name, Meta(description="allow, deny or conditional, with the policy id")] = ""
    # what ran
    kind: Kind
    name: Name = ""
    agent: Name = ""
    agent_version: Name = ""
    runtime: Name = ""
    task: Name = ""
    step: Name = ""
    artifact_id: Name = ""
    prompt_version: Name = ""
    model_config_id: Name = ""
    stage: Annotated[Name, Meta(description="control, canary or shadow")] = ""
    # model call
    response_id: Name = ""
    provider: Name = ""
    model_requested: Name = ""
    model_served: Name = ""
    tokens_input: Annotated[Tokens, Meta(description="text input that was neither read from nor written to a cache")] = 0
    tokens_cache_read: Tokens = 0
    tokens_cache_write_5m: Tokens = 0
    tokens_cache_write_1h: Tokens = 0
    tokens_input_audio: Tokens = 0
    tokens_cache_read_audio: Tokens = 0
    tokens_input_image: Tokens = 0
    tokens_output: Annotated[Tokens, Meta(description="text output, reasoning included")] = 0
    tokens_reasoning: Annotated[Tokens, Meta(description="the part of tokens_output that was reasoning")] = 0
    tokens_output_audio: Tokens = 0
    tokens_output_image: Tokens = 0
    tokens_total: Annotated[Tokens, Meta(description="as the provider reported it; 0 = not reported")] = 0
    requests: Annotated[Tokens, Meta(description="billable requests or search units that are not tokens")] = 0
    usage_source: UsageSource = UsageSource.NONE
    usage_quality: UsageQuality = UsageQuality.NONE
    completion_state: CompletionState = CompletionState.NONE
    service_tier: Name = ""
    time_to_first_token_ms: Millis | None = None
    finish_reason: Name = ""
    # tool / retrieval
    tool: Name = ""
    target_system: Name = ""
    attempt: Annotated[int, Meta(ge=0, le=2**31)] = 0
    retrieved: list[Retrieved] = field(default_factory=list)
    relevant: Annotated[list[Name], Meta(description="document ids labelled relevant, if known")] = field(default_factory=list)
    # result
    status: Status = Status.OK
    error_type: Name = ""
    retry_class: Annotated[Name, Meta(description="transient or permanent")] = ""
    output_class: Name = ""
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    # decision life
    escalation_reason: Name = ""
    queue_entered_at: Instant | None = None
    reviewer: Annotated[Name, Meta(description="pseudonymous id")] = ""
    review_verdict: Verdict = Verdict.NONE
    review_minutes: Annotated[float, Meta(ge=0, le=1e7)] | None = None
    outcome: Outcome = Outcome.NONE
    correction_key: Name = ""
    # money
    reported_cost: Money | None = None
    tool_cost: Money | None = None
    # the rest
    attributes: dict[str, str] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    payload_ref: Name = ""
    synthetic_fields: Annotated[list[Name], Meta(description="fields a replay made up")] = field(default_factory=list)


class Payload(Struct, kw_only=True, omit_defaults=True):
    """A prompt or completion body, kept apart from the hot table and only where the tenant opted in. Topic `agent.payloads`."""

    tenant: TenantName
    event_id: str
    ts: Instant
    received_at: Instant
    name: Annotated[str, Meta(description="the attribute the body came in")]
    body: str


FIELDS: frozenset[str] = frozenset(Event.__struct_fields__)
TOKEN_CLASSES: tuple[str, ...] = (
    "tokens_input",
    "tokens_cache_read",
    "tokens_cache_write_5m",
    "tokens_cache_write_1h",
    "tokens_input_audio",
    "tokens_cache_read_audio",
    "tokens_input_image",
    "tokens_output",
    "tokens_output_audio",
    "tokens_output_image",
)
"""Disjoint: each token of a call is in exactly one of them, so they add up to what the provider reported."""


TEXTS: frozenset[str] = frozenset(one.name for one in msgspec.structs.fields(Event) if one.default == "")
"""Fields that are text; empty = absent."""


def read_required(text: str) -> tuple[tuple[str, ...], ...]:
    """`agent, decision_key|decision_id`: fields an event must have, `|` between those of which one is enough. Raises ValueError
    for a name that is no text field of an event."""
    groups = tuple(tuple(name.strip() for name in part.split("|")) for part in text.split(",") if part.strip())
    for name in (name for group in groups for name in group):
        if name not in TEXTS:
            raise ValueError(f"{name!r} is no text field of an event, such as agent, task or session_id")
    return groups


def describe(model: type[Struct]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a model."""
    return msgspec.json.schema(model)
