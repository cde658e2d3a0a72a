"""Rules over windows of event time: what fires, what stays silent, what a late event changes, and what a restart does not."""

import random
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.steps.world import TENANT, Disk
from waterline.schemas.alerts import AlertState, AlertTransition
from waterline.schemas.control import Scope
from waterline.schemas.events import Kind
from waterline.schemas.facts import Calls, Contribution, GroupInput, Mark, Spend, Standing
from waterline.schemas.frames import Frame, Line
from waterline.schemas.topics import ALERT_TRANSITIONS, GROUP_INPUTS
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import HOUR, SECOND, instant
from waterline.streams.steps.rules import AGENT_TOOL, Baseline, Rule, RuleBook, Rules
from waterline.streams.steps.sketch import bucket_of

MINUTE = 60 * SECOND
BEGIN = 29_000_000 - 29_000_000 % 60
"""A full hour, in minutes since 1970."""
ERRORS = Rule(name="tool_error_rate", measure="tool_error_rate", window_s=300, above=Decimal("0.05"), at_least=20)
BY_TOOL = Rule(name="by_tool", measure="tool_error_rate", window_s=300, above=Decimal("0.05"), at_least=20, by=AGENT_TOOL)
ESCALATED = Rule(name="escalation_rate", measure="escalation_rate", window_s=3600, above=Decimal("0.2"), at_least=30)
SLOW = Rule(name="slow", measure="model_latency_p95", window_s=300, above=Decimal(1000), at_least=10)
FOR_TWO = Rule(name="for_two", measure="tool_error_rate", window_s=300, above=Decimal("0.05"), at_least=20, for_windows=2)

DAILY_COST = Rule(name="daily_cost", measure="cost", window_s=86400, above=Decimal("1.5"), baseline=Baseline.DAYS)
TWICE = Rule(name="latency", measure="model_latency_p95", window_s=300, above=Decimal(2), baseline=Baseline.HOURS, at_least=10)
WEEK = Rule(name="override_rate", measure="override_rate", window_s=86400, panes=7, above=Decimal("0.25"), at_least=10)

OK, FIRING, RESOLVED, PENDING = AlertState.OK, AlertState.FIRING, AlertState.RESOLVED, AlertState.PENDING
INSUFFICIENT = AlertState.INSUFFICIENT


class Watched:
    """The fold with its disk, and all it told. `replay`: whether the events carry a replay's clock."""

    def __init__(self, *rules: Rule, replay: bool = True, sources: int = 1) -> None:
        self.book, self.replay, self.sources = RuleBook(Rules("v1", rules)), replay, sources
        self.disk = Disk()
        self.fold = self._fold()
        self.told: list[AlertTransition] = []
        self.offset = self.left_out = 0

    def _fold(self) -> GroupsFold:
        return GroupsFold(0, self.sources, self.disk, Limits(window_lateness_s=10), self.book)

    def take(self, *inputs: GroupInput, restart: bool = False) -> None:
        lines = [Line(n, b"", one) for n, one in enumerate(inputs)]
        self.fold.apply(Position(GROUP_INPUTS.name, 0, self.offset), Frame(lines, [], instant(0)))
        self.offset += 1
        self.drain(restart)

    def drain(self, restart: bool = False) -> None:
        changes = self.fold.drain()
        self.disk.write(changes)
        self.left_out += changes.left_out
        outs = [out for out in changes.outs if out.topic is ALERT_TRANSITIONS]
        self.told += [msgspec.json.decode(out.value, type=AlertTransition) for out in outs]
        if restart:
            self.fold = self._fold()
            for key, value in self.disk.items():
                self.fold.load(key, value)

    def calls(self, minute: int, count: int, errors: int = 0, tool: str = "search", agent: str = "a") -> GroupInput:
        examples = [f"d{minute}-{n}" for n in range(min(errors, 5))]
        told = Calls(Kind.TOOL_CALL, tool, BEGIN + minute, count, errors, {0: count}, examples, self.replay)
        return GroupInput(tenant=TENANT, agent=agent, calls=told)

    def decision(self, minute: int, key: str, escalated: bool = False, was: bool | None = None) -> GroupInput:
        def standing(escalated: bool) -> Standing:
            return Standing(
                Contribution(day="2025-02-19", agent="a", escalated=escalated), (BEGIN + minute) * MINUTE, self.replay
            )

        before = None if was is None else standing(was)
        return GroupInput(tenant=TENANT, agent="a", decision_key=key, now=standing(escalated), previous=before)

    def cost(self, day: int, key: str, usd: str) -> GroupInput:
        told = Contribution(day="2025-02-19", agent="a", automated_cost=Decimal(usd))
        standing = Standing(told, (BEGIN + day * 1440) * MINUTE, self.replay)
        return GroupInput(tenant=TENANT, agent="a", decision_key=key, now=standing)

    def review(self, day: int, key: str, overturned: bool) -> GroupInput:
        told = Contribution(day="2025-02-19", agent="a", reviewed=True, overturned=overturned)
        return GroupInput(
            tenant=TENANT,
            agent="a",
            decision_key=key,
            now=Standing(told, (BEGIN + day * 1440) * MINUTE, self.replay, judged=True),
        )

    def models(self, minute: int, count: int, ms: float) -> GroupInput:
        told = Calls(Kind.MODEL_CALL, "m", BEGIN + minute, count, 0, {bucket_of(ms): count}, [], self.replay)
        return GroupInput(tenant=TENANT, agent="a", calls=told)

    def time(self, minute: float, source: int = 0) -> GroupInput:
        return GroupInput(mark=Mark(source, self.replay, round((BEGIN + minute) * MINUTE)))

    @property
    def states(self) -> list[AlertState]:
        return [told.state for told in self.told if told.revision == 1]


