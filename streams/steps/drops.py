"""Tasks at which an agent has become worse (M2, rules of measure `accuracy_drop`). A part of the fold of stage `groups`.

A label is the outcome of a decision, and counts in the hour of its start, however late it comes (accuracy.py). A task is judged
when its time has come to a full hour: by all that was labelled up to there, in the order in which the decisions began. What is
told then is late when a label had changed that was judged before. Its examples are the decisions that began last among those
of the trailing day which were labelled incorrect.

A task without a label in all the days that a judgement looks at has nothing left to be judged by, and is let go: when it comes
back it is learnt anew, as one that was never heard of. Of its alert, which is at rest by then as insufficient, the number of the
last transition is kept: readers take a transition with a number that they know for the one they have.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
from msgspec import Struct

from waterline.schemas.alerts import AlertState, AlertTransition, alert_id
from waterline.schemas.events import Clock, Outcome
from waterline.schemas.facts import GroupInput, Standing
from waterline.schemas.identity import SEPARATOR
from waterline.schemas.topics import ALERT_TRANSITIONS
from waterline.streams.steps.accuracy import Accuracy, AccuracyState, AccuracyVerdict, AccuracyWatch, Judgement
from waterline.streams.steps.entry import NANO
from waterline.streams.steps.evidence import quoted, show
from waterline.streams.steps.examples import Ranked, keys, put
from waterline.streams.steps.fold import Changes, Out
from waterline.streams.steps.in_force import withdrawn
from waterline.streams.steps.moment import DAY, HOUR, instant
from waterline.streams.steps.rules import How, Rule, RuleBook

STATES = {
    AccuracyVerdict.OK: AlertState.OK,
    AccuracyVerdict.INSUFFICIENT: AlertState.INSUFFICIENT,
    AccuracyVerdict.DROP: AlertState.FIRING,
}
TRAILING = DAY
RIGHT = {Outcome.CORRECT: True, Outcome.INCORRECT: False}
_encode = msgspec.msgpack.Encoder().encode
_fact = msgspec.json.Encoder().encode


class Followed(Struct, array_like=True):
    """One task under one rule. `waiting`: (start, decision, correct) of labels that were not judged yet; `hour` the last one
    that was, since 1970; `corrected`: a label has changed that was judged by then. `wrong`: starts of the latest decisions that
    were judged as incorrect. `left`: it was let go."""

    tenant: str
    agent: str
    task: str
    replay: bool
    rule: str
    state: AccuracyState
    waiting: list[tuple[int, str, bool]] = []
    hour: int = 0
    told: AlertState = AlertState.OK
    transition: int = 0
    opened_at: int | None = None
    corrected: bool = False
    wrong: Ranked[int] = []
    left: bool = False

    @property
    def key(self) -> bytes:
        return SEPARATOR.join((self.rule, self.tenant, self.agent, self.task, "r" if self.replay else "")).encode()


_decode = msgspec.msgpack.Decoder(Followed).decode


class Drops:
    prefix = b"c"

    def __init__(self, rules: RuleBook) -> None:
        self.book = rules
        self.followed: dict[bytes, tuple[Followed, Accuracy]] = {}
        self.left: dict[bytes, Followed] = {}
        self.touched: set[bytes] = set()
        self.outs: list[Out] = []

    def load(self, value: bytes) -> bool:
        followed = _decode(value)
        if followed.left:
            self.left[followed.key] = followed
            return True
        rule = self._rule(followed.rule)
        watch = watch_of(rule) if rule is not None else AccuracyWatch()
        self.followed[followed.key] = followed, Accuracy(watch, followed.state)
        return True

    def _rule(self, name: str) -> Rule | None:
        return next((rule for rule in self.book.now.apart if rule.name == name and rule.how is How.ACCURACY), None)

    def take(self, given: GroupInput, heard: int) -> None:
        for rule in self.book.now.apart:
            if rule.how is How.ACCURACY:
                self._label(rule, given)

    def _label(self, rule: Rule, given: GroupInput) -> None:
        now, before = given.now, given.previous
        if now is not None and before is not None and _place(now) == _place(before):
            self._relabel(rule, given, now, _right(before), _right(now))
            return
        if before is not None:
            self._relabel(rule, given, before, _right(before), None)
        if now is not None:
            self._relabel(rule, given, now, None, _right(now))

    def _relabel(self, rule: Rule, given: GroupInput, standing: Standing, before: bool | None, now: bool | None) -> None:
        if now == before:
            return
        followed, accuracy = self._open(rule, given.tenant, standing)
        self.touched.add(followed.key)
        waiting = [one for one in followed.waiting if one[1] != given.decision_key]
        if before is not None and len(waiting) == len(followed.waiting):
            accuracy.relabelled(standing.at, before, now)
            followed.corrected = True
            put(followed.wrong, (standing.at if now is False else 0, given.decision_key))
        elif now is not None:
            waiting.append((standing.at, given.decision_key, now))
        followed.waiting = waiting

    def _open(self, rule: Rule, tenant: str, standing: Standing) -> tuple[Followed, Accuracy]:
        told = standing.contribution
        followed = Followed(tenant, told.agent, told.task, standing.replay, rule.name, AccuracyState(), waiting=[], wrong=[])
        found = self.followed.get(followed.key)
        if found is None:
            followed = self.left.pop(followed.key, followed)
            followed.left = False
            found = self.followed[followed.key] = followed, Accuracy(watch_of(rule), followed.state)
        return found

    def advance(self, replay: bool, now: int) -> None:
        """Time of one kind has come to `now`, microseconds."""
        hour = now // HOUR
        for key, (followed, accuracy) in list(self.followed.items()):
            rule = self._rule(followed.rule)
            if followed.replay is replay and hour > followed.hour and rule is not None:
                if accuracy.watch != (watch := watch_of(rule)):
                    accuracy = Accuracy(watch, accuracy.state())
                    self.followed[key] = followed, accuracy
                self._judge(rule, followed, accuracy, hour)
                self.touched.add(key)
                if accuracy.empty and not followed.waiting and followed.told is AlertState.INSUFFICIENT:
                    self._let_go(followed)

    def _let_go(self, followed: Followed) -> None:
        del self.followed[followed.key]
        self.touched.add(followed.key)
        if followed.transition:
            followed.state, followed.waiting, followed.wrong, followed.left = AccuracyState(), [], [], True
            self.left[followed.key] = followed

    def _judge(self, rule: Rule, followed: Followed, accuracy: Accuracy, hour: int) -> None:
        """One word for each hour that brought labels, and one for now. Decisions of the hour at hand wait."""
        ready = sorted(one for one in followed.waiting if one[0] // HOUR < hour)
        followed.waiting = [one for one in followed.waiting if one[0] // HOUR >= hour]
        while ready:
            until = max(ready[0][0] // HOUR + 1, followed.hour)
            count = sum(one[0] // HOUR < until for one in ready)
            for at, decision, correct in ready[:count]:
                accuracy.labelled(at, correct)
                if not correct:
                    put(followed.wrong, (at, decision))
            ready = ready[count:]
            self._say(rule, followed, accuracy.judge(until * HOUR), until)
        if followed.hour < hour:
            self._say(rule, followed, accuracy.judge(hour * HOUR), hour)

    def _say(self, rule: Rule, followed: Followed, judgement: Judgement, hour: int) -> None:
        late, followed.corrected, followed.hour = followed.corrected, False, hour
        state = STATES[judgement.verdict]
        known = judgement.trailing_labels >= rule.at_least and judgement.mean is not None
        if followed.told is AlertState.FIRING and (state is AlertState.OK or (state is AlertState.INSUFFICIENT and known)):
            state = AlertState.RESOLVED
        if state is followed.told or {state, followed.told} == {AlertState.OK, AlertState.RESOLVED}:
            return
        if state is AlertState.FIRING:
            followed.opened_at = hour * HOUR
        followed.transition += 1
        told = _transition(rule, self.book.now.version, followed, judgement, state, hour * HOUR, late)
        followed.told = state
        self.outs.append(Out(ALERT_TRANSITIONS, told.alert_id.encode(), _fact(told)))

    def end(self, gone: Mapping[str, Rule], heard: tuple[int, int]) -> None:
        """Resolves what fires by rules that are gone, and lets go what they followed. `heard`: how far time has come, live and of
        a replay."""
        for key, (followed, _) in list(self.followed.items()):
            if followed.rule in gone and followed.told is AlertState.FIRING:
                followed.told, followed.transition = AlertState.RESOLVED, followed.transition + 1
                at, rule, group = heard[followed.replay], gone[followed.rule], _group(followed)
                self.outs.append(
                    withdrawn(rule, self.book.now, followed.tenant, group, followed.transition, followed.opened_at, at)
                )
                self.touched.add(key)
            if self._rule(followed.rule) is None:
                self._let_go(followed)

    def drain(self, changes: Changes) -> None:
        for key in self.touched:
            if (found := self.followed.get(key)) is not None:
                followed, accuracy = found
                followed.state = accuracy.state()
                changes.puts[self.prefix + key] = _encode(followed)
            else:
                changes.puts[self.prefix + key] = _encode(self.left[key]) if key in self.left else None
        self.touched.clear()
        changes.outs.extend(self.outs)
        self.outs.clear()


def watch_of(rule: Rule) -> AccuracyWatch:
    return AccuracyWatch(points=float(rule.above), trailing=TRAILING // HOUR, least=max(rule.at_least, 1))


def _group(followed: Followed) -> dict[str, str]:
    group = {"agent": followed.agent, "task": followed.task}
    return group | {"clock": Clock.REPLAY.value} if followed.replay else group


def _place(standing: Standing) -> tuple[str, str, bool, int]:
    """Where a label counts."""
    return standing.contribution.agent, standing.contribution.task, standing.replay, standing.at // HOUR


def _right(standing: Standing | None) -> bool | None:
    return None if standing is None else RIGHT.get(standing.contribution.outcome)


def _transition(
    rule: Rule, version: str, followed: Followed, judgement: Judgement, state: AlertState, at: int, late: bool
) -> AlertTransition:
    group, drop = _group(followed), None
    if judgement.mean is not None and judgement.trailing is not None:
        drop = Decimal(judgement.mean - judgement.trailing).quantize(NANO, ROUND_HALF_EVEN)
    since = at - TRAILING
    return AlertTransition(
        alert_id=alert_id(followed.tenant, rule.name, group),
        transition=followed.transition,
        tenant=followed.tenant,
        rule=rule.name,
        group=group,
        severity=rule.severity,
        previous=followed.told,
        state=state,
        at=instant(at),
        opened_at=instant(followed.opened_at) if followed.opened_at is not None else None,
        clock=Clock.REPLAY if followed.replay else Clock.SOURCE,
        summary=_summary(followed, judgement, state),
        measure=rule.measure,
        unit="ratio",
        value=drop,
        threshold=rule.above,
        clear=(rule.above * Decimal("0.9")).normalize(),
        samples=max(0, judgement.mean_labels + judgement.trailing_labels),
        samples_needed=judgement.needed,
        window_from=instant(since),
        window_to=instant(at),
        late=late,
        decisions=keys(one for one in followed.wrong if one[0] >= since),
        sql=_statement(followed, since, at),
        runbook=rule.runbook,
        rules_version=version,
    )


def _summary(followed: Followed, judgement: Judgement, state: AlertState) -> str:
    about = f"accuracy of {followed.agent}" + (f" at {followed.task}" if followed.task else "")
    if state is AlertState.INSUFFICIENT:
        return f"{about} cannot be judged: {judgement.reason}"
    last, mean = (show(None if one is None else Decimal(one), "ratio") for one in (judgement.trailing, judgement.mean))
    labels = f"{judgement.trailing_labels} and {judgement.mean_labels:,} labels"
    return f"{about} is {last} over the last {TRAILING // HOUR} h, {mean} over the 30 days before ({labels})"


def _statement(followed: Followed, since: int, until: int) -> str:
    where = [f"tenant = {quoted(followed.tenant)}", f"agent = {quoted(followed.agent)}", f"task = {quoted(followed.task)}"]
    first, last = (f"{instant(us):%Y-%m-%d %H:%M:%S}" for us in (since - 30 * DAY, until))
    where.append(f"outcome IN ('correct', 'incorrect') AND started_at >= '{first}' AND started_at < '{last}'")
    return (
        f"SELECT decision_key, started_at, agent_version, outcome FROM decisions WHERE {' AND '.join(where)} ORDER BY started_at"
    )
