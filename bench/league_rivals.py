"""river's ADWIN, KSWIN and Page-Hinkley on the streams of the league, in an environment of their own that has river and numba.

ADWIN is river's own code. Page-Hinkley and KSWIN are copies that numba compiles, since river's take 0.4 and 300 microseconds
an observation in Python; `check` holds them against river's before anything is measured, and ends the run if they differ.
Reads {"stream": ..., "runs": ..., "kswin": ...} as a JSON line, writes what each contender reached as one.
"""

import json
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit  # type: ignore[import-not-found]
from river import drift  # type: ignore[import-not-found]
from river._river_rust.drift import AdaptiveWindowing  # type: ignore[import-not-found]
from scipy.stats import ks_2samp

from bench.league_streams import HISTORY, LONGEST, LONGEST_KSWIN, PATIENCE, Array, Purpose, delay_length, run

ARL0 = 10_000
WINDOW, STAT = 100, 30
Detect = Callable[[Array, float], int]
"""(history and what follows, knob) -> the observation after the history, from 1, that raises the first alarm; 0 if none."""


def adwin(values: Array, delta: float) -> int:
    """As drift.ADWIN does: a new window after each alarm."""
    begin, listed = 0, values.tolist()
    while True:
        update = AdaptiveWindowing(delta=delta, clock=32, max_buckets=5, min_window_length=5, grace_period=10).update
        found = next((n for n, value in enumerate(listed[begin:], start=begin + 1) if update(value)), 0)
        if not found or found > HISTORY:
            return found and found - HISTORY
        begin = found


@njit(cache=False)
def _page_hinkley(values, threshold, first):  # type: ignore[no-untyped-def]
    n, mean, up, down, least, most = 0, 0.0, 0.0, 0.0, np.inf, -1.0
    for i in range(len(values)):
        n += 1
        mean += (values[i] - mean) / n
        deviation = values[i] - mean
        up = 0.9999 * up + deviation - 0.005
        down = 0.9999 * down + deviation + 0.005
        least, most = min(least, up), max(most, down)
        if n >= 30 and (up - least > threshold or most - down > threshold):
            if i >= first:
                return i + 1 - first
            n, mean, up, down, least, most = 0, 0.0, 0.0, 0.0, np.inf, -1.0
    return 0


@njit(cache=False)
def _kswin(values, steps, first, chosen):  # type: ignore[no-untyped-def]
    """`steps`: an alarm is a distance of at least so many 30ths. `chosen`: what is drawn from the window, a row for each test
    since the last alarm; drawn here if there is none."""
    since, tests = 0, 0
    pool = np.arange(WINDOW - STAT)
    for i in range(len(values)):
        since += 1
        if since < WINDOW:
            continue
        window = values[i + 1 - WINDOW : i + 1]
        drawn = np.empty(STAT)
        if len(chosen):
            for k in range(STAT):
                drawn[k] = window[chosen[tests, k]]
        else:
            for k in range(STAT):
                other = np.random.randint(k, WINDOW - STAT)
                pool[k], pool[other] = pool[other], pool[k]
                drawn[k] = window[pool[k]]
        tests += 1
        drawn.sort()
        recent = np.sort(window[WINDOW - STAT :])
        a, b, distance = 0, 0, 0
        while a < STAT and b < STAT:
            at = min(drawn[a], recent[b])
            while a < STAT and drawn[a] <= at:
                a += 1
            while b < STAT and recent[b] <= at:
                b += 1
            distance = max(distance, abs(a - b))
        if distance >= steps:
            if i >= first:
                return i + 1 - first
            since, tests = 0, 0
    return 0


@njit(cache=False)
def _seed(number):  # type: ignore[no-untyped-def]
    np.random.seed(number)


def page_hinkley(values: Array, threshold: float) -> int:
    return int(_page_hinkley(values, threshold, HISTORY))


def kswin(values: Array, steps: float) -> int:
    return int(_kswin(values, steps, HISTORY, np.zeros((0, STAT), dtype=np.int64)))


def steps_of(alpha: float) -> int:
    """The least distance, in 30ths, at which river's KSWIN alarms."""
    base = np.arange(STAT, dtype=float)
    at = [k for k in range(4, STAT + 1) if ks_2samp(base, base + k, method="auto").pvalue <= alpha]
    return at[0]


def check() -> list[str]:
    """Holds the copies against river on drawn streams: every alarm at the same observation. Raises AssertionError."""
    draw, alarms = np.random.default_rng(5), 0
    for values in (draw.normal(size=30_000), draw.exponential(size=30_000), (draw.random(30_000) < 0.3) * 1.0):
        for threshold in (20.0, 50.0):
            theirs, ours, detector, at = [], [], drift.PageHinkley(threshold=threshold), 0
            for n, value in enumerate(values.tolist()):
                detector.update(value)
                if detector.drift_detected:
                    theirs.append(n)
            while found := int(_page_hinkley(values[at:], threshold, 0)):
                at += found
                ours.append(at - 1)
            assert ours == theirs, f"Page-Hinkley: {ours[:5]} for {theirs[:5]}"
            alarms += len(ours)
    told = [f"Page-Hinkley: {alarms} alarms at the same observations as river's"]
    rows = _drawn(3_000)
    alarms = 0
    for values in (draw.normal(size=2_000), draw.normal(size=2_000).cumsum() / 9, (draw.random(2_000) < 0.3) * 1.0):
        for alpha in (0.005, 0.05):
            theirs, ours, other, at = [], [], drift.KSWIN(alpha=alpha, seed=1), 0
            for n, value in enumerate(values.tolist()):
                other.update(value)
                if other.drift_detected:
                    theirs.append(n)
            while found := int(_kswin(values[at:], steps_of(alpha), 0, rows)):
                at += found
                ours.append(at - 1)
            assert ours == theirs, f"KSWIN: {ours[:5]} for {theirs[:5]}"
            alarms += len(ours)
    return [*told, f"KSWIN: {alarms} alarms at the same observations as river's"]


