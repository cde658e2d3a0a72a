"""Plans of canaries as data: which stages a candidate goes through, and what it must not do worse than its control.

Nothing is read here (`streams/rules_canaries.py` does) and nothing judged (`canary_judge.py`).
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

HOUR_S = 3600


class Guard(StrEnum):
    """What a candidate is held to, in the order in which they are named as the one that decided."""

    ACCURACY = "accuracy"
    ESCALATION = "escalation"
    ERROR_RATE = "error_rate"
    COST = "cost"
    P95 = "p95"
    DRIFT = "drift"


class Form(StrEnum):
    """How a limit is meant: as a value of the candidate's own, so many points beside the control, so many times the control,
    or an index of how far the two distributions are apart."""

    OWN = "own"
    POINTS = "points"
    TIMES = "times"
    INDEX = "index"


class Limit(Struct, frozen=True):
    """`value`: a share for OWN (of accuracy the least, else the most) and POINTS, a factor for TIMES, PSI for INDEX."""

    guard: Guard
    form: Form
    value: float


class Stage(Struct, frozen=True):
    """`share` of the traffic is the candidate's, for `hold_s` seconds at least. A share of 1 has no control beside it: that
    stage is where the canary ends."""

    share: float
    hold_s: int = 0


BUILT_IN: Mapping[str, tuple[Stage, ...]] = {
    "careful": (Stage(0.05), Stage(0.25, 48 * HOUR_S), Stage(0.5, 72 * HOUR_S), Stage(1.0)),
    "fast": (Stage(0.01), Stage(0.1), Stage(0.5), Stage(1.0)),
}
GUARDS: tuple[Limit, ...] = (
    Limit(Guard.ACCURACY, Form.POINTS, 0.03),
    Limit(Guard.ESCALATION, Form.OWN, 0.2),
    Limit(Guard.ERROR_RATE, Form.POINTS, 0.05),
    Limit(Guard.COST, Form.TIMES, 1.5),
    Limit(Guard.P95, Form.TIMES, 2.0),
    Limit(Guard.DRIFT, Form.INDEX, 0.25),
)
"""Those of a plan that names none. The points of accuracy are points lost."""


class CanaryPlan(Struct, frozen=True, kw_only=True):
    """`agent` and `tenant` empty = each one. `candidate` and `control` are artifacts; empty = told by events of the stages
    `canary` and `control`, else the newest artifact and the one before.

    `error` bounds the chance that a candidate within every limit is rolled back, and that one beyond what is tolerated passes
    to the end. Tolerated is `within` times a limit (1: the limit itself). `at_least` samples of each side, else a guardrail is
    insufficient.
    """

    name: str
    agent: str = ""
    tenant: str = ""
    candidate: str = ""
    control: str = ""
    stages: tuple[Stage, ...] = BUILT_IN["careful"]
    limits: tuple[Limit, ...] = GUARDS
    at_least: int = 100
    within: float = 2.0
    error: float = 0.05

    @property
    def sure(self) -> float:
        """What an e-value must reach for a guardrail to fail: `error`, split evenly over guardrails and judged stages."""
        return len(self.limits) * (len(self.stages) - 1) / self.error

    def about(self) -> tuple[object, ...]:
        """What a canary under way depends on: when it changes, the plan is another one under the same name."""
        return self.agent, self.tenant, self.candidate, self.control, self.stages
