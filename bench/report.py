"""Figures with their spread: a round is one measurement, a figure is the median of the rounds beside their range."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
QUICK_RESULTS = Path(".waterline/bench")
"""A quick run is a look, and leaves the kept figures alone."""
LIBRARIES = ("chdb-core", "confluent-kafka", "faust-streaming", "clickhouse-connect", "msgspec", "numpy", "uvloop")


class Figure(Struct):
    """One measured quantity of one contender, a value per round."""

    contender: str
    setting: str
    quantity: str
    unit: str
    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return f"{_short(self.median)} [{_short(min(self.rounds))}, {_short(max(self.rounds))}]"


def ratio(ours: Figure, theirs: Figure) -> tuple[float, float, float]:
    """Ours to theirs: of the medians, and the worst and best that any two rounds give."""
    return (
        ours.median / theirs.median,
        min(ours.rounds) / max(theirs.rounds),
        max(ours.rounds) / min(theirs.rounds),
    )


def machine() -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "cores": os.cpu_count(),
        "cpu": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def write(name: str, figures: Sequence[Figure], bars: Sequence[dict[str, Any]], notes: Sequence[str] = ()) -> Path:
    """`results/<name>.json`: every round of every figure, the bars with the ratio reached, and where it was measured."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    rows = [{f: getattr(figure, f) for f in figure.__struct_fields__} for figure in figures]
    path.write_text(json.dumps({**machine(), "figures": rows, "bars": list(bars), "notes": list(notes)}, indent=1) + "\n")
    return path


def show(title: str, figures: Sequence[Figure]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("setting", "contender", "quantity", "median [min, max]", "unit", "rounds"):
        table.add_column(column)
    for figure in figures:
        rounds = str(len(figure.rounds))
        table.add_row(figure.setting, figure.contender, figure.quantity, str(figure), figure.unit, rounds)
    Console(width=130).print(table)


def bar(name: str, wanted: float | None, reached: tuple[float, float, float], at_most: bool = False) -> dict[str, Any]:
    """Prints one line that says whether the bar is reached, and returns it for the JSON. Without one the ratio is stated."""
    holds = None if not wanted else reached[0] <= wanted if at_most else reached[0] >= wanted
    told = {"bar": name, "wanted": wanted, "at_most": at_most, "ratio": reached, "reached": holds}
    print(verdict(told), flush=True)
    return told


def verdict(told: dict[str, Any]) -> str:
    """A bar in one line."""
    median, worst, best = told["ratio"]
    spread = f"{median:.2f}x [{worst:.2f}, {best:.2f}]"
    if told["reached"] is None:
        return f"no bar      {told['bar']}: {spread}"
    wanted = f"wanted {'<=' if told['at_most'] else '>='} {told['wanted']:g}x"
    return f"{'reached    ' if told['reached'] else 'NOT REACHED'} {told['bar']}: {spread}, {wanted}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