def _drawn(tests: int) -> Any:
    """What river's KSWIN draws with seed 1."""
    source = random.Random(1)
    return np.array([source.sample(range(WINDOW - STAT), STAT) for _ in range(tests)])


def lasted(detect: Detect, runs: list[Array], knob: float) -> tuple[float, int]:
    """(quiet observations, first alarms)"""
    found = [detect(values, knob) for values in runs]
    return sum(one or len(values) - HISTORY for one, values in zip(found, runs, strict=True)), sum(one > 0 for one in found)


def delays(detect: Detect, runs: list[tuple[Array, int]], knob: float) -> list[int]:
    """Of each run without an alarm before the change; PATIENCE if it is missed."""
    told = []
    for values, change in runs:
        found, at = detect(values, knob), change - HISTORY
        if not found or found > at:
            told.append(min(found - at, PATIENCE) if found else PATIENCE)
    return told


def tuned(detect: Detect, runs: list[Array], low: float, high: float) -> float:
    """The knob whose mean time to an alarm is ARL0; it falls from `low` to `high`, which are tried on a logarithmic scale."""
    for _ in range(11):
        middle = float(np.sqrt(low * high))
        time, alarms = lasted(detect, runs, middle)
        low, high = (middle, high) if time / max(alarms, 0.5) > ARL0 else (low, middle)
    return float(np.sqrt(low * high))


def contend(stream: str, runs: int, kswins: int) -> dict[str, Any]:
    """Each contender with its default and with the knob that makes its ARL0 that of ours."""
    _seed(1)
    quiet = [run(stream, Purpose.QUIET, n, LONGEST)[0] for n in range(runs)]
    threshold = 1 / tuned(lambda values, inverse: page_hinkley(values, 1 / inverse), quiet, 1e-5, 1.0)
    delta = float(np.exp(-tuned_delta(quiet)))
    changed = [(values, at) for values, _, at in (run(stream, Purpose.DELAY, n, delay_length()) for n in range(runs))]
    told = {}
    for name, detect, default, knob in (("ADWIN", adwin, 0.002, delta), ("Page-Hinkley", page_hinkley, 50.0, threshold)):
        for kind, value in (("default", default), ("tuned", knob)):
            told[f"{name} {kind}"] = _told(value, lasted(detect, quiet, value), delays(detect, changed, value))
    few = [values[: HISTORY + LONGEST_KSWIN] for values in quiet[:kswins]]
    return told | _kswins(few, changed[: 2 * kswins])


def tuned_delta(quiet: list[Array]) -> float:
    """-ln delta: ADWIN's deltas reach from 0.9 to 1e-41, over which this is even."""
    return 1 / tuned(lambda values, inverse: adwin(values, float(np.exp(-1 / inverse))), quiet, 1 / 200, 1 / 0.05)


def _kswins(quiet: list[Array], changed: list[tuple[Array, int]]) -> dict[str, Any]:
    """KSWIN's distances are 30ths: delays of the two next to ARL0 are interpolated in its logarithm."""
    default = steps_of(0.005)
    reached = {default: lasted(kswin, quiet, default)}
    told = {"KSWIN default": _told(0.005, reached[default], delays(kswin, changed, default))}
    low, high = 4, STAT
    while high - low > 1:
        middle = (low + high) // 2
        time, alarms = reached.setdefault(middle, lasted(kswin, quiet, middle))
        low, high = (low, middle) if time / max(alarms, 0.5) > ARL0 else (middle, high)
    both = [reached.setdefault(steps, lasted(kswin, quiet, steps)) for steps in (low, high)]
    arls = [time / max(alarms, 0.5) for time, alarms in both]
    share = float(np.clip(np.log(ARL0 / arls[0]) / np.log(arls[1] / arls[0]), 0, 1)) if arls[1] > arls[0] else 1.0
    found = [delays(kswin, changed, steps) for steps in (low, high)]
    tuned_ = _told(low + share, both[1] if share > 0.5 else both[0], found[0] if share < 0.5 else found[1])
    tuned_["delay"] = float(np.exp((1 - share) * np.log(_mean(found[0])) + share * np.log(_mean(found[1]))))
    return told | {"KSWIN tuned": tuned_}


def _mean(found: list[int]) -> float:
    return float(np.mean(found)) if found else float(PATIENCE)


def _told(knob: float, reached: tuple[float, int], found: list[int]) -> dict[str, Any]:
    return {
        "knob": knob,
        "time": reached[0],
        "alarms": reached[1],
        "delay": float(np.mean(found)) if found else None,
        "error": float(np.std(found) / max(len(found), 1) ** 0.5) if found else None,
        "runs": len(found),
        "missed": sum(one >= PATIENCE for one in found),
    }


def main() -> None:
    print(json.dumps({"checked": check()}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        told = contend(asked["stream"], asked["runs"], asked["kswin"])
        print(json.dumps({"stream": asked["stream"], "contenders": told}), flush=True)


if __name__ == "__main__":
    main()
