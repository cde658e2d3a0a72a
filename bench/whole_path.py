"""(a) Durable, queryable spans a second over the whole path, beside Phoenix and MLflow: same client, same corpus, one run.

A round sends N spans and ends when a query finds all of them. N differs between contenders so that a round takes seconds
for each; the rate is N over that time. All contenders are up during the whole run, and take turns. What ours goes on with
when its spans are found, their cost, is waited for and counted as a figure of its own before the next one's turn.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from clickhouse_connect.driver.client import Client
from msgspec import Struct

from bench import client, competitors, corpus
from bench.report import Figure, bar, ratio, show, write
from waterline.connectors.stores.clickhouse.client import connect
from waterline.schemas.settings import Settings
from waterline.stack import Stack
from waterline.stack.parts import NAMES

SIZES = {1: (6_000, 300), 10: (40_000, 600), 100: (240_000, 2_000)}
"""Spans a request -> spans a round sends to us, and to the others."""
WARM = (240_000, 2_000)
"""Spans before the first round, uncounted: Java compiles, and caches fill."""
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

    def rest(self) -> None:
        """Returns when each span has its cost. Every span of the corpus is a call that is paid for."""
        ask = "SELECT (SELECT count() FROM events) <= (SELECT count() FROM cost_facts)"
        until(lambda: bool(self.store.query(ask).result_rows[0][0]), f"{self.name}: costs of spans")

    def cpu_by_part(self) -> dict[str, float]:
        used: dict[str, float] = {}
        for name in NAMES:
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


def until(done: Callable[[], bool], missing: str) -> None:
    deadline = time.perf_counter() + PATIENCE_S
    while not done():
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{missing} are missing after {PATIENCE_S:.0f} s")
        time.sleep(0.02)


class Round(Struct):
    """`found`: spans a second until a query counts all; `costed`: until each has its cost, where that is told; `cpu`:
    CPU-seconds of each part of the system per million spans, all that it did for them."""

    found: float
    costed: float
    cpu: dict[str, float]


def measure(contender: Contender, bodies: list[bytes], spans: int) -> Round:
    """Raises when a span is missing after PATIENCE_S, or there are more than were sent."""
    before, used, began = contender.count(), contender.cpu_by_part(), time.perf_counter()
    client.send(contender.url, bodies, contender.headers)
    until(lambda: contender.count() - before >= spans, f"{contender.name}: spans")
    found = time.perf_counter() - began
    contender.rest()
    costed = time.perf_counter() - began
    if (stored := contender.count() - before) != spans:
        raise RuntimeError(f"{contender.name}: {stored} spans are there, {spans} were sent")
    cpu = {part: (seconds - used[part]) / spans * 1e6 for part, seconds in contender.cpu_by_part().items()}
    return Round(spans / found, spans / costed, cpu)


def run(rounds: int = 3, alone: bool = False, progress: Callable[[str], None] = print) -> list[dict[str, object]]:
    figures: list[Figure] = []
    bars: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="waterline-bench-") as folder, contenders(Path(folder), alone) as all_of_them:
        for contender in all_of_them:
            spans = WARM[not isinstance(contender, Ours)]
            measure(contender, corpus.requests(spans, 100, seed=10**6), spans)
        for per_request, sizes in SIZES.items():
            rates = _rounds(all_of_them, per_request, sizes, rounds, progress)
            figures += [figure for told in rates.values() for figure in told]
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
) -> dict[str, list[Figure]]:
    setting = f"{per_request} a request"
    found = {
        contender.name: [
            Figure(contender.name, setting, "rate", "spans/s", []),
            Figure(contender.name, setting, "cost", "CPU-s per million", []),
        ]
        for contender in all_of_them
    }
    ours = found[Ours.name]
    ours.append(Figure(Ours.name, setting, "rate with every cost", "spans/s", []))
    ours += [Figure(Ours.name, setting, f"cost of {name}", "CPU-s per million", []) for name in NAMES]
    for number in range(rounds):
        order = all_of_them if number % 2 == 0 else all_of_them[::-1]
        for contender in order:
            spans = sizes[0] if isinstance(contender, Ours) else sizes[1]
            bodies = corpus.requests(spans, per_request, seed=number * 1000 + per_request)
            told = measure(contender, bodies, spans)
            whole = sum(told.cpu.values())
            for figure, value in zip(found[contender.name], (told.found, whole, told.costed, *told.cpu.values()), strict=False):
                figure.rounds.append(value)
            progress(f"{setting}, round {number + 1}: {contender.name} {told.found:,.0f} spans/s")
    return found
