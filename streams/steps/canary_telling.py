"""What is told of a canary: a verdict with its evidence, in numbers and in words."""

from collections.abc import Callable

from waterline.schemas.events import Clock
from waterline.schemas.judgement import CanaryVerdict, Guardrail
from waterline.streams.steps.canary_judge import INSUFFICIENT, judged
from waterline.streams.steps.canary_plan import CanaryPlan, Form, Guard, Limit
from waterline.streams.steps.canary_state import CANARY, CONTROL, Canary, Run, Watch
from waterline.streams.steps.evidence import quoted
from waterline.streams.steps.moment import SECOND, instant

_UNIT: dict[Guard, Callable[[float], str]] = {
    Guard.COST: lambda value: f"{value:.6g} USD",
    Guard.P95: lambda value: f"{value:.4g} ms",
    Guard.DRIFT: lambda value: f"{value:.3f}",
}
_ABOUT = {
    Guard.ACCURACY: ("accuracy", "labels"),
    Guard.ESCALATION: ("escalation", "decisions"),
    Guard.ERROR_RATE: ("the share of decisions with a failed tool call", "decisions"),
    Guard.COST: ("the mean cost", "priced decisions"),
    Guard.P95: ("the 95th percentile of the agent's time", "decisions"),
    Guard.DRIFT: ("the index of output classes (PSI)", "decisions"),
}


def verdict(
    plan: CanaryPlan, version: str, watch: Watch, canary: Canary, stage: int, decided: int | None, at: int, why: str
) -> CanaryVerdict:
    """`stage` is the one that is told of, `decided` the place of the guardrail that did; `why` begins the reason."""
    run = canary.runs[stage]
    known = decided is not None or run.candidate.decisions or run.control.decisions
    told = judged(plan, run.candidate, run.control) if known else []
    guardrail = None if decided is None else told[decided]
    words = why if guardrail is None or decided is None else f"{why}: {_words(plan, plan.limits[decided], guardrail)}"
    return CanaryVerdict(
        tenant=watch.tenant,
        plan=plan.name,
        agent=watch.agent,
        candidate=canary.candidate,
        control=canary.control,
        stage=stage,
        share=plan.stages[stage].share,
        revision=watch.told[canary.candidate],
        clock=Clock.REPLAY if watch.replay else Clock.SOURCE,
        verdict=canary.verdict,
        guardrail="" if guardrail is None else guardrail.name,
        reason=words + _share_seen(plan, plan.stages[stage].share, run),
        at=instant(at),
        stage_from=instant(run.start),
        guardrails=told,
        sql=_statement(plan, watch, canary, run.start, at),
        rules_version=version,
    )


def _words(plan: CanaryPlan, limit: Limit, told: Guardrail) -> str:
    """One guardrail in a sentence."""
    about, unit = _ABOUT[limit.guard]
    show = _UNIT.get(limit.guard, _percent)
    if told.candidate is None or told.limit is None:
        return f"{about} is not known of both ({told.candidate_samples:,} and {told.control_samples:,} {unit})"
    beside = "" if limit.form is Form.OWN or told.control is None else f" beside {show(told.control)}"
    side = "least" if limit.guard is Guard.ACCURACY else "limit"
    sentence = f"{about} is {show(told.candidate)}{beside}, the {side} is {show(told.limit)}"
    samples = f"{told.candidate_samples:,} {unit}"
    if limit.form is not Form.OWN:
        samples = f"{told.candidate_samples:,} and {told.control_samples:,} {unit}"
    if told.state != INSUFFICIENT:
        return f"{sentence} ({samples})"
    beyond = told.candidate < told.limit if limit.guard is Guard.ACCURACY else told.candidate > told.limit
    if beyond:
        return f"{sentence}; of {samples} that may be chance"
    enough = f", some {told.needed:,} may do" if told.needed else ""
    return f"{sentence}; of {samples} that is not sure{enough}"


def _percent(value: float) -> str:
    return f"{value * 100:.4g} %"


def _share_seen(plan: CanaryPlan, share: float, run: Run) -> str:
    """Said where traffic is far from what the plan says."""
    ours, both = run.candidate.decisions, run.candidate.decisions + run.control.decisions
    if share == 1 or both < plan.at_least / share or abs(ours / both - share) <= min(share, 1 - share) / 2:
        return ""
    return f"; {ours / both:.1%} of the decisions are the candidate's where the plan says {share:.0%}"


def _statement(plan: CanaryPlan, watch: Watch, canary: Canary, since: int, until: int) -> str:
    """SQL that returns the decisions of both sides."""
    artifact = "if(artifact_id != '', artifact_id, agent_version)"
    first, last = (f"{instant(us):%Y-%m-%d %H:%M:%S}" for us in (since, max(until, since + SECOND)))
    sides = f"{artifact} IN ({quoted(canary.candidate)}, {quoted(canary.control)})"
    if not plan.candidate:
        sides = f"({sides} OR stage IN ('{CANARY}', '{CONTROL}'))"
    where = f"tenant = {quoted(watch.tenant)} AND agent = {quoted(watch.agent)} AND {sides}"
    columns = "outcome, escalated, tool_errors, automated_cost, unpriced_calls, agent_ms, output_class"
    return (
        f"SELECT decision_key, started_at, {artifact} AS artifact, stage, {columns} FROM decisions "
        f"WHERE {where} AND started_at >= '{first}' AND started_at < '{last}' ORDER BY started_at"
    )


def lasted(run: Run, at: int) -> str:
    """How long a stage has been going on."""
    hours = (at - run.start) / (3600 * SECOND)
    return f"{hours:.0f} h" if hours >= 2 else f"{hours * 60:.0f} min"


def next_share(plan: CanaryPlan, stage: int) -> str:
    return f"{plan.stages[stage].share:.0%}"


def began(plan: CanaryPlan, stage: int) -> str:
    last = len(plan.stages) - 1
    if plan.stages[stage].share == 1:
        return "the candidate has passed every stage"
    return f"stage {stage + 1} of {last} began, with {plan.stages[stage].share:.0%} of the traffic"
