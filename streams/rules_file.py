"""The rules file (setting `rules_file`, YAML): what to be told of, and when. Everything in it has a unit, and nothing in it is
taken to mean what it does not say.

    rules:
      - rule: slow_answers            # its name, which is in every alert: letters, digits, _ - .
        measure: model_latency_p95    # what is measured; RULES.md lists the measures
        by: [agent]                   # what a group is; each has an alert of its own
        window: 5m                    # what the value is drawn from: s, m, h, d
        every: 1m                     # left out = the window's length; else windows overlap and one ends this often
        above: 2x same_hour_of_7_days # or a threshold in the measure's unit (5%, 1500ms, 10 USD), or 150% of last_7_windows
        at_least: 20                  # samples without which nothing can be said
        clear_at: 90%                 # of the threshold: at or under that it resolves
        for: 10m                      # how long it must go on being above before it fires
        hold: 15m                     # how long without enough samples before the alert is put to rest, as insufficient
        severity: warning             # critical, error, warning, info
        runbook: https://...          # what to do about it
        meaning: answers take twice as long as usual

A rule can also be a question to ClickHouse: rules_asked.py. Budgets are in the same file: rules_budgets.py.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

from yaml.nodes import Node

from waterline.schemas.errors import ErrorCode, Permanent
from waterline.schemas.yaml_lines import Mistake, Unreadable, compose, entries, items, kind_of, line_of
from waterline.streams import rules_asked, rules_baselines, rules_budgets, rules_canaries
from waterline.streams.rules_nodes import Fields
from waterline.streams.rules_words import is_name, lasting, link, meant, name, seconds, severity, share, threshold, whole
from waterline.streams.steps.rules import APART, MEASURE, Asked, Baseline, How, Measure, Rule, Rules

DEFAULT = Path(__file__).with_name("default_rules.yaml")
FIELDS = {
    "rule": "tool_error_rate",
    "measure": "tool_error_rate",
    "by": "[agent]",
    "window": "5m",
    "every": "1m",
    "above": "5%",
    "at_least": "20",
    "clear_at": "90%",
    "for": "10m",
    "hold": "15m",
    "severity": "warning",
    "runbook": "https://...",
    "meaning": "more tool calls fail than usual",
}
"""with an example of each"""
REQUIRED = ("rule", "measure", "window", "above")
NOT_FOR: Mapping[How, tuple[str, ...]] = {
    How.SILENCE: ("every", "at_least", "clear_at", "for", "hold"),
    How.DECISION: ("window", "every", "for", "hold"),
    How.ACCURACY: ("window", "every", "clear_at", "for", "hold"),
}
"""fields without a meaning for measures that are not drawn from windows"""
ALSO = {
    "name": "rule",
    "alert": "rule",
    "metric": "measure",
    "group": "by",
    "group_by": "by",
    "interval": "every",
    "threshold": "above",
    "limit": "above",
    "over": "above",
    "min_samples": "at_least",
    "samples": "at_least",
    "minimum": "at_least",
    "clear": "clear_at",
    "resolve_at": "clear_at",
    "duration": "for",
    "level": "severity",
    "priority": "severity",
    "url": "runbook",
    "runbook_url": "runbook",
    "description": "meaning",
    "summary": "meaning",
}
"""what other systems call some of them"""
START = "`waterline rules defaults` prints a file to start from"
MINUTE, HOUR, DAY = 60, 3600, 86400
LONGEST, MOST_PANES = 31 * DAY, 168


def load(path: Path) -> Rules:
    """Raises `Permanent` whose reason has one line for each mistake: file, line, what is wrong, what to write."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"{path}: {error.strerror}") from error
    return checked(text, path)


def checked(text: bytes, path: Path) -> Rules:
    """As `load`, of what was read from the path."""
    rules, mistakes = parse(text, path.parent)
    if mistakes:
        raise Permanent(ErrorCode.INVALID_PARAMETER, "\n".join(f"{path}, line {one.line}: {one.what}" for one in mistakes))
    return rules


