"""A replay of the history in shuffled order: raises the threshold where dependence that the baseline does not model is left.

Whole stretches of the history are drawn again and again and watched as if they came after it; a stretch is a period of a
seasonal stream, else a fortieth of the history, between 100 and 1,440 observations. Dependence longer than that is not seen.
"""

import numpy as np
from msgspec.structs import replace

from waterline.streams.steps.drift_baseline import Baseline
from waterline.streams.steps.drift_monitor import Monitor
from waterline.streams.steps.drift_scores import Array, Ints
from waterline.streams.steps.drift_sequential import LONGEST, Mixture

PATHS, LENGTHS = 100, 2
"""Replays, and how many times `arl0` each is long."""
ENOUGH, AIM = 0.8, 1.1
"""Shares of `arl0`: nothing is raised while replays run for the first on average; else they must run for the second, since one
history is not all that there could have been."""
STEPS, STEP = 80, 1.05
"""Thresholds that are tried: each is so many times the one before."""


def guarded(baseline: Baseline, history: Array, times: Array) -> Baseline:
    """The baseline with the least threshold at which replays run for AIM times `arl0` on average; the same for the same input."""
    monitor = Monitor(baseline, float(times[0]))
    rows = monitor.rows(history, times)[len(baseline.lags) :]
    thresholds: Array = np.asarray(baseline.threshold * STEP ** np.arange(STEPS), dtype=np.float64)
    lasted = _lasted(monitor, rows, _stretch(baseline, times), thresholds, int(LENGTHS * baseline.arl0))
    if lasted[0] >= ENOUGH * baseline.arl0:
        return baseline
    enough = np.flatnonzero(lasted >= AIM * baseline.arl0)
    chosen = int(enough[0]) if len(enough) else STEPS - 1
    caution = f"the threshold is {thresholds[chosen] / baseline.threshold:.1f} times what independent observations need"
    return replace(baseline, threshold=float(thresholds[chosen]), cautions=(*baseline.cautions, caution))


def _stretch(baseline: Baseline, times: Array) -> int:
    if baseline.seasonal:
        return max(round(len(times) / float(times.max() - times.min()) * baseline.period), 1)
    return min(max(len(times) // 40, 100), 1440, len(times))


def _lasted(monitor: Monitor, rows: Ints, stretch: int, thresholds: Array, length: int) -> Array:
    """The mean time to an alarm at each threshold, from paths that end at `length`."""
    random = np.random.Generator(np.random.PCG64(0))
    whole = np.concatenate((rows, rows[:stretch]))
    first = np.full((PATHS, len(thresholds)), length)
    for path in range(PATHS):
        monitor.mixture = Mixture(monitor.weight, monitor.begin(0.0))
        begins = _begins(random, len(rows), stretch, length, seasonal=monitor.baseline.seasonal)
        drawn = whole[(begins[:, None] + np.arange(stretch)).ravel()[:length]]
        highest = np.maximum.accumulate(_levels(monitor, drawn))
        first[path] = np.searchsorted(highest, thresholds) + 1
    alarms = (first <= length).sum(axis=0)
    return np.asarray(np.minimum(first, length).sum(axis=0) / np.maximum(alarms, 0.5))


def _begins(random: np.random.Generator, observations: int, stretch: int, length: int, *, seasonal: bool) -> Ints:
    wanted = -(-length // stretch)
    if seasonal:
        return random.integers(0, max(observations // stretch, 1), wanted) * stretch
    return random.integers(0, max(observations - stretch, 1), wanted)


def _levels(monitor: Monitor, rows: Ints) -> Array:
    told = []
    for begin in range(0, len(rows), LONGEST):
        part = rows[begin : begin + LONGEST]
        level, paid, sums = monitor.mixture.path(monitor.table, part)
        monitor.mixture.keep(paid, sums, np.zeros(len(part)), len(part))
        monitor.mixture.end_block(LONGEST)
        told.append(level)
    return np.concatenate(told)
