"""Insert bodies: what Kafka holds becomes JSONEachRow, the original bytes of each line with its position spliced in. Pure.

An encoder has a name, which stands in plans and tokens: `<version>.<window size>`. Everything that decides which rows a
range makes belongs to the version: change what `read_record` or `build` answers for the same bytes, and VERSION must change,
or a repeated range is swallowed by ClickHouse as if it were the old one.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from waterline.connectors.stores.clickhouse.extract import SPARSE
from waterline.connectors.stores.clickhouse.plan import Lane
from waterline.connectors.stores.clickhouse.window import KEY_BYTES, Mask, Window, key_of
from waterline.schemas.dead_letter import DeadLetter
from waterline.schemas.events import Event, Payload
from waterline.schemas.frames import BadLine, Frame, Headers, Line, parse_facts, parse_frame
from waterline.schemas.topics import Topic

VERSION = "1"
POSITION = ("kafka_topic", "kafka_partition", "kafka_offset", "frame_index")
INDEX = b',"frame_index":'
EMPTY = re.compile(rb"\{\s*\}")
BEFORE_ONE_IN_A_LIST = b"[, \t\r\n"

Position = tuple[int, int]
"""(offset, index of the line), within one partition."""


def encoder_name(window: int) -> str:
    return f"{VERSION}.{window}"


def window_of(encoder: str) -> int | None:
    """The window size that an encoder's name says; None for an encoder of another version."""
    version, _, size = encoder.partition(".")
    return int(size) if version == VERSION and size.isdigit() else None


class Form(Struct, frozen=True):
    """How one topic is stored. `identity` names what makes two lines copies of each other (empty: they never are), as
    the model's fields after the tenant; `day` the field that the table is partitioned by the day of (empty: it is not);
    `sparse` and `defaults` see extract.py (empty: its way is closed)."""

    topic: Topic
    columns: tuple[str, ...]
    parse: Callable[[bytes | None, Headers, int], Frame]
    identity: tuple[str, ...] = ()
    tenant: str = "tenant"
    day: str = ""
    sparse: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        return self.topic.table


def form_of(topic: Topic) -> Form:
    columns = (*topic.model.__struct_fields__, *POSITION)
    if topic.model is Event:
        sparse, defaults = ("queue_entered_at", "reported_cost", "tool_cost"), ("schema_version", "clock", "status")
        return Form(topic, columns, parse_frame, ("event_id",), day="received_at", sparse=sparse, defaults=defaults)
    decode = msgspec.json.Decoder(topic.model).decode

    def parse(value: bytes | None, headers: Headers, timestamp_ms: int) -> Frame:
        return parse_facts(decode, value, headers, timestamp_ms)

    if topic.model is Payload:
        return Form(topic, columns, parse, ("event_id", "name"), day="received_at")
    if topic.model is DeadLetter:
        return Form(topic, columns, parse, ("id",), tenant="consumer")
    return Form(topic, columns, parse)


class Record(Struct, gc=False):
    """One Kafka record, read. `rows` are ready to insert; `keys` are the digests of their ids, one after the other."""

    offset: int
    timestamp_ms: int
    headers: Headers
    rows: list[bytes]
    indexes: Sequence[int]
    keys: bytes
    days: frozenset[int]
    bad: list[BadLine]
    size: int
    tick: bool = False
    producer: str = ""
    seq: int = -1


class Copied(Struct, frozen=True, gc=False):
    """Where a copy lies that was not stored again."""

    kafka_offset: int
    frame_index: int
    event_id: str


class Body(Struct, gc=False):
    """What is inserted for a range, and what the ledger says of it. `quick`: its lines may go the way of extract.py."""

    data: bytes
    rows: int
    keys: bytes
    copied: list[Copied]
    quick: bool = False


def read_record(form: Form, lane: Lane, offset: int, value: bytes | None, headers: Headers, timestamp_ms: int) -> Record:
    """Never raises: what cannot be used is in `bad`."""
    frame = form.parse(value, headers, timestamp_ms)
    start = b'{"kafka_topic":"%b","kafka_partition":%d,"kafka_offset":%d' % (lane.topic.encode(), lane.partition, offset)
    lines = frame.lines
    if form.sparse:
        rows = _counted_rows(form.sparse, start, lines)
    else:
        rows = [b"%b%b%d,%b" % (start, INDEX, line.index, _after_brace(line.raw)) for line in lines]
    return Record(
        offset=offset,
        timestamp_ms=timestamp_ms,
        headers=headers,
        rows=rows,
        indexes=[line.index for line in lines] if frame.bad else range(len(rows)),
        keys=_keys(form, lines) if form.identity else b"",
        days=_days(form.day, lines) if form.day else frozenset(),
        bad=frame.bad,
        size=sum(map(len, rows)) + sum(len(bad.raw) for bad in frame.bad),
        tick=frame.tick,
        producer=frame.producer,
        seq=frame.seq,
    )


