"""Rates: the intervals hold the truth as often as they say, and the bands begin where M4 says."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.streams.steps.rates import Band, Interval, Rate, band, difference, wilson


def bounds(found: Interval | None) -> tuple[float, float]:
    assert found is not None
    return found.low, found.high


rates = st.integers(1, 10_000).flatmap(lambda whole: st.builds(Rate, st.integers(0, whole), st.just(whole)))


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_published_intervals(part: int, whole: int, low: float, high: float) -> None:
    """Newcombe 1998 (two-sided intervals for the single proportion), table I, method 3."""
    assert bounds(wilson(part, whole)) == pytest.approx((low, high), abs=5e-5)


def test_a_published_difference() -> None:
    """Newcombe 1998, table II (a), method 10: 56/70 against 48/80."""
    assert bounds(difference(Rate(56, 70), Rate(48, 80))) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Exactly, over all outcomes of 100 trials: 95 % on average over truths, and never far less."""
    found = [bounds(wilson(part, 100)) for part in range(101)]
    held = []
    for hundredth in range(2, 100, 2):
        truth = hundredth / 100 - 0.005
        chances = (comb(100, part) * truth**part * (1 - truth) ** (100 - part) for part in range(101))
        held.append(sum(chance for chance, (low, high) in zip(chances, found, strict=True) if low <= truth <= high))
    assert sum(held) / len(held) == pytest.approx(0.95, abs=0.005)
    assert min(held) > 0.9


@given(rates)
def test_an_interval_lies_around_its_rate_and_its_mirror_image_is_that_of_the_rest(rate: Rate) -> None:
    found, rest = rate.interval, Rate(rate.whole - rate.part, rate.whole).interval
    assert found is not None
    assert rest is not None
    assert rate.value is not None
    assert 0 <= found.low <= rate.value <= found.high <= 1
    assert (1 - found.high, 1 - found.low) == pytest.approx((rest.low, rest.high))


@given(rates)
def test_more_of_the_same_narrows_it(rate: Rate) -> None:
    found, more = rate.interval, (rate + rate).interval
    assert found is not None
    assert more is not None
    assert more.high - more.low < found.high - found.low


@given(rates, rates)
def test_a_difference_turned_round_is_its_negative(one: Rate, other: Rate) -> None:
    found, turned = difference(one, other), difference(other, one)
    assert found is not None
    assert turned is not None
    assert (found.low, found.high) == pytest.approx((-turned.high, -turned.low))
    assert one.value is not None
    assert other.value is not None
    assert found.low <= one.value - other.value <= found.high


def test_of_nothing_nothing_is_said() -> None:
    assert (Rate().value, Rate().interval, difference(Rate(1, 2), Rate())) == (None, None, None)
    with pytest.raises(ValueError, match="3 of 2 is no rate"):
        wilson(3, 2)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 0, Band.INSUFFICIENT),
        (3, 19, Band.INSUFFICIENT),
        (0, 20, Band.CALIBRATED),
        (149, 1000, Band.CALIBRATED),
        (150, 1000, Band.WATCH),
        (250, 1000, Band.WATCH),
        (251, 1000, Band.RETRAIN),
        (399, 1000, Band.RETRAIN),
        (400, 1000, Band.RETHINK),
        (20, 20, Band.RETHINK),
    ],
)
def test_bands(part: int, whole: int, expected: Band) -> None:
    assert band(Rate(part, whole), at_least=20) is expected
