"""The routes. A request: who is it, is there room, what does it say, is it in Kafka - then it is answered."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from waterline.connectors.sources.collector import answer, body, events, otlp
from waterline.connectors.sources.collector.answer import JSON, PROTOBUF, Answer
from waterline.connectors.sources.collector.body import Receive
from waterline.connectors.sources.collector.doors import Doors
from waterline.connectors.sources.collector.intake import Intake, line_limit
from waterline.connectors.sources.collector.publish import Publisher
from waterline.schemas.errors import ErrorCode, Permanent, WaterlineError
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_PAYLOADS

Scope = MutableMapping[str, Any]
Handler = Callable[["Collector", bytes, str, Intake], Answer]

OTLP_KINDS = (PROTOBUF, JSON)
LINE_KINDS = (JSON, "application/x-ndjson", "application/jsonl", "application/ndjson", "text/plain", "")


class Collector:
    """An ASGI application, and the same steps for gRPC."""

    def __init__(self, settings: Settings, doors: Doors, publisher: Publisher) -> None:
        self.settings, self.doors, self.publisher = settings, doors, publisher
        self.refuse: WaterlineError | None = None
        self.line_limit = line_limit(settings.frame_bytes)
        self.active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: answer.Send) -> None:
        if scope["type"] != "http":
            return
        self.active += 1
        try:
            await answer.send(await self._answer(scope, receive), send)
        except body.Disconnected:
            return
        finally:
            self.active -= 1

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower().decode("latin-1")
        route = ROUTES.get(scope["path"])
        told = kind if route is not None and kind in OTLP_KINDS and route[1] is OTLP_KINDS else JSON
        try:
            if route is None:
                raise Permanent(ErrorCode.NOT_FOUND, f"there is no route {scope['path']}; there are {', '.join(ROUTES)}")
            if scope["method"] != "POST":
                raise Permanent(ErrorCode.INVALID_PARAMETER, f"{scope['path']} takes POST, not {scope['method']}")
            handler, kinds = route
            intake = self.intake(headers.get(b"authorization", b"").decode("latin-1"))
            if kind not in kinds:
                reason = f"content-type {kind!r} is not one of {', '.join(filter(None, kinds))}"
                raise Permanent(ErrorCode.UNSUPPORTED_MEDIA, reason)
            limit = self.settings.collector_body_limit
            raw = await body.read(receive, headers.get(b"content-length"), limit)
            encoding = headers.get(b"content-encoding", b"").strip().lower().decode("latin-1")
            reply = handler(self, body.inflate(raw, encoding, limit), kind, intake)
            await self.publish(intake)
        except WaterlineError as problem:
            return answer.error(problem, told)
        return reply

    def intake(self, authorization: str) -> Intake:
        """Open a request. Raises WaterlineError when there is no door or no room."""
        if self.refuse is not None:
            raise self.refuse
        now = datetime.now(UTC)
        received = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return Intake(self.doors.open(authorization), self.publisher.partitions, self.line_limit, now, received)

    async def publish(self, intake: Intake) -> None:
        """Return when Kafka has confirmed all of it. Raises Transient."""
        if not intake.lines:
            return
        tenant = intake.door.tenant
        ticket = self.publisher.send(tenant, intake.lines)
        if intake.payloads:
            self.publisher.send(tenant, intake.payloads, AGENT_PAYLOADS.name, ticket)
        await ticket.done

    def traces(self, data: bytes, kind: str, intake: Intake) -> Answer:
        otlp.traces(data, intake)
        return answer.traces(intake, kind)

    def metrics(self, data: bytes, kind: str, intake: Intake) -> Answer:
        otlp.metrics_points(data)
        return answer.metrics(kind)

    def events(self, data: bytes, kind: str, intake: Intake) -> Answer:
        events.take(data, intake)
        return answer.lines(intake)


ROUTES: dict[str, tuple[Handler, tuple[str, ...]]] = {
    "/v1/traces": (Collector.traces, OTLP_KINDS),
    "/v1/metrics": (Collector.metrics, OTLP_KINDS),
    "/v1/events": (Collector.events, LINE_KINDS),
}

__all__ = ["ROUTES", "Awaitable", "Collector", "asyncio"]
