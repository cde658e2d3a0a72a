"""(c) The sink beside a loop that consumes, inserts and commits: rows per CPU-second, ours with exactly-once on.

Both are processes of their own, up during the whole run and taking turns, on the same broker and the same ClickHouse, with the
same rows, tables of the same definition, and batches of the same size. A round sends N rows and ends when a query finds all of
them and no merge is left to do, so that each pays for the parts it makes.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer
from msgspec import Struct

from bench.processors import PARTITIONS, corpus, named
from bench.report import Figure, bar, ratio, show, write
from waterline.connectors.stores.clickhouse.client import connect
from waterline.schemas.frames import encode_frame, frame_headers
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS
from waterline.stack import Stack, topics
from waterline.stack import kafka as broker
from waterline.stack.process import Child

OURS, NAIVE = "Waterline", "naive loop"
TOPIC, TABLE = "naive.events", "naive_events"
ROWS, BATCH = 120_000, 10_000
QUICK_ROWS, QUICK_BATCH = 48_000, 4_000
WANTED = 1.5
PATIENCE_S = 120.0


class Contender(Struct):
    """A sink process over a topic and a table of its own."""

    name: str
    pid: int
    topic: str
    table: str

    @property
    def framed(self) -> bool:
        return self.name == OURS


class Round(Struct):
    """CPU-seconds that a round took, of the sink process and of ClickHouse, and seconds by the clock."""

    rows: int
    sink: float
    store: float
    seconds: float


class Arena:
    """A broker, a ClickHouse, and the sinks on them."""

    def __init__(self, stack: Stack, store: Client) -> None:
        self.stack, self.store = stack, store
        quiet = {"log_level": 0, "linger.ms": 20, "compression.type": "lz4", "queue.buffering.max.messages": 1_000_000}
        self._producer = Producer({"bootstrap.servers": stack.kafka} | quiet)
        self._sent = 0

    def round(self, contender: Contender, rows: int) -> Round:
        """Raises RuntimeError when rows are missing after PATIENCE_S, or are there more than once."""
        load = list(corpus(rows, self._sent, named("sink", 2_400)))
        self._sent += rows
        before = self.count(contender)
        began, sink, store = time.perf_counter(), cpu_seconds(contender.pid), self._store_seconds()
        for partition, lines in load:
            self._send(contender, partition, lines)
        self._producer.flush()
        self._wait(contender, before + rows)
        seconds = time.perf_counter() - began
        sink = cpu_seconds(contender.pid) - sink
        self.settle()
        return Round(rows, sink, self._store_seconds() - store, seconds)

    def _send(self, contender: Contender, partition: int, lines: list[tuple[bytes, bytes]]) -> None:
        if contender.framed:
            value = encode_frame(line for _, line in lines)
            headers = frame_headers("acme", len(lines), "bench", 0)
            self._producer.produce(contender.topic, value, partition=partition, headers=[*headers])
        else:
            for key, line in lines:
                self._producer.produce(contender.topic, line, key, partition)
        self._producer.poll(0)

    def count(self, contender: Contender) -> int:
        return int(self.store.command(f"SELECT count() FROM {contender.table}"))  # type: ignore[arg-type]

    def distinct(self, contender: Contender) -> int:
        return int(self.store.command(f"SELECT uniqExact(event_id) FROM {contender.table}"))  # type: ignore[arg-type]

    def _wait(self, contender: Contender, wanted: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.count(contender)) < wanted:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{contender.name}: {wanted - found} of {wanted} rows are not there after {PATIENCE_S:.0f} s")
            time.sleep(0.1)
        if found > wanted:
            raise RuntimeError(f"{contender.name}: {found} rows are there, {wanted} were sent")

    def settle(self) -> None:
        """Until ClickHouse merges nothing any more, or for ten seconds."""
        deadline = time.monotonic() + 10
        while self.store.command("SELECT count() FROM system.merges") != 0 and time.monotonic() < deadline:
            time.sleep(0.1)

    def _store_seconds(self) -> float:
        return cpu_seconds(self.stack.pid("front") or 0)


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@contextmanager
def arena(batch: int) -> Iterator[tuple[Arena, Contender]]:
    """With our sink as the first contender."""
    with tempfile.TemporaryDirectory(prefix="waterline-bench-") as folder:
        config = Settings(log_level="warning", sink_rows=batch, partitions=PARTITIONS)
        with Stack(Path(folder), ("kafka", "front", "sink"), settings=config, free_ports=True, restart=False) as stack:
            store = connect(stack.settings)
            try:
                yield Arena(stack, store), Contender(OURS, stack.pid("sink") or 0, AGENT_EVENTS.name, "events")
            finally:
                store.close()


@contextmanager
def naive(place: Arena, batch: int) -> Iterator[Contender]:
    config = place.stack.settings
    place.store.command(f"CREATE TABLE {TABLE} AS events")
    topics.create(broker.admin(config.kafka), PARTITIONS, 1, (replace(AGENT_EVENTS, name=TOPIC),))
    arguments = [config.kafka, config.clickhouse, config.clickhouse_database, TOPIC, TABLE, str(batch)]
    child = Child("naive", [sys.executable, "-m", "bench.naive_sink", *arguments], config.data_dir / "naive.log")
    child.start()
    try:
        yield Contender(NAIVE, child.pid or 0, TOPIC, TABLE)
    finally:
        child.stop()


def compare(rows: int, batch: int, rounds: int) -> list[Figure]:
    """Rows per CPU-second of the sink process, of it and ClickHouse together, and rows a second by the clock; ours first."""
    setting = f"batches of {batch:,}"
    figures = {
        (name, quantity): Figure(name, setting, quantity, unit, [])
        for quantity, unit in (("sink alone", "rows a CPU-s"), ("with ClickHouse", "rows a CPU-s"), ("by the clock", "rows a s"))
        for name in (OURS, NAIVE)
    }
    with arena(batch) as (place, ours), naive(place, batch) as theirs:
        for contender in (ours, theirs):
            place.round(contender, rows // 4)  # starts, joins, warms up
        for number in range(rounds):
            for contender in (ours, theirs) if number % 2 == 0 else (theirs, ours):
                took = place.round(contender, rows)
                figures[contender.name, "sink alone"].rounds.append(rows / took.sink)
                figures[contender.name, "with ClickHouse"].rounds.append(rows / (took.sink + took.store))
                figures[contender.name, "by the clock"].rounds.append(rows / took.seconds)
        if place.count(ours) != place.distinct(ours):
            raise RuntimeError(f"{OURS} stored {place.count(ours)} rows of {place.distinct(ours)} events")
    return list(figures.values())


def run(rounds: int = 5, quick: bool = False) -> list[dict[str, object]]:
    rows, batch = (QUICK_ROWS, QUICK_BATCH) if quick else (ROWS, BATCH)
    figures = compare(rows, batch, rounds)
    show("(c) sink", figures)
    bars = [
        bar("sink: rows a CPU-second of the sink process", WANTED, ratio(figures[0], figures[1])),
        bar("sink: rows a CPU-second with ClickHouse's", WANTED, ratio(figures[2], figures[3])),
    ]
    notes = [f"{rows} rows a round; ours in frames of 100 events, theirs one event a message; durability: normal"]
    print(write("sink", figures, bars, notes))
    return bars
