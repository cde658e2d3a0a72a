"""Decisions that take many times the tokens their task is known for (rules of measure `decision_tokens`). A part of the fold of
stage `groups`.

The mean of a task (tenant, agent, task) is over the `DAYS` closed days before the decision's own day, so it does not depend on
the order of arrival within the day. A decision over the threshold fires an alert of its own as soon as it is over, and resolves
when it is corrected, or when nothing is heard of it for the decision's grace period: it is over then, and its cost is spent.

Decisions that began more than `decision_keep_days` ago are passed over. So days that no other can be compared with any more, what
fired on days before, and tasks of which nothing is left are let go, once a day.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
from msgspec import Struct

from waterline.schemas.alerts import AlertState, AlertTransition, alert_id
from waterline.schemas.events import Clock
from waterline.schemas.facts import GroupInput, Standing
from waterline.schemas.identity import SEPARATOR
from waterline.schemas.topics import ALERT_TRANSITIONS
from waterline.streams.steps.agenda import Agenda
from waterline.streams.steps.entry import NANO
from waterline.streams.steps.evidence import quoted
from waterline.streams.steps.fold import Changes, Out
from waterline.streams.steps.in_force import withdrawn
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, SECOND, instant
from waterline.streams.steps.rules import How, Rule, RuleBook

DAYS = 30
LOOKS = 2**62
_encode = msgspec.msgpack.Encoder().encode
_fact = msgspec.json.Encoder().encode


class Fired(Struct, array_like=True):
    """A decision that fires, or did: when it was last heard of, in its own kind of time."""

    decision: str
    rule: str
    at: int
    heard: int
    opened_at: int
    transition: int
    fires: bool


class Task(Struct, array_like=True):
    """`days`: decisions and their tokens by day of their start (days since 1970)."""

    tenant: str
    agent: str
    task: str
    replay: bool
    days: dict[int, tuple[int, int]] = {}
    fired: dict[str, Fired] = {}

    @property
    def key(self) -> bytes:
        return SEPARATOR.join((self.tenant, self.agent, self.task, "r" if self.replay else "")).encode()


_decode = msgspec.msgpack.Decoder(Task).decode


class Outliers:
    prefix = b"t"

    def __init__(self, limits: Limits, rules: RuleBook) -> None:
        self.book = rules
        self.grace = int(limits.decision_grace_s * SECOND)
        self.keep = limits.decision_keep_days
        self.tasks: dict[bytes, Task] = {}
        self.touched: set[bytes] = set()
        self.outs: list[Out] = []
        self._days = [0, 0]
        self._agendas: tuple[Agenda[tuple[bytes, str]], Agenda[tuple[bytes, str]]] = (Agenda(SECOND), Agenda(SECOND))

    def load(self, value: bytes) -> bool:
        task = _decode(value)
        self.tasks[task.key] = task
        for name, fired in task.fired.items():
            self._agendas[task.replay].add(fired.heard + self.grace, (task.key, name))
        return True

    def take(self, given: GroupInput, heard: int) -> None:
        oldest = heard // DAY - self.keep
        for standing, sign in ((given.previous, -1), (given.now, 1)):
            if standing is not None and standing.at // DAY >= oldest:
                self._count(self._task(given.tenant, standing), standing, sign)
        if given.now is not None and given.now.at // DAY >= oldest:
            task = self._task(given.tenant, given.now)
            late = given.previous is not None and heard > given.previous.ended_at + self.grace
            for rule in self.book.now.apart:
                if rule.how is How.DECISION:
                    self._look(rule, task, given.decision_key, given.now, max(heard, given.now.at), late)

    def _task(self, tenant: str, standing: Standing) -> Task:
        told = standing.contribution
        task = Task(tenant, told.agent, told.task, standing.replay, days={}, fired={})
        return self.tasks.setdefault(task.key, task)

    def _count(self, task: Task, standing: Standing, sign: int) -> None:
        day = standing.at // DAY
        decisions, tokens = task.days.get(day, (0, 0))
        task.days[day] = decisions + sign, tokens + sign * standing.tokens
        self.touched.add(task.key)

    def _look(self, rule: Rule, task: Task, decision: str, standing: Standing, heard: int, late: bool) -> None:
        """`late`: the decision was over before this came."""
        day = standing.at // DAY
        before = [sums for one, sums in task.days.items() if day - DAYS <= one < day]
        decisions, tokens = sum(sums[0] for sums in before), sum(sums[1] for sums in before)
        name = f"{rule.name}{SEPARATOR}{decision}"
        fired = task.fired.get(name)
        if decisions < rule.at_least or not tokens:
            return
        threshold = (Decimal(tokens) / decisions * rule.above).quantize(NANO, ROUND_HALF_EVEN)
        over = standing.tokens > threshold
        if over and fired is None:
            fired = task.fired[name] = Fired(decision, rule.name, standing.at, heard, heard, 0, False)
        if fired is None:
            return
        fired.heard = heard
        if over and not fired.fires:
            fired.opened_at = heard
            self._agendas[task.replay].add(heard + self.grace, (task.key, name))
            self._tell(rule, task, fired, AlertState.FIRING, standing.tokens, threshold, decisions, late)
        elif fired.fires and standing.tokens <= threshold * rule.clear_at:
            self._tell(rule, task, fired, AlertState.RESOLVED, standing.tokens, threshold, decisions, late)

    def advance(self, replay: bool, now: int) -> None:
        if now // DAY > self._days[replay]:
            self._days[replay] = now // DAY
            self._let_go(replay, now // DAY - self.keep)
        agenda = self._agendas[replay]
        for key, name in agenda.due(now, LOOKS):
            task = self.tasks.get(key)
            fired = task.fired.get(name) if task is not None else None
            if task is None or fired is None or not fired.fires:
                continue
            if fired.heard + self.grace > now:
                agenda.add(fired.heard + self.grace, (key, name))
                continue
            rule = next((rule for rule in self.book.now.apart if rule.name == fired.rule), None)
            if rule is not None:
                self._tell(rule, task, fired, AlertState.RESOLVED, None, None, 0)
                self.touched.add(key)

    def _let_go(self, replay: bool, oldest: int) -> None:
        """Decisions that began before the day `oldest` are heard no more."""
        for key, task in list(self.tasks.items()):
            if task.replay is not replay:
                continue
            days = {day: sums for day, sums in task.days.items() if day >= oldest - DAYS}
            fired = {name: one for name, one in task.fired.items() if one.fires or one.at // DAY >= oldest}
            if len(days) < len(task.days) or len(fired) < len(task.fired):
                task.days, task.fired = days, fired
                self.touched.add(key)
            if not days and not fired:
                del self.tasks[key]
                self.touched.add(key)

    def _tell(
        self,
        rule: Rule,
        task: Task,
        fired: Fired,
        state: AlertState,
        tokens: int | None,
        threshold: Decimal | None,
        samples: int,
        late: bool = False,
    ) -> None:
        before = AlertState.RESOLVED if fired.transition else AlertState.OK
        previous = AlertState.FIRING if fired.fires else before
        fired.fires = state is AlertState.FIRING
        fired.transition += 1
        group = _group(task, fired)
        about = f"decision {fired.decision} of {task.agent}" + (f", {task.task}," if task.task else "")
        if tokens is None or threshold is None:
            summary = f"{about} is over"
        else:
            mean = (threshold / rule.above).quantize(Decimal(1))
            summary = f"{about} took {tokens:,} tokens; {rule.above.normalize():f} times the mean of {mean:,} are the limit"
        transition = AlertTransition(
            alert_id=alert_id(task.tenant, rule.name, group),
            transition=fired.transition,
            tenant=task.tenant,
            rule=rule.name,
            group=group,
            severity=rule.severity,
            previous=previous,
            state=state,
            at=instant(fired.heard if tokens is not None else fired.heard + self.grace),
            opened_at=instant(fired.opened_at),
            clock=Clock.REPLAY if task.replay else Clock.SOURCE,
            summary=summary,
            measure=rule.measure,
            unit="tokens",
            value=None if tokens is None else Decimal(tokens),
            threshold=threshold,
            clear=None if threshold is None else (threshold * rule.clear_at).normalize(),
            samples=samples,
            samples_needed=rule.at_least,
            late=late,
            decisions=[fired.decision],
            sql=_statement(task, fired),
            runbook=rule.runbook,
            rules_version=self.book.now.version,
        )
        self.outs.append(Out(ALERT_TRANSITIONS, transition.alert_id.encode(), _fact(transition)))

    def end(self, gone: Mapping[str, Rule], heard: tuple[int, int]) -> None:
        """Resolves what fires by rules that are gone. `heard`: how far time has come, live and of a replay."""
        for task in self.tasks.values():
            for fired in task.fired.values():
                if fired.fires and fired.rule in gone:
                    fired.fires, fired.transition = False, fired.transition + 1
                    at = heard[task.replay]
                    rule, group = gone[fired.rule], _group(task, fired)
                    self.outs.append(withdrawn(rule, self.book.now, task.tenant, group, fired.transition, fired.opened_at, at))
                    self.touched.add(task.key)

    def drain(self, changes: Changes) -> None:
        for key in self.touched:
            task = self.tasks.get(key)
            changes.puts[self.prefix + key] = None if task is None else _encode(task)
        self.touched.clear()
        changes.outs.extend(self.outs)
        self.outs.clear()


def _group(task: Task, fired: Fired) -> dict[str, str]:
    group = {"agent": task.agent, "task": task.task, "decision": fired.decision}
    return group | {"clock": Clock.REPLAY.value} if task.replay else group


def _statement(task: Task, fired: Fired) -> str:
    where = f"tenant = {quoted(task.tenant)} AND decision = {quoted(fired.decision)} AND kind = 'model_call'"
    columns = "ts, model_served, tokens_input, tokens_cache_read, tokens_output, name, step"
    return f"SELECT {columns} FROM decision_events WHERE {where} ORDER BY ts"
