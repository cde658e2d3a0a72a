"""(a) Durable, queryable spans a second over the whole path, beside Phoenix and MLflow: same client, same corpus, one run.

A round sends N spans and ends when a query finds all of them. N differs between contenders so that a round takes seconds
for each; the rate is N over that time. All contenders are up during the whole run, and take turns.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from clickhouse_connect.driver.client import Client

from bench import client, competitors, corpus
from bench.report import Figure, bar, ratio, show, write
from waterline.connectors.stores.clickhouse.client import connect
from waterline.schemas.settings import Settings
from waterline.stack import Stack

SIZES = {1: (6_000, 300), 10: (40_000, 600), 100: (120_000, 1_000)}
"""Spans a request -> spans a round sends to us, and to the others."""
PATIENCE_S = 300.0
PORT = 26006
BARS = {"Phoenix (SQLite)": 200.0, "MLflow (SQLite)": 100.0}


class Ours:
    """The local stack as a contender."""

    name = "Waterline"
    headers: dict[str, str] = {}

    def __init__(self, stack: Stack, store: Client) -> None:
        self.stack = stack
        self.store = store
        self.url = f"{stack.collector_url}/v1/traces"

    def count(self) -> int:
        return int(self.store.query("SELECT count() FROM events").result_rows[0][0])

    def cpu_seconds(self) -> float:
        return sum(self.cpu_by_part().values())

    def cpu_by_part(self) -> dict[str, float]:
        used: dict[str, float] = {}
        for name in (part.name for part in self.stack.parts):
            if pid := self.stack.pid(name):
                times = psutil.Process(pid).cpu_times()
                used[name] = times.user + times.system
        return used


Contender = Ours | competitors.Contender


@contextmanager
def contenders(folder: Path, alone: bool) -> Iterator[list[Contender]]:
    with Stack(folder / "waterline", settings=Settings(log_level="warning"), free_ports=True) as stack:
        store = connect(stack.settings)
        ours = Ours(stack, store)
        try:
            if alone:
                yield [ours]
                return
            with (
                competitors.phoenix(folder / "phoenix", PORT) as phoenix,
                competitors.mlflow(folder / "mlflow", PORT + 10) as mlflow,
            ):
                yield [ours, phoenix, mlflow]
        finally:
            store.close()


def measure(contender: Contender, bodies: list[bytes], spans: int) -> tuple[float, float]:
    """Spans a second, and CPU-seconds of the system per million spans. Raises when a span is missing after PATIENCE_S."""
    before, used, began = contender.count(), contender.cpu_seconds(), time.perf_counter()
    client.send(contender.url, bodies, contender.headers)
    while (found := contender.count() - before) < spans:
        if time.perf_counter() - began > PATIENCE_S:
            raise RuntimeError(f"{contender.name}: {spans - found} of {spans} spans are not there after {PATIENCE_S:.0f} s")
        time.sleep(0.02)
    if found != spans:
        raise RuntimeError(f"{contender.name}: {found} spans are there, {spans} were sent")
    seconds = time.perf_counter() - began
    return spans / seconds, (contender.cpu_seconds() - used) / spans * 1e6


def run(rounds: int = 3, alone: bool = False, progress: Callable[[str], None] = print) -> list[dict[str, object]]:
    figures: list[Figure] = []
    bars: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="waterline-bench-") as folder, contenders(Path(folder), alone) as all_of_them:
        for per_request, sizes in SIZES.items():
            rates = _rounds(all_of_them, per_request, sizes, rounds, progress)
            figures += [figure for pair in rates.values() for figure in pair]
            ours = rates[Ours.name][0]
            if per_request == max(SIZES):
                names = [name for name in rates if name != Ours.name]
                bars = [bar(f"whole path / {name}", BARS[name], ratio(ours, rates[name][0])) for name in names]
    show("Durable, queryable spans per second", figures)
    sizes_told = {f"{per} a request": {"ours": ours, "others": others} for per, (ours, others) in SIZES.items()}
    print(write("whole_path", figures, bars, [f"spans a round: {sizes_told}", "durability: normal; Kafka acks=all, one broker"]))
    return bars


def _rounds(
    all_of_them: list[Contender], per_request: int, sizes: tuple[int, int], rounds: int, progress: Callable[[str], None]
) -> dict[str, tuple[Figure, Figure]]:
    setting = f"{per_request} a request"
    found = {
        contender.name: (
            Figure(contender.name, setting, "rate", "spans/s", []),
            Figure(contender.name, setting, "cost", "CPU-s per million", []),
        )
        for contender in all_of_them
    }
    for number in range(rounds):
        order = all_of_them if number % 2 == 0 else all_of_them[::-1]
        for contender in order:
            spans = sizes[0] if isinstance(contender, Ours) else sizes[1]
            bodies = corpus.requests(spans, per_request, seed=number * 1000 + per_request)
            rate, cost = measure(contender, bodies, spans)
            found[contender.name][0].rounds.append(rate)
            found[contender.name][1].rounds.append(cost)
            progress(f"{setting}, round {number + 1}: {contender.name} {rate:,.0f} spans/s")
    return found
