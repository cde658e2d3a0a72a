"""Quantiles of the sketch: within 1 % of the value, and within 1 % of the rank for latencies as services have them."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterline.streams.steps.sketch import ACCURACY, bucket_of, merged, quantile

DRAWN = {
    "log-normal": lambda chance, n, spread: chance.lognormal(6, spread, n),
    "Pareto": lambda chance, n, spread: 100 * (1 + chance.pareto(1 / spread, n)),
    "bimodal": lambda chance, n, spread: np.where(
        chance.random(n) < 0.1, chance.lognormal(8, spread, n), chance.lognormal(5, 0.2, n)
    ),
}


def sketch(values: list[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for value in values:
        found[bucket_of(value)] = found.get(bucket_of(value), 0) + 1
    return found


@pytest.mark.parametrize("kind", DRAWN)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.3, 2), parts=st.integers(1, 4), q=st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_within_a_hundredth_of_its_value_and_of_its_rank(
    kind: str, seed: int, spread: float, parts: int, q: float
) -> None:
    values = np.sort(DRAWN[kind](np.random.default_rng(seed), 5_000, spread))
    told = quantile(merged(sketch(values[n::parts].tolist()) for n in range(parts)), q)
    assert told is not None
    assert told == pytest.approx(float(values[ceil(q * len(values)) - 1]), rel=ACCURACY * 1.0001)
    low, high = (float(np.searchsorted(values, told, side)) / len(values) for side in ("left", "right"))
    assert q == 0.5 or max(low - q, q - high) <= 0.01