def _counted_rows(sparse: tuple[str, ...], start: bytes, lines: Sequence[Line]) -> list[bytes]:
    """Beside its position, a row says how many of its sparse columns are given, if any."""
    marks = [INDEX, *(b',"%b":%d%b' % (SPARSE.encode(), n, INDEX) for n in range(1, len(sparse) + 1))]
    heads = [start + mark for mark in marks]
    given, most = attrgetter(*sparse), len(sparse)
    return [b"%b%d,%b" % (heads[most - given(line.event).count(None)], line.index, _after_brace(line.raw)) for line in lines]


def _after_brace(raw: bytes) -> bytes:
    return raw[1:] if raw[0] == 0x7B else raw.lstrip()[1:]


def _keys(form: Form, lines: Iterable[Line]) -> bytes:
    tenant = form.tenant
    if len(form.identity) == 1:
        field = form.identity[0]
        return b"".join([key_of(getattr(line.event, tenant), getattr(line.event, field)) for line in lines])
    return b"".join(
        [key_of(getattr(line.event, tenant), "\x1f".join(getattr(line.event, f) for f in form.identity)) for line in lines]
    )


def _days(field: str, lines: Iterable[Line]) -> frozenset[int]:
    """UTC days, as ordinals. Most lines of a frame share one instant, so equal neighbours are looked at once."""
    days: set[int] = set()
    previous: Any = None
    for line in lines:
        at = getattr(line.event, field)
        if at != previous:
            previous = at
            days.add((at if at.tzinfo is UTC else at.astimezone(UTC)).toordinal())
    return frozenset(days)


def original(row: bytes) -> bytes:
    """The line a row was made from."""
    at = row.index(INDEX) + len(INDEX)
    return b"{" + row[row.index(b",", at) + 1 :]


def cut(records: Sequence[Record], rows: int, size: int, days: int) -> int:
    """How many of the records, from the first on, make a batch: at most so many rows, bytes and days of receipt. At
    least one, so a record that is over a limit makes a batch of its own."""
    taken_rows = taken_size = 0
    taken_days: frozenset[int] = frozenset()
    for count, record in enumerate(records):
        taken_rows += len(record.rows)
        taken_size += record.size
        if not record.days <= taken_days:
            taken_days |= record.days
        if count and (taken_rows > rows or taken_size > size or len(taken_days) > days):
            return count
    return len(records)


def build(
    form: Form,
    records: Sequence[Record],
    window: Window | None,
    present: frozenset[Position] = frozenset(),
    refused: frozenset[Position] = frozenset(),
) -> Body:
    """The rows of a range: all but copies and `refused`; what lies in the table already (`present`) counts but is not sent."""
    keys = b"".join([record.keys for record in records])
    copies = window.copies(keys) if window is not None and form.identity else None
    if present or refused or (copies is not None and copies.any()):
        return _build_around(form, records, keys, copies, present, refused)
    rows = [row for record in records for row in record.rows]
    data = b"\n".join(rows)
    return Body(data, len(rows), keys, [], _quick(form, records, data))


def _quick(form: Form, records: Iterable[Record], data: bytes) -> bool:
    return bool(form.sparse) and not _lossy(data) and all(record.seq >= 0 for record in records)


def _lossy(data: bytes) -> bool:
    """Whether there may be an object with nothing but defaults in a list: JSONExtract leaves it out."""
    return any(data[found.start() - 1] in BEFORE_ONE_IN_A_LIST for found in EMPTY.finditer(data))


def _build_around(
    form: Form,
    records: Sequence[Record],
    keys: bytes,
    copies: Mask | None,
    present: frozenset[Position],
    refused: frozenset[Position],
) -> Body:
    flags = copies.tolist() if copies is not None else [False] * sum(len(record.rows) for record in records)
    sent: list[bytes] = []
    stored: list[int] = []
    copied: list[Copied] = []
    number = -1
    for record in records:
        for index, row in zip(record.indexes, record.rows, strict=True):
            number += 1
            position = record.offset, index
            if flags[number]:
                copied.append(Copied(*position, _identity(form, row)))
            elif position not in refused:
                stored.append(number)
                if position not in present:
                    sent.append(row)
    kept = b"".join(keys[n * KEY_BYTES : (n + 1) * KEY_BYTES] for n in stored) if keys else b""
    data = b"\n".join(sent)
    return Body(data, len(stored), kept, copied, _quick(form, records, data))


def _identity(form: Form, row: bytes) -> str:
    told: dict[str, Any] = msgspec.json.decode(row)
    return "/".join(str(told[field]) for field in form.identity)


def receipt(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
