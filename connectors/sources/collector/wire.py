"""Walks OTLP protobuf bytes without building a message object for every attribute, which would cost most of the edge's time.

Everything here trusts its bytes: callers parse the request with protobuf first, and what that refuses never comes here.
Positions are offsets into one buffer, `stop` is exclusive.
"""

import base64
import struct
from collections.abc import Iterator
from typing import Any

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_double = struct.Struct("<d").unpack_from


class Unusual(Exception):
    """Valid bytes in a form the fast path does not read. The caller re-encodes the message in canonical form."""


def varint(buf: bytes, pos: int) -> tuple[int, int]:
    """The unsigned number at `pos` and the position after it."""
    value = shift = 0
    while True:
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7


def fields(buf: bytes, pos: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(tag, start, stop) of each field; for a varint the two positions enclose its bytes."""
    while pos < stop:
        tag, pos = varint(buf, pos)
        kind = tag & 7
        if kind == BYTES:
            size, pos = varint(buf, pos)
        elif kind == VARINT:
            size = varint(buf, pos)[1] - pos
        elif kind == FIXED64:
            size = 8
        elif kind == FIXED32:
            size = 4
        else:
            raise Unusual
        yield tag, pos, pos + size
        pos += size


Block = tuple[bytes, bytes, list[tuple[int, int]]]
"""Resource message, scope message, and where that scope's records lie."""


def blocks(body: bytes) -> Iterator[Block]:
    """The request cut into its scopes. Traces and logs number these fields alike."""
    for tag, start, stop in fields(body, 0, len(body)):
        if tag == 0x0A:
            yield from _resource_blocks(body, start, stop)


def _resource_blocks(body: bytes, start: int, stop: int) -> Iterator[Block]:
    resource, scopes = b"", []
    for tag, a, b in fields(body, start, stop):
        if tag == 0x0A:
            resource += body[a:b]
        elif tag == 0x12:
            scopes.append((a, b))
    for a, b in scopes:
        scope, records = b"", []
        for tag, c, d in fields(body, a, b):
            if tag == 0x0A:
                scope += body[c:d]
            elif tag == 0x12:
                records.append((c, d))
        yield resource, scope, records


def split(pair: bytes) -> tuple[bytes, Any]:
    """Key and value of an encoded KeyValue; the value as str, bool, int, float, bytes, list, dict or None."""
    size = len(pair)
    if not size:
        return b"", None
    at = 2 + pair[1]
    if pair[0] == 0x0A and at < 0x82 and at + 3 < size and pair[at] == 0x12 and pair[at + 1] == size - at - 2 < 0x80:
        tag = pair[at + 2]
        if tag == 0x0A:
            if pair[at + 3] == size - at - 4:
                return pair[2:at], pair[at + 4 :].decode()
        elif tag == 0x18:
            number, end = varint(pair, at + 3)
            if end == size:
                number &= (1 << 64) - 1
                return pair[2:at], number - (1 << 64) if number >> 63 else number
        elif tag == 0x21 and size == at + 11:
            return pair[2:at], _double(pair, at + 3)[0]
    told = KeyValue.FromString(pair)
    return told.key.encode(), plain(told.value)


def plain(value: AnyValue) -> Any:
    """An AnyValue as a Python value."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind)


def text_of(value: bytes) -> str:
    """Bytes as text, for a map of strings."""
    return base64.b64encode(value).decode()


def json_of(value: Any) -> str:
    """An attribute's value as JSON text; bytes as base64."""
    return orjson.dumps(value, default=_other).decode()


def _other(value: Any) -> str:
    return text_of(value) if isinstance(value, bytes) else str(value)
