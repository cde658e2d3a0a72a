"""The canaries of a rules file: through which stages a candidate goes, and what it must not do worse than its control.

canaries:
  - canary: refunds               # its name, which is in every verdict
    agent: refund-agent           # left out = each agent
    tenant: acme                  # left out = every tenant
    candidate: sha256:9f2c        # an artifact; left out = told by events of stage `canary`, else the newest artifact
    control: sha256:11ab          # left out = told by events of stage `control`, else the artifact before
    stages: careful               # 5 -> 25 (48 h) -> 50 (72 h) -> 100 %; fast: 1 -> 10 -> 50 -> 100 %; or a list of one's own:
    #  - {share: 5%}              # of the traffic; `hold` is the least time, without it as soon as every guardrail passes
    #  - {share: 50%, hold: 72h}
    #  - {share: 100%}            # where it ends
    guardrails:                   # left out = these; one of a list that is left out keeps its limit, `off` is not looked at
      accuracy: -3 points         # beside the control, or at least 90% of the labelled
      escalation: 20%             # at most, or +5 points beside the control, or 1.5x
      error_rate: +5 points       # decisions with a failed tool call; or 5%, or 1.5x
      cost: 1.5x                  # mean cost of a decision's calls
      p95: 2x                     # 95th percentile of the agent's own time
      drift: major                # of output classes: moderate or major
    at_least: 100                 # samples of each side without which a guardrail says nothing
    within: 2x                    # passing is being shown not to be beyond this many times a limit; 1x = the limit itself
    error: 5%                     # how often a candidate within every limit may be rolled back
"""

import re
from collections.abc import Callable
from decimal import Decimal

from yaml.nodes import Node

from waterline.schemas.yaml_lines import Mistake, entries, items, kind_of, line_of
from waterline.streams.rules_nodes import Fields, listed
from waterline.streams.rules_words import meant, seconds, whole
from waterline.streams.steps.canary_plan import BUILT_IN, GUARDS, CanaryPlan, Form, Guard, Limit, Stage
from waterline.streams.steps.distribution import MAJOR, MODERATE

FIELDS = {
    "canary": "refunds",
    "agent": "refund-agent",
    "tenant": "acme",
    "candidate": "sha256:9f2c",
    "control": "sha256:11ab",
    "stages": "careful",
    "guardrails": "",
    "at_least": "100",
    "within": "2x",
    "error": "5%",
}
ALSO = {
    "name": "canary", "plan": "stages", "steps": "stages", "limits": "guardrails", "guards": "guardrails", "new": "candidate",
    "old": "control", "baseline": "control", "min_samples": "at_least", "samples": "at_least", "margin": "within",
    "alpha": "error",
}  # fmt: skip
ALSO_GUARDS = {
    "latency": "p95", "latency_p95": "p95", "errors": "error_rate", "tool_errors": "error_rate", "escalations": "escalation",
    "escalation_rate": "escalation", "psi": "drift", "costs": "cost",
}  # fmt: skip
ALSO_STAGE = {"traffic": "share", "percent": "share", "weight": "share", "for": "hold", "at_least": "hold", "wait": "hold"}
WAYS = {
    Guard.ACCURACY: ("-3 points", "90%"),
    Guard.ESCALATION: ("20%", "+5 points", "1.5x"),
    Guard.ERROR_RATE: ("+5 points", "5%", "1.5x"),
    Guard.COST: ("1.5x",),
    Guard.P95: ("2x",),
    Guard.DRIFT: ("major", "moderate"),
}
"""how the limit of each may be written"""
OFF = "off"
MINUTE = 60
LONGEST = 31 * 86400
MOST_STAGES = 10
_NUMBER = r"(\d{1,4}(?:\.\d{1,4})?)"
_POINTS, _TIMES, _PERCENT = (re.compile(one) for one in (rf"([+-]){_NUMBER} points?", rf"{_NUMBER}x", rf"{_NUMBER}%"))
_DRIFT = {"moderate": MODERATE, "major": MAJOR}


