"""Rules over windows -> transitions of alerts (M7). A part of the fold of stage `groups`.

    calls, fields, standings -> windows -> verdicts -> alarms -> alert.transitions

A window's last word is said when the watermark has passed its end, from what is in it then; so a replay of the same events
says the same, whatever the speed. Live data may make an alert fire earlier, marked provisional, when the value so far is over the
threshold by more than chance (evidence.sure). What comes late changes its window, and the alert walks again from there; what was
said of that window and is otherwise now is told again, as another revision.

A decision counts in the window of its start, a call or another event in that of its end (to the minute).
"""

from collections.abc import Iterator, Mapping, Sequence, Set

import msgspec

from waterline.schemas.alerts import AlertState
from waterline.schemas.events import read_required
from waterline.schemas.facts import GroupInput, Mark
from waterline.schemas.topics import ALERT_TRANSITIONS
from waterline.streams.steps.alarm import REST, START, Alarm, Point, Said, alike, step, walk
from waterline.streams.steps.evidence import Reading, sure, transition
from waterline.streams.steps.fold import Changes, Out
from waterline.streams.steps.in_force import InForce, Wanted, by_window, ended, lost, reach, wanted
from waterline.streams.steps.intake import entries, kind_of
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import SECOND
from waterline.streams.steps.readings import panes, promising, reading, says
from waterline.streams.steps.rules import Rule, RuleBook, Rules
from waterline.streams.steps.windows import Age, Cell, Clock, Series, Shown, WindowKey, Windows, first_of_each

WINDOW, ALARM, MARKS, RULES = b"w", b"a", b"m", b"r"
AT_ONCE = 10_000
"""Revisions that are told as they come. What changes further is told when its window is settled."""
_encode = msgspec.msgpack.Encoder().encode
_decode_cell = msgspec.msgpack.Decoder(tuple[WindowKey, Cell]).decode
_decode_alarm = msgspec.msgpack.Decoder(tuple[str, Series, Alarm]).decode
_decode_marks = msgspec.msgpack.Decoder(list[dict[int, int]]).decode
_decode_rules = msgspec.msgpack.Decoder(InForce).decode
_fact = msgspec.json.Encoder().encode

_AlarmKey = tuple[str, Series]


