"""The load client that every contender meets: HTTP/1.1 over kept-open connections, nothing parsed but what must be."""

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import uvloop
from msgspec import Struct


class Sent(Struct):
    """What one round of sending did. `seconds` ends with the last answer."""

    requests: int
    refused: int
    seconds: float


def send(url: str, bodies: list[bytes], headers: dict[str, str] | None = None, connections: int = 16) -> Sent:
    """POST each body once it is this connection's turn; a 429 or 503 is sent again after its Retry-After."""
    return uvloop.run(_send(url, bodies, headers or {}, connections))


async def _send(url: str, bodies: list[bytes], headers: dict[str, str], connections: int) -> Sent:
    queue = iter(bodies)
    started = time.perf_counter()
    refused = await asyncio.gather(*(_connection(url, queue, headers) for _ in range(connections)))
    return Sent(len(bodies), sum(refused), time.perf_counter() - started)


async def _connection(url: str, queue: Iterator[bytes], headers: dict[str, str]) -> int:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/x-protobuf\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    refused = 0
    for body in queue:
        while True:
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            status, wait = await _answer(reader)
            if status not in (429, 503):
                break
            refused += 1
            await asyncio.sleep(wait)
        if status >= 300:
            raise RuntimeError(f"{url} answered {status}")
    writer.close()
    await writer.wait_closed()
    return refused


async def _answer(reader: asyncio.StreamReader) -> tuple[int, float]:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = head.lower().split(b"\r\n")
    length, wait = 0, 1.0
    for field in fields[1:]:
        if field.startswith(b"content-length:"):
            length = int(field[15:])
        elif field.startswith(b"retry-after:"):
            wait = float(field[12:])
    if length:
        await reader.readexactly(length)
    elif b"transfer-encoding: chunked" in fields:
        await reader.readuntil(b"0\r\n\r\n")
    return int(head[9:12]), wait
