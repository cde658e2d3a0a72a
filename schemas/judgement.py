"""What the streams judge: how far a distribution has drifted, and what is to be done with a candidate. Facts as in facts.py."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from waterline.schemas.events import Clock, Instant


class Shift(StrEnum):
    """How far a distribution is from its baseline. `insufficient`: so few samples that chance alone reaches a verdict."""

    NONE = "none"
    MODERATE = "moderate"
    MAJOR = "major"
    INSUFFICIENT = "insufficient"


class ShareChange(Struct, frozen=True):
    """A category or bin, its share before and now (not smoothed), and what it adds to the index."""

    name: str
    before: float
    now: float
    adds: float


class DriftFact(Struct, kw_only=True, omit_defaults=True):
    """How one distribution of an agent compares with its baseline (M3). Topic `drift.facts`, table `drift_facts`, key (tenant,
    agent, clock, about, day, artifact, revision)."""

    tenant: str
    agent: str
    about: Annotated[str, Meta(description="tools, models, output_class, escalation_reason, confidence, steps, tokens, ...")]
    day: Annotated[str, Meta(description="UTC day of event time that is compared, YYYY-MM-DD")]
    artifact: Annotated[str, Meta(description="what produced it: artifact id, else agent version")] = ""
    revision: Annotated[int, Meta(ge=0)]
    clock: Clock = Clock.SOURCE
    baseline: Annotated[str, Meta(description="the artifact or the days that it is compared with")] = ""
    pinned: Annotated[bool, Meta(description="the rules name the baseline; else it is the artifact before")] = False
    before: Annotated[int, Meta(ge=0, description="samples of the baseline")] = 0
    now: Annotated[int, Meta(ge=0, description="samples of the day")] = 0
    shift: Shift
    psi: Annotated[float | None, Meta(description="population stability index, natural logarithm")] = None
    jensen_shannon: Annotated[float | None, Meta(description="base 2, from 0 to 1")] = None
    by_chance: Annotated[float | None, Meta(description="what the index stays under 19 times in 20 while nothing moves")] = None
    ks: Annotated[float | None, Meta(description="two-sample Kolmogorov-Smirnov distance, of numbers")] = None
    wasserstein: Annotated[float | None, Meta(description="in the unit of the values, of numbers")] = None
    moved: Annotated[list[ShareChange], Meta(description="those that moved most, at most three, the most first")] = field(
        default_factory=list
    )
    sequential: Annotated[
        str,
        Meta(description="the anytime-valid test of the days up to this one: ok, drift or insufficient; empty = it is not over"),
    ] = ""
    sequential_since: Annotated[Instant | None, Meta(description="the day with which the drift begins, at midnight UTC")] = None


class Decided(StrEnum):
    """What to do with a candidate."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLLBACK = "rollback"


class Guardrail(Struct, kw_only=True, omit_defaults=True, frozen=True):
    """One guardrail of a verdict: candidate and control over the same time."""

    name: str
    state: Annotated[str, Meta(description="pass, fail or insufficient")]
    candidate: float | None = None
    control: float | None = None
    limit: float | None = None
    candidate_samples: int = 0
    control_samples: int = 0
    needed: Annotated[int, Meta(ge=0, description="samples of each that a word needs")] = 0


class CanaryVerdict(Struct, kw_only=True, omit_defaults=True):
    """What a stage of a canary has come to (M8). Topic `canary.verdicts`, table `canary_verdicts`, key (tenant, plan, agent,
    candidate, clock, revision)."""

    tenant: str
    plan: Annotated[str, Meta(description="the stage plan of the rules file")]
    agent: str
    candidate: Annotated[str, Meta(description="artifact id, else agent version")]
    control: str
    stage: Annotated[int, Meta(ge=0, description="index within the plan, from 0")]
    share: Annotated[float, Meta(ge=0, le=1, description="of traffic, as the plan says for this stage")]
    revision: Annotated[int, Meta(ge=1)]
    clock: Clock = Clock.SOURCE
    verdict: Decided
    guardrail: Annotated[str, Meta(description="the one that decided; empty when all passed")] = ""
    reason: str = ""
    at: Annotated[Instant, Meta(description="event time at which it was concluded")]
    stage_from: Instant
    guardrails: list[Guardrail] = field(default_factory=list)
    sql: Annotated[str, Meta(description="a statement that returns the decisions behind it")] = ""
    rules_version: str = ""