class Thresholds:
    """Windows, alarms and the time of one partition."""

    def __init__(self, partitions: int, limits: Limits, rules: RuleBook) -> None:
        self.book = rules
        self.required = read_required(limits.required_fields)
        self.windows = Windows()
        self.clocks = (Clock(partitions, int(limits.window_lateness_s * SECOND)), Clock(partitions, 0))
        self.alarms: dict[_AlarmKey, Alarm] = {}
        self.changed: set[_AlarmKey] = set()
        self.corrected: set[WindowKey] = set()
        self.news: dict[WindowKey, set[str]] = {}
        self.outs: list[Out] = []
        self.left_out = 0
        self._marked = False
        self.rules = Rules("", ())
        self.wanted: Wanted | None = None
        self.gone: dict[str, Rule] = {}
        self._of: Mapping[tuple[tuple[str, ...], int], Sequence[Rule]] = {}
        self._renewed = False

    # state

    def load(self, key: bytes, value: bytes) -> bool:
        if key.startswith(WINDOW):
            self.windows.enter(*_decode_cell(value))
        elif key.startswith(ALARM):
            rule, series, alarm = _decode_alarm(value)
            self.alarms[rule, series] = alarm
        elif key == RULES:
            known = _decode_rules(value)
            self.rules, self.wanted = known.rules, known.wanted
        else:
            for clock, marks in zip(self.clocks, _decode_marks(value), strict=True):
                clock.marks = marks
        return True

    def drain(self, changes: Changes) -> None:
        self._wanted()
        for replay in (False, True):
            self._pass(replay)
        self._look_ahead()
        windows = self.windows
        for key in windows.touched:
            changes.puts[_window_key(key)] = _encode((key, windows.cells[key]))
        for key in windows.gone:
            changes.puts[_window_key(key)] = None
        for rule, series in self.changed:
            alarm = self.alarms.get((rule, series))
            changes.puts[_alarm_key(rule, series)] = None if alarm is None else _encode((rule, series, alarm))
        if self._renewed and self.wanted is not None:
            changes.puts[RULES] = _encode(InForce.of(self.rules, self.wanted))
        changes.along[MARKS] = _encode([clock.marks for clock in self.clocks])
        if self._marked:
            changes.puts[MARKS] = changes.along[MARKS]
        windows.touched.clear()
        windows.gone.clear()
        self.changed.clear()
        self._marked = self._renewed = False
        self.gone.clear()
        changes.outs.extend(self.outs)
        self.outs.clear()
        changes.left_out += self.left_out
        self.left_out = 0

    # what comes in

    def take(self, given: GroupInput) -> None:
        if given.mark is not None:
            self._mark(given.mark)
            return
        for series, kind, time, add in entries(given):
            for cell in self._cells(series, kind, time):
                add(cell)

    def _cells(self, series: Series, kind: str, time: int) -> Iterator[Cell]:
        watermark = self.clocks[series.replay].watermark
        for length, since in self._wanted().get((*series.by, kind), {}).items():
            start = time - time % length
            if start < since[series.replay]:
                continue
            key = WindowKey(series, length, start)
            cell = self.windows.open(key, watermark)
            self.left_out += cell is None or cell.age is Age.SETTLED
            if cell is None:
                continue
            if cell.age is not Age.OPEN:
                self.corrected.add(key)
            elif not series.replay:
                self.news.setdefault(key, set()).add(kind)
            yield cell

    # rules

    def _wanted(self) -> Wanted:
        """The windows that the rules in force want; sees to it that these are what is judged by."""
        if self.wanted is None or self.rules is not self.book.now:
            before, self.rules = self.rules, self.book.now
            heard = (self.clocks[0].heard, self.clocks[1].heard)
            self.wanted = wanted(self.rules, self.wanted, heard)
            self.windows.reach, self.windows.shown = reach(self.rules), Shown.of(self.rules)
            self._of = by_window(self.rules)
            if before != self.rules:
                self._renewed = True
                self.gone |= lost(before, self.rules)
                self._end(self.gone, {rule.name for rule in before.rules if rule not in self.rules.rules})
        return self.wanted

    def _end(self, gone: Mapping[str, Rule], other: Set[str]) -> None:
        """Puts to rest the alerts of rules that are gone, and lets go the windows that no rule wants any more. What was said by
        rules that are `other` now is not said again by these."""
        for (name, series), alarm in list(self.alarms.items()):
            if name in other and any(not said.provisional for said in alarm.said):
                alarm.said = [said for said in alarm.said if said.provisional]
                self.changed.add((name, series))
            if name in gone:
                told = ended(gone[name], self.rules, alarm, series, self.clocks[series.replay].heard)
                if told is not None:
                    self.outs.append(Out(ALERT_TRANSITIONS, told.alert_id.encode(), _fact(told)))
                if not alarm.transition:
                    del self.alarms[name, series]
                self.changed.add((name, series))
        for key in list(self.windows.cells):
            if not any(about[:-1] == key.series.by and key.length in lengths for about, lengths in (self.wanted or {}).items()):
                self.windows.drop(key)
                self.corrected.discard(key)

    def _rules(self, key: WindowKey) -> Sequence[Rule]:
        """Those that judge a window, and have seen it whole."""
        wanted, replay = self._wanted(), key.series.replay
        about = self._of.get((key.series.by, key.length), ())
        return [rule for rule in about if key.start >= wanted[*rule.by, kind_of(rule)][key.length][replay]]

    # time

    def _mark(self, mark: Mark) -> None:
        self.clocks[mark.replay].mark(mark)
        self._marked |= mark.replay
        self._wanted()
        self._pass(mark.replay)

    def _pass(self, replay: bool) -> None:
        """Judges windows that were corrected and those that are over, also when they were begun only after their end; settles
        what is to change no more."""
        for key in first_of_each(self.corrected):
            self._judge(key, late=True)
        self.corrected.clear()
        for key, cell in self.windows.due(replay, self.clocks[replay].watermark):
            if cell.age is Age.OVER:
                self._judge(key, late=self.windows.over(key.series, key.length)[-1] > key.start)
            else:
                self._settle(key)

    def _settle(self, key: WindowKey) -> None:
        """Its verdict becomes part of where the alarm begins; an alarm that never said anything is forgotten with its last
        window."""
        last = not self.windows.unsettled(key.series, key.length)
        for rule in self._rules(key):
            at = (rule.name, key.series)
            if (alarm := self.alarms.get(at)) is None:
                continue
            if alarm.base.state not in REST or says(self.windows, rule, key):
                alarm.base = step(alarm.base, reading(self.windows, rule, key).verdict, rule)
            for said in alarm.said:
                if said.start == key.start:
                    self._restate(rule, said, key, reading(self.windows, rule, key), late=True)
            alarm.fired = [start for start in alarm.fired if start > key.start]
            alarm.said = [said for said in alarm.said if said.start > key.start]
            self.changed.add(at)
            if last and not alarm.transition and alarm.base.state is AlertState.OK:
                del self.alarms[at]

    # judgement

    def _judge(self, key: WindowKey, late: bool) -> None:
        for rule in self._rules(key):
            self._follow(rule, key, late)

    def _follow(self, rule: Rule, key: WindowKey, late: bool) -> None:
        """Walks the alarm over the kept windows, and tells where it stands if that is news."""
        series, length = key.series, key.length
        found: dict[int, Reading] = {}

        def at(start: int) -> Reading:
            if start not in found:
                found[start] = reading(self.windows, rule, WindowKey(series, length, start))
            return found[start]

        def heard(start: int) -> bool:
            return says(self.windows, rule, WindowKey(series, length, start))

        alarm = self.alarms.get((rule.name, series)) or Alarm(fired=[])
        starts = self.windows.over(series, length)
        if not starts:
            return
        points, between = walk(alarm.base, starts, length, heard, lambda start: at(start).verdict, rule)
        fired = [start for start, point in points if point.state is AlertState.FIRING]
        missed = [start for start in fired if start not in alarm.fired and start >= key.start]
        last = points[-1][1]
        if alarm.provisional is not None and alarm.provisional <= key.start:
            alarm.provisional = None
        if alarm.provisional is None:
            if missed and last.state in REST and alarm.told in REST:
                self._tell(rule, alarm, key, missed[0], AlertState.FIRING, at(missed[0]), late)
            state = last.state
            if alarm.told is AlertState.FIRING and state in (AlertState.OK, AlertState.PENDING):
                state = AlertState.RESOLVED
            if not alike(state, alarm.told):
                start = missed[0] if missed and state is AlertState.FIRING else points[-1][0]
                self._tell(rule, alarm, key, start, state, at(start), late)
        alarm.fired = fired
        for said in alarm.said:
            if said.start >= key.start and said.start in starts and said.revision < AT_ONCE:
                self._restate(rule, said, WindowKey(series, length, said.start), at(said.start), late)
        self._keep(rule, series, alarm, last)
        following = points[-1][0] + length
        for start in (*between, following) if last.state not in REST or heard(following) else between:
            if (one := WindowKey(series, length, start)) not in self.windows.cells:
                self.windows.open(one, 0)

    def _look_ahead(self) -> None:
        """Fires before a live window is over, when what is in it already is no chance."""
        for key, kinds in self.news.items():
            cell = self.windows.cells.get(key)
            if cell is None or cell.age is not Age.OPEN:
                continue
            for rule in self._rules(key):
                if rule.for_windows > 1 or kind_of(rule) not in kinds or not promising(self.windows, rule, key):
                    continue
                alarm = self.alarms.get((rule.name, key.series))
                if alarm is not None and alarm.told is AlertState.FIRING:
                    continue
                soon = reading(self.windows, rule, key)
                if sure(rule, panes(self.windows, rule, key), soon):
                    alarm = alarm or Alarm(fired=[])
                    self._tell(rule, alarm, key, key.start, AlertState.FIRING, soon, late=False, provisional=True)
                    alarm.provisional = key.start
                    self._keep(rule, key.series, alarm, START)
        self.news.clear()

    def _tell(
        self,
        rule: Rule,
        alarm: Alarm,
        key: WindowKey,
        start: int,
        state: AlertState,
        says_so: Reading,
        late: bool,
        provisional: bool = False,
    ) -> None:
        window = WindowKey(key.series, key.length, start)
        heard = max(self.clocks[key.series.replay].heard, start)
        at = heard if late or provisional else window.end
        alarm.transition += 1
        if state is AlertState.FIRING:
            alarm.opened_at = at
        said = Said(alarm.transition, start, alarm.told, state, at, alarm.opened_at, provisional=provisional)
        self._say(rule, said, window, says_so, late, min(1.0, (heard - start) / key.length) if provisional else 1.0)
        alarm.told = state
        alarm.said = [*(other for other in alarm.said if other.start != start), said]

    def _restate(self, rule: Rule, said: Said, window: WindowKey, now: Reading, late: bool) -> None:
        """Tells as another revision what was said of a window and is otherwise now, or was provisional."""
        if said.provisional or (said.value, said.threshold, said.samples) != (now.value, now.threshold, now.samples):
            late = late or not said.provisional
            said.revision, said.provisional = said.revision + 1, False
            self._say(rule, said, window, now, late)

    def _say(self, rule: Rule, said: Said, window: WindowKey, now: Reading, late: bool, share: float = 1.0) -> None:
        said.value, said.threshold, said.samples = now.value, now.threshold, now.samples
        told = transition(rule, self.rules.version, said, window, now, late, share, self.required)
        self.outs.append(Out(ALERT_TRANSITIONS, told.alert_id.encode(), _fact(told)))

    def _keep(self, rule: Rule, series: Series, alarm: Alarm, last: Point) -> None:
        at = (rule.name, series)
        if not alarm.transition and alarm.base == START and last == START:
            if self.alarms.pop(at, None) is None:
                return
        else:
            self.alarms[at] = alarm
        self.changed.add(at)


def _window_key(key: WindowKey) -> bytes:
    return WINDOW + key.series.key + b"\x1f%d\x1f%d" % (key.length, key.start)


def _alarm_key(rule: str, series: Series) -> bytes:
    return ALARM + rule.encode() + b"\x1f" + series.key