def canaries(node: Node | None, found: list[Mistake], name: Callable[[str], str]) -> list[CanaryPlan]:
    """Those that can be read. `name` reads a name, as in a rule."""
    lines: dict[str, int] = {}
    return listed(node, "canaries", "canary", found, FIELDS, ALSO, lambda fields: _plan(fields, found, lines, name))


def _plan(fields: Fields, found: list[Mistake], lines: dict[str, int], read_name: Callable[[str], str]) -> CanaryPlan | None:
    fields.missing("canary", FIELDS["canary"])
    name = fields.read("canary", read_name)
    if name is not None and lines.setdefault(name, fields.lines["canary"]) != fields.lines["canary"]:
        fields.at("canary", f"line {lines[name]} has a canary of this name already; give each its own")
    candidate, control = fields.text("candidate"), fields.text("control")
    if candidate is not None and candidate == control:
        fields.at("control", f"the candidate is {candidate} too; name what it is compared with")
    given = {
        "agent": fields.text("agent"),
        "tenant": fields.text("tenant"),
        "candidate": candidate,
        "control": control,
        "stages": _stages(fields, found),
        "limits": _limits(fields, found),
        "at_least": fields.read("at_least", whole),
        "within": fields.read("within", _within),
        "error": fields.read("error", _error),
    }
    if name is None:
        return None
    return CanaryPlan(name=name, **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]


def _stages(fields: Fields, found: list[Mistake]) -> tuple[Stage, ...] | None:
    node = fields.values.get("stages")
    if node is None:
        return None
    if not items(node):
        return fields.read("stages", _built_in)
    stages: list[Stage] = []
    before, last = len(found), len(items(node))
    for number, item in enumerate(items(node), 1):
        called = f"{fields.name}: stage {number}"
        if not entries(item):
            found.append(Mistake(line_of(item), f"{called}: fields are wanted, such as {{share: 25%, hold: 48h}}"))
            continue
        one = Fields(item, called, found, ("share", "hold"), ALSO_STAGE)
        one.missing("share", "25%")
        share, hold = one.read("share", _traffic), one.read("hold", _hold)
        if share is None:
            continue
        if stages and share <= stages[-1].share:
            one.at("share", f"{_percent(share)} is no more than the stage before has; each stage has more traffic")
        if (share == 1) != (number == last):
            what = "the last stage is 100%, where the canary ends" if number == last else "only the last stage is 100%"
            one.at("share", f"{what}; write {'another share' if share == 1 else '100%, or add a stage'}")
        if share == 1 and "hold" in one.values:
            one.at("hold", "at 100% there is nothing to compare with, so nothing to wait for; leave it out")
        stages.append(Stage(float(share), hold or 0))
    if not 2 <= last <= MOST_STAGES:
        fields.at("stages", f"from 2 to {MOST_STAGES} stages are wanted, the last of them 100%")
    return tuple(stages) if len(found) == before else None


def _limits(fields: Fields, found: list[Mistake]) -> tuple[Limit, ...] | None:
    node = fields.values.get("guardrails")
    if node is None:
        return None
    if not entries(node):
        fields.at(
            "guardrails", f"guardrails with their limits are wanted, such as {{escalation: 20%}}; this is {kind_of(node)[:40]}"
        )
        return None
    given = Fields(node, f"{fields.name}: guardrails", found, [one.value for one in Guard], ALSO_GUARDS)
    limits = []
    for usual in GUARDS:
        read = given.read(usual.guard.value, _reader(usual.guard))
        if read is not OFF:
            limits.append(read if isinstance(read, Limit) else usual)
    if not limits:
        fields.at("guardrails", "every guardrail is off, so nothing would be judged; leave one on")
    return tuple(limits)


def _reader(guard: Guard) -> Callable[[str], Limit | str]:
    return lambda text: OFF if text == OFF else _limit(guard, text)


