"""A statement of the lane for reads: a thread lets the engine write into a pipe, the event loop forwards what comes out."""

import asyncio
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from starlette.types import Receive

from waterline.connectors.stores.clickhouse.front import native, statement
from waterline.connectors.stores.clickhouse.front.answer import Answer, Output
from waterline.connectors.stores.clickhouse.front.engine import pipe
from waterline.connectors.stores.clickhouse.front.link import Link
from waterline.connectors.stores.clickhouse.front.request import Request
from waterline.connectors.stores.clickhouse.front.work import Done, Running, Work, answers_rows, execute

STOP_S = 0.1
"""How often a statement that nobody waits for is told to stop, since it can only be stopped once it has begun."""
FILE_PIECE = 2**18

Start = Callable[[Running, Work], "asyncio.Future[Done]"]
Kill = Callable[[str], None]


class Rows:
    def __init__(
        self, request: Request, text: bytes, cut: statement.Output, frames: Executor, aside: Executor, kill: Kill
    ) -> None:
        self.request = request
        self.text = text
        self.cut = cut
        self.form = cut.format or request.default_format
        self.frames, self.aside, self.kill = frames, aside, kill

    async def answer(self, start: Start, receive: Receive, answer: Answer) -> Done:
        """Send the answer, or return it in Done when it is small or did not come through the pipe."""
        reading, writing = pipe()
        running = Running()
        jobs: list[asyncio.Future[Any]] = [start(running, lambda link: self._work(link, writing))]
        jobs[0].add_done_callback(lambda _: os.close(writing))
        if self.form == "Native" and self.request.protocol_version >= native.FRAMED:
            reading, framed = self._framed(reading)
            jobs.append(framed)
        output = Output(reading, receive)
        try:
            if self.request.off("wait_end_of_query"):
                held = await self._forward(output, answer)
                done: Done = (await asyncio.gather(*jobs))[0]
            else:
                held = b""
                done = await self._spool(output, jobs, answer)
        except BaseException:
            output.close()
            await self._stop(running, jobs)
            raise
        output.close()
        if answer.started:
            await answer.end()
        done.data = done.data or held
        return done

    def _work(self, link: Link, fd: int) -> Done:
        if self.cut.into_outfile or not answers_rows(link, self.request, self.text):
            return execute(link, self.request, self.text)
        return Done(self.form, stats=link.read(self.cut, self.form, self.request.params, fd), traceless=True)

    async def _forward(self, output: Output, answer: Answer) -> bytes:
        """Pass an answer on, or return it when it is small and over."""
        held: list[bytes] = []
        size = 0
        async for data in output:
            if answer.started:
                await answer.piece(data)
                continue
            held.append(data)
            size += len(data)
            if size > self.request.held_bytes:
                await answer.begin(self.form)
                await answer.piece(b"".join(held))
                held = []
        return b"".join(held)

    async def _spool(self, output: Output, jobs: list[asyncio.Future[Any]], answer: Answer) -> Done:
        """Begin the answer only when the statement is over; what is beyond the buffer waits in a file without a name."""
        with tempfile.SpooledTemporaryFile(max_size=self.request.held_bytes) as file:
            async for data in output:
                file.write(data)
            done: Done = (await asyncio.gather(*jobs))[0]
            size = file.tell()
            file.seek(0)
            if size <= self.request.held_bytes:
                done.data = done.data or file.read()
                return done
            await answer.begin(self.form, done.stats)
            while data := file.read(FILE_PIECE):
                await answer.piece(data)
        return done

    def _framed(self, reading: int) -> tuple[int, "asyncio.Future[None]"]:
        """The same rows as blocks with frames, from another pipe."""
        os.set_blocking(reading, True)
        framed, writing = pipe()
        return framed, asyncio.get_running_loop().run_in_executor(self.frames, native.reframe, reading, writing)

    async def _stop(self, running: Running, jobs: list[asyncio.Future[Any]]) -> None:
        """Nobody wants the answer any more."""
        loop = asyncio.get_running_loop()
        while (await asyncio.wait(jobs, timeout=STOP_S))[1]:
            if running.tag:
                await loop.run_in_executor(self.aside, self.kill, running.tag)
        for job in jobs:
            job.exception()
