"""The entries of one decision in chunks: what is stored, under one key each, so that a drain writes what grew and no more."""

from collections.abc import Container, Iterable, Iterator

from waterline.streams.steps.entry import Chunk, Entry, Stored, encode
from waterline.streams.steps.moment import instant, micros
from waterline.streams.steps.prices import Price

CHUNK = 32
"""Entries of a chunk at most."""
CHUNK_BYTES = 400_000
"""Bytes of a stored chunk at most; a record of Kafka holds a million."""


class Trail:
    """`chunks` holds None for a chunk that is on disk only, `ids` the events in memory with the number of their chunk,
    `changed` the chunks to be stored again, `prices` by id what leaves refer to."""

    __slots__ = ("changed", "chunks", "ids", "prices", "sealed")

    def __init__(self) -> None:
        self.chunks: list[list[Entry] | None] = []
        self.ids: dict[str, int] = {}
        self.changed: set[int] = set()
        self.prices: dict[str, Price] = {}
        self.sealed = 0

    def add(self, entry: Entry) -> None:
        chunk = self.chunks[-1] if self.chunks else None
        if chunk is None or len(chunk) >= CHUNK:
            chunk = self.open()
        chunk.append(entry)
        number = len(self.chunks) - 1
        self.ids[entry.event_id] = number
        self.changed.add(number)

    def open(self) -> list[Entry]:
        """A new chunk at the end."""
        chunk: list[Entry] = []
        self.chunks.append(chunk)
        return chunk

    def seal(self, wanted: Container[str]) -> list[Entry]:
        """Let the oldest chunk out of the memory, and return what was in it. One that is still to be stored, or holds an event
        that is wanted, waits."""
        chunk = self.chunks[self.sealed]
        if chunk is None or self.sealed in self.changed or any(entry.event_id in wanted for entry in chunk):
            return []
        self.chunks[self.sealed] = None
        self.sealed += 1
        for entry in chunk:
            self.ids.pop(entry.event_id, None)
        return chunk

    def know(self, prices: Iterable[Stored]) -> None:
        """Take in prices that leaves refer to."""
        for price_id, key, model, known, unit_prices in prices:
            if price_id not in self.prices:
                self.prices[price_id] = Price(key, price_id, model, instant(known), unit_prices, {})

    def encode(self, entries: list[Entry]) -> bytes:
        """Entries with the prices they refer to."""
        used = {entry.leaf.price: None for entry in entries if entry.leaf is not None and entry.leaf.price}
        prices = [self.prices[price_id] for price_id in used]
        chunk: Chunk = [(p.id, p.key, p.model, micros(p.known_from), p.unit_prices) for p in prices], entries
        return encode(chunk)

    def encode_changed(self) -> Iterator[tuple[int, bytes | None]]:
        """Chunks to be stored again, None for one that is no more. One that is too large is split."""
        waiting = sorted(self.changed)
        self.changed.clear()
        while waiting:
            number = waiting.pop(0)
            chunk = self.chunks[number] if number < len(self.chunks) else None
            data = self.encode(chunk) if chunk else None
            if chunk is not None and data is not None and len(data) > CHUNK_BYTES and len(chunk) > 1:
                half = len(chunk) // 2
                later, chunk[half:] = chunk[half:], []
                self.open().extend(later)
                self.ids.update((entry.event_id, len(self.chunks) - 1) for entry in later)
                waiting += [number, len(self.chunks) - 1]
                continue
            yield number, data
