"""Ranges and plans: what is written into the metadata comes back, and nothing else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.connectors.stores.clickhouse.plan import REFILL, Lane, PlanError, Range, read_plan

encoders = st.from_regex(r"\A[0-9]{1,3}\.[0-9]{1,9}\Z")


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    first = draw(st.integers(0, 2**62))
    return Range(first, first + draw(st.integers(0, 10_000)), draw(encoders))


@given(ranges())
def test_a_plan_comes_back_from_the_metadata(planned: Range) -> None:
    assert read_plan(planned.first, planned.metadata()) == planned


@given(ranges(), st.integers(1, 1000))
def test_a_plan_for_another_position_is_refused(planned: Range, off: int) -> None:
    with pytest.raises(PlanError, match="stands at offset"):
        read_plan(planned.first + off, planned.metadata())


@pytest.mark.parametrize("metadata", ["plan:", "plan:1", "plan:5-2:1.5", "plan:0-1:", "plan:0-1:a b", "plan:0-1:1.5 "])
def test_a_broken_plan_is_never_guessed_at(metadata: str) -> None:
    with pytest.raises(PlanError):
        read_plan(0, metadata)


def test_a_refill_that_was_broken_off_is_no_place_to_go_on() -> None:
    with pytest.raises(PlanError, match="run `waterline refill` again"):
        read_plan(0, REFILL)


@pytest.mark.parametrize("metadata", ["", None, "moved by an operator"])
def test_other_metadata_is_no_plan(metadata: str | None) -> None:
    assert read_plan(7, metadata) is None


@given(ranges(), st.data())
def test_halves_are_the_whole_without_gap_or_overlap(planned: Range, data: st.DataObject) -> None:
    inside = st.integers(planned.first, planned.last)
    offsets = sorted(data.draw(st.sets(inside, max_size=20)))
    if len(offsets) < 2:
        return
    left, right = planned.split(offsets)
    assert (left.first, right.last) == (planned.first, planned.last)
    assert left.next == right.first
    assert any(offset <= left.last for offset in offsets)
    assert any(offset >= right.first for offset in offsets)
    assert len({planned.token("t", Lane("x", 0)), left.token("t", Lane("x", 0)), right.token("t", Lane("x", 0))}) == 3


def test_a_token_names_table_place_range_and_encoder() -> None:
    assert Range(3, 9, "1.5").token("events", Lane("agent.events", 4)) == "events:agent.events:4:3-9:1.5"


def test_no_range_ends_before_it_begins() -> None:
    with pytest.raises(ValueError, match="no range"):
        Range(5, 4, "1.5")
