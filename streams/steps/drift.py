"""Has this stream changed? A detector with a declared budget of false alarms, from its first observation on.

It learns what is usual, watches until an alarm, and then learns anew from what follows: until that is enough it says so. The
method, what is guaranteed of it and what is not: DRIFT.md.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from waterline.streams.steps.drift_baseline import Baseline, Insufficient, fit
from waterline.streams.steps.drift_guard import guarded
from waterline.streams.steps.drift_monitor import Alarm, Monitor, MonitorState
from waterline.streams.steps.drift_scores import Array

MOST = 50_000
"""Observations that are kept to learn from. If so many are not enough, the oldest fifth is let go."""
Name = TypeVar("Name")


class Standing(StrEnum):
    """`quiet`: watched, and no change seen."""

    INSUFFICIENT = "insufficient"
    QUIET = "quiet"


class Watch(Struct, frozen=True, kw_only=True):
    """How a stream is watched. `arl0`: observations until a false alarm, on average. `weight`: this stream's share of that
    budget, see `shares`. `period`: of the season there may be, in the unit of the times, 0 for none. `sides`: 1 or -1 if only a
    rise or a fall matters. `learn`: observations before the first try to learn; more are taken as long as they are not enough.
    `guard`: whether a replay of the history checks the threshold, for a second of CPU at an `arl0` of 10,000."""

    arl0: float = 10_000.0
    weight: float = 1.0
    period: float = 0.0
    sides: int = 0
    learn: int = 200
    guard: bool = False


class DriftState(Struct, kw_only=True):
    """All that a detector knows. `seen`: finite observations so far, `skipped`: others. While it learns, `values` and `times`
    hold what it learns from, at most MOST; else they are empty. `began` is the observation its baseline ends with."""

    seen: int = 0
    skipped: int = 0
    began: int = 0
    last_alarm: int = 0
    tried: str = ""
    next_try: int = 0
    values: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    baseline: Baseline | None = None
    monitor: MonitorState | None = None


class Drift:
    """One stream. The alarms depend on its observations alone, not on how they come in batches or how often it is restored."""

    def __init__(self, watch: Watch, state: DriftState | None = None) -> None:
        self.watch = watch
        self._now = state or DriftState(next_try=max(watch.learn, 1))
        self._monitor = Monitor(self._now.baseline, 0.0, self._now.monitor) if self._now.baseline else None

    def state(self) -> DriftState:
        """A snapshot, to be stored as it is."""
        now = self._now
        return replace(
            now,
            values=list(now.values),
            times=list(now.times),
            monitor=self._monitor.state() if self._monitor else None,
        )

    @property
    def standing(self) -> Standing:
        return Standing.QUIET if self._monitor else Standing.INSUFFICIENT

    @property
    def baseline(self) -> Baseline | None:
        return self._now.baseline

    @property
    def reason(self) -> str:
        """Why it is insufficient; what to beware of if it is quiet; mostly empty."""
        if self._now.baseline:
            return "; ".join(self._now.baseline.cautions)
        learning = self._now.tried or f"{len(self._now.values)} observations, at least {self._now.next_try} are needed"
        return f"learning anew after the alarm at observation {self._now.last_alarm}: {learning}" if self._alarmed else learning

    @property
    def _alarmed(self) -> bool:
        return self._now.last_alarm > 0

    def update(self, values: Iterable[float], times: Iterable[float]) -> list[Alarm]:
        """Takes observations in the order of the stream; NaN and infinities are counted and left out. Alarms number the
        observations from the first of the stream."""
        taken, at = np.asarray(values, dtype=np.float64), np.asarray(times, dtype=np.float64)
        if not (known := np.isfinite(taken)).all():
            self._now.skipped += int((~known).sum())
            taken, at = taken[known], at[known]
        alarms = []
        while len(taken):
            used, alarm = self._monitor.update(taken, at) if self._monitor else (self._learn(taken, at), None)
            self._now.seen += used
            taken, at = taken[used:], at[used:]
            if alarm:
                began = self._now.began
                alarms.append(replace(alarm, observation=began + alarm.observation, since=began + alarm.since))
                self._forget()
        return alarms

    def _learn(self, values: Array, times: Array) -> int:
        now = self._now
        used = min(len(values), now.next_try - len(now.values))
        now.values.extend(values[:used].tolist())
        now.times.extend(times[:used].tolist())
        if len(now.values) == now.next_try:
            self._try(now.seen + used)
        return used

    def _try(self, seen: int) -> None:
        now, watch = self._now, self.watch
        history, times = np.array(now.values), np.array(now.times)
        found = fit(history, times, watch.period, watch.arl0 / watch.weight, sides=watch.sides)
        if isinstance(found, Insufficient):
            now.tried = found.reason
            if len(now.values) >= MOST:
                del now.values[: MOST // 5], now.times[: MOST // 5]
            now.next_try = min(len(now.values) * 5 // 4 + 1, MOST)
            return
        now.baseline = guarded(found, history, times) if watch.guard else found
        self._monitor = Monitor(now.baseline, float(times[-1]))
        now.began, now.tried, now.values, now.times = seen, "", [], []

    def _forget(self) -> None:
        """What was usual is over."""
        now = self._now
        now.last_alarm, now.baseline, self._monitor = now.seen, None, None
        now.next_try = max(self.watch.learn, 1)


def shares(importance: Mapping[Name, float]) -> dict[Name, float]:
    """Weights of streams that share one budget, adding up to 1: with them the mean time to the first false alarm of any, told in
    observations of a stream averaged by weight, is at least `arl0`. One may be added later only by taking from others."""
    total = sum(importance.values())
    return {name: one / total for name, one in importance.items()}
