"""What was spent of budgets, and what gateways are told (`control.limits`). A part of the fold of stage `groups`.

Spending is the sum of priced leaves by the UTC day of their `ts`: a leaf that is priced anew, found to be a copy or moved to
another decision is taken back by the difference. So `spent` is exact however often and in whatever order leaves are told.

    verdict    deny when spent >= deny_at x limit; warn when spent >= warn_at x limit or the forecast is over the limit
    forecast   spent + rate x days left, where the rate is the mean of the last full days (seven at most) that lie in the
               thirty before today; without one, today's own pace once a twelfth of the day has passed; else unknown

A period is that of the latest time the budget has heard of: the newest leaf's, or for live spending the mark of the clock.
Each of a budget's marks (50, 80, 100 %) and its forecast is an alert of its own; it resolves when the period is over, or when
spending is taken back until it is under `CLEAR_AT` of the mark. It is late when spending of a day before today changed it. Its
examples are the decisions that spent of the period, those first that cost most as a whole, whoever else paid a part of it.

A name that has spent nothing for `GONE_DAYS` is let go: no period and no forecast takes in what it spent. Its limits are
withdrawn, as if it had never been heard of, and what is kept are the numbers of its records and alerts, which go on should it
spend again: their readers take what has a lesser number for old. A limit that does not allow stays, and an alert that fires.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from waterline.schemas.alerts import AlertState, AlertTransition, Severity, alert_id
from waterline.schemas.control import ControlLimit, LimitVerdict, Scope
from waterline.schemas.events import Clock
from waterline.schemas.facts import GroupInput, Mark, Spend
from waterline.schemas.identity import SEPARATOR
from waterline.schemas.topics import ALERT_TRANSITIONS, CONTROL_LIMITS
from waterline.streams.steps.entry import money
from waterline.streams.steps.evidence import quoted
from waterline.streams.steps.fold import Changes, Out
from waterline.streams.steps.moment import DAY, day_name, instant, micros
from waterline.streams.steps.purse import GONE_DAYS, KEPT_DAYS, Name, Purse, Told, forecast, period_of
from waterline.streams.steps.rules import Budget, RuleBook, Rules

FORECAST, CLEAR_AT = "forecast", Decimal("0.9")
_encode = msgspec.msgpack.Encoder().encode
_fact = msgspec.json.Encoder().encode


_decode = msgspec.msgpack.Decoder(Purse).decode


class Budgets:
    """Every name that ever spent, and the budgets that hold for it."""

    prefix = b"b"

    def __init__(self, rules: RuleBook) -> None:
        self.book = rules
        self.purses: dict[bytes, Purse] = {}
        self.touched: set[bytes] = set()
        self._late: dict[bytes, int] = {}
        self._gone: set[bytes] = set()
        self._looked = [0, 0]
        self._outs: list[Out] = []
        self._today = 0
        self._known: Rules | None = None

    def load(self, value: bytes) -> bool:
        purse = _decode(value)
        self.purses[purse.name.key] = purse
        if not purse.name.replay:
            told = (told.limit.at for told in purse.told.values() if told.limit is not None)
            self._today = max([self._today, *(micros(at) // DAY for at in told)])
        return True

    def take(self, given: GroupInput) -> None:
        if given.spend is not None:
            self._spend(given.tenant, given.spend)
        elif given.mark is not None:
            self._look(given.mark)

    def _look(self, mark: Mark) -> None:
        """A new day of the wall's, or other budgets, change what is told of names that spend nothing now."""
        if self._known is not self.book.now:
            self._known = self.book.now
            self.touched.update(key for key, purse in self.purses.items() if purse.days)
        if mark.now // DAY > self._looked[mark.replay]:
            self._looked[mark.replay] = mark.now // DAY
            self._let_go(mark.replay, mark.now // DAY - GONE_DAYS)
        if not mark.replay and mark.now // DAY > self._today:
            for key in [key for key in self.touched if not self.purses[key].name.replay]:
                self._tell_all(key)
            self._today = mark.now // DAY
            self.touched.update(key for key, purse in self.purses.items() if not purse.name.replay and purse.told and purse.days)

    def _let_go(self, replay: bool, before: int) -> None:
        """Names that spent nothing on that day or later."""
        for key, purse in list(self.purses.items()):
            if purse.name.replay is not replay or not purse.days or max(*purse.days, purse.at // DAY) >= before:
                continue
            held = [budget.name for budget in self.book.now.budgets if holds(budget, purse.name)]
            if any(told.fires or not _allows(told) for name, told in purse.told.items() if name in held):
                continue
            if key in self.touched:
                self._tell_all(key)
                self.touched.discard(key)
            for told in purse.told.values():
                self._withdraw(told, self._outs)
                told.limit = None
            if purse.told:
                purse.days, purse.dearest = {}, {}
            else:
                del self.purses[key]
            self._gone.add(key)

    def _spend(self, tenant: str, spend: Spend) -> None:
        name = Name(tenant, spend.scope, spend.name, spend.replay)
        purse = self.purses.get(name.key)
        if purse is None:
            purse = self.purses[name.key] = Purse(name, days={}, told={}, dearest={})
        if spend.at // DAY > self._now(purse) // DAY and name.key in self.touched:
            self._tell_all(name.key)
        if spend.day < self._now(purse) // DAY:
            self._late[name.key] = self._late.get(name.key, 0) + spend.nanos
        purse.days[spend.day] = purse.days.get(spend.day, 0) + spend.nanos
        purse.at = max(purse.at, spend.at)
        purse.rank(spend, {budget.period for budget in self.book.now.budgets if holds(budget, name)})
        newest = purse.at // DAY
        for old in [day for day in purse.days if day < newest - KEPT_DAYS]:
            del purse.days[old]
        self.touched.add(name.key)

    def drain(self, changes: Changes) -> None:
        for key in self.touched:
            self._tell_all(key)
            changes.puts[self.prefix + key] = _encode(self.purses[key])
        for key in self._gone:
            changes.puts[self.prefix + key] = _encode(self.purses[key]) if key in self.purses else None
        self.touched.clear()
        self._gone.clear()
        changes.outs.extend(self._outs)
        self._outs.clear()

    def _tell_all(self, key: bytes) -> None:
        """Also before time comes to another day, so that a batch in which a period ends says all that was due in it."""
        purse = self.purses[key]
        held = {budget.name: budget for budget in self.book.now.budgets if holds(budget, purse.name)}
        for budget in held.values():
            self._tell(budget, purse, self._outs)
        for name in purse.told.keys() - held.keys():
            self._withdraw(purse.told[name], self._outs)
        self._late.pop(key, None)

    def _now(self, purse: Purse) -> int:
        """The latest time the purse has heard of."""
        return purse.at if purse.name.replay else max(purse.at, self._today * DAY)

    def _tell(self, budget: Budget, purse: Purse, outs: list[Out]) -> None:
        now = self._now(purse)
        first, end = period_of(budget.period, now)
        spent = sum(nanos for day, nanos in purse.days.items() if first <= day < end)
        expected = forecast(purse.days, spent, end, now)
        verdict = judge(budget, spent, expected)
        told = purse.told.setdefault(budget.name, Told(changes={}, fires=[], opened={}))
        before, told.period = told.period, first
        if before == first and told.last == (spent, expected, verdict):
            return
        told.last = (spent, expected, verdict)
        told.revision += 1
        limit = ControlLimit(
            tenant=purse.name.tenant,
            budget=budget.name,
            scope=purse.name.scope,
            name=purse.name.name,
            period=budget.period,
            period_from=day_name(first),
            revision=told.revision,
            limit=budget.limit,
            spent=money(spent),
            forecast=None if expected is None else money(expected),
            verdict=verdict,
            at=instant(now),
            clock=Clock.REPLAY if purse.name.replay else Clock.SOURCE,
            rules_version=self.book.now.version,
        )
        told.limit = limit
        told.severity = budget.severity
        outs.append(_record(limit))
        outs.extend(self._alerts(budget, purse, told, limit, rolled=bool(before) and before != first))

    def _withdraw(self, told: Told, outs: list[Out]) -> None:
        """Gateways forget the budget, and its alerts end. Its numbers go on, should it come back."""
        if told.limit is None or told.limit.withdrawn:
            return
        told.revision += 1
        told.limit = replace(
            told.limit,
            revision=told.revision,
            verdict=LimitVerdict.ALLOW,
            withdrawn=True,
            rules_version=self.book.now.version,
        )
        outs.append(_record(told.limit))
        outs.extend(_transition(told, told.limit, label, None, None, AlertState.RESOLVED, []) for label in told.fires)
        told.fires, told.last = [], None

    def _alerts(self, budget: Budget, purse: Purse, told: Told, limit: ControlLimit, rolled: bool) -> Iterator[Out]:
        late = money(self._late.get(purse.name.key, 0))
        examples = purse.examples(budget.period, period_of(budget.period, micros(limit.at))[0])
        marks = [(f"{(mark * 100).normalize():f} %", budget.limit * mark) for mark in budget.marks]
        for label, threshold in (*marks, (FORECAST, budget.limit)):
            ahead = label == FORECAST
            value = limit.forecast if ahead else limit.spent
            over = value is not None and (value > threshold if ahead else value >= threshold)
            under = value is None or value < threshold * CLEAR_AT
            if label in told.fires and (rolled or under):
                told.fires.remove(label)
                yield _transition(told, limit, label, threshold, value, AlertState.RESOLVED, examples, bool(late) and not rolled)
            if label not in told.fires and over:
                told.fires.append(label)
                told.opened[label] = micros(limit.at)
                in_time = value is not None and value - late >= threshold and not ahead
                yield _transition(told, limit, label, threshold, value, AlertState.FIRING, examples, bool(late) and not in_time)


def _allows(told: Told) -> bool:
    return told.limit is None or told.limit.verdict is LimitVerdict.ALLOW


def holds(budget: Budget, name: Name) -> bool:
    """Whether the budget is about this name."""
    return (
        budget.scope is name.scope
        and budget.tenant in ("", name.tenant)
        and (budget.of in ("", name.name) or name.scope is Scope.TENANT)
    )


def judge(budget: Budget, spent: int, expected: int | None) -> LimitVerdict:
    limit = int(budget.limit.scaleb(9))
    if budget.deny_at is not None and spent >= budget.deny_at * limit:
        return LimitVerdict.DENY
    if spent >= budget.warn_at * limit or (expected is not None and expected > limit):
        return LimitVerdict.WARN
    return LimitVerdict.ALLOW


def _record(limit: ControlLimit) -> Out:
    key = SEPARATOR.join((limit.tenant, limit.budget, limit.scope, limit.name, limit.clock)).encode()
    return Out(CONTROL_LIMITS, key, _fact(limit))


def _transition(
    told: Told,
    limit: ControlLimit,
    label: str,
    threshold: Decimal | None,
    value: Decimal | None,
    state: AlertState,
    decisions: list[str],
    late: bool = False,
) -> Out:
    group = {limit.scope.value: limit.name} if limit.scope is not Scope.TENANT else {}
    group["mark"] = label
    if limit.clock is Clock.REPLAY:
        group["clock"] = limit.clock.value
    told.changes[label] = told.changes.get(label, 0) + 1
    before = AlertState.RESOLVED if told.changes[label] > 1 else AlertState.OK
    previous = AlertState.FIRING if state is AlertState.RESOLVED else before
    first, end = period_of(limit.period, micros(limit.at))
    transition = AlertTransition(
        alert_id=alert_id(limit.tenant, limit.budget, group),
        transition=told.changes[label],
        tenant=limit.tenant,
        rule=limit.budget,
        group=group,
        severity=Severity.INFO if label == FORECAST else told.severity,
        previous=previous,
        state=state,
        at=limit.at,
        opened_at=instant(told.opened[label]),
        clock=limit.clock,
        summary=_summary(limit, label, threshold, value),
        measure="budget",
        unit="USD",
        value=value,
        threshold=threshold,
        clear=None if threshold is None else (threshold * CLEAR_AT).normalize(),
        late=late,
        decisions=decisions,
        window_from=instant(first * DAY),
        window_to=instant(end * DAY),
        sql=_statement(limit, first, end),
        rules_version=limit.rules_version,
    )
    return Out(ALERT_TRANSITIONS, transition.alert_id.encode(), _fact(transition))


def _summary(limit: ControlLimit, label: str, threshold: Decimal | None, value: Decimal | None) -> str:
    who = f"{limit.scope} {limit.name}".strip()
    if limit.withdrawn:
        return f"the budget {limit.budget} of {who} is no more"
    what = "is forecast to be" if label == FORECAST else "is"
    mark = f"the limit is {limit.limit} USD" if label == FORECAST else f"{label} of {limit.limit} USD are {threshold}"
    return f"spending of {who} since {limit.period_from} {what} {value} USD; {mark}"


_COLUMN = {Scope.AGENT: "agent", Scope.TEAM: "team", Scope.KEY: "credential_id"}


def _statement(limit: ControlLimit, first: int, end: int) -> str:
    where = [
        f"tenant = {quoted(limit.tenant)}",
        f"ts >= '{day_name(first)}' AND ts < '{day_name(end)}'",
        "price_state = 'priced'",
    ]
    if limit.scope is not Scope.TENANT:
        where.append(f"{_COLUMN[limit.scope]} = {quoted(limit.name)}")
    return f"SELECT ts, decision_key, agent, model, cost FROM costs WHERE {' AND '.join(where)} ORDER BY cost DESC"
