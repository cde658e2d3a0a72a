"""Rows of the range ledger: what was read, written, dropped as a copy and buried, range by range. Pure.

For every range: lines read = rows + copies + buried, and records = frames + ticks. Ranges of a partition follow each
other without gap or overlap, unless Kafka deleted records before they were read: then the gap is seen here.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from waterline.connectors.stores.clickhouse.batch import Copied, Record
from waterline.connectors.stores.clickhouse.plan import Lane, Range


class Held(Struct, frozen=True, gc=False):
    """What Kafka holds of a partition: offsets `begin` up to, and without, `end`."""

    begin: int
    end: int


class Numbered(Struct, frozen=True, gc=False):
    """What one producer's numbers were in a range: the lowest, the highest, and how many records had one."""

    producer: str
    first_seq: int
    last_seq: int
    frames: int


class Written(Struct, frozen=True):
    """A row of table `ranges`; the columns are explained in sql/migrations."""

    topic: str
    partition: int
    first: int
    last: int
    records: int
    ticks: int
    rows: int
    copies: int
    buried: int
    copied: list[Copied]
    producers: list[Numbered]
    encoder: str
    begin_offset: int
    end_offset: int
    written_at: datetime


class Offsets(Struct, frozen=True):
    """A row of table `topic_offsets`."""

    topic: str
    partition: int
    begin_offset: int
    end_offset: int
    committed: int
    at: datetime


RANGES = "ranges"
OFFSETS = "topic_offsets"


def encode(rows: Iterable[Written | Offsets]) -> bytes:
    """JSONEachRow."""
    return b"\n".join(map(msgspec.json.encode, rows))


def written(
    lane: Lane,
    planned: Range,
    records: Sequence[Record],
    rows: int,
    copied: list[Copied],
    buried: int,
    held: Held,
    now: datetime,
) -> Written:
    return Written(
        topic=lane.topic,
        partition=lane.partition,
        first=planned.first,
        last=planned.last,
        records=len(records),
        ticks=sum(record.tick for record in records),
        rows=rows,
        copies=len(copied),
        buried=buried,
        copied=copied,
        producers=producers(records),
        encoder=planned.encoder,
        begin_offset=held.begin,
        end_offset=max(held.end, planned.next),
        written_at=now,
    )


def producers(records: Iterable[Record]) -> list[Numbered]:
    """One for each producer that numbers its records, ticks among them.

    Where `frames` is less than last - first + 1, a number is missing in the range or came out of order.
    """
    seen: dict[str, tuple[int, int, int]] = {}
    for record in records:
        if record.producer and record.seq >= 0:
            low, high, count = seen.get(record.producer, (record.seq, record.seq, 0))
            seen[record.producer] = min(low, record.seq), max(high, record.seq), count + 1
    return [Numbered(producer, *numbers) for producer, numbers in sorted(seen.items())]
