"""Native blocks for clients that name a protocol version.

The embedded engine writes blocks of revision 0. A client that sends `client_protocol_version` of at least FRAMED, as
clickhouse-go does (and Grafana with it), expects two additions: block info before each block, and a byte after each
column's type that says whether its serialization is special, which it never is here. To know where a column ends its
data are skipped by type. Clients below FRAMED (clickhouse-connect) probe for block info and do without it.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from waterline.connectors.stores.clickhouse.front.errors import Code, refuse

FRAMED = 54454
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
NOT_SPECIAL = b"\x00"
READ_BYTES = 2**18

SIZES = {
    **dict.fromkeys(("Bool", "Int8", "UInt8", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Enum16", "Date", "BFloat16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "Date32", "DateTime", "Time", "IPv4", "Decimal32"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64", "Time64", "Decimal64"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6", "Decimal128", "Point"), 16),
    **dict.fromkeys(("Int256", "UInt256", "Decimal256"), 32),
}
GEO = {
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "Polygon": "Array(Ring)",
    "MultiLineString": "Array(LineString)",
    "MultiPolygon": "Array(Polygon)",
}
NULLABLE = re.compile(r"Nullable\((.*)\)")
FIELD_NAME = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*)\s+(?=[A-Z])")


class Source:
    """A stream read as needed; what was read of the present block stays in `data`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.data = bytearray()
        self.at = 0

    def need(self, count: int) -> None:
        while len(self.data) - self.at < count:
            more = os.read(self.fd, READ_BYTES)
            if not more:
                raise EOFError
            self.data += more

    def at_end(self) -> bool:
        """Forget what was passed; whether nothing follows."""
        del self.data[: self.at]
        self.at = 0
        if not self.data:
            self.data += os.read(self.fd, READ_BYTES)
        return not self.data

    def skip(self, count: int) -> None:
        self.need(count)
        self.at += count

    def pass_to(self, at: int) -> None:
        self.skip(at - self.at)

    def last(self, size: int) -> int:
        """The number in the last `size` bytes that were passed."""
        return int.from_bytes(self.data[self.at - size : self.at], "little")

    def varint(self) -> int:
        value = shift = 0
        while True:
            self.need(1)
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> str:
        size = self.varint()
        self.skip(size)
        return self.data[self.at - size : self.at].decode()


Skip = Callable[[Source, int], None]


@dataclass(frozen=True, slots=True)
class Column:
    """How to pass a column's values. `dictionaries`: each has 8 bytes in front of the values, if there are any values."""

    skip: Skip
    dictionaries: int = 0

    def __call__(self, source: Source, rows: int) -> None:
        if rows:
            source.skip(8 * self.dictionaries)
            self.skip(source, rows)


def reframe(reading: int, writing: int) -> None:
    """Copy blocks of revision 0 to blocks of revision FRAMED until the input ends. Closes both ends."""
    source = Source(reading)
    try:
        while not source.at_end():
            _write(writing, _block(source))
    except EOFError:
        return  # the engine failed in the middle of a block; its own error is the answer
    finally:
        os.close(reading)
        os.close(writing)


def _block(source: Source) -> bytes:
    out = [BLOCK_INFO]
    columns, rows = source.varint(), source.varint()
    out.append(bytes(source.data[: source.at]))
    for _ in range(columns):
        begin = source.at
        source.text()
        column = column_of(source.text())
        out += (bytes(source.data[begin : source.at]), NOT_SPECIAL)
        begin = source.at
        column(source, rows)
        out.append(bytes(source.data[begin : source.at]))
    return b"".join(out)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@cache
def column_of(name: str) -> Column:
    """By the name of a type."""
    outer, _, inner = name.partition("(")
    inner = inner.removesuffix(")")
    if outer in GEO:
        return column_of(GEO[outer])
    if outer == "Decimal":
        return _fixed(_decimal_size(int(inner.partition(",")[0])))
    if outer == "FixedString":
        return _fixed(int(inner))
    if outer in SIZES or outer.startswith("Interval"):
        return _fixed(SIZES.get(outer, 8))
    if outer == "String":
        return Column(_strings)
    if outer == "Nullable":
        return _each([_fixed(1), column_of(inner)])
    if outer == "LowCardinality":
        return Column(_dictionary(column_of(NULLABLE.sub(r"\1", inner))), 1)
    if outer == "Array":
        return _array(column_of(inner))
    if outer == "SimpleAggregateFunction":
        return column_of(arguments(inner)[1])
    if outer in ("Map", "Tuple", "Nested"):
        fields = [column_of(FIELD_NAME.sub("", argument, count=1)) for argument in arguments(inner)] or [_fixed(1)]
        return _each(fields) if outer == "Tuple" else _array(_each(fields))
    raise refuse(Code.NOT_IMPLEMENTED, f"A column of type {name} cannot be sent to this client; cast it to String")


def arguments(inner: str) -> list[str]:
    """The arguments of a type, split at its outermost commas."""
    out, depth, quote, begin = [], 0, "", 0
    for at, char in enumerate(inner):
        if quote:
            quote = "" if char == quote and inner[at - 1] != "\\" else quote
        elif char in "'`":
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "," and not depth:
            out.append(inner[begin:at].strip())
            begin = at + 1
    last = inner[begin:].strip()
    return [*out, last] if last else out


def _decimal_size(precision: int) -> int:
    return next(size for most, size in ((9, 4), (18, 8), (38, 16), (76, 32)) if precision <= most)


def _fixed(size: int) -> Column:
    return Column(lambda source, rows: source.skip(size * rows))


def _each(parts: list[Column]) -> Column:
    def skip(source: Source, rows: int) -> None:
        for part in parts:
            part.skip(source, rows)

    return Column(skip, sum(part.dictionaries for part in parts))


def _array(values: Column) -> Column:
    def skip(source: Source, rows: int) -> None:
        source.skip(8 * rows)
        if count := source.last(8):
            values.skip(source, count)

    return Column(skip, values.dictionaries)


def _dictionary(keys: Column) -> Skip:
    """Kind of the indexes and of the dictionary (8 bytes), keys with their count in front, indexes with theirs."""

    def skip(source: Source, rows: int) -> None:
        source.skip(8)
        width = 1 << (source.data[source.at - 8] & 3)
        source.skip(8)
        if count := source.last(8):
            keys.skip(source, count)
        source.skip(8)
        source.skip(width * source.last(8))

    return skip


def _strings(source: Source, rows: int) -> None:
    data, at = source.data, source.at
    for _ in range(rows):
        if at < len(data) and (size := data[at]) < 0x80:
            at += 1 + size
        else:  # a length of several bytes, or the end of what was read
            source.pass_to(at)
            size = source.varint()
            at = source.at + size
    source.pass_to(at)
