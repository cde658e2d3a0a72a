"""/healthz and /livez (the process turns), /readyz (it takes telemetry, or why not), /metrics; on a port of their own."""

from collections.abc import Callable

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from waterline.connectors.sources.collector.meters import Meters


def app(reasons: Callable[[], list[str]], meters: Meters) -> Starlette:
    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def ready(_: Request) -> Response:
        found = reasons()
        return PlainTextResponse("\n".join(found) or "ok", 503 if found else 200)

    async def metrics(_: Request) -> Response:
        return Response(meters.text(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/healthz", alive), Route("/livez", alive), Route("/readyz", ready), Route("/metrics", metrics)]
    )
