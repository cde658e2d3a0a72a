"""A request body, as it comes in: inflated, counted, held up to a mark and streamed beyond it."""

from collections.abc import AsyncIterator

from starlette.types import Receive

from waterline.connectors.stores.clickhouse.front.codecs import Decoder
from waterline.connectors.stores.clickhouse.front.errors import Code, refuse

HELD = 32 * 2**20
"""Bytes of one body that are held before an insert takes a place in the lane; the rest is streamed."""
HELD_IN_ALL = 512 * 2**20
"""Bytes of all bodies together; a request above it is refused with code 202."""


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Held:
    """Bytes of bodies in memory, over all requests of this process."""

    def __init__(self, limit: int = HELD_IN_ALL) -> None:
        self.limit = limit
        self.bytes = 0

    def take(self, count: int) -> None:
        if self.bytes + count > self.limit:
            raise refuse(Code.TOO_MANY_SIMULTANEOUS_QUERIES, f"Bodies of over {self.limit} bytes are waiting to be inserted")
        self.bytes += count


class Body:
    """Use as a context manager: it gives back what it counted in `held`."""

    def __init__(self, receive: Receive, decoders: list[Decoder], held: Held) -> None:
        self.receive = receive
        self.decoders = decoders
        self.held = held
        self.chunks: list[bytes] = []
        self.size = 0
        self.counted = 0
        self.ended = False

    def __enter__(self) -> "Body":
        return self

    def __exit__(self, *_: object) -> None:
        self.held.bytes -= self.counted

    async def _next(self) -> bytes:
        """The next inflated bytes, maybe none; sets `ended`."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        data: bytes = message.get("body", b"")
        last = not message.get("more_body", False)
        for stage in self.decoders:
            data = stage.feed(data) if data else data
        if last:
            for stage in self.decoders:
                stage.end()
            self.ended = True
        return data

    async def hold(self, limit: int = HELD) -> None:
        """Read until the end or until `limit` bytes are held."""
        while not self.ended and self.size < limit:
            data = await self._next()
            if data:
                self.held.take(len(data))
                self.counted += len(data)
                self.size += len(data)
                self.chunks.append(data)

    async def limit(self, bytes_: int) -> None:
        """Hold all of it. Raises Refusal when it is longer."""
        await self.hold(bytes_ + 1)
        if self.size > bytes_:
            raise refuse(Code.QUERY_IS_TOO_LARGE, f"The request is larger than {bytes_} bytes")

    def take(self) -> list[bytes]:
        """What is held, given up to the caller."""
        held, self.chunks = self.chunks, []
        return held

    async def rest(self) -> AsyncIterator[bytes]:
        """What is not held, in pieces of about 1 MiB."""
        piece: list[bytes] = []
        size = 0
        while not self.ended:
            data = await self._next()
            piece.append(data)
            size += len(data)
            if size >= 2**20 or self.ended:
                yield b"".join(piece)
                piece, size = [], 0
