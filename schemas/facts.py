"""What the streams conclude. Each fact is a full snapshot with a revision; the highest revision of a key is the truth."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from waterline.schemas.control import Scope
from waterline.schemas.events import Clock, Instant, Kind, Millis, Money, Name, Outcome, Tokens, Verdict

ZERO = Decimal(0)


class DecisionState(StrEnum):
    """A decision is never closed for good: late events raise its revision. One whose `ended_at` is longer ago than the
    setting `decision_grace_s` is at rest; that is for the reader to say, since no event says it."""

    OPEN = "open"
    MERGED = "merged"


class PriceState(StrEnum):
    """Why a cost is what it is. Only `priced` leaves have one; `unpriced` is unknown, never zero."""

    PRICED = "priced"
    UNPRICED = "unpriced"
    NO_USAGE = "no_usage"
    WRAPPER = "wrapper"
    DUPLICATE = "duplicate"


class Component(StrEnum):
    """The part of a decision's cost that a leaf belongs to."""

    MODEL = "model"
    TOOL = "tool"
    RETRIEVAL = "retrieval"
    HUMAN = "human"


class Contribution(Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What one revision of a decision adds to its groups; a later revision takes it back and adds its own."""

    day: Annotated[str, Meta(description="UTC day of the decision's start, YYYY-MM-DD")] = ""
    agent: Name = ""
    task: Name = ""
    team: Name = ""
    escalated: bool = False
    reviewed: bool = False
    overturned: bool = False
    outcome: Outcome = Outcome.NONE
    automated_cost: Money | None = None
    human_cost: Money = ZERO


class DecisionFact(Struct, kw_only=True, omit_defaults=True):
    """The decision so far. Topic `decision.facts`, table `decision_facts`, key (tenant, decision_key, revision)."""

    tenant: str
    decision_key: str
    revision: Annotated[int, Meta(ge=0, description="events applied so far; a replay gives the same number")]
    state: DecisionState = DecisionState.OPEN
    merged_into: Annotated[str, Meta(description="the elected key, when state is merged")] = ""
    decision_id: str = ""
    day: str = ""
    # where it belongs, who and what: of the first event that says so
    team: str = ""
    environment: str = ""
    session_id: str = ""
    subject: str = ""
    actor: str = ""
    agent: str = ""
    agent_version: str = ""
    task: str = ""
    artifact_id: str = ""
    stage: str = ""
    # life
    started_at: Instant
    ended_at: Instant
    escalated: bool = False
    escalation_reason: str = ""
    reviews: int = 0
    review_verdict: Verdict = Verdict.NONE
    reviewer: str = ""
    overturned: bool = False
    outcome: Outcome = Outcome.NONE
    output_class: str = ""
    confidence: float | None = None
    # counts
    events: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    retrievals: int = 0
    errors: int = 0
    retries: int = 0
    # tokens of priced and unpriced leaves alike; duplicates and wrappers are not in them
    tokens_input: Tokens = 0
    tokens_cache_read: Tokens = 0
    tokens_cache_write: Tokens = 0
    tokens_output: Tokens = 0
    tokens_reasoning: Tokens = 0
    # M1, USD
    cost_model: Money = ZERO
    cost_tool: Money = ZERO
    cost_retrieval: Money = ZERO
    cost_human: Money = ZERO
    cost_rework: Annotated[Money, Meta(description="the part of realized_cost that came after an overturn")] = ZERO
    automated_cost: Annotated[Money, Meta(description="model + tool + retrieval")] = ZERO
    realized_cost: Annotated[Money, Meta(description="automated + human; a lower bound while unpriced_calls > 0")] = ZERO
    reported_cost: Annotated[Money | None, Meta(description="the sum of what the sources said")] = None
    unpriced_calls: Annotated[int, Meta(description="leaves whose price is unknown; the costs leave them out")] = 0
    no_usage_calls: Annotated[int, Meta(description="leaves that told no usage, so that no price could apply")] = 0
    # M6
    agent_ms: Millis = 0.0
    queue_ms: Millis = 0.0
    review_ms: Millis = 0.0
    downstream_ms: Millis = 0.0
    resolution_ms: Millis = 0.0
    synthetic_fields: list[str] = field(default_factory=list)
    previous: Contribution | None = None


class CostFact(Struct, kw_only=True, omit_defaults=True):
    """One leaf event and its price. Topic `cost.facts`, table `cost_facts`, key (tenant, decision_key, event_id, revision).

    Where `unit_prices` is not empty, cost = sum(tokens[class] * unit_prices[class]) / 1,000,000, rounded half-even to 9
    digits. Beside the token classes of events there are: `requests` (as the event counts them), `calls` (1 for each call of a
    model that bills by the request), `duration_ms` (self-hosted models), `review_ms` and `reviews` (human review).
    """

    tenant: str
    decision_key: str
    event_id: str
    revision: int
    component: Component
    price_state: PriceState
    retracted: Annotated[bool, Meta(description="the leaf moved to another decision; count it no more")] = False
    ts: Instant
    received_at: Instant
    team: str = ""
    agent: str = ""
    task: str = ""
    agent_version: str = ""
    credential_id: str = ""
    source: str = ""
    response_id: str = ""
    provider: str = ""
    model: Annotated[str, Meta(description="the model the price was looked up for")] = ""
    service_tier: str = ""
    tokens: Annotated[dict[str, int], Meta(description="disjoint class -> count; other billed units stand here too")] = field(
        default_factory=dict
    )
    unit_prices: Annotated[dict[str, str], Meta(description="class -> USD per million of it")] = field(default_factory=dict)
    price_key: Annotated[str, Meta(description="provider/model#tier: what a restatement looks the newer price up by")] = ""
    price_id: Annotated[str, Meta(description="price_key@version: exactly the price that applied")] = ""
    priced_at: Annotated[Instant | None, Meta(description="when the price that applied became known")] = None
    cost: Annotated[Money | None, Meta(description="USD; null unless price_state is priced")] = None
    reported_cost: Money | None = None


class DecisionLink(Struct, kw_only=True, omit_defaults=True):
    """Business id -> the elected decision key. Topic `decision.links`, table `decision_links`."""

    tenant: str
    decision_id: str
    decision_key: str
    elected_at: Instant


class Standing(Struct, array_like=True, frozen=True):
    """What a decision is to its groups now. `at` is its start in microseconds, by which windows count it, `ended_at` its end;
    `judged`: a reviewer said what became of the proposal. `artifact` is its hash, else the version of the agent; `steps` are
    calls of models and tools. `corrected_at` is when a human first overturned it or told a correction, and `corrections` are the
    keys of what was corrected."""

    contribution: Contribution
    at: int
    replay: bool = False
    unpriced: int = 0
    tokens: int = 0
    judged: bool = False
    artifact: str = ""
    stage: str = ""
    output_class: str = ""
    escalation_reason: str = ""
    confidence: float | None = None
    steps: int = 0
    tool_errors: int = 0
    agent_ms: float = 0.0
    queue_ms: float = 0.0
    resolution_ms: float = 0.0
    corrected_at: int | None = None
    corrections: tuple[str, ...] = ()
    ended_at: int = 0


class Calls(Struct, array_like=True):
    """Calls of one agent to one tool or model that ended in one minute (minutes since 1970). `durations` is a sketch of
    milliseconds (streams/steps/sketch.py), `examples` are decision keys of calls that failed, `artifact` is as in `Standing`.
    `slowest`: of model calls, up to five decisions by their slowest one in milliseconds, the slowest first."""

    kind: Kind
    name: str
    minute: int
    count: int = 0
    errors: int = 0
    durations: dict[int, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    replay: bool = False
    artifact: str = ""
    slowest: list[tuple[float, str]] = field(default_factory=list)


class Fields(Struct, array_like=True):
    """Events of one source that ended in one minute (minutes since 1970), and how many of them lack a field that is required
    (setting `required_fields`). `examples` are decision keys of such."""

    source: str
    minute: int
    count: int = 0
    missing: int = 0
    examples: list[str] = field(default_factory=list)
    replay: bool = False


class Spend(Struct, array_like=True, frozen=True):
    """What one name spent more (or less, after a revision) on one day: nano-dollars of priced leaves, by the day of their ts
    (days since 1970). `at` is the latest ts among them, in microseconds. `dearest`: up to five decisions of them, by what they
    cost as a whole now in nano-dollars, the dearest first; then up to five that cost less than before, also by what is left."""

    scope: Scope
    name: str
    day: int
    nanos: int
    at: int
    replay: bool = False
    dearest: list[tuple[int, str]] = field(default_factory=list)


class Mark(Struct, array_like=True, frozen=True):
    """Partition `source` of stage decide has come to `now` (microseconds of event time), and has said all up to there."""

    source: int
    replay: bool
    now: int


class GroupInput(Struct, kw_only=True, omit_defaults=True):
    """What a decision contributes to its agent and what it takes back, or the agent's calls, or what a source's events lack, or
    what a name spent, or how far time has come. Topic `group.inputs`; a mark goes to all partitions, spending to that of
    (tenant, scope and name), fields to that of (tenant, source), the rest to that of (tenant, agent)."""

    tenant: str = ""
    agent: str = ""
    decision_key: str = ""
    revision: int = 0
    now: Standing | None = None
    previous: Standing | None = None
    calls: Calls | None = None
    fields: Fields | None = None
    spend: Spend | None = None
    mark: Mark | None = None


class QualityFact(Struct, kw_only=True, omit_defaults=True):
    """What one measure of one group comes to on one day. Topic `quality.facts`, table `quality_facts`.

    `expected_cost` (M1) is taken from the closed days before `day`, so it does not depend on the order of arrival:
    expected_cost(decision) = automated_cost(decision) + p_review * mean_review_cost. All other measures are of the decisions
    that began in the window, as they are known now: `value` = `part` / `samples` for a rate, with Wilson's interval. An empty
    `task` is the agent as a whole; the measures are in streams/steps/quality_measures.py, and `closure_rate` (M5).
    """

    tenant: str
    group: str
    measure: str = "expected_cost"
    day: str
    revision: Annotated[int, Meta(ge=0, description="running number within the group, measure and day")]
    agent: str = ""
    task: str = ""
    state: Annotated[str, Meta(description="ok or insufficient")] = "ok"
    reason: str = ""
    window_from: str
    window_to: str
    decisions: int = 0
    reviewed: int = 0
    p_review: float | None = None
    mean_review_cost: Money | None = None
    expected_review_cost: Annotated[Money | None, Meta(description="review cost / decisions of the window, exact")] = None
    clock: Clock = Clock.SOURCE
    samples: Annotated[int, Meta(ge=0, description="how many decisions, reviews, labels, ... the value is drawn from")] = 0
    part: Annotated[int, Meta(ge=0, description="how many of them are what a rate counts")] = 0
    value: float | None = None
    low: Annotated[float | None, Meta(description="the lower end of the 95 % interval")] = None
    high: float | None = None
    band: Annotated[str, Meta(description="what a value of that size is called, where it has a name")] = ""
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    at: Annotated[Instant | None, Meta(description="how far event time had come then; not of expected_cost")] = None


class PriceVersion(Struct, kw_only=True, omit_defaults=True):
    """One price as it became known. Topic `price.versions`, table `price_versions`.

    It applies to an event when `known_from` <= its received_at and `effective_from` <= its ts. Of those that apply, the one
    with the newest `known_from` counts, then the newest `effective_from`: whoever changes a `price_key` publishes all its
    effective dates again. A version without unit prices withdraws its key.
    """

    price_id: str
    price_key: str
    provider: str
    model: str
    known_from: Instant
    effective_from: Instant
    source: Annotated[str, Meta(description="genai-prices <version> or override")] = ""
    unit_prices: Annotated[dict[str, str], Meta(description="class -> USD per million of it")] = field(default_factory=dict)
    conditions: Annotated[str, Meta(description="JSON of what else must hold: input length, service tier, time of day")] = ""
    match: Annotated[str, Meta(description="JSON: the provider and model names it is found by, and in which order")] = ""
