"""From the answers to a rule's question, window by window, to the transitions of its alerts. Pure.

Every group has an alert of its own, with the state machine of all rules (streams/steps/alarm.py). A group that fires, or is about
to, and is missing in an answer has too little data; one at rest is passed over. When there is no answer for as long as the rule
holds out, what fires has no data. The rule itself fires, as an alert of its own, until it is answered again: nobody knows how
things stand, and whoever relies on the rule must hear of that.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from waterline.ruler.asker import Group, Row, Span, evidence, filled, values_of
from waterline.schemas.alerts import AlertState, AlertTransition, alert_id
from waterline.streams.steps.alarm import REST, START, Alarm, Point, Verdict, alike, step
from waterline.streams.steps.evidence import show
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rules import Asked

ITSELF: Group = ("", (("about", "the question itself"),))
"""That the rule is not answered: an alert of the installation."""


class Judge:
    """The alerts of one rule. `told`, and the groups of the alarms that `changed`, are what is new since the last `drain`."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.version = ""
        self.alarms: dict[Group, Alarm] = {}
        self.changed: set[Group] = set()
        self.told: list[AlertTransition] = []

    def answer(self, span: Span, rows: Iterable[Row]) -> None:
        """What was answered of a window; windows come in order."""
        found = {row.group: row for row in rows}
        if (itself := self.alarms.get(ITSELF)) is not None and itself.told is AlertState.FIRING:
            self._tell(ITSELF, itself, span, AlertState.RESOLVED, None, f"{self.asked.name} is answered again")
        waiting = [group for group, alarm in self.alarms.items() if alarm.base.state not in REST and group not in found]
        for group in (*found, *waiting):
            self._judge(group, span, found.get(group))

    def _judge(self, group: Group, span: Span, row: Row | None) -> None:
        alarm = self.alarms.get(group) or Alarm(fired=[])
        before = alarm.base
        alarm.base = step(before, verdict(self.asked, row), self.asked.rule)
        if not alike(alarm.base.state, alarm.told):
            self._tell(group, alarm, span, alarm.base.state, row, self._summary(group, span, alarm.base.state, row))
        self._keep(group, alarm, before)

    def unanswered(self, span: Span, why: str, held_out: bool) -> None:
        """Nobody can say how things stand since the window `span`. `held_out`: for as long as what fires may go on firing."""
        reason = f"{self.asked.name} has not been answered since {instant(span.start):%Y-%m-%d %H:%M} UTC: {why}"
        itself = self.alarms.setdefault(ITSELF, Alarm(fired=[]))
        if itself.told is not AlertState.FIRING:
            self._tell(ITSELF, itself, span, AlertState.FIRING, None, reason)
        for group, alarm in self.alarms.items():
            if held_out and alarm.told is not AlertState.NO_DATA and alarm.base.state not in REST:
                self._tell(group, alarm, span, AlertState.NO_DATA, None, reason)
                alarm.base = Point(AlertState.NO_DATA)

    def end(self, now: int, version: str) -> None:
        """The rule is in force no more: what fires or is about to is put to rest."""
        self.version = version
        why = f"{self.asked.name} is watched no more: the rule was removed, or is about something else now"
        states = {AlertState.FIRING: AlertState.RESOLVED, AlertState.PENDING: AlertState.OK}
        for group, alarm in self.alarms.items():
            if (state := states.get(alarm.told)) is not None:
                self._tell(group, alarm, Span(now, now), state, None, why)
            alarm.base = START
            self.changed.add(group)

    def drain(self) -> None:
        """What is new was written down."""
        self.told.clear()
        self.changed.clear()

    def _keep(self, group: Group, alarm: Alarm, before: Point) -> None:
        if not alarm.transition and alarm.base == START:
            if self.alarms.pop(group, None) is not None:
                self.changed.add(group)
        else:
            self.alarms[group] = alarm
            if alarm.base != before:
                self.changed.add(group)

    def _summary(self, group: Group, span: Span, state: AlertState, row: Row | None) -> str:
        rule = self.asked.rule
        about = f"{rule.name} of {', '.join(name for _, name in group[1])}" if group[1] else rule.name
        when = f"from {instant(span.start):%Y-%m-%d %H:%M:%S} to {instant(span.end):%H:%M:%S} UTC"
        if row is None or state is AlertState.INSUFFICIENT:
            return f"{about} says nothing: {row.samples if row else 0} samples {when}, {rule.at_least} are needed"
        value, limit = show(row.value, self.asked.unit), show(rule.above, self.asked.unit)
        return f"{about} is {value} {when} ({row.samples} samples); the limit is {limit}"

    def _tell(self, group: Group, alarm: Alarm, span: Span, state: AlertState, row: Row | None, summary: str) -> None:
        rule, (tenant, names), itself = self.asked.rule, group, group == ITSELF
        alarm.transition += 1
        if state is AlertState.FIRING:
            alarm.opened_at = span.end
        told = AlertTransition(
            alert_id=alert_id(tenant, rule.name, dict(names)),
            transition=alarm.transition,
            tenant=tenant,
            rule=rule.name,
            group=dict(names),
            severity=rule.severity,
            previous=alarm.told,
            state=state,
            at=instant(span.end),
            opened_at=None if alarm.opened_at is None else instant(alarm.opened_at),
            summary=summary,
            measure=rule.measure,
            unit=self.asked.unit,
            value=row.value if row else None,
            threshold=None if itself else rule.above,
            clear=None if itself else (rule.above * rule.clear_at).normalize(),
            samples=row.samples if row else 0,
            samples_needed=0 if itself else rule.at_least,
            window_from=instant(span.start),
            window_to=instant(span.end),
            decisions=row.decisions if row else [],
            sql=filled(self.asked.sql, values_of(self.asked, span).get) if itself else evidence(self.asked, group, span),
            runbook=rule.runbook,
            rules_version=self.version,
        )
        if span.start == span.end:
            told = replace(told, window_from=None, window_to=None, sql="")
        alarm.told = state
        self.changed.add(group)
        self.told.append(told)


def verdict(asked: Asked, row: Row | None) -> Verdict:
    rule = asked.rule
    if row is None or row.value is None or row.samples < rule.at_least:
        return Verdict.LITTLE
    if row.value > rule.above:
        return Verdict.BREACH
    return Verdict.CLEAR if row.value <= rule.above * rule.clear_at else Verdict.BETWEEN
