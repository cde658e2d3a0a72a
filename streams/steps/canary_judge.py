"""The guardrails of a canary's stage: what each says of a candidate and its control over the same time.

    fail          shown to be beyond its limit: the e-value against "within the limit" has come to the plan's `sure`
    pass          enough samples, within the limit as they are, and shown not to be beyond what is tolerated: the e-value against
                  that has come to 1 / error
    insufficient  neither, which is never a pass

Drift passes by its estimate: the index under the limit, and chance alone under `moderate`.
"""

from collections.abc import Callable
from math import ceil, inf, log

from msgspec import Struct

from waterline.schemas.judgement import Guardrail
from waterline.streams.steps import canary_evidence as evidence
from waterline.streams.steps.canary_counts import Sums
from waterline.streams.steps.canary_evidence import Mean, Share
from waterline.streams.steps.canary_plan import CanaryPlan, Form, Guard, Limit
from waterline.streams.steps.distribution import MODERATE, of_categories
from waterline.streams.steps.sketch import Sketch, count, quantile

PASS, FAIL, INSUFFICIENT = "pass", "fail", "insufficient"
MOST_SAMPLES = 10**9
_NOTHING = Share(0, 0)


class Compared(Struct, frozen=True):
    """One guardrail: both sides and the limit in the candidate's unit (None = nothing to draw it from), the samples, and
    whether the candidate is beyond the limit as it stands. `fails` is the logarithm of the e-value that it is, `passes` that it
    is not beyond what is tolerated, had there been so many times as many samples. `least` samples are needed, `fewest` are there
    on the side that has the fewest."""

    name: str
    candidate: float | None
    control: float | None
    limit: float | None
    samples: tuple[int, int]
    beyond: bool
    fails: Callable[[], float]
    passes: Callable[[float], float]
    least: int
    fewest: int


def failing(plan: CanaryPlan, candidate: Sums, control: Sums) -> int | None:
    """The place of the first guardrail that fails."""
    told = enumerate(compared(plan, limit, candidate, control) for limit in plan.limits)
    return next((place for place, one in told if _fails(plan, one)), None)


def waiting(plan: CanaryPlan, candidate: Sums, control: Sums) -> int | None:
    """The place of the first guardrail that does not pass."""
    told = enumerate(compared(plan, limit, candidate, control) for limit in plan.limits)
    return next((place for place, one in told if _fails(plan, one) or not _passes(plan, one)), None)


def judged(plan: CanaryPlan, candidate: Sums, control: Sums) -> list[Guardrail]:
    """What every guardrail of the plan says, in its order."""
    return [_guardrail(plan, compared(plan, limit, candidate, control)) for limit in plan.limits]


def _fails(plan: CanaryPlan, told: Compared) -> bool:
    return told.beyond and told.fails() >= log(plan.sure)


def _passes(plan: CanaryPlan, told: Compared) -> bool:
    enough = told.fewest >= told.least and told.limit is not None
    return enough and not told.beyond and told.passes(1.0) >= log(1 / plan.error)


def _guardrail(plan: CanaryPlan, told: Compared) -> Guardrail:
    return Guardrail(
        name=told.name,
        state=FAIL if _fails(plan, told) else PASS if _passes(plan, told) else INSUFFICIENT,
        candidate=told.candidate,
        control=told.control,
        limit=told.limit,
        candidate_samples=told.samples[0],
        control_samples=told.samples[1],
        needed=_needed(plan, told),
    )


def _needed(plan: CanaryPlan, told: Compared) -> int:
    """Samples of the candidate with which it passes, if everything stays as it is; 0 while that cannot be told."""
    fewest, enough = told.fewest, log(1 / plan.error)
    if fewest == 0 or told.beyond or told.limit is None:
        return 0
    low, high = 0.0, told.least / fewest
    while told.passes(high) < enough:
        low, high = high, high * 2
        if high * fewest > MOST_SAMPLES:
            return 0
    if low:
        for _ in range(6):
            middle = (low + high) / 2
            low, high = (low, middle) if told.passes(middle) >= enough else (middle, high)
    return max(told.least, ceil(high * fewest))


def compared(plan: CanaryPlan, limit: Limit, candidate: Sums, control: Sums) -> Compared:
    if limit.guard is Guard.COST:
        return _costs(plan, limit, candidate, control)
    if limit.guard is Guard.P95:
        return _latencies(plan, limit, candidate.millis, control.millis)
    if limit.guard is Guard.DRIFT:
        return _drift(plan, limit, candidate, control)
    accuracy = limit.guard is Guard.ACCURACY
    if accuracy:
        ours, theirs = candidate.wrongs, control.wrongs
    elif limit.guard is Guard.ESCALATION:
        ours, theirs = candidate.escalations, control.escalations
    else:
        ours, theirs = candidate.failures, control.failures
    told = _shares(plan, limit, ours, theirs, 1 - limit.value if accuracy and limit.form is Form.OWN else limit.value)
    return _turned(told) if accuracy else told