@cache
def default() -> Rules:
    return load(DEFAULT)


def parse(text: bytes, folder: Path = Path()) -> tuple[Rules, list[Mistake]]:
    """The rules that can be read, and all mistakes in the order of their lines. `folder`: where files it names lie."""
    found: list[Mistake] = []
    try:
        return _read(text, found, folder), sorted(found)
    except Unreadable as unreadable:
        return Rules("", ()), [unreadable.mistake]


def _read(text: bytes, found: list[Mistake], folder: Path) -> Rules:
    root = compose(text, "rules")
    if root is None or (not entries(root) and not root.value):
        raise Unreadable(1, f"the file is empty; {START}")
    if not entries(root):
        raise Unreadable(line_of(root), f"a rules file begins with `rules:`, this is {kind_of(root)[:40]}; {START}")
    also = {"rule": "rules", "alerts": "rules", "limits": "budgets", "canary": "canaries", "pins": "baselines"}
    top = Fields(root, "the file", found, ("rules", "budgets", "canaries", "baselines"), also)
    rules, asked = _rules(top, found, folder)
    questions = "".join(one.sql for one in asked)
    return Rules(
        version=sha256(text + questions.encode()).hexdigest()[:12],
        rules=tuple(rule for rule in rules if rule.how not in APART),
        budgets=tuple(rules_budgets.budgets(top.values.get("budgets"), found, name, severity)),
        apart=tuple(rule for rule in rules if rule.how in APART),
        canaries=tuple(rules_canaries.canaries(top.values.get("canaries"), found, name)),
        baselines=tuple(rules_baselines.baselines(top.values.get("baselines"), found)),
        asked=tuple(asked),
    )


def _rules(top: Fields, found: list[Mistake], folder: Path) -> tuple[list[Rule], list[Asked]]:
    node = top.values.get("rules")
    if node is None:
        top.missing("rules", f"[]; {START}")
        return [], []
    if not items(node) and node.value:
        top.at("rules", f"a list of rules is wanted, each beginning with `- rule:`; this is {kind_of(node)[:40]}")
    elif node.value == "":
        top.at("rules", f"has no rule; write rules: [] to have none; {START}")
    read: list[Rule] = []
    asked: list[Asked] = []
    lines: dict[str, int] = {}
    for number, item in enumerate(items(node), 1):
        if not entries(item):
            found.append(
                Mistake(line_of(item), f"rule number {number}: fields such as `rule:` are wanted, this is {kind_of(item)[:40]}")
            )
        elif rules_asked.is_question(item):
            if (question := rules_asked.read(item, _label(item, number), found, lines, folder)) is not None:
                asked.append(question)
        elif (rule := _Reader(item, number, found, lines).rule()) is not None:
            read.append(rule)
    return read, asked


def _label(node: Node, number: int) -> str:
    """How messages call a rule."""
    told = next((value.value for key, value in entries(node) if key.value == "rule"), None)
    return f"rule {told}" if isinstance(told, str) and is_name(told) else f"rule number {number}"


