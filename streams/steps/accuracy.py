"""Has an agent become worse at a task? Its accuracy over the last day against the 30 days before, and a test that it is real.

A drop is told when both hold: the trailing accuracy is `points` under the mean of the days before, and a sequential test with a
declared budget of false alarms (DRIFT.md) has found the labels to fall. Either alone is silent: a day of few labels swings by
more than three points by chance, and a test finds differences that nobody minds.
"""

from enum import StrEnum
from math import e, log

from msgspec import Struct, field
from msgspec.structs import replace

from waterline.streams.steps.drift import Drift, DriftState, Standing, Watch
from waterline.streams.steps.drift_monitor import Alarm
from waterline.streams.steps.moment import DAY, HOUR

CLEAR = 0.9
"""A drop is over when it is less than this share of `points`, so that it does not flap at the line."""
AT_ONCE = 256
"""Labels that are kept until the test is asked."""


class AccuracyWatch(Struct, frozen=True, kw_only=True):
    """`points`: how far under the mean is too far, as a share. `arl0`: labels until a false alarm of the test, on average.
    `days`: that the mean is of. `trailing`: hours that are held against it. `least`: labels in them that say anything."""

    points: float = 0.03
    arl0: float = 100_000.0
    days: int = 30
    trailing: int = 24
    least: int = 20

    @property
    def needed(self) -> int:
        """Labels in which a test that knew the accuracy before would find a drop of `points` on average, whatever the accuracy
        is: ln(A d^2 / 2) / (d^2 / 2), with d in standard deviations, which are largest at one half. With fewer in `days` a
        silence says nothing. Ours has to learn the accuracy before: with just so many in `days` it finds 3 points within 30
        days a third of the time, 5 points nine times in ten."""
        rate = (2 * self.points) ** 2 / 2
        return round(log(max(self.arl0 * rate, e)) / rate)


class AccuracyVerdict(StrEnum):
    OK = "ok"
    INSUFFICIENT = "insufficient"
    DROP = "drop"


class Judgement(Struct, frozen=True, kw_only=True):
    """`trailing` and `mean` are accuracies, None without labels. `reason`: why it is insufficient. `alarm`: of the test, while
    it stands; its `at` and `changed_at` are starts of decisions in microseconds."""

    verdict: AccuracyVerdict
    trailing: float | None
    trailing_labels: int
    mean: float | None
    mean_labels: int
    needed: int
    reason: str = ""
    alarm: Alarm | None = None


class AccuracyState(Struct, kw_only=True):
    """`hours`: hour since 1970 -> (correct, labelled), of decisions that began in it."""

    hours: dict[int, tuple[int, int]] = field(default_factory=dict)
    test: DriftState | None = None
    alarm: Alarm | None = None
    dropping: bool = False


class Accuracy:
    """Of the labelled decisions of one (tenant, agent, task). A label counts in the hour in which its decision began, whenever
    it comes; the test takes labels in the order in which they come, each decision once."""

    def __init__(self, watch: AccuracyWatch, state: AccuracyState | None = None) -> None:
        self.watch, self._now = watch, state or AccuracyState()
        self._test = Drift(Watch(arl0=watch.arl0, period=float(DAY), learn=watch.needed), self._now.test)
        self._values: list[float] = []
        self._times: list[float] = []

    def state(self) -> AccuracyState:
        self._ask()
        return replace(self._now, hours=dict(self._now.hours), test=self._test.state())

    @property
    def empty(self) -> bool:
        """Whether there is no label that a judgement would look at, as of the last one."""
        return not self._now.hours

    def labelled(self, at: int, correct: bool) -> None:
        """The first label of a decision that began at `at` (microseconds)."""
        self._count(at, correct, 1)
        self._values.append(float(correct))
        self._times.append(float(at))
        if len(self._values) >= AT_ONCE:
            self._ask()

    def relabelled(self, at: int, was: bool, correct: bool | None) -> None:
        """Another label, or none, for a decision that had one. What the test has seen, it has seen."""
        self._count(at, was, -1)
        if correct is not None:
            self._count(at, correct, 1)

    def judge(self, now: int) -> Judgement:
        """As of `now`, in microseconds of event time, which does not fall. Forgets hours that no later judgement needs."""
        self._ask()
        last = (now - 1) // HOUR
        first_trailing = last - self.watch.trailing + 1
        first = first_trailing - self.watch.days * 24
        for hour in [hour for hour in self._now.hours if hour < first]:
            del self._now.hours[hour]
        trailing, mean = self._sum(first_trailing, last + 1), self._sum(first, first_trailing)
        reason = self._missing(trailing[1], mean[1])
        self._turn(trailing, mean, now)
        verdict = AccuracyVerdict.INSUFFICIENT if reason else AccuracyVerdict.OK
        return Judgement(
            verdict=AccuracyVerdict.DROP if self._now.dropping else verdict,
            trailing=_share(trailing),
            trailing_labels=trailing[1],
            mean=_share(mean),
            mean_labels=mean[1],
            needed=self.watch.needed,
            reason=reason,
            alarm=self._now.alarm,
        )

    def _missing(self, trailing: int, mean: int) -> str:
        """What there is too little of to say that nothing dropped."""
        watch = self.watch
        if mean < watch.needed:
            return f"{mean} labels in the {watch.days} days before, {watch.needed} are needed to find {watch.points:.1%}"
        if trailing < watch.least:
            return f"{trailing} labels in the last {watch.trailing} hours, at least {watch.least} are needed"
        if self._test.standing is Standing.INSUFFICIENT:
            return self._test.reason
        return ""

    def _turn(self, trailing: tuple[int, int], mean: tuple[int, int], now: int) -> None:
        """A drop begins when the accuracy is too low while an alarm stands. An alarm stands until the test has learned anew or
        the drop that it led to is over: each leads to one drop at most, so that drops are as rare as its false alarms."""
        state, watch = self._now, self.watch
        if not state.alarm:
            return
        told = trailing[1] >= watch.least and mean[1] > 0
        under = mean[0] / mean[1] - trailing[0] / trailing[1] if told else 0.0
        forgotten = now - state.alarm.at > watch.days * DAY
        if not state.dropping:
            state.dropping = told and under >= watch.points
            ended = not state.dropping and (forgotten or self._test.standing is Standing.QUIET)
        else:
            ended = (told and under < CLEAR * watch.points) or (not told and forgotten)
        if ended:
            state.dropping, state.alarm = False, None

    def _ask(self) -> None:
        """The test's last word on the labels so far: a rise ends the alarm of a fall."""
        if not self._values:
            return
        for alarm in self._test.update(self._values, self._times):
            if alarm.direction < 0:
                self._now.alarm = alarm
            elif not self._now.dropping:
                self._now.alarm = None
        self._values, self._times = [], []

    def _count(self, at: int, correct: bool, sign: int) -> None:
        hour = at // HOUR
        right, all_ = self._now.hours.get(hour, (0, 0))
        self._now.hours[hour] = (right + sign * correct, all_ + sign)

    def _sum(self, begin: int, end: int) -> tuple[int, int]:
        """(correct, labelled) of the hours from `begin` to before `end`."""
        counts = [count for hour, count in self._now.hours.items() if begin <= hour < end]
        return sum(correct for correct, _ in counts), sum(labelled for _, labelled in counts)


def _share(count: tuple[int, int]) -> float | None:
    return count[0] / count[1] if count[1] else None