def test_over_the_threshold_fires_once_with_its_evidence_and_resolves() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 20, 2), watched.calls(4, 20, 1), watched.time(5))
    watched.take(watched.calls(6, 40, 1), watched.time(10))
    watched.take(watched.calls(11, 40, 1), watched.time(60))
    fired, resolved = watched.told
    assert (fired.previous, fired.state, fired.transition) == (OK, FIRING, 1)
    assert (fired.value, fired.threshold, fired.clear, fired.samples) == (Decimal("0.075"), Decimal("0.05"), Decimal("0.045"), 40)
    assert (fired.window_from, fired.window_to) == (instant(BEGIN * MINUTE), instant((BEGIN + 5) * MINUTE))
    assert (fired.completeness, fired.provisional, fired.late, fired.rules_version) == (1.0, False, False, "v1")
    assert fired.decisions == ["d0-0", "d0-1", "d4-0"]
    assert fired.group == {"agent": "a", "clock": "replay"}
    assert (resolved.previous, resolved.state, resolved.transition) == (FIRING, RESOLVED, 2)
    assert resolved.opened_at == fired.at == instant((BEGIN + 5) * MINUTE)
    assert resolved.value == Decimal("0.025")


@pytest.mark.parametrize(("count", "errors"), [(40, 2), (19, 19)])
def test_at_the_threshold_or_with_too_few_calls_nothing_is_said(count: int, errors: int) -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, count, errors), watched.time(5))
    assert watched.told == []


def test_between_the_clear_mark_and_the_threshold_it_goes_on_firing() -> None:
    watched = Watched(ERRORS)
    for window, errors in enumerate((60, 48, 52, 46, 45)):
        watched.take(watched.calls(5 * window, 1000, errors), watched.time(5 * window + 5))
    assert watched.states == [FIRING, RESOLVED]
    assert watched.told[1].value == Decimal("0.045")


def test_a_tool_has_an_alert_of_its_own() -> None:
    watched = Watched(ERRORS, BY_TOOL)
    watched.take(watched.calls(0, 30, 3, tool="book"), watched.calls(0, 970, 0), watched.time(5))
    (told,) = watched.told
    assert (told.rule, told.group["tool"], told.value) == ("by_tool", "book", Decimal("0.1"))


def test_when_data_end_the_alert_does_too() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 100, 50), watched.time(5))
    watched.take(watched.time(600))
    assert watched.states == [FIRING, INSUFFICIENT]
    assert watched.told[1].at == instant((BEGIN + 20) * MINUTE), "after three windows without calls"
    assert len(watched.fold.thresholds.windows.cells) == 0
    watched.take(watched.calls(600, 100, 1), watched.time(605))
    assert watched.states == [FIRING, INSUFFICIENT, OK]


def test_pending_until_it_has_lasted() -> None:
    watched = Watched(FOR_TWO)
    for window, errors in enumerate((10, 0, 10, 10, 0)):
        watched.take(watched.calls(5 * window, 100, errors), watched.time(5 * window + 5))
    assert watched.states == [PENDING, OK, PENDING, FIRING, RESOLVED]


