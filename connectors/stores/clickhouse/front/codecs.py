"""Bytes on the wire: HTTP content encodings both ways, and ClickHouse's own compressed blocks (`compress=1`, `decompress=1`).

A block is CityHash128 of the rest (16 bytes), method (1), size of method + sizes + data (4), inflated size (4), data.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Protocol

import lz4.block  # type: ignore[import-untyped]
import lz4.frame  # type: ignore[import-untyped]
import zstandard

from waterline.connectors.stores.clickhouse.front.cityhash import cityhash128
from waterline.connectors.stores.clickhouse.front.errors import Code, refuse

BLOCK_BYTES = 2**20
BLOCK_LIMIT = 2**30
CHECKSUM, HEADER = 16, struct.Struct("<BII")
NONE, LZ4, ZSTD = 0x02, 0x82, 0x90


class Decoder(Protocol):
    def feed(self, data: bytes) -> bytes:
        """Inflated bytes so far; raises Refusal on broken input."""

    def end(self) -> None:
        """The input is over; raises Refusal when it ends in the middle."""


class Encoder(Protocol):
    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class Plain:
    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> None:
        return None


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class Inflate:
    """Any decompressor of the standard shape, over one or more members that follow each other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stream = _stream(name)
        self.started = False

    def feed(self, data: bytes) -> bytes:
        out = []
        try:
            while data:
                if self.stream.eof:
                    self.stream = _stream(self.name)
                out.append(self.stream.decompress(data))
                self.started = True
                data = (self.stream.unused_data or b"") if self.stream.eof else b""
        except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
            raise refuse(Code.CANNOT_DECOMPRESS, f"Cannot decompress {self.name} body: {error}") from error
        return out[0] if len(out) == 1 else b"".join(out)

    def end(self) -> None:
        if self.started and not self.stream.eof:
            raise refuse(Code.CANNOT_DECOMPRESS, f"The {self.name} body ends in the middle")


def _stream(name: str) -> _Stream:
    if name in ("gzip", "deflate"):
        return zlib.decompressobj(wbits=47)
    if name == "zstd":
        return zstandard.ZstdDecompressor().decompressobj()
    stream: _Stream = lz4.frame.LZ4FrameDecompressor()
    return stream


class Blocks:
    """ClickHouse's compressed blocks."""

    def __init__(self) -> None:
        self.rest = bytearray()

    def feed(self, data: bytes) -> bytes:
        self.rest += data
        out = []
        while len(self.rest) >= CHECKSUM + HEADER.size:
            method, size, inflated = HEADER.unpack_from(self.rest, CHECKSUM)
            if size < HEADER.size or size > BLOCK_LIMIT or inflated > BLOCK_LIMIT:
                raise refuse(Code.CANNOT_DECOMPRESS, "A compressed block has an impossible size")
            if len(self.rest) < CHECKSUM + size:
                break
            block = bytes(self.rest[CHECKSUM : CHECKSUM + size])
            if cityhash128(block) != self.rest[:CHECKSUM]:
                raise refuse(Code.CHECKSUM_DOESNT_MATCH, "Checksum of a compressed block doesn't match")
            out.append(_inflate_block(method, block[HEADER.size :], inflated))
            del self.rest[: CHECKSUM + size]
        return b"".join(out)

    def end(self) -> None:
        if self.rest:
            raise refuse(Code.CANNOT_DECOMPRESS, "The body ends in the middle of a compressed block")


def _inflate_block(method: int, data: bytes, size: int) -> bytes:
    try:
        if method == LZ4:
            return bytes(lz4.block.decompress(data, uncompressed_size=size))
        if method == ZSTD:
            return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise refuse(Code.CANNOT_DECOMPRESS, f"Cannot decompress a block: {error}") from error
    if method == NONE:
        return data
    raise refuse(Code.CANNOT_DECOMPRESS, f"Unknown method {method:#x} of a compressed block")


def decoder(name: str) -> Decoder:
    """By the value of Content-Encoding."""
    if name in ("", "identity"):
        return Plain()
    if name in ("gzip", "deflate", "zstd", "lz4"):
        return Inflate(name)
    raise refuse(Code.NOT_IMPLEMENTED, f"Unknown HTTP compression method: {name}")


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self.stream = zlib.compressobj(level=3, wbits=wbits)

    def feed(self, data: bytes) -> bytes:
        return self.stream.compress(data)

    def end(self) -> bytes:
        return self.stream.flush()


class _Zstd:
    def __init__(self) -> None:
        self.stream = zstandard.ZstdCompressor(level=1).compressobj()

    def feed(self, data: bytes) -> bytes:
        return self.stream.compress(data)

    def end(self) -> bytes:
        return self.stream.flush()


class _Lz4:
    def __init__(self) -> None:
        self.stream = lz4.frame.LZ4FrameCompressor()
        self.begun = False

    def feed(self, data: bytes) -> bytes:
        begin = b"" if self.begun else self.stream.begin()
        self.begun = True
        return bytes(begin + self.stream.compress(data))

    def end(self) -> bytes:
        begin = b"" if self.begun else self.stream.begin()
        return bytes(begin + self.stream.flush())


class BlockEncoder:
    def feed(self, data: bytes) -> bytes:
        return b"".join(self.block(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES))

    def block(self, data: bytes) -> bytes:
        packed: bytes = lz4.block.compress(data, store_size=False)
        block = HEADER.pack(LZ4, HEADER.size + len(packed), len(data)) + packed
        return cityhash128(block) + block

    def end(self) -> bytes:
        return b""


PREFERENCE = ("lz4", "zstd", "gzip", "deflate")
"""Cheapest first: most callers are on the same machine."""


def accepted(header: str) -> str:
    """The encoding of the answer for an Accept-Encoding header; empty for none. Weights are ignored but q=0."""
    offered = set()
    for part in header.lower().split(","):
        name, _, weight = part.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0"):
            offered.add(name.strip())
    return next((name for name in PREFERENCE if name in offered), "")


def encoder(name: str) -> Encoder | None:
    """None: as it is. `native`: ClickHouse's own blocks."""
    makers: dict[str, Callable[[], Encoder]] = {
        "lz4": _Lz4,
        "zstd": _Zstd,
        "gzip": lambda: _Zlib(31),
        "deflate": lambda: _Zlib(15),
        "native": BlockEncoder,
    }
    return makers[name]() if name else None
