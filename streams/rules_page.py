"""Rules in words: the fields as one would write them, and the generated parts of RULES.md, which `python -m
waterline.streams.rules_page` writes anew."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from waterline.streams import rules_asked, rules_baselines, rules_budgets, rules_canaries, rules_file
from waterline.streams.rules_words import PASTS, UNITS, lasting, plain, written
from waterline.streams.steps.canary_plan import CanaryPlan
from waterline.streams.steps.moment import day_name
from waterline.streams.steps.outliers import DAYS
from waterline.streams.steps.readings import ENOUGH
from waterline.streams.steps.rules import BEFORE, MEASURE, MEASURES, Asked, Baseline, Budget, How, Measure, Pin, Rule, Rules

PAGE = Path(__file__).with_name("RULES.md")


Told = dict[str, str | int | list[str] | dict[str, str]]


def fields_of(rule: Rule | Asked) -> Told:
    """As in a rules file; what has its default is left out."""
    if isinstance(rule, Asked):
        told: Told = {"rule": rule.name, "question": rule.rule.measure}
        if rule.parameters:
            told["params"] = dict(rule.parameters)
        told |= {"every": lasting(rule.rule.window_s), "above": amount(rule.rule.above, rule.unit)}
        if rule.unit != "count":
            told["unit"] = next(called for called, unit in rules_asked.CALLED.items() if unit == rule.unit)
        return told | _rest(rule.rule)
    apart = rules_file.NOT_FOR.get(rule.how, ())
    told = {"rule": rule.name, "measure": rule.measure, "by": list(rule.by)}
    if "window" not in apart:
        told["window"] = lasting(rule.window_s * rule.panes)
    if rule.panes > 1:
        told["every"] = lasting(rule.window_s)
    told["above"] = limit(rule)
    return told | _rest(rule)


def _rest(rule: Rule) -> Told:
    default = Rule(name="", measure="", window_s=0, above=Decimal(0))
    told: Told = {}
    if rule.at_least != default.at_least:
        told["at_least"] = rule.at_least
    if rule.clear_at != default.clear_at:
        told["clear_at"] = percent(rule.clear_at)
    if rule.for_windows != default.for_windows:
        told["for"] = lasting(rule.window_s * (rule.for_windows - 1))
    if rule.hold_windows != default.hold_windows:
        told["hold"] = lasting(rule.window_s * rule.hold_windows)
    told["severity"] = rule.severity.value
    return told | {name: text for name, text in (("runbook", rule.runbook), ("meaning", rule.meaning)) if text}


def limit(rule: Rule) -> str:
    """What the measure must be above: 5%, 1500ms, 2x same_hour_of_7_days."""
    if rule.baseline is not Baseline.NONE:
        return f"{plain(rule.above)}x {rule.baseline.value}"
    return amount(rule.above, MEASURE[rule.measure].unit)


def amount(above: Decimal, unit: str) -> str:
    if unit == "s" and above == int(above):
        return lasting(int(above))
    return written(above / next(iter(UNITS[unit].values())), unit)


def percent(share: Decimal) -> str:
    return f"{plain(share * 100)}%"


def sentence(rule: Rule | Asked) -> str:
    """When it fires."""
    if isinstance(rule, Asked):
        return _asked_sentence(rule)
    measure = MEASURE[rule.measure]
    told = [f"{rule.measure} of each {' and '.join(rule.by)} above {limit(rule)}"]
    if rule.how is How.SILENCE:
        return f"{told[0]} after it was heard in every minute of {lasting(rule.window_s)}"
    if "window" not in rules_file.NOT_FOR.get(rule.how, ()):
        told.append(f"over {lasting(rule.window_s * rule.panes)}")
    if rule.panes > 1:
        told.append(f"every {lasting(rule.window_s)}")
    if rule.for_windows > 1:
        told.append(f"and for {lasting(rule.window_s * (rule.for_windows - 1))} more")
    if rule.at_least > 1:
        told.append(f"from {rule.at_least} {measure.whole.replace('_', ' ')} on")
    return " ".join(told)


def _asked_sentence(asked: Asked) -> str:
    rule = asked.rule
    told = [f"the answer to {rule.measure} above {amount(rule.above, asked.unit)}, asked every {lasting(rule.window_s)}"]
    if rule.for_windows > 1:
        told.append(f"and for {lasting(rule.window_s * (rule.for_windows - 1))} more")
    if rule.at_least > 1:
        told.append(f"from {rule.at_least} samples on")
    return " ".join(told)


def budget_sentence(budget: Budget) -> str:
    whose = f"{budget.scope.value} {budget.of}".strip() if budget.of else f"each {budget.scope.value}"
    tenant = f" of tenant {budget.tenant}" if budget.tenant and budget.scope.value != "tenant" else ""
    whose = f"tenant {budget.tenant}" if budget.scope.value == "tenant" and budget.tenant else whose
    deny = "never denied" if budget.deny_at is None else f"denied from {percent(budget.deny_at)} on"
    return (
        f"{plain(budget.limit)} USD a {budget.period.value} for {whose}{tenant}; warned from {percent(budget.warn_at)} on, {deny}"
    )


def canary_sentence(plan: CanaryPlan) -> str:
    whose = f"agent {plan.agent}" if plan.agent else "each agent"
    tenant = f" of tenant {plan.tenant}" if plan.tenant else ""
    sides = f"{plan.candidate or 'the newest artifact'} beside {plan.control or 'the one before'}"
    stages = " -> ".join(
        f"{stage.share * 100:g}%" + (f" ({lasting(stage.hold_s)})" if stage.hold_s else "") for stage in plan.stages
    )
    return f"{whose}{tenant}: {sides}, {stages}; {', '.join(limit.guard.value for limit in plan.limits)}"


def baseline_sentence(pin: Pin) -> str:
    tenant = f" of tenant {pin.tenant}" if pin.tenant else ""
    what = f"artifact {pin.artifact}" if pin.artifact else f"{day_name(pin.since)} to {day_name(pin.until)}"
    return f"agent {pin.agent}{tenant}: compared with {what}"


def all_of(rules: Rules) -> Sequence[Rule | Asked]:
    return (*rules.rules, *rules.apart, *rules.asked)


def filled(page: str) -> str:
    """RULES.md with its generated parts as they are due: what stands between `<!-- NAME -->` and `<!-- end -->`."""
    for name, lines in _parts().items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        page = before + mark + "\n".join(lines) + "\n<!-- end -->" + rest.partition("<!-- end -->")[2] if mark else page
    return page


def _parts() -> dict[str, list[str]]:
    head = ("measure", "what it is", "unit", "samples", "can be grouped by", "can be compared with")
    default = all_of(rules_file.default())
    return {
        "rule": ["```yaml", *_example(rules_file.__doc__ or ""), "```"],
        "measures": _table(head, map(_measure, MEASURES)),
        "pasts": [f"- `{past.value}`: {meaning}" for past, meaning in _PASTS.items()],
        "defaults": _table(("rule", "fires when", "severity", "what it means"), map(_rule, default)),
        "asked": ["```yaml", *_example(rules_asked.__doc__ or ""), "```"],
        "questions": _table(("question", "asks", "answers in"), map(_question, sorted(rules_asked.FOLDER.glob("*.sql")))),
        "budgets": ["```yaml", *_example(rules_budgets.__doc__ or ""), "```"],
        "canaries": ["```yaml", *_example(rules_canaries.__doc__ or ""), "```"],
        "baselines": ["```yaml", *_example(rules_baselines.__doc__ or ""), "```"],
    }


_PASTS = {
    Baseline.DAYS: f"the mean of the measure over the {BEFORE} windows before; without all of them nothing can be said",
    Baseline.HOURS: f"the measure over the same hour of the last {BEFORE} days; with fewer than {ENOUGH} samples there, or than"
    " `at_least`, over the last 24 hours; for windows of an hour and less",
    Baseline.TASK: f"the mean of the decisions of the same task over the {DAYS} days before; `at_least` of them",
}


_SECTIONS = ("rules:", "budgets:", "canaries:", "baselines:")


def _example(doc: str) -> list[str]:
    """The example in a module's docstring."""
    lines = doc.splitlines()
    first = next(number for number, line in enumerate(lines) if line.lstrip().startswith(_SECTIONS))
    indent = len(lines[first]) - len(lines[first].lstrip())
    taken = []
    for line in lines[first:]:
        if not line.strip():
            break
        taken.append(line[indent:])
    return taken


def _measure(measure: Measure) -> tuple[str, ...]:
    ways = " or ".join(f"`[{', '.join(group)}]`" for group in measure.groups)
    unit = "%" if measure.unit == "ratio" else measure.unit
    pasts = ", ".join(f"`{past.value}`" for past in PASTS[measure.how])
    samples = measure.whole.replace("_", " ")
    return f"`{measure.name}`", measure.meaning, unit, samples, ways, pasts or "-"


def _question(path: Path) -> tuple[str, ...]:
    lines = path.read_text("utf-8").splitlines()
    unit = next((line.removeprefix("-- unit value: ") for line in lines if line.startswith("-- unit value: ")), "a plain number")
    return f"`{path.stem}`", lines[0].removeprefix("-- "), unit


def _rule(rule: Rule | Asked) -> tuple[str, ...]:
    return f"`{rule.name}`", sentence(rule), rule.severity.value, rule.meaning


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