def _limit(guard: Guard, text: str) -> Limit:
    better = guard is Guard.ACCURACY
    ways = WAYS[guard]
    if guard is Guard.DRIFT:
        if text in _DRIFT:
            return Limit(guard, Form.INDEX, _DRIFT[text])
        raise ValueError(f"there is no drift {text}{meant(text, [*_DRIFT, OFF])}")
    if (points := _POINTS.fullmatch(text)) and any("points" in way for way in ways):
        value = float(Decimal(points[2]) / 100)
        if (points[1] == "-") is not better and value:
            raise ValueError(f"{text!r} asks for better than the control; write {'-' if better else '+'}{points[2]} points")
        return _up_to_one(guard, Form.POINTS, value, text)
    if (times := _TIMES.fullmatch(text)) and any(way.endswith("x") for way in ways):
        if Decimal(times[1]) < 1:
            raise ValueError(f"{text!r} asks for less than the control has; write a factor from 1x on, such as {ways[-1]}")
        return Limit(guard, Form.TIMES, float(Decimal(times[1])))
    if (share := _PERCENT.fullmatch(text)) and any(way.endswith("%") for way in ways):
        return _up_to_one(guard, Form.OWN, float(Decimal(share[1]) / 100), text)
    raise ValueError(f"{text!r} is no limit of {guard.value}{_meant_limit(guard, text)}")


def _up_to_one(guard: Guard, form: Form, value: float, text: str) -> Limit:
    if value >= 1 or (form is Form.OWN and not value):
        raise ValueError(f"{text!r}: a share lies between 0% and 100%; write {WAYS[guard][0]}")
    return Limit(guard, form, value)


def _meant_limit(guard: Guard, text: str) -> str:
    ways = WAYS[guard]
    number = re.search(_NUMBER, text)
    if number is not None and re.fullmatch(rf"\+{_NUMBER}\s*%", text) and ways[-1].endswith("x"):
        factor = (1 + Decimal(number[1]) / 100).normalize()
        also = f" or {_same(ways, 'points', number[1])}" if any("points" in way for way in ways) else ""
        return f"; write {factor:f}x{also}"
    if number is not None and re.fullmatch(rf"([+-]){_NUMBER}\s*%?", text) and any("points" in way for way in ways):
        return f"; write {_same(ways, 'points', number[1])}"
    return f"; write {' or '.join((*ways, OFF))}"


def _same(ways: tuple[str, ...], word: str, number: str) -> str:
    """A way of writing with another number."""
    return re.sub(_NUMBER, number, next(way for way in ways if word in way), count=1)


def _built_in(text: str) -> tuple[Stage, ...]:
    if text in BUILT_IN:
        return BUILT_IN[text]
    raise ValueError(f"there is no plan {text}, and it is no list of stages{meant(text, BUILT_IN)}")


def _traffic(text: str) -> Decimal:
    found = _PERCENT.fullmatch(text)
    if found is None or not 0 < Decimal(found[1]) <= 100:
        number = re.fullmatch(_NUMBER, text)
        hint = f"; write {number[1]}%" if number and 1 <= Decimal(number[1]) <= 100 else ""
        raise ValueError(f"{text!r} is no share of the traffic, over 0% and up to 100%{hint}")
    return Decimal(found[1]) / 100


def _hold(text: str) -> int:
    length = seconds(text)
    if length % MINUTE or not MINUTE <= length <= LONGEST:
        raise ValueError(f"{text!r}: whole minutes are wanted, from 1m to {LONGEST // 86400}d")
    return length


def _within(text: str) -> float:
    found = _TIMES.fullmatch(text)
    if found is None or not 1 <= Decimal(found[1]) <= 10:
        raise ValueError(f"{text!r} is no multiple of a limit from 1x to 10x; write 2x")
    return float(Decimal(found[1]))


def _error(text: str) -> float:
    found = _PERCENT.fullmatch(text)
    if found is None or not Decimal("0.01") <= Decimal(found[1]) <= 20:
        raise ValueError(f"{text!r} is no chance of an error from 0.01% to 20%; write 5%")
    return float(Decimal(found[1]) / 100)


def _percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f}%"
