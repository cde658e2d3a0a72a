"""From one set of rules to the next: which windows they want and since when these were seen whole, and what is told of alerts
whose rule is gone.

A window of a length that no rule wanted before is judged when it began after the new rules came: the first one may be half seen.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from waterline.schemas.alerts import AlertState, AlertTransition, alert_id
from waterline.schemas.events import Clock
from waterline.schemas.topics import ALERT_TRANSITIONS
from waterline.streams.steps.alarm import Alarm, Said, Verdict
from waterline.streams.steps.evidence import Reading, transition
from waterline.streams.steps.fold import Out
from waterline.streams.steps.intake import kind_of
from waterline.streams.steps.moment import DAY, HOUR, SECOND, instant
from waterline.streams.steps.rules import BEFORE, MEASURE, Baseline, Rule, Rules
from waterline.streams.steps.tally import MARK_EVERY
from waterline.streams.steps.windows import Series, WindowKey

_fact = msgspec.json.Encoder().encode
Wanted = dict[tuple[str, ...], dict[int, tuple[int, int]]]
"""what rules are grouped by, and the kind of input (intake.py) they are drawn from -> length of windows -> start of the first
that was seen whole, live and of a replay; microseconds"""


class InForce(Struct, array_like=True, frozen=True):
    """What a partition judges by, as it is kept."""

    rules: Rules
    windows: list[tuple[tuple[str, ...], int, int, int]]

    @classmethod
    def of(cls, rules: Rules, wanted: Wanted) -> Self:
        return cls(rules, [(by, length, *since) for by, lengths in wanted.items() for length, since in lengths.items()])

    @property
    def wanted(self) -> Wanted:
        found: Wanted = {}
        for by, length, live, replay in self.windows:
            found.setdefault(by, {})[length] = live, replay
        return found


def wanted(rules: Rules, before: Wanted | None, heard: tuple[int, int]) -> Wanted:
    """`before`: what the rules before wanted, None when there were none. `heard`: how far time has come, live and of a replay."""
    found: Wanted = {}
    for rule in rules.rules:
        for length in (rule.window_s * SECOND, *([HOUR] if rule.baseline is Baseline.HOURS else ())):
            since = (0, 0) if before is None else (_next(heard[0], length), _next(heard[1], length))
            about = (*rule.by, kind_of(rule))
            found.setdefault(about, {})[length] = (before or {}).get(about, {}).get(length, since)
    return found


def _next(heard: int, length: int) -> int:
    """The first window of which nothing can have come yet."""
    return ((heard + MARK_EVERY) // length + 1) * length if heard else 0


def by_window(rules: Rules) -> Mapping[tuple[tuple[str, ...], int], Sequence[Rule]]:
    """The rules that judge windows of a grouping and a length."""
    found: dict[tuple[tuple[str, ...], int], list[Rule]] = {}
    for rule in rules.rules:
        found.setdefault((rule.by, rule.window_s * SECOND), []).append(rule)
    return found


def reach(rules: Rules) -> dict[int, int]:
    """By length: how long after it is settled a window is part of another's value or baseline, in microseconds. It is there
    until the other is settled, and a second longer."""
    reach: dict[int, int] = {}
    for rule in rules.rules:
        length = rule.window_s * SECOND
        back = max(rule.panes - 1, BEFORE if rule.baseline is Baseline.DAYS else 0)
        reach[length] = max(reach.get(length, 0), back * length + SECOND if back else 0)
        if rule.baseline is Baseline.HOURS:
            reach[HOUR] = max(reach.get(HOUR, 0), BEFORE * DAY + HOUR)
    return reach


def lost(before: Rules, now: Rules) -> Mapping[str, Rule]:
    """Rules that are gone, or now are about something else under the same name."""
    kept = {rule.name: _about(rule) for rule in (*now.rules, *now.apart)}
    return {rule.name: rule for rule in (*before.rules, *before.apart) if kept.get(rule.name) != _about(rule)}


def _about(rule: Rule) -> tuple[object, ...]:
    return rule.measure, rule.by, rule.window_s, rule.panes


def ended(rule: Rule, now: Rules, alarm: Alarm, series: Series, heard: int) -> AlertTransition | None:
    """The last that is told of an alert whose rule is lost; None when nobody waits for it. Afterwards `alarm` is at rest."""
    state = {AlertState.FIRING: AlertState.RESOLVED, AlertState.PENDING: AlertState.OK}.get(alarm.told)
    alarm.base, alarm.provisional, alarm.fired, alarm.said = Alarm().base, None, [], []
    if state is None:
        return None
    alarm.transition += 1
    length = rule.window_s * SECOND
    window = WindowKey(series, length, heard - heard % length)
    said = Said(alarm.transition, window.start, alarm.told, state, heard, alarm.opened_at)
    told = transition(rule, now.version, said, window, Reading(Verdict.LITTLE, None, None, 0, []), late=False)
    alarm.told = state
    return replace(told, summary=_why(rule, now, series.about), window_from=None, window_to=None, samples_needed=0, sql="")


def withdrawn(
    rule: Rule, now: Rules, tenant: str, group: dict[str, str], transition: int, opened_at: int | None, heard: int
) -> Out:
    """As `ended`, of an alert that fires and is not about windows; `transition` is its next one."""
    told = AlertTransition(
        alert_id=alert_id(tenant, rule.name, group),
        transition=transition,
        tenant=tenant,
        rule=rule.name,
        group=group,
        severity=rule.severity,
        previous=AlertState.FIRING,
        state=AlertState.RESOLVED,
        at=instant(heard),
        opened_at=None if opened_at is None else instant(opened_at),
        clock=Clock.REPLAY if group.get("clock") == Clock.REPLAY.value else Clock.SOURCE,
        summary=_why(rule, now, group["agent"]),
        measure=rule.measure,
        unit=MEASURE[rule.measure].unit,
        runbook=rule.runbook,
        rules_version=now.version,
    )
    return Out(ALERT_TRANSITIONS, told.alert_id.encode(), _fact(told))


def _why(rule: Rule, now: Rules, about: str) -> str:
    changed = any(one.name == rule.name for one in (*now.rules, *now.apart))
    what = "was changed to be about something else" if changed else "was removed"
    return f"{rule.name} of {about} is watched no more: the rule {what}"