def _shares(plan: CanaryPlan, limit: Limit, ours: Share, theirs: Share, most: float) -> Compared:
    """Of shares that should be small. A limit of the candidate's own needs no control."""
    own, form = limit.form is Form.OWN, limit.form
    k, n, j, m = (int(one) for one in (*ours, *theirs))
    p, q = k / n if n else None, j / m if m else None
    edge = most if own else None if q is None else q + most if form is Form.POINTS else q * most
    tolerated = _tolerated(form, most, plan.within)
    beside = _NOTHING if own else theirs

    def passes(scale: float) -> float:
        ours_then, beside_then = (Share(one.part * scale, one.whole * scale) for one in (ours, beside))
        return float(evidence.under(ours_then, beside_then, form, tolerated))

    return Compared(
        limit.guard.value, p, q, edge, (n, m), p is not None and edge is not None and p > edge,
        lambda: float(evidence.beyond(ours, beside, form, most)), passes, plan.at_least, n if own else min(n, m),
    )  # fmt: skip


def _tolerated(form: Form, limit: float, within: float) -> float:
    if form is Form.TIMES:
        return 1 + within * (limit - 1)
    return min(within * limit, (1 + limit) / 2) if form is Form.OWN else min(within * limit, 0.99)


def _turned(told: Compared) -> Compared:
    """Of shares that should be large, as people read them."""
    ours, theirs, limit = (None if one is None else 1 - one for one in (told.candidate, told.control, told.limit))
    return Compared(told.name, ours, theirs, limit, told.samples, told.beyond, told.fails, told.passes, told.least, told.fewest)


def _costs(plan: CanaryPlan, limit: Limit, candidate: Sums, control: Sums) -> Compared:
    ours, theirs, times = candidate.costs, control.costs, limit.value
    tolerated = _tolerated(Form.TIMES, times, plan.within)
    known = bool(candidate.priced and control.priced)
    edge = times * float(theirs.mean) if known else None
    least = ceil(plan.at_least * (1 + max(_unevenness(one) for one in (ours, theirs))))
    enough = min(candidate.priced, control.priced) >= least
    mean = float(ours.mean)

    def passes(scale: float) -> float:
        ours_then, theirs_then = (one._replace(samples=one.samples * scale) for one in (ours, theirs))
        same = not (ours.variance or theirs.variance)
        return inf if same and known else float(evidence.costlier(ours_then, theirs_then, tolerated, -1.0))

    def fails() -> float:
        if not enough:
            return -inf
        return float(evidence.costlier(ours, theirs, times)) if ours.variance or theirs.variance else inf

    return Compared(
        limit.guard.value, mean if candidate.priced else None, float(theirs.mean) if control.priced else None, edge,
        (candidate.priced, control.priced), edge is not None and mean > edge, fails, passes, least,
        min(candidate.priced, control.priced),
    )  # fmt: skip


def _unevenness(costs: Mean) -> float:
    """Variance as a multiple of the squared mean: the more uneven costs are, the more of them their mean is drawn from."""
    return float(costs.variance / costs.mean**2) if costs.mean else 0.0


def _latencies(plan: CanaryPlan, limit: Limit, ours: Sketch, theirs: Sketch) -> Compared:
    ours, theirs = ({bucket: number for bucket, number in one.items() if number > 0} for one in (ours, theirs))
    p, q, times = quantile(ours, 0.95), quantile(theirs, 0.95), limit.value
    tolerated = _tolerated(Form.TIMES, times, plan.within)
    edge = None if q is None else q * times
    return Compared(
        limit.guard.value, p, q, edge, (count(ours), count(theirs)), p is not None and edge is not None and p > edge,
        lambda: evidence.slower(ours, theirs, times), lambda scale: evidence.faster(ours, theirs, tolerated, scale),
        plan.at_least, min(count(ours), count(theirs)),
    )  # fmt: skip


def _drift(plan: CanaryPlan, limit: Limit, candidate: Sums, control: Sums) -> Compared:
    ours, theirs = ({name: number for name, number in one.classes.items() if number > 0} for one in (candidate, control))
    n, m = sum(ours.values()), sum(theirs.values())
    apart = of_categories(theirs, ours) if n and m else None

    def passes(scale: float) -> float:
        return inf if apart is not None and apart.by_chance / scale <= MODERATE else -inf

    def fails() -> float:
        return float(evidence.differ(evidence.binned(ours), evidence.binned(theirs)))

    return Compared(
        limit.guard.value, None if apart is None else apart.psi, None, None if apart is None else limit.value, (n, m),
        apart is not None and apart.psi > limit.value, fails, passes, plan.at_least, min(n, m),
    )  # fmt: skip
