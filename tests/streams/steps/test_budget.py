"""Spending by name and day, told exactly, and what a gateway should do about it."""

import random
from decimal import Decimal

import msgspec
import pytest

from tests.streams.steps.world import T0, TENANT, Disk, World, call, event
from waterline.schemas.alerts import AlertState, AlertTransition
from waterline.schemas.control import ControlLimit, LimitVerdict, Period, Scope
from waterline.schemas.events import Kind, Verdict
from waterline.schemas.facts import GroupInput, Mark, Spend
from waterline.schemas.frames import Frame, Line
from waterline.schemas.topics import ALERT_TRANSITIONS, CONTROL_LIMITS, GROUP_INPUTS
from waterline.streams.steps.budget import Budgets
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import DAY, HOUR, day_name, day_number, micros
from waterline.streams.steps.purse import Purse, forecast, period_of
from waterline.streams.steps.rules import Budget, RuleBook, Rules

TODAY = day_number("2026-11-20")
NOON = TODAY * DAY + 12 * HOUR
ALLOW, WARN, DENY = LimitVerdict.ALLOW, LimitVerdict.WARN, LimitVerdict.DENY
FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED
DAILY = Budget(name="daily", scope=Scope.TEAM, period=Period.DAY, limit=Decimal(10))


def budget(scope: Scope = Scope.TEAM, period: Period = Period.DAY, **others: object) -> Budget:
    return msgspec.structs.replace(DAILY, scope=scope, period=period, **others)


class Purses:
    """The fold with its disk, what budgets say now, and every alert."""

    def __init__(self, *budgets: Budget) -> None:
        self.disk, self.book = Disk(), RuleBook(Rules("v1", (), budgets or (DAILY,)))
        self.fold = self._fold()
        self.limits: dict[tuple[str, str, str], ControlLimit] = {}
        self.alerts: list[AlertTransition] = []

    def _fold(self) -> GroupsFold:
        return GroupsFold(0, 1, self.disk, Limits(), self.book)

    def take(self, *inputs: GroupInput, restart: bool = True) -> None:
        lines = [Line(n, b"", one) for n, one in enumerate(inputs)]
        self.fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame(lines, [], T0))
        changes = self.fold.drain()
        self.disk.write(changes)
        for out in changes.outs:
            if out.topic is CONTROL_LIMITS:
                told = msgspec.json.decode(out.value, type=ControlLimit)
                before = self.limits.get((told.budget, told.name, told.clock))
                assert told.revision == (before.revision if before else 0) + 1
                self.limits[told.budget, told.name, told.clock] = told
            elif out.topic is ALERT_TRANSITIONS:
                self.alerts.append(msgspec.json.decode(out.value, type=AlertTransition))
        if restart:
            self.fold = self._fold()
            for key, value in self.disk.items():
                assert self.fold.load(key, value)

    def now(self, name: str = "search", of: str = "daily", clock: str = "source") -> ControlLimit:
        return self.limits[of, name, clock]

    def kept(self) -> dict[bytes, Purse]:
        return {
            key: msgspec.msgpack.decode(value, type=Purse) for key, value in self.disk.items() if key.startswith(Budgets.prefix)
        }

    @property
    def told(self) -> list[tuple[str, AlertState]]:
        return [(alert.group["mark"], alert.state) for alert in self.alerts]


