"""(e) How the cost of an event grows with what is there already: with open decisions for the fold, with stored rows for the sink.

The fold is measured alone, as the worker runs it for one partition: frames are parsed, applied and drained, the state is
written to RocksDB. Whatever the number of decisions, a batch has the same shape, and the decisions it is about are drawn at
random. `python -m bench processors` measures the same through the worker.
"""

import gc
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.report import Figure, bar, ratio, show, write
from bench.sink import BATCH, OURS, QUICK_BATCH, QUICK_ROWS, ROWS, Arena, arena
from waterline.schemas.events import Event, Kind
from waterline.schemas.frames import encode_event, encode_frame, frame_headers, parse_frame
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS
from waterline.streams.cold import LocalCopy
from waterline.streams.price_list import changes, wanted
from waterline.streams.run import GC_THRESHOLDS
from waterline.streams.steps.decide import DecideFold
from waterline.streams.steps.fold import Position
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import EPOCH
from waterline.streams.steps.prices import PriceBook

OPEN = (100, 1_000, 10_000)
"""Decisions open in one partition; twelve times as many in the system."""
BEYOND = 50_000
"""Decisions open in one partition, which is more than it keeps in memory."""
PAST = 5
"""Events that each decision has had before."""
FRAMES, DECISIONS_A_FRAME, EVENTS_EACH = 10, 10, 10
"""A batch: no decision is in two of its frames."""
BATCHES = 20
STORED = (100_000, 1_000_000, 10_000_000)
QUICK_STORED = (20_000, 200_000, 2_000_000)
WANTED = 1.3
NOW = datetime(2026, 6, 1, tzinfo=UTC)

FILL = """
INSERT INTO events (event_id, source, tenant, session_id, decision_key, kind, name, agent, task, provider, model_served,
    tokens_input, tokens_output, ts, received_at, kafka_topic, kafka_partition, kafka_offset, frame_index)
SELECT hex(MD5(toString(number))), 'bench', 'acme', 'session', concat('past-', toString(intDiv(number, 10))), 'model_call',
    'chat', 'support', 'refund', 'openai', 'gpt-4o-mini-2024-07-18', number % 5000, 17,
    now64(6) - toIntervalMillisecond(number % 86400000), now64(6), 'past', number % 12, intDiv(number, 1200),
    intDiv(number, 12) % 100
FROM numbers({first:UInt64}, {count:UInt64})
"""


class Partition:
    """A fold over a RocksDB of its own, with `size` decisions open."""

    def __init__(self, folder: Path, book: PriceBook, size: int, seed: int) -> None:
        self.copy = LocalCopy(folder, "bench")
        self.copy.open(0, 0)
        self.fold = DecideFold(0, 1, self.copy, book, Limits())
        self.keys = [f"decision-{number}" for number in range(size)]
        self.chance = random.Random(seed)
        self.offset = self.events = 0
        order = self.keys.copy()
        self.chance.shuffle(order)
        step = FRAMES * DECISIONS_A_FRAME
        for at in range(0, size, step):
            self.take(
                [
                    self.frame(order[first : first + DECISIONS_A_FRAME], PAST)
                    for first in range(at, min(at + step, size), DECISIONS_A_FRAME)
                ]
            )

    def frame(self, keys: Sequence[str], each: int) -> tuple[bytes, list[tuple[str, bytes]]]:
        lines = [encode_event(self._event(key)) for _ in range(each) for key in keys]
        return encode_frame(lines), frame_headers("acme", len(lines), "bench", self.offset)

    def batch(self) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
        keys = self.chance.sample(self.keys, FRAMES * DECISIONS_A_FRAME)
        return [self.frame(keys[n * DECISIONS_A_FRAME : (n + 1) * DECISIONS_A_FRAME], EVENTS_EACH) for n in range(FRAMES)]

    def take(self, batch: list[tuple[bytes, list[tuple[str, bytes]]]]) -> None:
        """What the worker does with a batch, but for Kafka."""
        for value, headers in batch:
            frame = parse_frame(value, headers, int(NOW.timestamp() * 1000))
            self.fold.apply(Position(AGENT_EVENTS.name, 0, self.offset), frame)
            self.offset += 1
        drained = self.fold.drain()
        self.copy.lay(drained.puts)
        self.copy.write(drained.puts, drained.cold, self.offset)
        self.copy.lift()

    def _event(self, key: str) -> Event:
        self.events += 1
        at = NOW + timedelta(microseconds=self.events)
        return Event(
            event_id=f"{self.events:032x}",
            source="bench",
            ts=at,
            received_at=at,
            tenant="acme",
            session_id="session",
            decision_key=key,
            kind=Kind.MODEL_CALL,
            name="chat",
            agent="support",
            task="refund",
            provider="openai",
            model_served="gpt-4o-mini-2024-07-18",
            tokens_input=self.events % 5000,
            tokens_output=17,
        )


