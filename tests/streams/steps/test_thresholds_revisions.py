"""What was said of a window and is otherwise later: another revision of the same transition."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.streams.steps.test_thresholds import BEGIN, ERRORS, FIRING, MINUTE, OK, Watched
from waterline.streams.steps import thresholds
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rules import Rules


def revisions(watched: Watched) -> list[tuple[int, int, Decimal | None, bool]]:
    return [(told.transition, told.revision, told.value, told.late) for told in watched.told]


def test_what_comes_late_and_changes_no_state_is_told_as_another_revision() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 100, 10), watched.time(5), restart=True)
    watched.take(watched.calls(5, 100, 0), watched.time(10), restart=True)
    first = [(1, 1, Decimal("0.1"), False), (2, 1, Decimal(0), False)]
    assert revisions(watched) == first
    watched.take(watched.calls(3, 100, 20), watched.calls(4, 100), watched.calls(7, 100, 1), restart=True)
    again = [(1, 2, Decimal("0.1"), True), (2, 2, Decimal("0.005"), True)]
    assert revisions(watched) == [*first, *again]
    one = watched.told[2]
    assert (one.samples, one.state, one.previous, one.at) == (300, FIRING, OK, watched.told[0].at)
    watched.take(watched.time(65), watched.calls(2, 100), restart=True)
    assert revisions(watched) == [*first, *again], "it is settled"


def test_a_window_that_changes_all_the_time_is_told_again_when_it_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "AT_ONCE", most := 20)
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 100, 10), watched.time(5))
    for _ in range(2 * most):
        watched.take(watched.calls(0, 100, 10, tool=""), watched.calls(0, 100, 11), restart=True)
    assert [told.revision for told in watched.told] == list(range(1, most + 1))
    watched.take(watched.time(66))
    last = next(told for told in reversed(watched.told) if told.transition == 1)
    assert (last.revision, last.samples, last.late) == (most + 1, 100 + 400 * most, True)


def test_another_threshold_does_not_change_what_was_said_under_the_old_one() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 100, 10), watched.time(5))
    watched.book.now = Rules("v2", (replace(ERRORS, above=Decimal("0.06")),))
    watched.take(watched.calls(0, 100, 11))
    assert revisions(watched) == [(1, 1, Decimal("0.1"), False)]


def test_what_comes_too_late_to_change_a_word_is_counted() -> None:
    watched = Watched(ERRORS)
    watched.take(watched.calls(0, 40, 1), watched.time(5), watched.calls(61, 40, 1), watched.time(64))
    watched.take(watched.calls(1, 40, 40), watched.calls(2, 40), watched.time(66))
    assert ([told.state for told in watched.told][:1], watched.left_out) == ([FIRING], 0)
    told = len(watched.told)
    watched.take(watched.calls(3, 400), watched.calls(62, 40))
    (again,) = watched.told[told:]
    assert (again.window_from, again.revision, watched.left_out) == (instant((BEGIN + 60) * MINUTE), 2, 1)
