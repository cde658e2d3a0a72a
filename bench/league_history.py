"""`python -m bench.league_history`: what ours does with less history than in the league, and where it fails (some minutes).

Declared is an ARL0 of 10,000, as there. The figures are those of streams/steps/DRIFT.md.
"""

from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.signal import lfilter

from bench.league import Reached, reached
from bench.league_ours import ARL0, Pass, follow
from bench.league_streams import DAY, HISTORY, SEED, STREAMS, Array, Purpose, delay_length, garch, run
from waterline.streams.steps.drift_baseline import Insufficient, fit

RUNS, LONGEST = 200, 30_000
SHORT = (
    *(("gauss", 200), ("gauss", 500), ("gauss", 1_000), ("t3", 200)),
    *(("bern30", 200), ("bern30", 1_000), ("bern02", 2_000), ("bern02", 5_000)),
    *(("ar5", 1_000), ("ar9", 4_000), ("ar9", 6_000)),
    *(("sine", 3 * DAY), ("sine", 7 * DAY), ("bsea30", 3 * DAY), ("bsea30", 7 * DAY), ("bsea02", 7 * DAY)),
)
"""(stream, observations of history)"""


def _long_memory(random: np.random.Generator, times: Array) -> Array:
    """ARFIMA(0, 0.3, 0), its moving average cut at 5,000."""
    weights = np.cumprod(np.concatenate(([1.0], (np.arange(1, 5_000) - 0.7) / np.arange(1, 5_000))))
    noise = random.normal(size=len(times) + len(weights) - 1)
    size = 1 << (len(noise) + len(weights)).bit_length()
    product = np.fft.irfft(np.fft.rfft(noise, size) * np.fft.rfft(weights, size), size)
    return np.asarray(product[len(weights) - 1 : len(noise)])


def _wandering(random: np.random.Generator, times: Array) -> Array:
    return np.asarray(random.normal(size=len(times)) + 0.003 * random.normal(size=len(times)).cumsum())


def _weekends(random: np.random.Generator, times: Array) -> Array:
    return np.asarray(random.normal(size=len(times)) - 0.5 * (times // DAY % 7 >= 5))


def _sticky(random: np.random.Generator, times: Array) -> Array:
    """Zeros and ones, a fifth of them ones, half of which are as the one before was."""
    again, fresh = random.random(len(times)) < 0.5, random.random(len(times)) < 0.2
    again[0] = False
    return fresh[np.maximum.accumulate(np.where(again, 0, np.arange(len(times))))].astype(np.float64)


def _dependent_season(random: np.random.Generator, times: Array) -> Array:
    return np.asarray(np.sin(times * (2 * np.pi / DAY)) + lfilter([0.75**0.5], [1.0, -0.5], random.normal(size=len(times))))


STRANGE: dict[str, Callable[[np.random.Generator, Array], Array]] = {
    "long memory, ARFIMA d = 0.3": _long_memory,
    "random walk, 0.003 an observation": _wandering,
    "weekends lower by 0.5": _weekends,
    "sticky ones": _sticky,
    "season and AR(1) 0.5": _dependent_season,
    "GARCH (0.1, 0.85), no guard": lambda random, times: garch(random, len(times)),
}


def _pass(values: Array, times: Array, history: int, change: int) -> Pass | None:
    begin = HISTORY - history
    baseline = fit(values[begin:HISTORY], times[begin:HISTORY], DAY if history >= 3 * DAY else 0, ARL0)
    if isinstance(baseline, Insufficient):
        return None
    return follow(baseline, values[HISTORY:], times[HISTORY:], change - HISTORY)


def short(stream: str, history: int) -> tuple[Reached, int]:
    """What is reached, and how many histories were said to be too short."""
    quiet, changed = [], []
    for number in range(RUNS):
        quiet.append(_pass(*run(stream, Purpose.QUIET, number, LONGEST)[:2], history, 0))
        values, times, change = run(stream, Purpose.DELAY, number, delay_length())
        changed.append(_pass(values, times, history, change))
    known = [one for one in quiet if one]
    return reached(known, [one for one in changed if one], 1.0), len(quiet) - len(known)


def strange(draw: Callable[[np.random.Generator, Array], Array], number: int) -> tuple[Reached, int]:
    quiet, times = [], np.arange(HISTORY + LONGEST, dtype=np.float64)
    for one in range(RUNS):
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence((SEED, len(STREAMS) + 1 + number, one))))
        quiet.append(_pass(draw(random, times), times, HISTORY, 0))
    known = [one for one in quiet if one]
    return reached(known, [], 1.0), len(quiet) - len(known)


def main() -> None:
    table = Table()
    for column in ("stream", "history", "insufficient", "ARL0 [95 %]", "delay", "missed"):
        table.add_column(column, justify="left" if column == "stream" else "right")
    for name, history in SHORT:
        _row(table, name, history, *short(name, history))
    for number, (name, draw) in enumerate(STRANGE.items()):
        _row(table, name, HISTORY, *strange(draw, number))
    Console(width=130).print(table)


def _row(table: Table, name: str, history: int, told: Reached, insufficient: int) -> None:
    arl0, low, high = told.arl0()
    delay = f"{told.delay:,.0f} ± {1.96 * (told.error or 0):,.0f}" if told.delay else ""
    missed = f"{told.miss():.1%}" if told.runs else ""
    between = f"{arl0:,.0f} [{low:,.0f}, {high:,.0f}]"
    table.add_row(name, f"{history:,}", f"{insufficient / RUNS:.0%}", between, delay, missed)


if __name__ == "__main__":
    main()