class _Reader:
    """One rule of the file. `lines`: where the names before it are."""

    def __init__(self, node: Node, number: int, found: list[Mistake], lines: dict[str, int]) -> None:
        self.fields = Fields(node, _label(node, number), found, FIELDS, ALSO)
        self.found, self.lines = found, lines

    def rule(self) -> Rule | None:
        """None when a mistake is in it."""
        fields, before = self.fields, len(self.found)
        measure = fields.read("measure", _measure)
        apart = NOT_FOR.get(measure.how, ()) if measure else ()
        for required in REQUIRED:
            if required not in apart:
                fields.missing(required, FIELDS[required])
        for field in apart:
            if measure and fields.values.pop(field, None) is not None:
                fields.at(field, f"{measure.name} is not drawn from windows that follow each other; leave {field} out")
        window, pane = (0, 0) if "window" in apart else self._window()
        above, baseline = self._above(measure, window, pane)
        given = {
            "name": fields.unique("rule", name, self.lines),
            "measure": measure and measure.name,
            "window_s": pane,
            "panes": window // pane if window and pane else 1,
            "above": above,
            "baseline": baseline,
            "by": self._by(measure) or (measure and measure.groups[0]),
            "at_least": fields.read("at_least", whole),
            "clear_at": fields.read("clear_at", share),
            "for_windows": fields.windows("for", pane, 1),
            "hold_windows": fields.windows("hold", pane, 0),
            "severity": fields.read("severity", severity),
            "runbook": fields.read("runbook", link),
            "meaning": fields.text("meaning"),
        }
        if len(self.found) > before or fields.guessed:
            return None
        return Rule(**{field: value for field, value in given.items() if value is not None})  # type: ignore[arg-type]

    def _by(self, measure: Measure | None) -> tuple[str, ...] | None:
        by = self.fields.texts("by")
        if by is None or measure is None:
            return None
        for group in measure.groups:
            if sorted(by) == sorted(group):
                return group
        ways = " or ".join(f"[{', '.join(group)}]" for group in measure.groups)
        self.fields.at("by", f"{measure.name} cannot be grouped by [{', '.join(by)}]; write {ways}")
        return None

    def _window(self) -> tuple[int | None, int | None]:
        """Length and how often one ends, in seconds; None for what is wrong."""
        window = self.fields.read("window", seconds)
        if "every" not in self.fields.values:
            return (window, window) if window is not None and self._pane("window", window, alone=True) else (None, None)
        pane = self.fields.read("every", seconds)
        if pane is None or not self._pane("every", pane, alone=False) or window is None:
            return None, None
        longest = min(LONGEST, MOST_PANES * pane)
        if not window or window % pane:
            nearest = max(1, round(window / pane)) * pane
            self.fields.at("window", f"{lasting(window)} is no multiple of every: {lasting(pane)}; write {lasting(nearest)}")
        elif window > longest:
            self.fields.at("window", f"with every: {lasting(pane)} the longest is {lasting(longest)}")
        else:
            return window, pane
        return None, None

    def _pane(self, field: str, length: int, alone: bool) -> bool:
        """Whether it is whole minutes that fill a day."""
        if length == 0:
            self.fields.at(field, f"no time at all is no window; write {FIELDS[field]}")
        elif alone and length > DAY:
            days = max(2, round(length / DAY))
            self.fields.at(field, f"longer than a day, a window moves on by a part of itself: write {days}d and add every: 1d")
        elif length % MINUTE:
            what = f"calls are counted by the minute, and {lasting(length)} is no whole number of them"
            self.fields.at(field, f"{what}; write {_nearest(length)}")
        elif DAY % length:
            what = f"a day is no whole number of {lasting(length)}, so windows would begin elsewhere each day"
            self.fields.at(field, f"{what}; write {_nearest(length)}")
        else:
            return True
        return False

    def _above(
        self, measure: Measure | None, window: int | None, pane: int | None
    ) -> tuple[Decimal, Baseline] | tuple[None, None]:
        told = self.fields.read("above", partial(threshold, measure)) if measure else None
        if told is None:
            return None, None
        baseline = told[1]
        if baseline is not Baseline.NONE and window != pane:
            self.fields.at("above", f"windows that overlap have no {baseline.value}; leave out every, or write a threshold")
        elif baseline is Baseline.HOURS and window and window > HOUR:
            self.fields.at("above", f"{baseline.value} is for windows of an hour and less; write {Baseline.DAYS.value}")
        return told


def _measure(text: str) -> Measure:
    if text in MEASURE:
        return MEASURE[text]
    raise ValueError(f"there is no measure {text}{meant(text, MEASURE)}")


def _nearest(length: int) -> str:
    """The lengths next to this one that can be."""
    whole_minutes = [one for one in range(MINUTE, DAY + 1, MINUTE) if DAY % one == 0]
    below = max((one for one in whole_minutes if one < length), default=None)
    above = min((one for one in whole_minutes if one > length), default=None)
    return " or ".join(lasting(one) for one in (below, above) if one)
