"""A baseline and a run over it: what of a stream comes after its history, until the first alarm."""

from collections.abc import Iterator

import numpy as np
from msgspec import Struct, field

from waterline.streams.steps.drift_baseline import Baseline, normal_scores, smoothed, whitened
from waterline.streams.steps.drift_scores import Array, Ints, cells_of, log_bets
from waterline.streams.steps.drift_season import phases
from waterline.streams.steps.drift_sequential import Mixture, Run, block_of, fresh, signed, weights


class Alarm(Struct, frozen=True, kw_only=True):
    """`observation` counts from 1 since the baseline was learned, `since` is the last one before the estimated change, `at` and
    `changed_at` are their times. `size`: the shift in standard deviations of the score, estimated from what led to the alarm and
    so too large on average for small shifts; its sign is the direction. `evidence` reached `threshold`."""

    observation: int
    at: float
    since: int
    changed_at: float
    direction: int
    size: float
    evidence: float
    threshold: float


class MonitorState(Struct):
    """What a monitor has beside its baseline. `counts` as they are now, `settled` as they were when the block began."""

    run: Run
    counts: list[float]
    settled: list[float]
    last: list[float] = field(default_factory=list)


class Monitor:
    """Feeds batches of any length to a mixture; the result depends on the stream alone. Not to be used after its alarm."""

    def __init__(self, baseline: Baseline, began: float, state: MonitorState | None = None) -> None:
        self.baseline = baseline
        self.bets = signed(baseline.sizes, baseline.sides)
        self.weight = weights(baseline.sizes, baseline.arl0, baseline.sides)
        self.mixture = Mixture(self.weight, state.run if state else self.begin(began))
        self.counts = np.array(state.counts if state else baseline.counts)
        self.settled = np.array(state.settled if state else baseline.counts)
        self.last = list(state.last if state else baseline.last)
        self.edges, self.levels = np.array(baseline.edges), np.array(baseline.levels)
        self.scores, self.lags = np.array(baseline.scores), np.array(baseline.lags)
        self.table = self._table()

    def state(self) -> MonitorState:
        return MonitorState(self.mixture.run(), self.counts.tolist(), self.settled.tolist(), self.last)

    def _table(self) -> Array:
        counts = self.settled.reshape(self.baseline.phases, -1)
        cells = cells_of(smoothed(counts, self.baseline.binary))
        return log_bets(cells, self.bets, self.baseline.inflation)

    def rows(self, values: Array, times: Array) -> Ints:
        """The row of each observation; takes note of what the next batch needs of them."""
        baseline = self.baseline
        if baseline.binary:
            cell: Ints = (values != 0).astype(np.int64)
            if baseline.seasonal:
                cell = cell + 2 * phases(times, baseline.period, baseline.phases)
            return cell
        left = values - self.levels[phases(times, baseline.period, len(self.levels))] if baseline.seasonal else values
        if len(self.lags):
            normal = np.concatenate((np.array(self.last), normal_scores(left, self.scores)))
            left = whitened(normal, self.lags)
            self.last = normal[len(normal) - len(self.lags) :].tolist()
        cells: Ints = np.searchsorted(self.edges, left, side="right")
        return cells

    def update(self, values: Array, times: Array) -> tuple[int, Alarm | None]:
        """(observations used, the alarm that the last of them raised, if any)."""
        rows, threshold = self.rows(values, times), self.baseline.threshold
        for begin, end in self._blocks(len(rows)):
            level, paid, sums = self.mixture.path(self.table, rows[begin:end])
            over = level >= threshold
            used = int(over.argmax()) + 1 if over.any() else end - begin
            self.mixture.keep(paid, sums, times[begin:end], used)
            if over[used - 1]:
                return begin + used, self._alarm(float(times[begin + used - 1]), float(level[used - 1]))
            self._settle(rows[begin:end])
        return len(rows), None

    def levels_of(self, values: Array, times: Array) -> Array:
        """M after each observation, whatever the threshold is."""
        rows, told = self.rows(values, times), []
        for begin, end in self._blocks(len(rows)):
            level, paid, sums = self.mixture.path(self.table, rows[begin:end])
            self.mixture.keep(paid, sums, times[begin:end], end - begin)
            self._settle(rows[begin:end])
            told.append(level)
        return np.concatenate(told) if told else np.zeros(0)

    def begin(self, at: float) -> Run:
        """Nothing seen yet, after the history."""
        return fresh(len(self.bets), block_of(self.baseline.observations), at)

    def _blocks(self, length: int) -> Iterator[tuple[int, int]]:
        """From where to where the batch belongs to one block; takes the block's rest at the time it is asked for."""
        begin = 0
        while begin < length:
            end = min(length, begin + self.mixture.left)
            yield begin, end
            begin = end

    def _settle(self, rows: Ints) -> None:
        """Counts what was seen, and at the end of a block reckons with it."""
        self.counts += np.bincount(rows, minlength=len(self.counts))
        if not self.mixture.left:
            self.settled = self.counts.copy()
            self.table = self._table()
            self.mixture.end_block(block_of(self.baseline.observations + self.mixture.seen))

    def _alarm(self, at: float, evidence: float) -> Alarm:
        mixture, leader = self.mixture, self.mixture.leader()
        length = max(mixture.seen - int(mixture.at[leader]), 1)
        gain = float(mixture.paid[leader] - mixture.least[leader])
        bet = float(self.bets[leader])
        return Alarm(
            observation=mixture.seen,
            at=at,
            since=int(mixture.at[leader]),
            changed_at=float(mixture.when[leader]),
            direction=1 if bet > 0 else -1,
            size=(gain / length + bet**2 / 2) * float(np.sqrt(self.baseline.inflation)) / bet,
            evidence=evidence,
            threshold=self.baseline.threshold,
        )
