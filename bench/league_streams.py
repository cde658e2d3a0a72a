"""The streams of the league, an observation a minute, and its seeds. Needs numpy and scipy alone: both sides draw from here."""

from collections.abc import Callable
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Array = npt.NDArray[np.float64]
DAY = 1440
HISTORY = 14 * DAY
"""Observations without a change that come first; alarms in it are ignored."""
LONGEST, LONGEST_KSWIN = 40_000, 25_000
"""Quiet observations after the history, at which a run is cut."""
EARLIEST, PATIENCE = 500, 5_000
"""The change comes 500 to 1,939 observations after the history; one that is not found in 5,000 is missed."""
SEED = 20_411_127


class Purpose(IntEnum):
    """Runs for one purpose share no random number with those for another."""

    QUIET = 1
    TUNE = 2
    DELAY = 3
    GUARD = 4


def _bernoulli(random: np.random.Generator, rate: Array) -> Array:
    return (random.random(len(rate)) < rate).astype(np.float64)


def _autoregressive(random: np.random.Generator, n: int, phi: float) -> Array:
    steps = random.normal(size=n) * np.sqrt(1 - phi**2)
    steps[0] /= np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], steps))


def garch(random: np.random.Generator, n: int) -> Array:
    noise, values, variance = random.normal(size=n).tolist(), [], 1.0
    for one in noise:
        value = one * variance**0.5
        values.append(value)
        variance = 0.05 + 0.1 * value * value + 0.85 * variance
    return np.array(values)


Draw = Callable[[np.random.Generator, Array, Array], Array]
"""(random, sine of the season, 1 where the change is) -> observations"""
STREAMS: dict[str, tuple[str, Draw]] = {
    "gauss": ("N(0, 1); + 0.5", lambda g, s, c: g.normal(size=len(s)) + 0.5 * c),
    "lognorm": ("log-normal, sigma 1; x 1.3", lambda g, s, c: np.exp(g.normal(size=len(s))) * (1 + 0.3 * c)),
    "t3": ("Student's t, 3 degrees; + 0.5 sd", lambda g, s, c: g.standard_t(3, len(s)) + 0.5 * np.sqrt(3) * c),
    "bern02": ("Bernoulli 0.02; to 0.05", lambda g, s, c: _bernoulli(g, 0.02 + 0.03 * c)),
    "bern30": ("Bernoulli 0.3; to 0.4", lambda g, s, c: _bernoulli(g, 0.3 + 0.1 * c)),
    "sine": ("daily sine + N(0, 1); + 0.5", lambda g, s, c: s + g.normal(size=len(s)) + 0.5 * c),
    "bsea30": ("Bernoulli 0.3 + 0.15 sine; + 0.1", lambda g, s, c: _bernoulli(g, 0.3 + 0.15 * s + 0.1 * c)),
    "bsea02": ("Bernoulli 0.02 (1 + 0.8 sine); x 2.5", lambda g, s, c: _bernoulli(g, 0.02 * (1 + 0.8 * s) * (1 + 1.5 * c))),
    "ar5": ("AR(1) 0.5; + 0.5 sd", lambda g, s, c: _autoregressive(g, len(s), 0.5) + 0.5 * c),
    "ar9": ("AR(1) 0.9; + 0.5 sd", lambda g, s, c: _autoregressive(g, len(s), 0.9) + 0.5 * c),
}
GARCH = "garch"
"""Beside the ten, with the replay guard: N(0, 1) with variance 0.05 + 0.1 x^2 + 0.85 v."""


def run(stream: str, purpose: Purpose, number: int, length: int) -> tuple[Array, Array, int]:
    """(observations, times in minutes, where in them the change is) of history and `length` more. The change is at the end
    unless the purpose is DELAY. The season begins at a random phase."""
    index = list(STREAMS).index(stream) if stream in STREAMS else len(STREAMS)
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence((SEED, index, purpose, number))))
    n = HISTORY + length
    times: Array = np.arange(n, dtype=np.float64) + float(random.integers(DAY))
    at = HISTORY + EARLIEST + int(random.integers(DAY)) if purpose is Purpose.DELAY else n
    if stream == GARCH:
        return garch(random, n), times, at
    change = np.zeros(n)
    change[at:] = 1.0
    return STREAMS[stream][1](random, np.sin(times * (2 * np.pi / DAY)), change), times, at


def delay_length() -> int:
    """Enough for the latest change and the patience."""
    return EARLIEST + DAY + PATIENCE
