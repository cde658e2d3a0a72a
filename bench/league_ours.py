"""Ours in the league: one pass over each run that keeps every new height of M, so that any threshold can be read from it."""

import time

import numpy as np
from msgspec import Struct

from bench.league_streams import DAY, HISTORY, LONGEST, Array, Purpose, delay_length, run
from waterline.streams.steps.drift_baseline import Baseline, Insufficient, fit
from waterline.streams.steps.drift_guard import guarded
from waterline.streams.steps.drift_monitor import Monitor

ARL0 = 10_000.0
HIGHEST = 1.5
"""A run is read until M is so many times the threshold, as far as a tuned threshold may go."""
PIECE = 4_000
"""Observations of a batch."""


class Pass(Struct):
    """A run after its history: where M first reached each of its record heights. `length`: cut there; `change`: where it is."""

    at: Array
    height: Array
    length: int
    change: int
    threshold: float

    def alarm(self, factor: float = 1.0) -> int:
        """The number of the observation, from 1, at which M reaches `factor` times the threshold; 0 if it does not."""
        reached = int(np.searchsorted(self.height, self.threshold * factor))
        return int(self.at[reached]) if reached < len(self.at) else 0


def passed(stream: str, purpose: Purpose, number: int) -> Pass:
    """Raises ValueError if the history is said to be too short, which it is on none of the streams."""
    length = delay_length() if purpose is Purpose.DELAY else LONGEST
    values, times, change = run(stream, purpose, number, length)
    baseline = fit(values[:HISTORY], times[:HISTORY], DAY, ARL0)
    if isinstance(baseline, Insufficient):
        raise ValueError(f"{stream} {number}: {baseline.reason}")  # noqa: TRY004 - the data is at fault, no argument's type
    if purpose is Purpose.GUARD:
        baseline = guarded(baseline, values[:HISTORY], times[:HISTORY])
    return follow(baseline, values[HISTORY:], times[HISTORY:], change - HISTORY)


def follow(baseline: Baseline, values: Array, times: Array, change: int) -> Pass:
    """A run after its history; `change` is counted from there."""
    monitor, at, height = Monitor(baseline, float(times[0])), [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    top = 0.0
    for begin in range(0, len(values), PIECE):
        levels = monitor.levels_of(values[begin : begin + PIECE], times[begin : begin + PIECE])
        highest = np.maximum.accumulate(np.concatenate(([max(top, baseline.threshold / 10)], levels)))
        new = np.flatnonzero(np.diff(highest) > 0)
        at.append(begin + new + 1)
        height.append(levels[new])
        top = float(highest[-1])
        if top > HIGHEST * baseline.threshold:
            break
    return Pass(np.concatenate(at), np.concatenate(height), len(values), change, baseline.threshold)


def cost(observations: int = 200_000) -> list[float]:
    """Microseconds an observation, in batches of 4,000, for each kind of stream; without what is learned once."""
    told = []
    for stream in ("gauss", "bern30", "bsea30", "sine", "ar9"):
        values, times, _ = run(stream, Purpose.TUNE, 0, observations)
        baseline = fit(values[:HISTORY], times[:HISTORY], DAY, 1e12)
        if isinstance(baseline, Insufficient):
            raise ValueError(baseline.reason)  # noqa: TRY004 - the data is at fault, no argument's type
        monitor = Monitor(baseline, float(times[HISTORY]))
        began = time.perf_counter()
        for begin in range(HISTORY, len(values), PIECE):
            monitor.update(values[begin : begin + PIECE], times[begin : begin + PIECE])
        told.append((time.perf_counter() - began) / observations * 1e6)
    return told