def test_a_late_decision_makes_it_fire_and_another_takes_it_back() -> None:
    watched = Watched(ESCALATED)
    watched.take(*(watched.decision(n, f"d{n}", n < 12) for n in range(59)), watched.time(60))
    assert watched.told[0].value == Decimal("0.203389831")
    watched.take(watched.decision(59, "d59"))
    assert watched.states == [FIRING, RESOLVED], "12 of 60 are not more than 20 %, but more than 18 %: it walks anew, from ok"
    assert watched.told[1].late
    watched.take(watched.decision(30, "d30", True, was=False))
    assert watched.states == [FIRING, RESOLVED, FIRING]
    assert (watched.told[2].late, watched.told[2].value) == (True, Decimal("0.216666667"))
    assert "d30" not in watched.told[2].decisions, "five came before"


def test_what_should_have_fired_before_a_quiet_window_is_told_with_its_end() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 40, 2), watched.time(5))
    watched.take(watched.calls(5, 40, 0), watched.time(10))
    assert watched.told == []
    watched.take(watched.calls(1, 1, 1))
    assert [(told.state, told.window_from) for told in watched.told] == [
        (FIRING, instant(BEGIN * MINUTE)),
        (RESOLVED, instant((BEGIN + 5) * MINUTE)),
    ]
    assert all(told.late for told in watched.told)


def test_time_is_what_the_slowest_source_has_come_to() -> None:
    watched = Watched(ERRORS, sources=2)
    watched.take(watched.calls(0, 20, 10), watched.time(9, 0))
    assert watched.told == []
    watched.take(watched.time(5, 1))
    assert watched.states == [FIRING]


def test_live_data_fire_at_once_when_it_is_no_chance() -> None:
    watched = Watched(ERRORS, replay=False)
    watched.take(watched.calls(0, 1000, 1), watched.time(5.2))
    watched.take(watched.calls(5, 20, 4), watched.time(5.5))
    assert watched.told == [], "4 of 20 are over 5 %, and no wonder at 5 %"
    watched.take(watched.calls(5, 20, 8))
    (told,) = watched.told
    assert (told.state, told.provisional, told.value, told.group) == (FIRING, True, Decimal("0.3"), {"agent": "a"})
    assert told.completeness == pytest.approx(0.1)
    watched.take(watched.calls(6, 160, 0), watched.time(10.2))
    assert watched.states == [FIRING], "the last word agrees"
    told = watched.told[-1]
    assert (told.transition, told.revision, told.state, told.provisional, told.late) == (1, 2, FIRING, False, False)
    assert (told.value, told.samples, told.completeness, told.at) == (Decimal(8 + 4) / 200, 200, 1, watched.told[0].at)
    watched.take(watched.calls(11, 1000, 0), watched.time(15.2))
    assert watched.states == [FIRING, RESOLVED]


def test_slow_calls_fire_at_once_too() -> None:
    watched = Watched(SLOW, replay=False)
    watched.take(watched.models(0, 20, 900), watched.models(0, 3, 2000), watched.time(1))
    assert watched.told == [], "3 of 23 over 1,000 ms are more than one in twenty, and may be chance"
    watched.take(watched.models(1, 40, 2000))
    assert watched.states == [FIRING]


def test_a_provisional_alert_that_the_last_word_does_not_bear_out_is_resolved() -> None:
    watched = Watched(ERRORS, replay=False)
    watched.take(watched.calls(0, 20, 9), watched.time(1))
    watched.take(watched.calls(1, 480, 0), watched.time(5.2))
    assert [(told.state, told.provisional) for told in watched.told] == [(FIRING, True), (RESOLVED, False)]


def test_a_window_waits_for_what_is_late_by_no_more_than_allowed() -> None:
    watched = Watched(ERRORS, replay=False)
    watched.take(watched.calls(0, 19, 19), watched.time(5.1))
    watched.take(watched.calls(4, 1, 1), watched.time(5.17))
    assert [(told.state, told.late) for told in watched.told] == [(FIRING, False)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=60), st.randoms(use_true_random=False))
def test_a_replay_says_the_same_whatever_the_batches_and_restarts(items: list[tuple[int, int]], rnd: random.Random) -> None:
    def run(chance: float) -> list[AlertTransition]:
        watched = Watched(ERRORS, BY_TOOL, FOR_TWO)
        clock = 0
        held: list[GroupInput] = []
        for minute, errors in sorted(items):
            if minute > clock:
                held.append(watched.time(minute))
                clock = minute
            held.append(watched.calls(minute, 15, errors, tool=f"t{errors % 2}"))
            if rnd.random() < chance:
                watched.take(*held, restart=True)
                held = []
        watched.take(*held, watched.time(120), restart=True)
        return sorted(watched.told, key=lambda told: (told.alert_id, told.transition))

    assert run(0.5) == run(0.0)


