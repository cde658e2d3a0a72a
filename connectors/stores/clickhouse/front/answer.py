"""The way back: an answer read from the engine's pipe, whole when it is small and streamed when it is not."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable

from starlette.types import Receive, Send

from waterline.connectors.stores.clickhouse.front.codecs import Encoder, encoder
from waterline.connectors.stores.clickhouse.front.errors import Refusal
from waterline.connectors.stores.clickhouse.front.formats import TEXT, content_type
from waterline.connectors.stores.clickhouse.front.link import Stats
from waterline.connectors.stores.clickhouse.front.request import Request

READ_BYTES = 2**18
INLINE = 2**16
"""Bytes that are compressed in the event loop; more go to a thread."""

Pairs = list[tuple[bytes, bytes]]


class Gone(Exception):
    """The client went away before its answer was complete."""


class Output:
    """The reading end of a pipe, and whether the client still listens. Close it always."""

    def __init__(self, fd: int, receive: Receive) -> None:
        self.fd = fd
        self.loop = asyncio.get_running_loop()
        self.wake = asyncio.Event()
        self.loop.add_reader(fd, self.wake.set)
        self.watch = asyncio.ensure_future(disconnected(receive))
        self.watch.add_done_callback(lambda _: self.wake.set())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What comes out, to the end. Raises Gone."""
        while True:
            if self.watch.done():
                raise Gone
            try:
                data = os.read(self.fd, READ_BYTES)
            except BlockingIOError:
                self.wake.clear()
                await self.wake.wait()
                continue
            if not data:
                return
            yield data

    def close(self) -> None:
        self.loop.remove_reader(self.fd)
        os.close(self.fd)
        self.watch.cancel()


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


class Answer:
    """Headers and body of one answer. `identity` are the headers that every answer of this server has."""

    def __init__(self, send: Send, request: Request, identity: Pairs) -> None:
        self.send = send
        self.head_only = request.method == "HEAD"
        self.identity = identity
        self.encoding = request.answer_encoding
        self.encoder: Encoder | None = None
        self.query_id = request.query_id
        self.tag = secrets.token_hex(8)
        self.started = False
        self.sent = 0

    def _headers(self, form: str, stats: Stats | None) -> Pairs:
        pairs = [
            *self.identity,
            (b"x-clickhouse-query-id", self.query_id.encode("latin-1", "replace")),
            (b"x-clickhouse-exception-tag", self.tag.encode()),
            (b"x-clickhouse-summary", summary(stats or Stats())),
        ]
        if form:
            pairs += [(b"content-type", content_type(form).encode()), (b"x-clickhouse-format", form.encode())]
        else:
            pairs.append((b"content-type", TEXT.encode()))
        return pairs

    async def whole(self, form: str, data: bytes, stats: Stats) -> None:
        headers = self._headers(form, stats)
        packer = encoder(self.encoding) if data else None
        if packer:
            data = await compress(packer.feed, data) + packer.end()
            if self.encoding != "native":
                headers.append((b"content-encoding", self.encoding.encode()))
        await self._finish(200, headers, data)

    async def refusal(self, refusal: Refusal, version: str) -> None:
        """An error: with its status while nothing was sent, else in the body, and the connection is broken off."""
        text = f"{refusal.text} (version {version})\n".encode("utf-8", "surrogateescape")
        if self.started:
            mark = self.tag.encode()
            block = b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (mark, text, len(text), mark)
            await self._piece(block)
            if self.encoder:
                await self._send(self.encoder.end(), more=True)
            return  # without a last piece the server closes the connection
        headers = [*self._headers("", None), (b"x-clickhouse-exception-code", str(refusal.code).encode())]
        if refusal.status == 401:
            headers.append((b"www-authenticate", b'Basic realm="ClickHouse server HTTP API"'))
        if refusal.status == 503:
            headers.append((b"retry-after", b"1"))
        if packer := encoder(self.encoding):
            text = packer.feed(text) + packer.end()
            if self.encoding != "native":
                headers.append((b"content-encoding", self.encoding.encode()))
        await self._finish(refusal.status, headers, text)

    async def begin(self, form: str, stats: Stats | None = None) -> None:
        headers = self._headers(form, stats)
        self.encoder = encoder(self.encoding)
        if self.encoder and self.encoding != "native":
            headers.append((b"content-encoding", self.encoding.encode()))
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        self.started = True

    async def piece(self, data: bytes) -> None:
        await self._piece(data)

    async def _piece(self, data: bytes) -> None:
        if self.encoder:
            data = await compress(self.encoder.feed, data)
        await self._send(data, more=True)

    async def end(self) -> None:
        await self._send(self.encoder.end() if self.encoder else b"", more=False)

    async def _send(self, data: bytes, *, more: bool) -> None:
        self.sent += len(data)
        await self.send({"type": "http.response.body", "body": b"" if self.head_only else data, "more_body": more})

    async def _finish(self, status: int, headers: Pairs, data: bytes) -> None:
        headers.append((b"content-length", str(len(data)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        self.started = True
        await self._send(data, more=False)


async def compress(feed: Callable[[bytes], bytes], data: bytes) -> bytes:
    return feed(data) if len(data) <= INLINE else await asyncio.to_thread(feed, data)


def summary(stats: Stats) -> bytes:
    """X-ClickHouse-Summary; a streamed answer has not counted yet and says 0."""
    fields = {
        "read_rows": stats.read_rows,
        "read_bytes": stats.read_bytes,
        "written_rows": stats.written_rows,
        "written_bytes": stats.written_bytes,
        "total_rows_to_read": stats.read_rows,
        "result_rows": stats.result_rows,
        "result_bytes": 0,
        "elapsed_ns": stats.elapsed_ns,
    }
    return json.dumps({name: str(value) for name, value in fields.items()}, separators=(",", ":")).encode()
