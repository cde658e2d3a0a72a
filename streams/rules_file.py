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

Budgets are in the same file: rules_budgets.py.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

from yaml.nodes import Node

from waterline.schemas.alerts import Severity
from waterline.schemas.errors import ErrorCode, Permanent
from waterline.streams import rules_baselines, rules_budgets, rules_canaries
from waterline.streams.rules_nodes import Fields, Mistake, Unreadable, compose, entries, items, kind_of, line_of
from waterline.streams.rules_words import lasting, meant, seconds, share, threshold, whole
from waterline.streams.steps.canary_plan import CanaryPlan
from waterline.streams.steps.rules import APART, MEASURE, Baseline, Budget, How, Measure, Pin, Rule, Rules

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
LEVELS = {
    "high": "error",
    "major": "error",
    "fatal": "critical",
    "page": "critical",
    "minor": "warning",
    "low": "info",
    "notice": "info",
}
START = "`waterline rules defaults` prints a file to start from"
MINUTE, HOUR, DAY = 60, 3600, 86400
LONGEST, MOST_PANES = 31 * DAY, 168
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_LINK = re.compile(r"https?://\S+")


def load(path: Path) -> Rules:
    """Raises `Permanent` whose reason has one line for each mistake: file, line, what is wrong, what to write."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Permanent(ErrorCode.INVALID_PARAMETER, f"{path}: {error.strerror}") from error
    return checked(text, path)


def checked(text: bytes, path: Path) -> Rules:
    """As `load`, of what was read from the path."""
    rules, mistakes = parse(text)
    if mistakes:
        raise Permanent(ErrorCode.INVALID_PARAMETER, "\n".join(f"{path}, line {one.line}: {one.what}" for one in mistakes))
    return rules


@cache
def default() -> Rules:
    return load(DEFAULT)


def parse(text: bytes) -> tuple[Rules, list[Mistake]]:
    """The rules that can be read, and all mistakes in the order of their lines."""
    found: list[Mistake] = []
    try:
        rules, budgets, canaries, baselines = _rules(text, found)
    except Unreadable as unreadable:
        return Rules("", ()), [unreadable.mistake]
    windowed = tuple(rule for rule in rules if rule.how not in APART)
    apart = tuple(rule for rule in rules if rule.how in APART)
    version = sha256(text).hexdigest()[:12]
    return Rules(version, windowed, tuple(budgets), apart, tuple(canaries), tuple(baselines)), sorted(found)


def _rules(text: bytes, found: list[Mistake]) -> tuple[list[Rule], list[Budget], list[CanaryPlan], list[Pin]]:
    root = compose(text)
    if root is None or (not entries(root) and not root.value):
        raise Unreadable(1, f"the file is empty; {START}")
    if not entries(root):
        raise Unreadable(line_of(root), f"a rules file begins with `rules:`, this is {kind_of(root)[:40]}; {START}")
    also = {"rule": "rules", "alerts": "rules", "limits": "budgets", "canary": "canaries", "pins": "baselines"}
    top = Fields(root, "the file", found, ("rules", "budgets", "canaries", "baselines"), also)
    budgets = rules_budgets.budgets(top.values.get("budgets"), found, _name, _severity)
    canaries = rules_canaries.canaries(top.values.get("canaries"), found, _name)
    baselines = rules_baselines.baselines(top.values.get("baselines"), found)
    node = top.values.get("rules")
    if node is None:
        top.missing("rules", f"[]; {START}")
        return [], budgets, canaries, baselines
    if not items(node) and node.value:
        top.at("rules", f"a list of rules is wanted, each beginning with `- rule:`; this is {kind_of(node)[:40]}")
    elif node.value == "":
        top.at("rules", f"has no rule; write rules: [] to have none; {START}")
    read: list[Rule] = []
    lines: dict[str, int] = {}
    for number, item in enumerate(items(node), 1):
        if not entries(item):
            found.append(
                Mistake(line_of(item), f"rule number {number}: fields such as `rule:` are wanted, this is {kind_of(item)[:40]}")
            )
        elif (rule := _Reader(item, number, found, lines).rule()) is not None:
            read.append(rule)
    return read, budgets, canaries, baselines


class _Reader:
    """One rule of the file. `lines`: where the names before it are."""

    def __init__(self, node: Node, number: int, found: list[Mistake], lines: dict[str, int]) -> None:
        told = next((value.value for key, value in entries(node) if key.value == "rule"), None)
        named = isinstance(told, str) and _NAME.fullmatch(told)
        self.fields = Fields(node, f"rule {told}" if named else f"rule number {number}", found, FIELDS, ALSO)
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
            "name": self._name(),
            "measure": measure and measure.name,
            "window_s": pane,
            "panes": window // pane if window and pane else 1,
            "above": above,
            "baseline": baseline,
            "by": self._by(measure) or (measure and measure.groups[0]),
            "at_least": fields.read("at_least", whole),
            "clear_at": fields.read("clear_at", share),
            "for_windows": self._windows("for", pane, 1),
            "hold_windows": self._windows("hold", pane, 0),
            "severity": fields.read("severity", _severity),
            "runbook": fields.read("runbook", _link),
            "meaning": fields.text("meaning"),
        }
        if len(self.found) > before or fields.guessed:
            return None
        return Rule(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]

    def _name(self) -> str | None:
        name = self.fields.read("rule", _name)
        if name is not None and (line := self.lines.setdefault(name, self.fields.lines["rule"])) != self.fields.lines["rule"]:
            self.fields.at("rule", f"line {line} has a rule of this name already; give each its own, alerts are told apart by it")
        return name

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

    def _windows(self, field: str, pane: int | None, more: int) -> int | None:
        """A length of time as a number of windows, and `more`."""
        length = self.fields.read(field, seconds)
        if length is None or not pane:
            return None
        if length % pane or (not length and not more):
            nearest = lasting(max(1, round(length / pane)) * pane)
            self.fields.at(
                field, f"{self.fields.text(field)} is no multiple of {lasting(pane)}, by which windows end; write {nearest}"
            )
        return length // pane + more


def _name(text: str) -> str:
    if _NAME.fullmatch(text):
        return text
    usable = re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.-")[:80]
    hint = f"; write {usable}" if usable else ""
    raise ValueError(f"{text[:100]!r} is no name: letters, digits, _ - and . are, up to 80 of them{hint}")


def _measure(text: str) -> Measure:
    if text in MEASURE:
        return MEASURE[text]
    raise ValueError(f"there is no measure {text}{meant(text, MEASURE)}")


def _severity(text: str) -> Severity:
    known = [one.value for one in Severity]
    if text in known:
        return Severity(text)
    raise ValueError(f"there is no severity {text}{meant(text, known, LEVELS)}")


def _link(text: str) -> str:
    if _LINK.fullmatch(text):
        return text
    raise ValueError(f"{text[:100]!r} is no link; write one that begins with https://")


def _nearest(length: int) -> str:
    """The lengths next to this one that can be."""
    whole_minutes = [one for one in range(MINUTE, DAY + 1, MINUTE) if DAY % one == 0]
    below = max((one for one in whole_minutes if one < length), default=None)
    above = min((one for one in whole_minutes if one > length), default=None)
    return " or ".join(lasting(one) for one in (below, above) if one)
