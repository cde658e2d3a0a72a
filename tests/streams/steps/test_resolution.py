"""M6 by example: agent, queue, review and downstream time from a decision's own timestamps."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.streams.steps.world import T0, call, event, fact_of, seconds
from waterline.schemas.events import Event, Kind, Outcome, Verdict
from waterline.streams.steps.resolution import Union


def lasting(kind: Kind, start: float, length: float, **fields: Any) -> Event:
    return event(kind, start, duration_ms=length * 1000, **fields)


def parts(events: list[Event]) -> list[float]:
    """agent, queue, review, downstream, total in seconds, the same in any order."""
    facts = {
        (f.agent_ms / 1000, f.queue_ms / 1000, f.review_ms / 1000, f.downstream_ms / 1000, f.resolution_ms / 1000)
        for f in (fact_of(list(order)) for order in permutations(events))
    }
    (found,) = facts
    return list(found)


def test_an_agent_alone_takes_the_time_it_works() -> None:
    """Two tools side by side count once, idle time not at all."""
    work = [lasting(Kind.MODEL_CALL, 0, 2), lasting(Kind.TOOL_CALL, 3, 4), lasting(Kind.TOOL_CALL, 4, 5)]
    assert parts(work) == [8, 0, 0, 0, 8]


def test_an_escalated_decision_has_all_four_parts() -> None:
    told = [
        lasting(Kind.DECISION, 0, 60),
        event(Kind.ESCALATION, 20, queue_entered_at=T0 + seconds(25)),
        event(Kind.REVIEW, 125, review_minutes=5, review_verdict=Verdict.OVERRIDE),
        event(Kind.OUTCOME, 500, outcome=Outcome.CORRECT),
    ]
    assert parts(told) == [20, 100, 300, 75, 495]


def test_without_an_entry_into_the_queue_the_wait_begins_at_the_escalation() -> None:
    assert parts([lasting(Kind.STEP, 0, 10), event(Kind.ESCALATION, 10), lasting(Kind.REVIEW, 30, 5)]) == [10, 20, 5, 0, 35]


def test_an_entry_into_the_queue_hands_over_without_an_escalation() -> None:
    told = [lasting(Kind.DECISION, 0, 50, queue_entered_at=T0 + seconds(6)), lasting(Kind.REVIEW, 30, 5)]
    assert parts(told) == [6, 24, 5, 0, 35]


def test_who_still_waits_has_no_queue_time_yet() -> None:
    assert parts([lasting(Kind.STEP, 0, 10), event(Kind.ESCALATION, 10)]) == [10, 0, 0, 0, 10]


def test_an_escalation_told_by_the_decision_itself_is_at_its_end() -> None:
    told = [lasting(Kind.DECISION, 0, 30, escalation_reason="unsure"), lasting(Kind.REVIEW, 90, 10)]
    assert parts(told) == [30, 60, 10, 0, 100]


def test_reviews_side_by_side_count_once_and_work_after_review_is_downstream() -> None:
    told = [
        lasting(Kind.STEP, 0, 10),
        lasting(Kind.REVIEW, 20, 30, queue_entered_at=T0 + seconds(12)),
        lasting(Kind.REVIEW, 40, 20),
        lasting(Kind.MODEL_CALL, 70, 5),
        event(Kind.OUTCOME, 100, outcome=Outcome.CORRECT),
    ]
    assert parts(told) == [10, 8, 40, 40, 98]


def test_the_first_outcome_ends_it_and_later_labels_change_nothing() -> None:
    told = [lasting(Kind.STEP, 0, 10), *(event(Kind.OUTCOME, at, outcome=Outcome.CORRECT) for at in (15, 9999))]
    assert parts(told) == [10, 0, 0, 5, 15]


def test_microseconds_are_kept() -> None:
    assert fact_of([call(duration_ms=0.001)]).agent_ms == pytest.approx(0.001)


INTERVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=15)


@given(INTERVALS, st.lists(st.integers(0, 45), max_size=3), st.randoms(use_true_random=False))
def test_a_union_is_the_points_it_covers(spans: list[tuple[int, int]], limits: list[int], rnd: Any) -> None:
    """Whatever the order of intervals and cuts."""
    steps: list[tuple[int, ...]] = [*spans, *((limit,) for limit in limits)]
    rnd.shuffle(steps)
    union = Union()
    for step in steps:
        if len(step) == 1:
            union.cut(step[0])
        else:
            union.add(*step)
    limit = min(limits, default=100)
    assert union.total == len({n for start, end in spans for n in range(start, min(end, limit))})
    assert union.total == sum(end - start for start, end in zip(union.starts, union.ends, strict=True))
