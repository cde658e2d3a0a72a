"""What a window says under a rule, and the transition that tells it: the value, its threshold, and where to look."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from msgspec import Struct

from waterline.schemas.alerts import AlertState, AlertTransition, alert_id
from waterline.schemas.events import Clock
from waterline.streams.steps.alarm import Said, Verdict
from waterline.streams.steps.entry import NANO
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rates import wilson
from waterline.streams.steps.rules import MEASURE, Baseline, How, Measure, Rule
from waterline.streams.steps.sketch import merged, quantile
from waterline.streams.steps.sketch import value_of as middle_of
from waterline.streams.steps.tally import WORK
from waterline.streams.steps.windows import Cell, Series, WindowKey, examples

Required = Sequence[Sequence[str]]
SURE_Z = 4.0
"""One-sided 3 in 100,000 a look. Looks are some hundred a window, and each has most of its samples in common with the next."""


class Reading(Struct, frozen=True):
    """A window under a rule. `value` is None when there is nothing to draw it from, `threshold` when there is no baseline."""

    verdict: Verdict
    value: Decimal | None
    threshold: Decimal | None
    samples: int
    decisions: list[str]


def read(rule: Rule, cells: Sequence[Cell], baseline: Decimal | None) -> Reading:
    """`cells` are the window's panes."""
    measure = MEASURE[rule.measure]
    samples = samples_of(measure, cells)
    value = value_of(measure, cells, samples)
    decisions = examples(measure.part, cells)
    threshold = rule.above if rule.baseline is Baseline.NONE else baseline and _round(baseline * rule.above)
    if samples < rule.at_least or value is None or threshold is None:
        verdict = Verdict.LITTLE
    elif value > threshold:
        verdict = Verdict.BREACH
    else:
        verdict = Verdict.CLEAR if value <= threshold * rule.clear_at else Verdict.BETWEEN
    return Reading(verdict, value, threshold, samples, decisions)


def sure(rule: Rule, cells: Sequence[Cell], reading: Reading) -> bool:
    """Whether a window that is not over may fire: its breach is no chance of the few samples so far. A sum only grows. Of a
    share, the lower end of Wilson's interval at `SURE_Z` is over the threshold; of a quantile, that of the share of samples
    beyond it."""
    measure = MEASURE[rule.measure]
    if reading.verdict is not Verdict.BREACH or reading.threshold is None:
        return False
    if measure.how is How.SUM:
        return True
    limit = float(reading.threshold)
    if measure.how is How.QUANTILE:
        beyond = sum(number for cell in cells for bucket, number in cell.sketch().items() if middle_of(bucket) > limit)
        share, limit = wilson(beyond, reading.samples, SURE_Z), 1 - measure.q
    else:
        part = sum(getattr(cell, measure.part) for cell in cells)
        share = wilson(min(part, reading.samples), reading.samples, SURE_Z)
    return share is not None and share.low > limit


def samples_of(measure: Measure, cells: Iterable[Cell]) -> int:
    return sum(getattr(cell, measure.whole) for cell in cells)


def value_of(measure: Measure, cells: Iterable[Cell], whole: int) -> Decimal | None:
    if measure.how is How.QUANTILE:
        found = quantile(merged(cell.sketch() for cell in cells), measure.q)
        return None if found is None else _round(Decimal(found))
    total = Decimal(sum(getattr(cell, measure.part) for cell in cells))
    if measure.how is How.SUM:
        return total.scaleb(-9) if measure.part == "nanos" else total
    return _round(total / whole) if whole else None


def _round(value: Decimal) -> Decimal:
    return value.quantize(NANO, ROUND_HALF_EVEN)


