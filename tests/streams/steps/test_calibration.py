"""Calibration: known scores, and counts that add up whatever the order and the parts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.streams.steps.calibration import BINS, Calibration

labelled = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60)


def counted(items: list[tuple[float, bool]]) -> Calibration:
    found = Calibration()
    for confidence, right in items:
        found.add(confidence, right)
    return found


def test_known_scores() -> None:
    """Eight of ten at 0.8 are right: calibrated, with the Brier score of 0.8 x 0.2. Two of ten at 0.9: 0.7 too sure."""
    sure = counted([(0.8, n < 8) for n in range(10)])
    assert sure.brier == pytest.approx(0.16)
    assert sure.error == 0
    sure.merge(counted([(0.9, n < 2) for n in range(10)]))
    assert sure.brier == pytest.approx((0.16 + (2 * 0.01 + 8 * 0.81) / 10) / 2)
    assert sure.error == pytest.approx(0.35)
    assert sure.bins[9].accuracy.interval is not None


def test_the_bins_are_tenths_and_the_last_one_holds_certainty() -> None:
    found = counted([(0.0, False), (0.099999, True), (0.1, True), (0.3, True), (0.7, True), (0.9, True), (1.0, True)])
    assert [one.decisions for one in found.bins] == [2, 1, 0, 1, 0, 0, 0, 1, 0, 2]
    assert len(found.bins) == BINS


def test_of_nothing_nothing_is_said() -> None:
    assert (Calibration().brier, Calibration().error, Calibration().bins[0].mean_confidence) == (None, None, None)
    with pytest.raises(ValueError, match="is no confidence"):
        Calibration().add(1.1, True)


@given(labelled, labelled, st.randoms(use_true_random=False))
def test_parts_in_any_order_give_exactly_the_whole(
    one: list[tuple[float, bool]], other: list[tuple[float, bool]], rnd: random.Random
) -> None:
    shuffled = [*one, *other]
    rnd.shuffle(shuffled)
    parts = counted(one)
    parts.merge(counted(other))
    assert parts.bins == counted(shuffled).bins


@given(labelled, st.floats(0, 1), st.booleans())
def test_what_is_taken_back_leaves_nothing(items: list[tuple[float, bool]], confidence: float, right: bool) -> None:
    found = counted([*items, (confidence, right)])
    found.add(confidence, right, sign=-1)
    assert found.bins == counted(items).bins


@given(labelled.filter(bool))
def test_scores_are_those_of_their_definitions(items: list[tuple[float, bool]]) -> None:
    found = counted(items)
    assert found.brier == pytest.approx(sum((p - y) ** 2 for p, y in items) / len(items), abs=2e-6)
    assert found.error is not None
    assert 0 <= found.error <= 1