@contextmanager
def garbage_as_in_the_worker() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def partition(book: PriceBook, size: int, seed: int) -> Iterator[Partition]:
    with tempfile.TemporaryDirectory(prefix="waterline-bench-") as folder:
        made = Partition(Path(folder) / "state", book, size, seed)
        try:
            yield made
        finally:
            made.copy.close()


def time_per_event(book: PriceBook, size: int, seed: int) -> float:
    """CPU-microseconds of this process.

    Where there are few decisions they are spread over several partitions, so that none grows old by being measured: a decision
    of many events costs more, which is not what is asked here.
    """
    batches = max(1, min(BATCHES, size // (FRAMES * DECISIONS_A_FRAME)))
    spent, events = 0.0, 0
    for number in range(BATCHES // batches):
        with garbage_as_in_the_worker(), partition(book, size, seed * 1000 + number) as one:
            load = [one.batch() for _ in range(batches)]
            began = time.process_time()
            for batch in load:
                one.take(batch)
            spent += time.process_time() - began
            events += batches * FRAMES * DECISIONS_A_FRAME * EVENTS_EACH
    return spent / events * 1e6


def fold(rounds: int, quick: bool) -> tuple[list[Figure], list[dict[str, object]]]:
    book = PriceBook(changes(wanted(Settings()), [], EPOCH))
    sizes = OPEN if quick else (*OPEN, BEYOND)
    figures = [Figure(OURS, f"{size:,} open in a partition", "fold, an event", "CPU-us", []) for size in sizes]
    for number in range(rounds):
        pairs = list(zip(sizes, figures, strict=True))
        for size, figure in pairs if number % 2 == 0 else pairs[::-1]:
            figure.rounds.append(time_per_event(book, size, number))
    growth = ratio(figures[len(OPEN) - 1], figures[0])
    return figures, [bar("growth: fold, 100x open decisions to 1x", WANTED, growth, at_most=True)]


def sink(rounds: int, quick: bool) -> tuple[list[Figure], list[dict[str, object]]]:
    """CPU time per row, with more and more rows in the table. It only grows, so the order is fixed."""
    rows, batch, sizes = (QUICK_ROWS, QUICK_BATCH, QUICK_STORED) if quick else (ROWS, BATCH, STORED)
    alone = [Figure(OURS, f"{size:,} rows stored", "sink, a row", "CPU-us", []) for size in sizes]
    whole = [Figure(OURS, f"{size:,} rows stored", "with ClickHouse, a row", "CPU-us", []) for size in sizes]
    with arena(batch) as (place, ours):
        place.round(ours, rows // 4)
        for size, one, both in zip(sizes, alone, whole, strict=True):
            fill(place, size)
            for _ in range(rounds):
                took = place.round(ours, rows)
                one.rounds.append(took.sink / rows * 1e6)
                both.rounds.append((took.sink + took.store) / rows * 1e6)
    names = ("growth: sink, 100x rows stored to 1x", "growth: sink and ClickHouse, 100x rows stored to 1x")
    bars = [bar(name, WANTED, ratio(of[-1], of[0]), at_most=True) for name, of in zip(names, (alone, whole), strict=True)]
    return alone + whole, bars


def fill(place: Arena, wanted_rows: int) -> None:
    """Rows of the past, made by ClickHouse itself, until the table holds so many."""
    there = int(place.store.command("SELECT count() FROM events"))  # type: ignore[arg-type]
    if wanted_rows > there:
        place.store.command(FILL, parameters={"first": there, "count": wanted_rows - there})
    place.settle()


def run(rounds: int = 5, quick: bool = False) -> list[dict[str, object]]:
    figures, bars = fold(rounds, quick)
    more_figures, more_bars = sink(rounds, quick)
    show("(e) growth", [*figures, *more_figures])
    notes = [
        f"fold: {PAST} events a decision before; batches of {FRAMES * DECISIONS_A_FRAME} decisions, {EVENTS_EACH} events each",
        f"fold: {Limits().decisions_in_memory} decisions of a partition are kept in memory",
    ]
    print(write("growth", [*figures, *more_figures], [*bars, *more_bars], notes))
    return [*bars, *more_bars]
