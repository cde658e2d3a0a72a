"""`python -m bench [PART ...]`: measure, print tables, write `bench/results/*.json`, and say which bars are reached.

Ends with 0 whether or not they are: it measures, it does not judge.
"""

import argparse
import json
import time
from collections.abc import Callable

from bench import alerts, edge, groups, growth, league, processors, report, sink, whole_path
from bench.report import verdict


def measure_whole_path(rounds: int, quick: bool) -> None:
    whole_path.run(rounds, alone=quick)


def measure_processors(rounds: int, quick: bool) -> None:
    processors.main(["counting"] if quick else ["counting", "ledger", "growth"], rounds)


PARTS: dict[str, tuple[str, Callable[[int, bool], object]]] = {
    "whole-path": ("durable, queryable spans a second, beside Phoenix and MLflow", measure_whole_path),
    "processors": ("the stream worker, beside idiomatic Faust", measure_processors),
    "sink": ("Kafka to ClickHouse, beside a naive loop", sink.run),
    "edge": ("CPU of the collector", edge.run),
    "league": ("false alarms and delays of drift detectors, beside river's", league.run),
    "alerts": ("from a fault to a webhook and from an event to a gateway's verdict, beside a query each minute", alerts.run),
    "groups": ("time and memory of 10,000 groups under rules, beside a dict of lists", groups.run),
    "growth": ("cost of an event as open decisions and stored rows grow", growth.run),
}


def main() -> None:
    told = "\n".join(f"  {name:12}{meaning}" for name, (meaning, _) in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=f"parts:\n{told}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to measure; all by default")
    parser.add_argument("--quick", action="store_true", help="less load, ours alone where the others must be installed")
    parser.add_argument("--rounds", type=int, default=0, help="measurements of each figure (5; 2 with --quick)")
    asked = parser.parse_args()
    if unknown := [part for part in asked.parts if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if asked.quick:
        report.RESULTS = report.QUICK_RESULTS
    began = time.time()
    for part in asked.parts or PARTS:
        print(f"\n{part}: {PARTS[part][0]}", flush=True)
        PARTS[part][1](asked.rounds or (2 if asked.quick else 5), asked.quick)
    summarise(began)


def summarise(began: float) -> None:
    """The bars of every result that was written since."""
    written = [path for path in sorted(report.RESULTS.glob("*.json")) if path.stat().st_mtime >= began]
    bars = [bar for path in written for bar in json.loads(path.read_text())["bars"]]
    barred = [bar for bar in bars if bar["reached"] is not None]
    missed = sum(not bar["reached"] for bar in barred)
    print("\nsummary")
    for bar in bars:
        print(f"  {verdict(bar)}")
    print(f"{len(barred) - missed} of {len(barred)} bars reached, {missed} NOT REACHED; figures are in {report.RESULTS}")


if __name__ == "__main__":
    main()
