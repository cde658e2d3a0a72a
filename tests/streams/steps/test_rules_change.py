"""Rules that change under a running fold: alerts whose rule is gone end, new windows are judged when they were seen whole, and
nothing else is disturbed."""

import msgspec
import pytest

from tests.streams.steps import test_apart, test_drops
from tests.streams.steps.test_thresholds import (
    BEGIN,
    BY_TOOL,
    ERRORS,
    FIRING,
    FOR_TWO,
    MINUTE,
    OK,
    PENDING,
    RESOLVED,
    SLOW,
    Watched,
)
from waterline.schemas.alerts import Severity
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rules import AGENT_TOOL, Rule, Rules

TEN = msgspec.structs.replace(ERRORS, name="ten", window_s=600)
STRICT = msgspec.structs.replace(ERRORS, above=ERRORS.above * 4)


def change(watched: Watched, *rules: Rule, version: str = "v2") -> None:
    watched.book.now = Rules(version, rules)


@pytest.mark.parametrize("restart", [False, True])
def test_an_alert_whose_rule_is_gone_is_resolved_once_and_says_why(restart: bool) -> None:
    critical = msgspec.structs.replace(ERRORS, severity=Severity.CRITICAL)
    watched = Watched(critical, BY_TOOL)
    watched.take(watched.calls(0, 100, 50), watched.time(5), restart=restart)
    assert watched.states == [FIRING, FIRING]
    change(watched, BY_TOOL)
    watched.take(watched.time(5.1), restart=restart)
    told = watched.told[-1]
    assert len(watched.told) == 3
    assert (told.rule, told.state, told.previous, told.transition) == (ERRORS.name, RESOLVED, FIRING, 2)
    assert (told.severity, told.rules_version, told.at) == (Severity.CRITICAL, "v2", instant(round((BEGIN + 5.1) * MINUTE)))
    assert told.summary == "tool_error_rate of a is watched no more: the rule was removed"
    watched.take(watched.calls(6, 100, 50), watched.time(10), restart=restart)
    assert [one.rule for one in watched.told[3:]] == [], "the other goes on firing"


def test_a_rule_that_comes_back_counts_its_transitions_on() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 100, 50), watched.time(5))
    change(watched)
    watched.take(watched.time(6), restart=True)
    change(watched, ERRORS, version="v3")
    watched.take(watched.time(7), restart=True)
    watched.take(watched.calls(16, 100, 50), watched.time(20))
    assert [(one.transition, one.state, one.rules_version) for one in watched.told] == [
        (1, FIRING, "v1"),
        (2, RESOLVED, "v2"),
        (3, FIRING, "v3"),
    ]


def test_a_pending_alert_whose_rule_is_gone_is_ok() -> None:
    watched = Watched(FOR_TWO)
    watched.take(watched.calls(0, 100, 50), watched.time(5))
    change(watched)
    watched.take(watched.time(6))
    assert watched.states == [PENDING, OK]


def test_a_rule_that_is_about_something_else_under_its_old_name_begins_anew() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 100, 50), watched.time(5))
    change(watched, msgspec.structs.replace(ERRORS, by=AGENT_TOOL))
    watched.take(watched.time(6))
    assert watched.states == [FIRING, RESOLVED]
    assert watched.told[1].summary.endswith("the rule was changed to be about something else")
    watched.take(watched.calls(16, 100, 50), watched.time(20))
    assert (watched.told[2].state, watched.told[2].group["tool"], watched.told[2].transition) == (FIRING, "search", 1)


def test_another_threshold_is_the_same_alert() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 100, 10), watched.time(5))
    change(watched, STRICT)
    watched.take(watched.calls(6, 100, 10), watched.time(10))
    assert [(one.state, one.threshold, one.rules_version) for one in watched.told] == [
        (FIRING, ERRORS.above, "v1"),
        (RESOLVED, STRICT.above, "v2"),
    ]


@pytest.mark.parametrize("restart", [False, True])
def test_a_window_that_was_begun_before_its_rule_came_is_not_judged(restart: bool) -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 30, 0), watched.time(3))
    change(watched, ERRORS, TEN)
    watched.take(watched.calls(4, 30, 30), watched.time(10), restart=restart)
    watched.take(watched.calls(3, 30, 30), restart=restart)
    watched.take(watched.calls(12, 30, 30), watched.time(20))
    assert [(one.rule, one.window_from) for one in watched.told if one.rule == "ten"] == [("ten", instant((BEGIN + 10) * MINUTE))]
    assert watched.told[0].value == msgspec.convert("0.5", type(watched.told[0].value)), "the other has seen all of its window"


def test_a_length_that_comes_back_does_not_find_what_it_half_saw() -> None:
    watched = Watched(ERRORS, SLOW)
    watched.take(watched.calls(0, 30, 30), watched.time(1))
    change(watched, TEN)
    watched.take(watched.calls(1, 1000, 0), watched.time(2), restart=True)
    change(watched, ERRORS)
    watched.take(watched.calls(3, 30, 30), watched.time(5.5))
    assert watched.told == [], "1,000 calls are missing from the window"
    watched.take(watched.calls(6, 30, 30), watched.time(10))
    assert watched.states == [FIRING]


def test_windows_that_no_rule_wants_leave_no_trace() -> None:
    watched = Watched(ERRORS, BY_TOOL)
    watched.take(watched.calls(0, 30, 30), watched.time(1))
    change(watched)
    watched.take(watched.time(2))
    assert [key for key in watched.disk if key[:1] == b"w"] == []
    assert watched.fold.thresholds.windows.cells == {}


def test_what_is_not_about_windows_ends_with_its_rule_too() -> None:
    agents = test_apart.Agents()
    agents.take(*(test_apart.decision(f"d{n}", 100, day=-1) for n in range(20)), test_apart.decision("d", 301))
    agents.take(*(test_apart.calls(minute) for minute in range(5)), test_apart.time(10.2))
    assert [(told.rule, told.state) for told in agents.told] == [("task_tokens", FIRING), ("no_data", FIRING)]
    agents.book.now = Rules("v2", ())
    agents.take(test_apart.time(10.3))
    silent, tokens = agents.told[2:]
    for before, after in zip(agents.told[:2], (tokens, silent), strict=True):
        assert (after.alert_id, after.state, after.previous, after.transition) == (before.alert_id, RESOLVED, FIRING, 2)
        assert (after.opened_at, after.rules_version) == (before.opened_at, "v2")
        assert after.summary.endswith("the rule was removed")
    agents.take(test_apart.time(60))
    assert len(agents.told) == 4


def test_a_drop_of_accuracy_ends_with_its_rule_too() -> None:
    tasks = test_drops.Tasks(test_drops.SEED, test_drops.A_DAY)
    tasks.days(30, test_drops.rewards("v2"))
    tasks.days(3, test_drops.rewards("v1"))
    fired = tasks.told[-1]
    assert fired.state is FIRING
    tasks.book.now = Rules("v2", ())
    tasks.days(1, test_drops.rewards("v1"))
    resolved = tasks.told[-1]
    assert (resolved.alert_id, resolved.state, resolved.transition) == (fired.alert_id, RESOLVED, fired.transition + 1)
    assert (resolved.clock, resolved.group, resolved.summary.endswith("was removed")) == (fired.clock, fired.group, True)
