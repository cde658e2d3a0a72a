"""Corners of windows and alerts that are rare in life and each went wrong once: gaps, corrections over several windows, windows
that say something although nothing is in their last part, and what a settled window was compared with."""

from decimal import Decimal

import msgspec

from tests.streams.steps.test_thresholds import (
    BEGIN,
    DAILY_COST,
    ERRORS,
    FIRING,
    FOR_TWO,
    MINUTE,
    PENDING,
    RESOLVED,
    Watched,
    day,
)
from waterline.streams.steps.agenda import Agenda
from waterline.streams.steps.moment import SECOND, instant

SLIDING = msgspec.structs.replace(ERRORS, panes=4, at_least=40)


def test_a_window_that_is_missing_between_two_breaks_a_row() -> None:
    watched = Watched(FOR_TWO)
    watched.take(watched.calls(0, 100, 0), watched.calls(10, 100, 0), watched.time(15))
    watched.take(watched.calls(11, 20, 20), watched.calls(1, 20, 20))
    assert watched.states == [PENDING], "from 5 to 10 nothing was called"


def test_corrections_of_one_batch_are_told_in_the_order_of_time() -> None:
    watched = Watched(ERRORS)
    watched.take(*(watched.calls(5 * n, 100, 0) for n in range(6)), watched.time(30))
    watched.take(watched.calls(21, 50, 50), watched.calls(11, 50, 50), watched.calls(1, 50, 50))
    assert [(told.state, told.window_from) for told in watched.told] == [
        (FIRING, instant(BEGIN * MINUTE)),
        (RESOLVED, instant((BEGIN + 25) * MINUTE)),
    ]


def test_what_fires_is_resolved_before_it_is_pending_again() -> None:
    watched = Watched(FOR_TWO)
    watched.take(watched.calls(0, 100, 10), watched.time(5))
    watched.take(watched.calls(5, 100, 10), watched.time(10))
    watched.take(watched.calls(1, 1000, 0))
    assert watched.states == [PENDING, FIRING, RESOLVED]
    watched.take(watched.calls(10, 100, 0), watched.time(15))
    assert watched.states == [PENDING, FIRING, RESOLVED]


def test_a_sliding_window_is_judged_for_as_long_as_anything_is_in_it() -> None:
    watched = Watched(SLIDING)
    watched.take(watched.calls(0, 1000, 0), watched.calls(5, 40, 3), watched.time(10))
    assert watched.states == []
    watched.take(watched.time(60))
    fired = watched.told[0]
    assert (fired.state, fired.value, fired.window_to) == (FIRING, Decimal("0.075"), instant((BEGIN + 25) * MINUTE))


def test_a_settled_window_was_compared_with_all_it_had() -> None:
    """It fires once, and then stays between the clear mark and the threshold, which rises."""
    watched = Watched(DAILY_COST)
    costs = [Decimal(10)] * 7 + [Decimal(16)]
    for number in range(10):
        if number == len(costs):
            costs.append(round(sum(costs[-7:], Decimal(0)) / 7 * Decimal("1.5") * Decimal("0.95"), 2))
        watched.take(watched.cost(number, f"d{number}", str(costs[number])), watched.time(day(number + 1)))
    assert watched.states[-1] is FIRING
    assert RESOLVED not in watched.states


def test_a_correction_at_the_last_moment_is_told() -> None:
    """What corrects a window and the time that settles it come in one batch."""
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 100, 0), watched.time(5))
    watched.take(watched.calls(1, 50, 50), watched.time(600))
    assert watched.states[0] is FIRING
    assert watched.told[0].late


def test_a_window_begun_after_its_end_does_not_wait_for_time_to_go_on() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(20, 100, 0), watched.time(25))
    watched.take(watched.calls(1, 50, 50))
    assert watched.states == [FIRING, RESOLVED]
    assert all(told.late for told in watched.told)


def test_keys_may_be_added_to_an_agenda_while_it_is_read() -> None:
    agenda: Agenda[str] = Agenda(SECOND)
    for due, key in ((10, "b"), (10, "c"), (20, "d"), (90, "z")):
        agenda.add(due * SECOND, key)
    read = []
    for key in agenda.due(30 * SECOND, 2**62):
        read.append(key)
        if key == "b":
            agenda.add(5 * SECOND, "a")
        if key == "d":
            agenda.add(1 * SECOND, "e")
    assert read == ["b", "a", "c", "d", "e"]
    assert list(agenda.due(30 * SECOND, 2**62)) == []
    assert list(agenda.due(90 * SECOND, 2**62)) == ["z"]
