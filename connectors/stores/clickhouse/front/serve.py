"""From a request to its answer: what kind of statement it is, which lane it takes, on which connection it runs."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from starlette.types import Receive

from waterline.connectors.stores.clickhouse.front import forms, statement
from waterline.connectors.stores.clickhouse.front.answer import Answer
from waterline.connectors.stores.clickhouse.front.body import Body, Held
from waterline.connectors.stores.clickhouse.front.engine import Engine
from waterline.connectors.stores.clickhouse.front.errors import Code, Refusal, refuse
from waterline.connectors.stores.clickhouse.front.lanes import READS, WRITES, Lane
from waterline.connectors.stores.clickhouse.front.link import Link, Links
from waterline.connectors.stores.clickhouse.front.request import Request
from waterline.connectors.stores.clickhouse.front.rows import Rows
from waterline.connectors.stores.clickhouse.front.sessions import Session, Sessions, timeout_of
from waterline.connectors.stores.clickhouse.front.work import Done, Running, Work, beside, execute

QUERY_BYTES = 2**22
"""Longest statement without its data; the engine checks its own `max_query_size` besides."""
FORM_BYTES = 2**26
"""Longest form, tables and all."""
INLINE = 2**16
"""Bytes of a statement that are looked through in the event loop; a longer one goes to a thread."""
HEAD_BYTES = 2**20
"""Bytes of a body in which the statement of an INSERT must end and its data begin."""
LASTING = frozenset({"readonly", "profile", "allow_ddl"})
"""Settings that a session may not take back; one that had them serves no other request."""
SWEEP_S = 10.0
READING = frozenset(b"SELECT WITH FROM SHOW DESCRIBE DESC EXPLAIN EXISTS CHECK USE SET KILL".split())
"""First words of what goes into the lane for reads; the rest may take long to write and goes into the other."""


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
        self.sweeper = asyncio.ensure_future(self._sweep())

    async def answer(self, request: Request, receive: Receive, answer: Answer) -> Done:
        """Run the request's statement and send its answer. Raises Refusal, Gone, ClientGone."""
        with Body(receive, request.decoders(), self.held) as body:
            if request.headers.get("content-type", "").startswith(forms.KIND):
                done = await self._form(request, body, receive, answer)
            else:
                done = await self._plain(request, body, receive, answer)
        if not answer.started:
            await answer.whole(done.form, done.data, done.stats)
        return done

    async def _plain(self, request: Request, body: Body, receive: Receive, answer: Answer) -> Done:
        await body.hold()
        text, used = begin(request.query.encode("utf-8", "surrogateescape"), body.chunks)
        insert = statement.insert(text)
        call = statement.input_call(insert.head) if insert and insert.selects else None
        if insert and (call or not insert.selects):
            return await self._insert(request, insert, call, text[insert.data_at :], used, body)
        await body.limit(QUERY_BYTES)
        text = b"".join((text, *body.take()[used:]))
        if insert and text[insert.data_at :].strip():
            raise refuse(Code.SYNTAX_ERROR, "Syntax error: data follow, but no input() reads them")
        if not text.strip():
            raise refuse(Code.SYNTAX_ERROR, "Syntax error: Empty query")
        return await self._statement(request, text, (), receive, answer)

    async def _form(self, request: Request, body: Body, receive: Receive, answer: Answer) -> Done:
        await body.limit(FORM_BYTES)
        fields, files = forms.parse(request.headers["content-type"], b"".join(body.take()))
        request.sort(fields.items())
        text = request.query.encode("utf-8", "surrogateescape")
        return await self._statement(request, text, forms.tables(files, request.settings), receive, answer)

    async def _insert(
        self, request: Request, insert: statement.Insert, call: statement.Input | None, first: bytes, used: int, body: Body
    ) -> Done:
        rest = () if body.ended else pull(body.rest(), asyncio.get_running_loop())
        pieces = itertools.chain((first,), body.take()[used:], rest)

        def work(link: Link) -> Done:
            if call:
                return Done(stats=forms.insert_over_input(link, insert, call, pieces, request.params), traceless=True)
            link.set_params(request.params)
            return Done(stats=link.insert(insert, pieces), traceless=not request.params)

        return await self._write(request, work)

    async def _statement(
        self, request: Request, text: bytes, tables: Sequence[forms.Table], receive: Receive, answer: Answer
    ) -> Done:
        if statement.first_word(text) not in READING:
            return await self._write(request, beside(tables, lambda link: execute(link, request, text)))
        cut = statement.output(text) if len(text) <= INLINE else await asyncio.to_thread(statement.output, text)
        rows = Rows(request, text, cut, self.frames, self.aside, self.engine.kill)
        with self._session(request) as session:

            def start(running: Running, work: Work) -> "asyncio.Future[Done]":
                return self.reads.run(lambda: self._within(session, request, running, beside(tables, work)))

            async with self.reads.place():
                return await rows.answer(start, receive, answer)

    async def _write(self, request: Request, work: Work) -> Done:
        with self._session(request) as session:
            async with self.writes.place():
                return await self.writes.run(lambda: self._within(session, request, Running(), work))

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

    @contextmanager
    def _session(self, request: Request) -> Iterator[Session | None]:
        name = request.own.get("session_id", "")
        if not name:
            yield None
            return
        timeout = timeout_of(request.own.get("session_timeout", ""))
        session = self.sessions.take(name, timeout, must_exist=not request.off("session_check"))
        try:
            yield session
        finally:
            self.sessions.rest(session)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sessions.expire()

    async def ready(self) -> None:
        """Raises Refusal unless a SELECT is answered."""
        await asyncio.get_running_loop().run_in_executor(self.aside, self.engine.check)

    async def close(self) -> None:
        """Stop what runs, then let go of every connection but the engine's own."""
        self.sweeper.cancel()
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