def spend(usd: str, at: int = NOON, name: str = "search", scope: Scope = Scope.TEAM, replay: bool = False) -> GroupInput:
    nanos = int(Decimal(usd).scaleb(9))
    return GroupInput(tenant=TENANT, spend=Spend(scope, name, at // DAY, nanos, at, replay))


def test_a_budget_goes_from_allow_to_warn_to_deny_with_an_alert_at_each_mark() -> None:
    purses = Purses()
    purses.take(spend("4.9", NOON + 11 * HOUR))
    assert (purses.now().verdict, purses.now().spent, purses.now().limit) == (ALLOW, Decimal("4.9"), Decimal(10))
    purses.take(spend("3.1", NOON + 11 * HOUR))
    assert (purses.now().verdict, purses.now().spent) == (WARN, Decimal(8))
    assert purses.told == [("50 %", FIRING), ("80 %", FIRING)]
    purses.take(spend("2", NOON + 11 * HOUR))
    assert purses.now().verdict is DENY
    assert purses.told[2:] == [("100 %", FIRING), ("forecast", FIRING)]
    purses.take(spend("-2.5", NOON + 11 * HOUR))
    assert (purses.now().verdict, purses.told[4:]) == (ALLOW, [("100 %", RESOLVED), ("forecast", RESOLVED)])
    purses.take(spend("0.6", NOON + 11 * HOUR), spend("-1", NOON + 11 * HOUR))
    assert purses.told[6:] == [("80 %", RESOLVED)], "7.1 is under nine tenths of 8"


def test_the_period_ends_with_time_even_if_nothing_is_spent() -> None:
    purses = Purses()
    purses.take(spend("11", NOON))
    assert purses.now().verdict is DENY
    purses.take(GroupInput(mark=Mark(0, False, (TODAY + 1) * DAY)))
    now = purses.now()
    assert (now.period_from, now.spent, now.verdict) == ("2026-11-21", Decimal(0), WARN), "its forecast is the day before's pace"
    assert {mark for mark, state in purses.told if state is RESOLVED} >= {"50 %", "80 %", "100 %"}


def test_each_name_has_its_own_and_a_budget_may_be_for_one() -> None:
    purses = Purses(budget(), budget(name="ops-only", of="ops", limit=Decimal(100)))
    purses.take(spend("10"), spend("1", name="ops"))
    assert (purses.now("search").verdict, purses.now("ops").verdict) == (DENY, ALLOW)
    assert set(purses.limits) == {("daily", "search", "source"), ("daily", "ops", "source"), ("ops-only", "ops", "source")}


def test_what_a_replay_spends_is_not_held_against_the_living() -> None:
    purses = Purses()
    purses.take(spend("10", replay=True))
    assert purses.now(clock="replay").verdict is DENY
    assert ("daily", "search", "source") not in purses.limits


def days_later(days: int) -> GroupInput:
    return GroupInput(mark=Mark(0, False, (TODAY + days) * DAY))


def test_a_name_that_spends_no_more_is_let_go_and_its_numbers_go_on() -> None:
    purses = Purses()
    purses.take(spend("6", NOON + 11 * HOUR), spend("6", scope=Scope.AGENT))
    purses.take(days_later(1))
    assert [(alert.state, alert.transition) for alert in purses.alerts][:2] == [(FIRING, 1), (RESOLVED, 2)]
    purses.take(days_later(62))
    assert not purses.now().withdrawn
    assert len(purses.kept()) == 2
    purses.take(days_later(63))
    assert (purses.now().withdrawn, purses.now().verdict) == (True, ALLOW)
    ((key, left),) = purses.kept().items()
    assert (left.name.scope, left.days, left.dearest) == (Scope.TEAM, {}, {}), "nobody counts on the other"
    stored, revision = purses.disk[key], purses.now().revision
    purses.take(days_later(64))
    assert (purses.disk[key], purses.now().revision) == (stored, revision), "nothing more is told of it"
    purses.take(spend("6", (TODAY + 64) * DAY + 23 * HOUR))
    assert (purses.now().withdrawn, purses.now().spent, purses.now().revision) == (False, Decimal(6), revision + 1)
    assert [alert.transition for alert in purses.alerts if alert.group["mark"] == "50 %"] == [1, 2, 3]


def test_a_limit_that_denies_is_not_lifted_because_nothing_is_spent() -> None:
    purses = Purses(budget(limit=Decimal(0)))
    purses.take(spend("1"))
    purses.take(days_later(70))
    assert (purses.now().verdict, purses.now().withdrawn) == (DENY, False)


def test_an_alert_names_the_dearest_decisions_of_the_period() -> None:
    purses = Purses(budget(), budget(name="monthly", period=Period.MONTH, limit=Decimal(20)))

    def told(usd: str, at: int, *decisions: tuple[int, str]) -> GroupInput:
        given = spend(usd, at).spend
        assert given is not None
        return GroupInput(tenant=TENANT, spend=msgspec.structs.replace(given, dearest=[*decisions]))

    purses.take(told("1", NOON - DAY, (90, "before")), told("2", NOON, (50, "b"), (40, "a")))
    purses.take(told("4", NOON, (70, "a"), (60, "c")), told("-1", NOON, (0, "b")))
    purses.take(told("8", NOON, *((n, f"d{n}") for n in range(99, 94, -1))))
    named = {(alert.rule, alert.group["mark"]): alert.decisions for alert in purses.alerts if alert.state is FIRING}
    assert named["daily", "50 %"] == ["a", "c"]
    assert named["daily", "100 %"] == ["d99", "d98", "d97", "d96", "d95"]
    assert named["monthly", "50 %"] == named["daily", "100 %"]
    purses.take(days_later(1))
    assert [alert.decisions for alert in purses.alerts if alert.state is RESOLVED and alert.rule == "daily"] == [[]] * 4


def test_a_budget_that_is_taken_away_is_withdrawn_and_its_alerts_end() -> None:
    purses = Purses()
    purses.take(spend("10", NOON))
    firing = {mark for mark, state in purses.told if state is FIRING}
    purses.book.now = Rules("v2", (), (budget(name="other", limit=Decimal(1000)),))
    purses.take(GroupInput(mark=Mark(0, False, NOON)))
    assert (purses.now().withdrawn, purses.now().verdict, purses.now().rules_version) == (True, ALLOW, "v2")
    assert {mark for mark, state in purses.told if state is RESOLVED} == firing
    assert purses.now(of="other").spent == 10, "a new one knows what was spent before"
    revision = purses.now().revision
    purses.take(spend("1", NOON))
    assert purses.now().revision == revision, "nothing more is told of it"
    purses.book.now = Rules("v3", (), (DAILY,))
    purses.take(GroupInput(mark=Mark(0, False, NOON)))
    assert (purses.now().verdict, purses.now().spent, purses.now().withdrawn) == (DENY, Decimal(11), False)
    numbers = [alert.transition for alert in purses.alerts if alert.rule == "daily" and alert.group["mark"] == "50 %"]
    assert numbers == [1, 2, 3]


def test_without_a_mark_for_denying_gateways_are_warned_at_most() -> None:
    purses = Purses(budget(deny_at=None))
    purses.take(spend("1000"))
    assert purses.now().verdict is WARN


@pytest.mark.parametrize(
    ("at", "period", "first", "end"),
    [
        ("2026-11-20", Period.DAY, "2026-11-20", "2026-11-21"),
        ("2026-11-20", Period.MONTH, "2026-11-01", "2026-12-01"),
        ("2026-12-31", Period.MONTH, "2026-12-01", "2027-01-01"),
        ("2028-02-29", Period.MONTH, "2028-02-01", "2028-03-01"),
        ("2027-01-31", Period.MONTH, "2027-01-01", "2027-02-01"),
    ],
)
def test_periods_are_those_of_the_calendar(at: str, period: Period, first: str, end: str) -> None:
    days = period_of(period, day_number(at) * DAY + 23 * HOUR)
    assert tuple(map(day_name, days)) == (first, end)


def test_a_forecast_goes_on_at_the_pace_of_the_last_full_days() -> None:
    days = {TODAY - n: 100 for n in range(1, 10)} | {TODAY: 30}
    assert forecast(days, 1000, TODAY + 10, TODAY * DAY) == 1000 + 10 * 100
    assert forecast({TODAY: 30}, 30, TODAY + 1, TODAY * DAY + 6 * HOUR) == 30 + 90
    assert forecast({TODAY: 30}, 30, TODAY + 1, TODAY * DAY + HOUR) is None, "an hour says little of a day"


def test_spending_is_what_the_leaves_cost_whatever_happens_to_them() -> None:
    """Decisions that merge, calls that turn out to be copies, batches and restarts: the sum of what was told is the cost."""
    world = World(partitions=3)
    rnd = random.Random(5)
    events = []
    for n in range(60):
        named = {"key": f"d{n % 20}", "agent": "a", "team": f"t{n % 2}", "credential_id": "k"}
        alias = f"b{n % 7}" if n % 3 == 0 else ""
        events.append(call(n, decision_id=alias, response_id=f"r{n // 2}" if n % 4 < 2 else "", **named))
        if n % 10 == 0:
            events.append(event(Kind.REVIEW, n + 5, review_minutes=3, review_verdict=Verdict.OVERRIDE, **named))
    rnd.shuffle(events)
    for one in events:
        world.send([one])
        if rnd.random() < 0.3:
            world.run()
    world.run()
    spent: dict[tuple[Scope, str], int] = {}
    for told in world.inputs:
        if told.spend is not None:
            at = (told.spend.scope, told.spend.name)
            spent[at] = spent.get(at, 0) + told.spend.nanos
    costs = [cost for cost in world.costs.values() if not cost.retracted and cost.cost is not None]
    whole = int(sum((cost.cost or Decimal(0) for cost in costs), Decimal(0)).scaleb(9))
    assert whole > 0
    assert spent[Scope.TENANT, ""] == whole
    for team in ("t0", "t1"):
        assert spent.get((Scope.TEAM, team), 0) == int(
            sum((cost.cost or Decimal(0) for cost in costs if cost.team == team), Decimal(0)).scaleb(9)
        )
    assert micros(T0) // DAY == TODAY
