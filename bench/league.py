"""`python -m bench.league [--quick]`: drift detectors on ten streams: false alarms against the budget declared, and delays.

Ours has one setting for all streams. ADWIN, KSWIN and Page-Hinkley of river run beside it, as they come and with the one knob
that makes each one's false alarms as rare as ours are then made, stream by stream.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import competitors, report
from bench.league_ours import ARL0, HIGHEST, Pass, cost, passed
from bench.league_streams import GARCH, PATIENCE, STREAMS, Purpose

VENV = Path(".waterline/league-venv")
LOCK = Path(__file__).with_name("league.lock")
OURS = "ours"
RIVALS = ("ADWIN", "Page-Hinkley", "KSWIN")


class Size(Struct, frozen=True):
    """Runs of ours for each of both purposes, of ADWIN and Page-Hinkley, of KSWIN, and of ours on GARCH."""

    ours: int
    rivals: int
    kswin: int
    guard: int


QUICKLY = " (a short run: the interval's better end)"
FULL, QUICK = Size(800, 400, 40, 400), Size(30, 10, 2, 8)


class Reached(Struct):
    """Of one contender on one stream: quiet observations, first alarms in them, and delays with their standard error."""

    time: float
    alarms: int
    delay: float | None = None
    error: float | None = None
    runs: int = 0
    missed: int = 0
    knob: float = 0.0

    def arl0(self) -> tuple[float, float, float]:
        """With the 95 % interval of an exponential time that was cut."""
        alarms = max(self.alarms, 0.5)
        around = float(np.exp(1.96 / alarms**0.5))
        return self.time / alarms, self.time / alarms / around, self.time / alarms * around

    def miss(self) -> float:
        return self.missed / self.runs if self.runs else 0.0


def lasted(passes: Sequence[Pass], factor: float) -> Reached:
    alarms = [one.alarm(factor) for one in passes]
    return Reached(
        sum(alarm or one.length for alarm, one in zip(alarms, passes, strict=True)), sum(alarm > 0 for alarm in alarms)
    )


def reached(quiet: Sequence[Pass], changed: Sequence[Pass], factor: float) -> Reached:
    told = lasted(quiet, factor)
    delays = []
    for one in changed:
        alarm = one.alarm(factor)
        if not alarm or alarm > one.change:
            delays.append(min(alarm - one.change, PATIENCE) if alarm else PATIENCE)
    if delays:
        told.delay, told.error = float(np.mean(delays)), float(np.std(delays) / len(delays) ** 0.5)
    told.runs, told.missed, told.knob = len(delays), sum(delay >= PATIENCE for delay in delays), ARL0 * factor
    return told


def ours(stream: str, size: Size) -> dict[str, Reached]:
    """As declared, and with the threshold that makes ARL0 what was declared on the quiet runs that the others are tuned on."""
    quiet = [passed(stream, Purpose.QUIET, n) for n in range(size.ours)]
    changed = [passed(stream, Purpose.DELAY, n) for n in range(size.ours)]
    same, low, high = quiet[: size.rivals], 0.1, HIGHEST
    for _ in range(24):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if lasted(same, middle).arl0()[0] > ARL0 else (middle, high)
    return {f"{OURS} declared": reached(quiet, changed, 1.0), f"{OURS} tuned": reached(same, changed, low)}


@contextmanager
def rivals(size: Size) -> Iterator[Iterator[dict[str, Any]]]:
    """What they reach, a stream at a time, from a process that runs meanwhile."""
    python = competitors.install(VENV, LOCK, "river and numba") / "python"
    command = [str(python), "-m", "bench.league_rivals"]
    asked = "".join(json.dumps({"stream": name, "runs": size.rivals, "kswin": size.kswin}) + "\n" for name in STREAMS)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(asked)
        process.stdin.close()
        try:
            yield (json.loads(line) for line in process.stdout)
        except BaseException:
            process.kill()
            raise


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.league", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few runs, under a minute: the intervals are wide")
    quick = parser.parse_args().quick
    if quick:
        report.RESULTS = report.QUICK_RESULTS
    run(0, quick)


def run(rounds: int, quick: bool) -> None:
    """`rounds` is for the other parts: here each figure has an interval from its own runs."""
    size = QUICK if quick else FULL
    found: dict[str, dict[str, Reached]] = {}
    with rivals(size) as told:
        for name in STREAMS:
            found[name] = ours(name, size)
            print(f"{name}: ARL0 {_interval(found[name][f'{OURS} declared'].arl0())}", flush=True)
        garch = lasted([passed(GARCH, Purpose.GUARD, n) for n in range(size.guard)], 1.0)
        notes = []
        for line in told:
            if "checked" in line:
                notes += line["checked"]
            else:
                found[line["stream"]] |= {name: Reached(**one) for name, one in line["contenders"].items()}
    if missing := [name for name in STREAMS if len(found[name]) < 2 + 2 * len(RIVALS)]:
        raise RuntimeError(f"the others ended before {', '.join(missing)}")
    _show(found)
    print(f"with the replay guard on GARCH (0.1, 0.85): ARL0 {_interval(garch.arl0())}")
    print("\n".join(notes))
    report.write("league", _figures(found, garch), _bars(found, garch, cost(), quick), notes)


def _bars(found: dict[str, dict[str, Reached]], garch: Reached, costs: list[float], quick: bool) -> list[dict[str, Any]]:
    """A short run has wide intervals: it holds the better end against the bar, so that it fails if the bar is out of reach."""
    declared = {name: one[f"{OURS} declared"].arl0() for name, one in found.items()} | {"garch, guarded": garch.arl0()}
    bars = []
    for name, arl0 in declared.items():
        estimate, low, high = (one / ARL0 for one in arl0)
        around = (high if quick else estimate, low, high)
        bars.append(report.bar(f"ARL0 to the one declared, {name}{QUICKLY * quick}", 1.0, around))
    if not quick:
        least = min(declared, key=lambda name: declared[name][1])
        low = declared[least][1] / ARL0
        bars.append(report.bar(f"lowest 95 % bound of ARL0 to the one declared ({least})", 0.95, (low, low, low)))
    ratio, low, high = _delays(found)
    name = f"delay to the best re-tuned, at equal ARL0, geometric mean{QUICKLY * quick}"
    bars.append(report.bar(name, 0.6, (low if quick else ratio, low, high), True))
    misses = {
        name: one[f"{OURS} tuned"].miss() - min(one[f"{rival} tuned"].miss() for rival in RIVALS) for name, one in found.items()
    }
    worst = max(misses, key=lambda name: misses[name])
    more = 1 + misses[worst]
    bars.append(
        report.bar(f"1 + share missed beyond the fewest of theirs, worst stream ({worst})", 1.0, (more, more, more), True)
    )
    micros = (float(np.median(costs)), min(costs), max(costs))
    bars.append(report.bar("cost of an observation in batches, in microseconds", 2.0, micros, True))
    return bars


def _delays(found: dict[str, dict[str, Reached]]) -> tuple[float, float, float]:
    """The geometric mean over the streams of our delay to the best of theirs, with its 95 % interval."""
    logs, errors = [], []
    for name, one in found.items():
        mine, best = one[f"{OURS} tuned"], _best(one)
        if not (mine.delay and best.delay):
            raise RuntimeError(f"{name}: no run reached its change")
        logs.append(np.log(mine.delay / best.delay))
        errors.append((mine.error or 0) ** 2 / mine.delay**2 + (best.error or 0) ** 2 / best.delay**2)
    middle, wide = float(np.mean(logs)), 1.96 * float(np.sum(errors)) ** 0.5 / len(logs)
    return float(np.exp(middle)), float(np.exp(middle - wide)), float(np.exp(middle + wide))


def _best(one: dict[str, Reached]) -> Reached:
    return min((one[f"{name} tuned"] for name in RIVALS), key=lambda rival: rival.delay or PATIENCE)


def _interval(arl0: tuple[float, float, float]) -> str:
    return f"{arl0[0]:,.0f} [{arl0[1]:,.0f}, {arl0[2]:,.0f}]" if arl0[0] < 1e6 else "over 1,000,000"


def _show(found: dict[str, dict[str, Reached]]) -> None:
    for kind, title in (
        ("default", f"as they come; ours with {ARL0:,.0f} declared: ARL0 [95 %], delay"),
        ("tuned", "each tuned to that ARL0 on the same quiet runs: ARL0 reached, delay (misses)"),
    ):
        table = Table(title=title, title_justify="left")
        for column in ("stream", OURS, *RIVALS, "ours to best"):
            table.add_column(column, justify="left" if column == "stream" else "right")
        for name, one in found.items():
            mine = one[f"{OURS} declared" if kind == "default" else f"{OURS} tuned"]
            best = _best(one)
            share = f"{mine.delay / best.delay:.2f}" if mine.delay and best.delay and kind == "tuned" else ""
            table.add_row(name, _cell(mine), *(_cell(one[f"{rival} {kind}"]) for rival in RIVALS), share)
        Console(width=150).print(table)


def _cell(one: Reached) -> str:
    delay = f"{one.delay:,.0f} ± {1.96 * (one.error or 0):,.0f}" if one.delay and one.runs >= 5 else "-"
    return f"{_interval(one.arl0())}\n{delay} ({one.miss():.1%})"


def _figures(found: dict[str, dict[str, Reached]], garch: Reached) -> list[report.Figure]:
    """ARL0 and delay, each as (lower bound, estimate, upper bound)."""
    told = []
    for stream, one in {**found, GARCH: {f"{OURS} declared": garch}}.items():
        for contender, got in one.items():
            arl0, low, high = got.arl0()
            told.append(report.Figure(contender, stream, f"ARL0, knob {got.knob:g}", "observations", [low, arl0, high]))
            if got.delay is not None:
                wide = 1.96 * (got.error or 0)
                quantity = f"delay, {got.missed} of {got.runs} missed"
                around = [got.delay - wide, got.delay, got.delay + wide]
                told.append(report.Figure(contender, stream, quantity, "observations", around))
    return told


if __name__ == "__main__":
    main()
