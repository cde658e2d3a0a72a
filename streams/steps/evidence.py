"""What a window says under a rule, and the transition that tells it: the value, its threshold, and where to look."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal

from msgspec import Struct

from waterline.schemas.alerts import AlertState, AlertTransition, alert_id
from waterline.schemas.events import Clock
from waterline.streams.steps.alarm import Alarm, Verdict
from waterline.streams.steps.entry import NANO
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rules import MEASURE, How, Measure, Rule
from waterline.streams.steps.sketch import quantile
from waterline.streams.steps.windows import Cell, WindowKey


class Reading(Struct, frozen=True):
    """A window under a rule. `value` is None when there is nothing to draw it from."""

    verdict: Verdict
    value: Decimal | None
    samples: int
    decisions: list[str]


def read(rule: Rule, cell: Cell, expected: int = 0) -> Reading:
    """`expected`: samples to reckon with although they are not there yet, none of which adds to a ratio."""
    measure = MEASURE[rule.measure]
    samples: int = getattr(cell, measure.whole)
    value = _value(measure, cell, max(samples, expected))
    decisions = list(cell.examples.get(measure.part, ()))
    if samples < rule.at_least or value is None:
        return Reading(Verdict.LITTLE, value, samples, decisions)
    if value > rule.above:
        return Reading(Verdict.BREACH, value, samples, decisions)
    return Reading(Verdict.CLEAR if value <= rule.clear else Verdict.BETWEEN, value, samples, decisions)


def _value(measure: Measure, cell: Cell, whole: int) -> Decimal | None:
    part = getattr(cell, measure.part)
    if measure.how is How.SUM:
        return Decimal(part)
    if measure.how is How.QUANTILE:
        found = quantile(part, measure.q)
        return None if found is None else Decimal(found).quantize(NANO, ROUND_HALF_EVEN)
    return (Decimal(part) / whole).quantize(NANO, ROUND_HALF_EVEN) if whole else None


def transition(
    rule: Rule,
    version: str,
    alarm: Alarm,
    window: WindowKey,
    state: AlertState,
    reading: Reading,
    at: int,
    late: bool,
    provisional: float | None,
) -> AlertTransition:
    """The transition of `alarm` (its number is set already) to `state`. `provisional`: the share of the window that has
    passed, for what is said before its end."""
    series, measure = window.series, MEASURE[rule.measure]
    group = {"agent": series.agent}
    if series.tool:
        group["tool"] = series.tool
    if series.replay:
        group["clock"] = Clock.REPLAY.value
    return AlertTransition(
        alert_id=alert_id(series.tenant, rule.name, group),
        transition=alarm.transition,
        tenant=series.tenant,
        rule=rule.name,
        group=group,
        severity=rule.severity,
        previous=alarm.told,
        state=state,
        at=instant(at),
        opened_at=instant(alarm.opened_at) if alarm.opened_at is not None else None,
        clock=Clock.REPLAY if series.replay else Clock.SOURCE,
        summary=_summary(rule, measure, window, state, reading),
        measure=measure.name,
        unit=measure.unit,
        value=reading.value,
        threshold=rule.above,
        clear=rule.clear.normalize(),
        samples=reading.samples,
        samples_needed=rule.at_least,
        window_from=instant(window.start),
        window_to=instant(window.end),
        completeness=1.0 if provisional is None else provisional,
        provisional=provisional is not None,
        late=late,
        decisions=reading.decisions,
        sql=statement(measure, window),
        runbook=rule.runbook,
        rules_version=version,
    )


def _summary(rule: Rule, measure: Measure, window: WindowKey, state: AlertState, reading: Reading) -> str:
    about = window.series.agent + (f", {window.series.tool}," if window.series.tool else "")
    span = f"from {instant(window.start):%Y-%m-%d %H:%M} to {instant(window.end):%H:%M} UTC"
    if state is AlertState.INSUFFICIENT:
        return f"{rule.name} of {about} says nothing: {reading.samples} samples {span}, {rule.at_least} are needed"
    value = show(reading.value, measure.unit)
    return f"{rule.name} of {about} is {value} {span} ({reading.samples} samples); the limit is {show(rule.above, measure.unit)}"


def show(value: Decimal | None, unit: str) -> str:
    """For a person: 0.0625 as 6.25 %."""
    if value is None:
        return "unknown"
    if unit == "ratio":
        return f"{(value * 100).quantize(Decimal('0.01')).normalize():f} %"
    plain = f"{value.quantize(Decimal('0.01')).normalize():f}"
    return plain if unit == "count" else f"{plain} {unit}"


_END = "ts + toIntervalMicrosecond(round(duration_ms * 1000))"
_CALLS = "SELECT decision, ts, duration_ms, {name}, status, error_type FROM decision_events WHERE {where} ORDER BY ts"
_DECISIONS = "SELECT decision_key, started_at, {columns} FROM decisions WHERE {where} ORDER BY started_at"
_TOOL, _MODEL = ("tool_call", "tool"), ("model_call", "model_served")
_FIELD_OF_DECISION: Mapping[str, str] = {"unpriced": "unpriced_calls", "reviewed": "reviews"}


def statement(measure: Measure, window: WindowKey) -> str:
    """SQL that returns what the value was drawn from, one row a call or decision."""
    series = window.series
    since, until = (f"toDateTime64('{instant(us):%Y-%m-%d %H:%M:%S}', 6, 'UTC')" for us in (window.start, window.end))
    where = [f"tenant = {quoted(series.tenant)}", f"agent = {quoted(series.agent)}"]
    if measure.whole in ("calls", "model_calls"):
        kind, name = _TOOL if measure.whole == "calls" else _MODEL
        where.append(f"kind = '{kind}'")
        if series.tool:
            where.append(f"tool = {quoted(series.tool)}")
        where.append(f"{_END} >= {since} AND {_END} < {until}")
        return _CALLS.format(name=name, where=" AND ".join(where))
    where.append(f"started_at >= {since} AND started_at < {until}")
    fields = (measure.part,) if measure.how is How.SUM else (measure.part, measure.whole)
    columns = ", ".join(_FIELD_OF_DECISION.get(field, field) for field in fields if field != "decisions")
    return _DECISIONS.format(columns=columns, where=" AND ".join(where))


def quoted(text: str) -> str:
    """A ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
