"""The ASGI application: ClickHouse's HTTP interface on `/`, and about the front itself /ping, /healthz, /readyz, /metrics."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from waterline.connectors.stores.clickhouse.front import request as requests
from waterline.connectors.stores.clickhouse.front.answer import Answer, Gone, Pairs
from waterline.connectors.stores.clickhouse.front.body import ClientGone
from waterline.connectors.stores.clickhouse.front.engine import Engine
from waterline.connectors.stores.clickhouse.front.errors import Refusal
from waterline.connectors.stores.clickhouse.front.metrics import Meters
from waterline.connectors.stores.clickhouse.front.request import Credentials
from waterline.connectors.stores.clickhouse.front.serve import Server

READY_S = 2.0
"""How long /readyz waits for a SELECT 1."""
log = structlog.get_logger()


class Front:
    """The interface over one engine. `credentials` are the only user there is."""

    def __init__(self, engine: Engine, credentials: Credentials, name: str) -> None:
        self.engine = engine
        self.credentials = credentials
        self.meters = Meters()
        self.version = f"{engine.version} (embedded)"
        self.identity: Pairs = [
            (b"x-clickhouse-server-display-name", name.encode("latin-1", "replace")),
            (b"x-clickhouse-timezone", engine.timezone.encode()),
        ]
        self.server: Server | None = None

    def app(self) -> Starlette:
        routes = [
            Route("/", self.Root(self)),
            Route("/ping", ok),
            Route("/replicas_status", ok),
            Route("/healthz", ok),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]
        return Starlette(routes=routes, lifespan=self.lifespan)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.server = Server(self.engine)
        self.meters.watch(self.server)
        yield
        await self.server.close()

    class Root:
        """An ASGI endpoint of its own, since it streams both ways."""

        def __init__(self, front: "Front") -> None:
            self.front = front

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.front.root(scope, receive, send)

    async def root(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD", "POST"):
            await PlainTextResponse("Method not allowed\n", 405, {"allow": "GET, HEAD, POST"})(scope, receive, send)
            return
        request = requests.parse(scope["method"], scope["query_string"], Headers(scope=scope))
        if request.method != "POST" and not request.query:
            await ok_response()(scope, receive, send)
            return
        answer = Answer(send, request, self.identity)
        started = time.perf_counter()
        code = 0
        try:
            self.credentials.admit(request.given())
            assert self.server is not None
            done = await self.server.answer(request, receive, answer)
            self.meters.done(done.stats)
        except Refusal as refusal:
            code = refusal.code
            await answer.refusal(refusal, self.version)
        except (Gone, ClientGone):
            code = -1
        finally:
            self.meters.request(code, time.perf_counter() - started, answer.sent)
        if code > 0:
            log.info("refused", code=code, query_id=request.query_id)
        elif code:
            log.info("client left", query_id=request.query_id)

    async def readyz(self, _: HttpRequest) -> Response:
        assert self.server is not None
        try:
            async with asyncio.timeout(READY_S):
                await self.server.ready()
        except TimeoutError:
            return PlainTextResponse(f"SELECT 1 was not answered within {READY_S} s\n", 503)
        except Refusal as refusal:
            return PlainTextResponse(f"SELECT 1 failed: {refusal.text}\n", 503)
        return ok_response()

    async def metrics(self, _: HttpRequest) -> Response:
        return Response(self.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def ok_response() -> Response:
    return Response("Ok.\n", media_type="text/html; charset=UTF-8")


async def ok(_: HttpRequest) -> Response:
    return ok_response()
