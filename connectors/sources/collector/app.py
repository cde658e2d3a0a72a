"""The routes. A request: who is it, is there room, what does it say, is it in Kafka - then it is answered."""

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import structlog

from waterline.connectors.sources.collector import answer, body, events, gateway, logs, otlp, otlp_json
from waterline.connectors.sources.collector.answer import JSON, PROTOBUF, Answer
from waterline.connectors.sources.collector.body import Receive
from waterline.connectors.sources.collector.doors import Doors, QuotaExceeded
from waterline.connectors.sources.collector.intake import Intake, line_limit
from waterline.connectors.sources.collector.limits import PATH, Limits
from waterline.connectors.sources.collector.meters import Meters
from waterline.connectors.sources.collector.publish import Publisher
from waterline.connectors.sources.collector.room import Room
from waterline.schemas.errors import ErrorCode, Permanent, Transient, WaterlineError
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_PAYLOADS

Scope = MutableMapping[str, Any]
Handler = Callable[["Collector", bytes, str, Intake], Answer]

log = structlog.get_logger()

FORM = "application/x-www-form-urlencoded"
"""What curl says of `-d` unless it is told otherwise."""
LITELLM = "/v1/litellm"
OTLP_KINDS = (PROTOBUF, JSON)
LINE_KINDS = (JSON, "application/x-ndjson", "application/ndjson", "application/jsonl", "text/plain", FORM, "")


class Collector:
    """An ASGI application, and the same steps for gRPC."""

    def __init__(
        self, settings: Settings, doors: Doors, publisher: Publisher, room: Room, meters: Meters, limits: Limits
    ) -> None:
        self.doors, self.publisher, self.room, self.meters, self.limits = doors, publisher, room, meters, limits
        self.body_limit = settings.collector_body_limit
        self.line_limit = line_limit(settings.frame_bytes)
        self.held = 0
        self.held_mark = max(settings.collector_queue_bytes, 2 * settings.collector_body_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: answer.Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        path = scope["path"]
        try:
            reply = await self._answer(scope, receive, path)
        except body.Disconnected:
            return
        route = path if path in ROUTES or path == PATH else "other"
        self.meters.count("collector_requests_total", route, str(reply.status))
        await answer.send(reply, send)
        self.meters.took(route, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, path: str) -> Answer:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
        route = ROUTES.get(path)
        told = PROTOBUF if kind == PROTOBUF and route is not None and route[1] is OTLP_KINDS else JSON
        try:
            if path == PATH and scope["method"] == "GET":
                wanted = dict(parse_qsl(scope["query_string"].decode("latin-1")))
                door = self.doors.open(headers.get(b"authorization", b"").decode("latin-1"))
                return Answer(200, await self.limits.ask(door.tenant, wanted))
            if route is None:
                raise Permanent(ErrorCode.NOT_FOUND, f"there is no route {path}; there are {', '.join((*ROUTES, PATH))}")
            if scope["method"] != "POST":
                raise Permanent(ErrorCode.INVALID_PARAMETER, f"{path} takes POST, not {scope['method']}")
            intake = self.intake(headers.get(b"authorization", b"").decode("latin-1"))
            if kind not in route[1]:
                raise Permanent(ErrorCode.UNSUPPORTED_MEDIA, f"content-type {kind!r} is not one of {', '.join(route[1][:4])}")
            length = body.length(headers.get(b"content-length"), self.body_limit)
            with self.holding(length):
                raw = await body.read(receive, self.body_limit)
            encoding = headers.get(b"content-encoding", b"").strip().lower().decode("latin-1")
            return await self.take(route[0], body.inflate(raw, encoding, self.body_limit), kind, intake, path)
        except QuotaExceeded as problem:
            self.meters.count("collector_refused_total", problem.tenant, problem.code)
            return answer.error(problem, told, busy=path == LITELLM)
        except WaterlineError as problem:
            self.meters.count("collector_refused_total", "", problem.code)
            return answer.error(problem, told)
        except body.Disconnected:
            raise
        except Exception as bug:
            log.exception("a request failed in a way the code does not know", route=path)
            self.meters.count("collector_refused_total", "", ErrorCode.BUG)
            return answer.error(Transient(ErrorCode.BUG, f"{type(bug).__name__}; the collector's log has the rest"), told)

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Memory for a body that is being received. Raises Transient(OVERLOADED) over the mark."""
        if self.held + size > self.held_mark:
            raise Transient(ErrorCode.OVERLOADED, f"{self.held} bytes of bodies are being received, the mark is {self.held_mark}")
        self.held += size
        try:
            yield
        finally:
            self.held -= size

    def intake(self, authorization: str) -> Intake:
        """Open a request. Raises WaterlineError when there is no door or no room."""
        door = self.doors.open(authorization)
        if (why := self.room.refusal()) is not None:
            raise why
        now = datetime.now(UTC)
        received = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return Intake(door, self.publisher.partitions, self.line_limit, now, received)

    async def take(self, handler: Handler, data: bytes, kind: str, intake: Intake, route: str) -> Answer:
        """Read a body and return its answer once Kafka has confirmed all that was taken. Raises WaterlineError."""
        reply = handler(self, data, kind, intake)
        door, count = intake.door, self.meters.count
        for quota in door.quotas:
            quota.take(intake.seen, len(data))
        count("collector_bytes_total", door.tenant, by=len(data))
        for verdict in intake.refused:
            count("collector_rejected_total", door.tenant, verdict.code)
        if intake.bodies_dropped:
            count("collector_bodies_dropped_total", door.tenant, by=intake.bodies_dropped)
        if intake.lines:
            ticket = self.publisher.send(door.tenant, intake.lines)
            if intake.payloads:
                self.publisher.send(door.tenant, intake.payloads, AGENT_PAYLOADS.name, ticket)
            await ticket.done
            count("collector_events_total", door.tenant, route, by=intake.accepted)
        return reply

    def traces(self, data: bytes, kind: str, intake: Intake) -> Answer:
        (otlp_json.traces if kind == JSON else otlp.traces)(data, intake)
        return answer.traces(intake, kind)

    def logs(self, data: bytes, kind: str, intake: Intake) -> Answer:
        (otlp_json.logs if kind == JSON else logs.logs)(data, intake)
        return answer.logs(intake, kind)

    def metrics(self, data: bytes, kind: str, intake: Intake) -> Answer:
        """Answered and not kept: what they say of tokens and durations the spans and events say too."""
        number = (otlp_json.metrics if kind == JSON else otlp.metrics)(data)
        self.meters.count("collector_metrics_dropped_total", intake.door.tenant, by=number)
        return answer.metrics(kind)

    def events(self, data: bytes, kind: str, intake: Intake) -> Answer:
        events.take(data, intake)
        return answer.lines(intake)

    def litellm(self, data: bytes, kind: str, intake: Intake) -> Answer:
        gateway.take(data, intake)
        return answer.lines(intake)


ROUTES: dict[str, tuple[Handler, tuple[str, ...]]] = {
    "/v1/traces": (Collector.traces, OTLP_KINDS),
    "/v1/logs": (Collector.logs, OTLP_KINDS),
    "/v1/metrics": (Collector.metrics, OTLP_KINDS),
    "/v1/events": (Collector.events, LINE_KINDS),
    LITELLM: (Collector.litellm, LINE_KINDS),
}
