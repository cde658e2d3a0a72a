"""`python -m bench.drift_days`: false alarms and delays of the test of days in drift facts, beside an index over 0.25 on any
day and a chi-square test of each day at 1 % (a minute or two). The figures are those of streams/steps/DRIFT.md, "Days".
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import chdtrc
from scipy.stats import chi2

from waterline.streams.steps.day_evidence import ARL0, LIMIT, WATCHED, bar, weigh
from waterline.streams.steps.distribution import MAJOR, SMOOTHING
from waterline.streams.steps.drift_scores import Array

SEED, RUNS, DAYS, CHANGED, LONGEST = 7, 50, 12, 20, 20
"""Runs and days of each kind of quiet stream; runs of each change, and the days within which it is looked for."""
HOURS = np.exp(0.8 * np.cos(np.arange(24) * (2 * np.pi / 24)))
SHARES: dict[str, Array] = {
    "two names": np.array([0.9, 0.1]),
    "five names": np.array([0.4, 0.3, 0.15, 0.1, 0.05]),
    "ten tenths": np.full(10, 0.1),
    "forty names": 1 / np.arange(1, 41) ** 1.3 / (1 / np.arange(1, 41) ** 1.3).sum(),
}
Draw = Callable[[np.random.Generator, Array, int], NDArray[Any]]


def _tilted(shares: Array, by: float) -> Array:
    tilted = shares * np.exp(by * np.linspace(-1.7, 1.7, len(shares)))
    return np.asarray(tilted / tilted.sum())


def _seasonal(random: np.random.Generator, shares: Array, samples: int) -> Array:
    """What is done, and how much, depends on the hour."""
    by_hour = random.multinomial(samples, HOURS / HOURS.sum())
    return np.asarray(sum(random.multinomial(n, _tilted(shares, h / 24 - 0.5)) for h, n in enumerate(by_hour)), dtype=np.float64)


KINDS: dict[str, Draw] = {
    "independent": lambda random, shares, samples: random.multinomial(samples, shares),
    "in clumps of 5": lambda random, shares, samples: random.multinomial(samples // 5, shares) * 5,
    "mix depends on the hour": _seasonal,
    "days differ (Dirichlet 200)": lambda random, shares, samples: random.multinomial(samples, random.dirichlet(200 * shares)),
    "days wander one way": lambda random, shares, samples: random.multinomial(
        samples, _tilted(shares, 0.15 * random.standard_normal())
    ),
}


def moved(shares: Array, index: float) -> Array:
    """Shares with that population stability index."""
    low, high = 0.0, 5.0
    for _ in range(60):
        other = _tilted(shares, (low + high) / 2)
        if ((other - shares) * np.log(other / shares)).sum() < index:
            low = (low + high) / 2
        else:
            high = (low + high) / 2
    return other


def by_index(total: Array, days: Array) -> Array:
    """Which days have an index over what counts as major."""
    p, q = ((side + SMOOTHING) / (side + SMOOTHING).sum(axis=-1, keepdims=True) for side in (total, days))
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=1) > MAJOR)


def by_chi_square(total: Array, days: Array) -> Array:
    """Which days differ from the baseline at 1 % (two samples, Pearson)."""
    n, m = total.sum(), days.sum(axis=1, keepdims=True)
    both = total + days
    parts = (total - both * n / (n + m)) ** 2 / n + (days - both * m / (n + m)) ** 2 / m
    statistic = (parts * (n + m) / np.maximum(both, 1)).sum(axis=1)
    return np.asarray(chdtrc((both > 0).sum(axis=1) - 1, statistic) < 0.01)


def alarms(days: Array, after: Array) -> tuple[int, ...]:
    """The day of the first alarm of ours, of the index and of chi-square; 0 = none."""
    had = (days > 0).sum(axis=0) > 1
    before, seen = (np.column_stack((side[:, had], side[:, ~had].sum(axis=1))) for side in (days, after))
    needed, total = bar(len(days), LIMIT), days.sum(axis=0)
    ours = (n for n in range(1, len(after) + 1) if weigh(before, seen[max(0, n - WATCHED) : n])[0].max() >= needed)
    naive = (np.flatnonzero(says(total, after)) + 1 for says in (by_index, by_chi_square))
    return next(ours, 0), *(int(one[0]) if len(one) else 0 for one in naive)


def drawn(kind: str, shares: Array, samples: int, days: int, random: np.random.Generator) -> Array:
    return np.array([KINDS[kind](random, shares, samples) for _ in range(days)], dtype=np.float64)


def many(kind: str, shares: Array, other: Array, samples: int, history: int, runs: int, length: int, seed: int) -> Array:
    """Days of the first alarm, runs by contenders."""
    random = np.random.default_rng((SEED, seed))
    return np.array(
        [alarms(drawn(kind, shares, samples, history, random), drawn(kind, other, samples, length, random)) for _ in range(runs)]
    )


def between(count: int, days: int) -> str:
    """Alarms in 1,000 days, with the exact 95 % interval of a Poisson count."""
    low, high = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0, chi2.ppf(0.975, 2 * count + 2) / 2
    return f"{1000 * count / days:.2f} [{1000 * low / days:.2f}, {1000 * high / days:.2f}]"


def _cells(counted: NDArray[np.int64]) -> list[str]:
    return [f"{counted[1, 0]:,}", *(between(found, days) for found, days in counted.T.tolist())]


def quiet(samples: int) -> Table:
    table = Table("quiet stream", "days of baseline", "days", "ours in 1,000 days [95 %]", "index over 0.25", "chi-square at 1 %")
    table.title = f"false alarms, {samples} observations a day; declared: {1000 / LIMIT:.2f} of one distribution in 1,000 days"
    everything = np.zeros((2, 3), dtype=np.int64)
    for seed, (kind, history) in enumerate((kind, history) for kind in KINDS for history in (3, 7, 30)):
        told = [many(kind, one, one, samples, history, RUNS, DAYS, seed * 10 + n) for n, one in enumerate(SHARES.values())]
        first = np.vstack(told)
        counted = np.array([(first > 0).sum(axis=0), np.where(first, first, DAYS).sum(axis=0)])
        everything += counted
        table.add_row(kind, str(history), *_cells(counted))
    table.add_row("all of these", "", *_cells(everything))
    kind, names = "days wander one way", ("five names", "ten tenths")
    told = [many(kind, SHARES[name], SHARES[name], samples, 7, 10 * RUNS, DAYS, 777 + n) for n, name in enumerate(names)]
    first = np.vstack(told)
    table.add_row(
        f"{kind}, more runs", "7", *_cells(np.array([(first > 0).sum(axis=0), np.where(first, first, DAYS).sum(axis=0)]))
    )
    return table


def changes() -> Table:
    table = Table(
        "shares", "index", "observations a day", "days of baseline", "kind", "ours", "index over 0.25", "chi-square at 1 %"
    )
    table.title = f"days until it is found (missed within {LONGEST})"
    asked = [(kind, history) for kind in list(KINDS)[:2] for history in (7, 30)]
    for n, (name, shares) in enumerate(list(SHARES.items())[1:3]):
        for index in (0.15, 0.3):
            for samples in (100, 500):
                for kind, history in asked:
                    first = many(kind, shares, moved(shares, index), samples, history, CHANGED, LONGEST, 1000 + n)
                    delays = np.where(first, first, LONGEST).mean(axis=0)
                    missed = (first == 0).mean(axis=0)
                    cells = [f"{days:.1f} ({share:.0%})" for days, share in zip(delays, missed, strict=True)]
                    table.add_row(name, str(index), str(samples), str(history), kind, *cells)
    return table


def main() -> None:
    console = Console(width=150)
    console.print(f"declared: one false alarm of an artifact, all its distributions together, in {ARL0} days")
    for table in (quiet(500), changes()):
        console.print(table)


if __name__ == "__main__":
    main()