def transition(
    rule: Rule,
    version: str,
    said: Said,
    window: WindowKey,
    reading: Reading,
    late: bool,
    share: float = 1.0,
    required: Required = (),
) -> AlertTransition:
    """What `said` tells of a window. `share`: of the window that has passed, for what is said before its end. `required`: the
    fields that events must have."""
    series, measure, group = window.series, MEASURE[rule.measure], window.series.group
    return AlertTransition(
        alert_id=alert_id(series.tenant, rule.name, group),
        transition=said.transition,
        revision=said.revision,
        tenant=series.tenant,
        rule=rule.name,
        group=group,
        severity=rule.severity,
        previous=said.previous,
        state=said.state,
        at=instant(said.at),
        opened_at=instant(said.opened_at) if said.opened_at is not None else None,
        clock=Clock.REPLAY if series.replay else Clock.SOURCE,
        summary=_summary(rule, measure, window, said.state, reading),
        measure=measure.name,
        unit=measure.unit,
        value=reading.value,
        threshold=reading.threshold,
        clear=None if reading.threshold is None else (reading.threshold * rule.clear_at).normalize(),
        samples=reading.samples,
        samples_needed=rule.at_least,
        window_from=instant(first_of(rule, window)),
        window_to=instant(window.end),
        completeness=share,
        provisional=said.provisional,
        late=late,
        decisions=reading.decisions,
        sql=statement(measure, window.series, first_of(rule, window), window.end, required),
        runbook=rule.runbook,
        rules_version=version,
    )


def first_of(rule: Rule, window: WindowKey) -> int:
    """Where a window begins whose last pane is `window`, in microseconds."""
    return window.start - (rule.panes - 1) * window.length


def _summary(rule: Rule, measure: Measure, window: WindowKey, state: AlertState, reading: Reading) -> str:
    about = window.series.about
    span = f"from {instant(first_of(rule, window)):%Y-%m-%d %H:%M} to {instant(window.end):%Y-%m-%d %H:%M} UTC"
    if state is AlertState.INSUFFICIENT:
        return f"{rule.name} of {about} says nothing: {reading.samples} samples {span}, {rule.at_least} are needed"
    value, limit = show(reading.value, measure.unit), show(reading.threshold, measure.unit)
    return f"{rule.name} of {about} is {value} {span} ({reading.samples} samples); the limit is {limit}"


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
_EVENTS = "SELECT decision, ts, kind, name, {columns} FROM decision_events WHERE {where} ORDER BY ts"
_DECISIONS = "SELECT decision_key, started_at, {columns} FROM decisions WHERE {where} ORDER BY started_at"
_NAMED = {"tool": "if(tool != '', tool, name)"}
_TOOL, _MODEL = ("tool_call", "tool"), ("model_call", "model_served")
_FIELD_OF_DECISION: Mapping[str, str] = {"unpriced": "unpriced_calls", "reviewed": "review_verdict", "nanos": "realized_cost"}


def statement(measure: Measure, series: Series, start: int, end: int, required: Required = ()) -> str:
    """SQL that returns what the value was drawn from, one row a call or decision; of events, those that lack a field."""
    since, until = (f"toDateTime64('{instant(us):%Y-%m-%d %H:%M:%S}', 6, 'UTC')" for us in (start, end))
    where = [f"tenant = {quoted(series.tenant)}"]
    for by, name in zip(series.by, series.names, strict=True):
        where.append(f"{_NAMED.get(by, by)} = {quoted(name)}")
    if measure.whole in ("calls", "model_calls"):
        kind, name = _TOOL if measure.whole == "calls" else _MODEL
        where.append(f"kind = '{kind}'")
        where.append(f"{_END} >= {since} AND {_END} < {until}")
        return _CALLS.format(name=name, where=" AND ".join(where))
    if measure.whole == "events":
        kinds = ", ".join(f"'{kind}'" for kind in sorted(WORK))
        lacks = " OR ".join(" AND ".join(f"{name} = ''" for name in group) for group in required)
        where += [f"kind IN ({kinds})", f"({lacks or 'false'})", f"{_END} >= {since} AND {_END} < {until}"]
        columns = ", ".join(dict.fromkeys(name for group in required for name in group)) or "source"
        return _EVENTS.format(columns=columns, where=" AND ".join(where))
    where.append(f"started_at >= {since} AND started_at < {until}")
    fields = (measure.part,) if measure.how is How.SUM else (measure.part, measure.whole)
    columns = ", ".join(_FIELD_OF_DECISION.get(field, field) for field in fields if field != "decisions")
    return _DECISIONS.format(columns=columns, where=" AND ".join(where))


def quoted(text: str) -> str:
    """A ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
