"""Request bodies: read up to the limit, inflate up to the limit, never a byte more in memory."""

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import zstandard

from waterline.schemas.errors import ErrorCode, Permanent

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

ENCODINGS = ("gzip", "zstd", "identity")


class Disconnected(Exception):
    """The sender went away before its body was complete."""


def length(told: bytes | None, limit: int) -> int:
    """How many bytes to expect; one that does not say may have them all. Raises Permanent(TOO_LARGE)."""
    if told is None or not told.isdigit():
        return limit
    if int(told) > limit:
        raise _too_large(f"the body has {int(told)} bytes", limit)
    return int(told)


async def read(receive: Receive, limit: int) -> bytes:
    """The body as sent. Raises Permanent(TOO_LARGE) as soon as it is known to be over `limit` bytes."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(f"the body has {len(body)} bytes", limit)
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _too_large(f"the body has more than {limit} bytes", limit)
    return b"".join(chunks)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as meant. Raises Permanent for another encoding, for broken data and for more than `limit` bytes."""
    if encoding in ("", "identity"):
        return body
    if encoding == "gzip":
        return _gunzip(body, limit)
    if encoding == "zstd":
        return _unzstd(body, limit)
    raise Permanent(ErrorCode.UNSUPPORTED_MEDIA, f"content-encoding {encoding!r} is not one of {', '.join(ENCODINGS)}")


def _gunzip(body: bytes, limit: int) -> bytes:
    parts, room = [], limit
    while body:
        member = zlib.decompressobj(31)
        try:
            part = member.decompress(body, room + 1)
        except zlib.error as error:
            raise Permanent(ErrorCode.INVALID_ENCODING, f"the gzip data is broken: {error}") from None
        room -= len(part)
        if room < 0:
            raise _too_large(f"the body inflates to more than {limit} bytes", limit)
        if not member.eof:
            raise Permanent(ErrorCode.INVALID_ENCODING, "the gzip data ends too early")
        parts.append(part)
        body = member.unused_data
    if not parts:
        raise Permanent(ErrorCode.INVALID_ENCODING, "the gzip data is empty")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unzstd(body: bytes, limit: int) -> bytes:
    try:
        with zstandard.ZstdDecompressor(max_window_size=2**23).stream_reader(body) as reader:
            data = reader.read(limit + 1)
    except zstandard.ZstdError as error:
        raise Permanent(ErrorCode.INVALID_ENCODING, f"the zstd data is broken: {error}") from None
    if len(data) > limit:
        raise _too_large(f"the body inflates to more than {limit} bytes", limit)
    return data


def _too_large(what: str, limit: int) -> Permanent:
    return Permanent(ErrorCode.TOO_LARGE, f"{what}, the limit is {limit}")