def test_nothing_is_kept_of_what_nothing_was_said_about() -> None:
    watched = Watched(ERRORS, ESCALATED)
    watched.take(watched.calls(0, 30), watched.time(5))
    watched.take(watched.calls(5, 30), watched.time(10))
    assert watched.fold.thresholds.alarms == {}
    watched.take(watched.time(10 + 2 * HOUR // MINUTE))
    assert [key for key in dict(watched.disk.items()) if key[:1] in (b"w", b"a")] == []


def day(number: float) -> float:
    return number * 1440 - BEGIN % 1440


def test_a_day_is_compared_with_the_mean_of_the_seven_before() -> None:
    watched = Watched(DAILY_COST)
    for number, usd in enumerate(("10", "10", "10", "10", "10", "10", "17", "16", "16.5")):
        watched.take(watched.cost(number, f"d{number}", usd), watched.time(day(number + 1)), restart=True)
    assert watched.states == [INSUFFICIENT, OK], "six days are no week, and 16.5 is under 150 % of 83 / 7"
    watched.take(watched.cost(9, "d9", "19.5"), watched.time(day(10)))
    told = watched.told[-1]
    assert (told.state, told.value, told.unit) == (FIRING, Decimal("19.5"), "USD")
    assert told.threshold == (Decimal("89.5") / 7 * Decimal("1.5")).quantize(Decimal("1e-9"))


def test_latency_is_compared_with_the_same_hour_of_the_last_days_else_with_the_last_day() -> None:
    watched = Watched(TWICE)
    for number in range(3):
        watched.take(watched.models(number * 1440 + 30, 100, 100), watched.time(number * 1440 + 35))
        watched.take(watched.models(number * 1440 + 700, 100, 1000), watched.time(number * 1440 + 705))
    watched.told.clear()
    at = 3 * 1440
    watched.take(watched.models(at + 30, 100, 300), watched.time(at + 35))
    assert watched.states == [FIRING]
    assert float(watched.told[0].threshold or 0) == pytest.approx(200, rel=0.01), "1,000 ms are another hour's"
    watched.take(watched.models(at + 35, 100, 100), watched.time(at + 40), restart=True)
    watched.take(watched.models(at + 200, 100, 1900), watched.time(at + 205))
    assert watched.states == [FIRING, RESOLVED], "an hour without a past: within twice the p95 of the last 24 hours"


def test_a_week_moves_on_by_a_day() -> None:
    watched = Watched(WEEK)
    for number in range(9):
        reviews = [watched.review(number, f"d{number}-{n}", number < 3) for n in range(2)]
        watched.take(*reviews, watched.time(day(number + 1)), restart=True)
    assert [(told.state, told.value) for told in watched.told] == [
        (INSUFFICIENT, Decimal(1)),
        (FIRING, Decimal("0.6")),
        (RESOLVED, Decimal("0.142857143")),
    ]
    assert watched.told[1].window_to is not None
    assert watched.told[1].window_from == watched.told[1].window_to - timedelta(days=7)


def test_a_review_that_comes_days_after_its_decision_is_part_of_the_week() -> None:
    watched = Watched(WEEK)
    for number in range(3):
        watched.take(*(watched.review(number, f"d{number}-{n}", False) for n in range(4)), watched.time(day(number + 1)))
    told = len(watched.told)
    late = []
    for n in range(4):
        before = watched.review(0, f"d0-{n}", False).now
        after = watched.review(0, f"d0-{n}", True).now
        late.append(GroupInput(tenant=TENANT, agent="a", decision_key=f"d0-{n}", now=after, previous=before))
    watched.take(*late, watched.time(day(3) + 10), restart=True)
    assert [(one.state, one.value, one.late) for one in watched.told[told:]] == [(FIRING, Decimal("0.333333333"), True)]


def test_a_restart_keeps_what_is_compared_with_whatever_comes_first_after_it() -> None:
    watched = Watched(DAILY_COST)
    for number in range(7):
        watched.take(watched.cost(number, f"d{number}", "10"), watched.time(day(number + 1)))
    told = len(watched.told)
    spent = Spend(Scope.TEAM, "search", 1, 1, 1)
    watched.take(watched.time(day(7) + 120), restart=True)
    watched.take(GroupInput(tenant=TENANT, spend=spent), restart=True)
    watched.take(watched.cost(7, "d7", "16"), watched.time(day(8)))
    assert FIRING in [one.state for one in watched.told[told:]]
