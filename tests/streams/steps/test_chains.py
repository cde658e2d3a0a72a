"""Chains of steps: Lusser's law, what a validator lifts, and bounds that hold the product."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterline.streams.steps.chains import chain, chain_interval, validated
from waterline.streams.steps.rates import Rate

probabilities = st.floats(0, 1)


def test_ten_steps_of_98_percent_and_what_a_validator_makes_of_them() -> None:
    assert chain([0.98] * 10) == pytest.approx(0.817, abs=5e-4)
    assert chain([validated(0.98, 0.9)] * 10) == pytest.approx(0.980, abs=5e-4)


@given(st.lists(probabilities), probabilities)
def test_a_chain_is_no_better_than_any_of_its_steps(steps: list[float], one: float) -> None:
    assert chain([*steps, one]) <= min([one, *steps])
    assert chain([]) == 1


@given(probabilities, probabilities)
def test_a_validator_never_hurts_and_a_perfect_one_mends_all(step: float, catches: float) -> None:
    assert step - 1e-12 <= validated(step, catches) <= 1
    assert validated(step, 1) == 1
    assert validated(step, 0) == pytest.approx(step)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda two: Rate(two[0], sum(two) or 1)), max_size=12))
def test_bounds_lie_around_the_product(steps: list[Rate]) -> None:
    found = chain_interval(steps)
    assert found is not None
    product = chain(step.part / step.whole for step in steps)
    assert found.low - 1e-12 <= product <= found.high + 1e-12


def test_bounds_widen_with_the_number_of_steps() -> None:
    one, five = chain_interval([Rate(98, 100)]), chain_interval([Rate(98, 100), *[Rate(100_000, 100_000)] * 4])
    assert one is not None
    assert five is not None
    assert (one.low, one.high) == pytest.approx((0.9300, 0.9945), abs=5e-5)
    assert five.low < one.low


def test_what_was_never_run_and_what_is_no_probability() -> None:
    assert chain_interval([Rate(1, 1), Rate()]) is None
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="is no probability"):
            chain([bad])
