"""Native blocks for clients that name a protocol version.

The embedded engine writes blocks of revision 0. A client that sends `client_protocol_version` of at least FRAMED, as
clickhouse-go does (and Grafana with it), expects two additions: block info before each block, and a byte after each
column's type that says whether its serialization is special, which it never is here. To know where a column ends its
data are skipped by type. Clients below FRAMED (clickhouse-connect) probe for block info and do without it.
"""

import os
import re
from collections.abc import Callable
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
        skip = skipper(source.text())
        out += (bytes(source.data[begin : source.at]), NOT_SPECIAL)
        begin = source.at
        skip(source, rows)
        out.append(bytes(source.data[begin : source.at]))
    return b"".join(out)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@cache
def skipper(name: str) -> Skip:
    """How to pass the values of a column of this type."""
    outer, _, inner = name.partition("(")
    inner = inner.removesuffix(")")
    if outer in GEO:
        return skipper(GEO[outer])
    if outer == "Decimal":
        return _fixed(_decimal_size(int(inner.partition(",")[0])))
    if outer == "FixedString":
        return _fixed(int(inner))
    if outer in SIZES or outer.startswith("Interval"):
        return _fixed(SIZES.get(outer, 8))
    if outer == "String":
        return _strings
    if outer == "Nullable":
        return _each([_fixed(1), skipper(inner)])
    if outer == "Array":
        return _array(skipper(inner))
    if outer == "SimpleAggregateFunction":
        return skipper(arguments(inner)[1])
    if outer in ("Map", "Tuple", "Nested"):
        fields = [skipper(FIELD_NAME.sub("", argument, count=1)) for argument in arguments(inner)] or [_fixed(1)]
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


def _fixed(size: int) -> Skip:
    return lambda source, rows: source.skip(size * rows)


def _each(parts: list[Skip]) -> Skip:
    def skip(source: Source, rows: int) -> None:
        for part in parts:
            part(source, rows)

    return skip


def _array(values: Skip) -> Skip:
    def skip(source: Source, rows: int) -> None:
        source.skip(8 * rows)
        values(source, int.from_bytes(source.data[source.at - 8 : source.at], "little") if rows else 0)

    return skip


def _strings(source: Source, rows: int) -> None:
    data, at = source.data, source.at
    for _ in range(rows):
        if at < len(data) and (size := data[at]) < 0x80:
            at += 1 + size
        else:
            source.at = min(at, len(data))
            source.skip(at - source.at)
            size = source.varint()
            at = source.at + size
    source.at = min(at, len(data))
    source.skip(at - source.at)
