"""Threads for the engine, in lanes that cannot starve each other: reads never wait for writes, and answers about the
front itself wait for neither."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from waterline.connectors.stores.clickhouse.front.errors import Code, refuse

T = TypeVar("T")

READS, WRITES = 32, 8
"""Statements at work at once. The engine divides the cores between them, so a small read beside long ones is not held up."""
WAIT_S = 5.0
"""How long a statement waits for a place before it is refused with code 202 and status 503."""


class Lane:
    """`size` places, each with a thread."""

    def __init__(self, name: str, size: int, wait_s: float = WAIT_S) -> None:
        self.name = name
        self.size = size
        self.wait_s = wait_s
        self.taken = 0
        self.places = asyncio.Semaphore(size)
        self.threads = ThreadPoolExecutor(size, thread_name_prefix=name)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.wait_s):
                await self.places.acquire()
        except TimeoutError as error:
            reason = f"Too many simultaneous queries in the lane for {self.name}. Maximum: {self.size}"
            raise refuse(Code.TOO_MANY_SIMULTANEOUS_QUERIES, reason) from error
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
            self.places.release()

    def run(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Only inside `place()`. Not cancellable: a place is free when its thread is."""
        return asyncio.get_running_loop().run_in_executor(self.threads, work)

    def close(self) -> None:
        self.threads.shutdown(wait=True, cancel_futures=True)
