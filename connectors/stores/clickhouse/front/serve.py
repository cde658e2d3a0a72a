"""One statement, from request to answer: which lane, which session, how the rows travel."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive

from waterline.connectors.stores.clickhouse.front import native, statement
from waterline.connectors.stores.clickhouse.front.answer import WHOLE, Answer, Output
from waterline.connectors.stores.clickhouse.front.body import Body, Held
from waterline.connectors.stores.clickhouse.front.engine import Engine, pipe
from waterline.connectors.stores.clickhouse.front.errors import Code, Refusal, refuse
from waterline.connectors.stores.clickhouse.front.lanes import READS, WRITES, Lane
from waterline.connectors.stores.clickhouse.front.link import Link, Links, Stats
from waterline.connectors.stores.clickhouse.front.request import Request
from waterline.connectors.stores.clickhouse.front.sessions import Session, Sessions, timeout_of

QUERY_BYTES = 2**26
"""Longest statement without separate data; the engine checks its own `max_query_size` besides."""
HEAD_BYTES = 2**20
"""Bytes of a body in which the statement of an INSERT must end and its data begin."""
LASTING = frozenset({"readonly", "profile", "allow_ddl"})
"""Settings that a session may not take back; one that had them serves no other request."""
STOP_S = 0.1
READING = frozenset(b"SELECT WITH FROM SHOW DESCRIBE DESC EXPLAIN EXISTS CHECK USE SET KILL".split())
"""First words of what goes into the lane for reads; the rest may take long to write and goes into the other."""


@dataclass(slots=True)
class Done:
    """What a statement came to. `data` is its answer when that was not streamed; traceless: the session is as it was before."""

    form: str = ""
    data: bytes = b""
    stats: Stats = field(default_factory=Stats)
    traceless: bool = False


@dataclass(slots=True)
class Running:
    """The tag of the connection a statement runs on; empty until it has one."""

    tag: str = ""


Work = Callable[[Link], Done]


class Server:
    """The engine with its lanes and sessions. Made inside the running event loop."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.reads, self.writes = Lane("reads", READS), Lane("writes", WRITES)
        self.frames = ThreadPoolExecutor(READS, thread_name_prefix="frames")
        self.aside = ThreadPoolExecutor(2, thread_name_prefix="aside")
        self.links = Links(engine.link, READS)
        self.sessions = Sessions(lambda link: self.aside.submit(link.close))
        self.held = Held()

    async def answer(self, request: Request, receive: Receive, answer: Answer) -> Done:
        """Run the request's statement and send its answer. Raises Refusal, Gone, ClientGone."""
        with Body(receive, request.decoders(), self.held) as body:
            await body.hold()
            text, used = begin(request.query.encode("utf-8", "surrogateescape"), body.chunks)
            insert = statement.insert(text)
            if insert and not insert.selects:
                done = await self._insert(request, insert, text[insert.data_at :], used, body)
            else:
                await body.hold(QUERY_BYTES + 1)
                if body.size > QUERY_BYTES:
                    raise refuse(Code.SYNTAX_ERROR, f"Query is too large: over {QUERY_BYTES} bytes")
                text = b"".join((text, *body.take()[used:]))
                done = await self._statement(request, text, receive, answer)
        if not answer.started:
            await answer.whole(done.form, done.data, done.stats)
        return done

    async def _insert(self, request: Request, insert: statement.Insert, first: bytes, used: int, body: Body) -> Done:
        rest = () if body.ended else pull(body.rest(), asyncio.get_running_loop())
        pieces = itertools.chain((first,), body.take()[used:], rest)

        def work(link: Link) -> Done:
            link.set_params(request.params)
            return Done(stats=link.insert(insert, pieces), traceless=not request.params)

        return await self._write(request, work)

    async def _statement(self, request: Request, text: bytes, receive: Receive, answer: Answer) -> Done:
        if statement.first_word(text) not in READING:
            return await self._write(request, lambda link: self._run(link, request, text, request.default_format))
        with self._session(request) as session:
            async with self.reads.place():
                return await self._read(session, request, text, receive, answer)

    async def _write(self, request: Request, work: Work) -> Done:
        with self._session(request) as session:
            async with self.writes.place():
                return await self.writes.run(lambda: self._within(session, request, Running(), work))

    async def _read(self, session: Session | None, request: Request, text: bytes, receive: Receive, answer: Answer) -> Done:
        """A statement of the lane for reads. When it answers rows they come through a pipe, else in Done."""
        cut = statement.output(text)
        form = cut.format or request.default_format
        reading, writing = pipe()

        def work(link: Link) -> Done:
            if cut.into_outfile or not self._reads(link, request, text):
                return self._run(link, request, text, form)
            return Done(form, stats=link.read(cut, form, request.params, writing), traceless=True)

        running = Running()
        jobs: list[asyncio.Future[Any]] = [
            self.reads.run(lambda: closing(writing, lambda: self._within(session, request, running, work)))
        ]
        if form == "Native" and request.protocol_version >= native.FRAMED:
            reading, frames = self._framed(reading)
            jobs.append(frames)
        output = Output(reading, receive)
        try:
            held = await self._forward(output, form, answer)
        except BaseException:
            output.close()
            await self._stop(running, jobs)
            raise
        output.close()
        done: Done = (await asyncio.gather(*jobs))[0]
        if answer.started:
            await answer.end()
        done.data = done.data or held
        return done

    async def _stop(self, running: Running, jobs: list[asyncio.Future[Any]]) -> None:
        """Nobody wants the answer any more. Asks again, since a statement can only be stopped once it has begun."""
        loop = asyncio.get_running_loop()
        while (await asyncio.wait(jobs, timeout=STOP_S))[1]:
            if running.tag:
                await loop.run_in_executor(self.aside, self.engine.kill, running.tag)
        for job in jobs:
            job.exception()

    async def _forward(self, output: Output, form: str, answer: Answer) -> bytes:
        """Pass an answer on, or return it when it is small and over."""
        held: list[bytes] = []
        size = 0
        while data := await output.read():
            if answer.started:
                await answer.piece(data)
                continue
            held.append(data)
            size += len(data)
            if size > WHOLE:
                await answer.begin(form)
                await answer.piece(b"".join(held))
                held = []
        return b"".join(held)

    def _framed(self, reading: int) -> tuple[int, "asyncio.Future[None]"]:
        """The same rows as blocks with frames, from another pipe."""
        os.set_blocking(reading, True)
        framed, writing = pipe()
        work = asyncio.get_running_loop().run_in_executor(self.frames, native.reframe, reading, writing)
        return framed, work

    def _within(self, session: Session | None, request: Request, running: Running, work: Work) -> Done:
        """In a thread: run `work` on the session's connection or one of ours, with this request's settings in force."""
        if session:
            session.link = session.link or self.engine.link()
            running.tag = session.link.tag
            session.link.configure(request.settings, request.database)
            return work(session.link)
        reading = request.method != "POST"
        link = self.links.take(reading)
        running.tag = link.tag
        traceless = False
        try:
            link.configure(request.settings | ({"readonly": "2"} if reading else {}), request.database)
            done = work(link)
            traceless = done.traceless and not LASTING & request.settings.keys()
        finally:
            if traceless:
                self.links.give(reading, link)
            else:
                link.close()
        return done

    def _reads(self, link: Link, request: Request, text: bytes) -> bool:
        """Whether the statement answers rows and changes nothing. Raises Refusal for what HTTP does not allow."""
        kind = link.kind(text)
        if kind.statements > 1:
            raise refuse(Code.SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
        if request.method != "POST" and kind.statements and not (kind.reads or kind.controls):
            reason = "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
            raise refuse(Code.READONLY, reason + "You should use method POST for modifying queries.")
        return kind.reads

    def _run(self, link: Link, request: Request, text: bytes, form: str) -> Done:
        """Anything whose answer is short: DDL, SET, INSERT SELECT; also what does not parse, for the engine's own words."""
        self._reads(link, request, text)
        cut = statement.output(text)
        if cut.into_outfile:
            raise refuse(Code.INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
        data, stats = link.run(text, form, request.params)
        link.settle(text)
        return Done(cut.format or form if data else "", data, stats)

    @contextmanager
    def _session(self, request: Request) -> Iterator[Session | None]:
        name = request.own.get("session_id", "")
        if not name:
            yield None
            return
        must_exist = request.own.get("session_check", "0") == "1"
        session = self.sessions.take(name, timeout_of(request.own.get("session_timeout", "")), must_exist)
        try:
            yield session
        finally:
            self.sessions.rest(session)

    async def ready(self) -> None:
        """Raises Refusal unless a SELECT is answered."""
        await asyncio.get_running_loop().run_in_executor(self.aside, self.engine.check)

    async def close(self) -> None:
        """Stop what runs, then let go of every connection but the engine's own."""
        loop = asyncio.get_running_loop()
        with suppress(Refusal):
            await loop.run_in_executor(self.aside, self.engine.kill, "")
        for lane in (self.reads, self.writes):
            await asyncio.to_thread(lane.close)
        self.sessions.close()
        self.links.close()
        for threads in (self.frames, self.aside):
            threads.shutdown(wait=True)


def begin(query: bytes, chunks: list[bytes]) -> tuple[bytes, int]:
    """The statement's text as far as needed to find an INSERT's data, and how many chunks of the body are in it."""
    parts = [query + b"\n"] if query and chunks else [query]
    used = size = 0
    for chunk in chunks:
        if size >= HEAD_BYTES:
            break
        parts.append(chunk)
        size += len(chunk)
        used += 1
    return b"".join(parts), used


def pull(pieces: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """In a thread: the rest of a body, as it comes in."""

    async def following() -> bytes | None:
        return await anext(pieces, None)

    while (piece := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
        yield piece


def closing(fd: int, work: Callable[[], Done]) -> Done:
    """The writing end of a pipe has to be closed whatever happens, or its reader waits for ever."""
    try:
        return work()
    finally:
        os.close(fd)
