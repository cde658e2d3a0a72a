"""What a sender is told, in the encoding it spoke: protobuf or JSON for OTLP, JSON for the rest."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
from google.rpc.status_pb2 import Status
from msgspec import Struct, field
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from waterline.connectors.sources.collector.intake import Intake
from waterline.schemas.errors import ErrorCode, Permanent, Transient, WaterlineError

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PROTOBUF, JSON = "application/x-protobuf", "application/json"
STATUS: dict[ErrorCode, tuple[int, int]] = {
    ErrorCode.INVALID_JSON: (400, 3),
    ErrorCode.INVALID_PROTOBUF: (400, 3),
    ErrorCode.INVALID_ENCODING: (400, 3),
    ErrorCode.INVALID_EVENT: (400, 3),
    ErrorCode.UNSUPPORTED_MEDIA: (415, 3),
    ErrorCode.TOO_LARGE: (413, 3),
    ErrorCode.UNAUTHENTICATED: (401, 16),
    ErrorCode.FORBIDDEN: (403, 7),
    ErrorCode.NOT_FOUND: (404, 5),
    ErrorCode.INVALID_PARAMETER: (405, 12),
    ErrorCode.QUOTA_EXCEEDED: (429, 8),
    ErrorCode.KAFKA_UNAVAILABLE: (503, 14),
    ErrorCode.DISK_FULL: (503, 14),
    ErrorCode.OVERLOADED: (503, 14),
    ErrorCode.BUG: (503, 14),
}
"""Error code -> HTTP status and gRPC status code."""

MESSAGE_VERDICTS = 5


class Answer(Struct):
    status: int
    body: bytes
    kind: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def error(problem: WaterlineError, kind: str, busy: bool = False) -> Answer:
    """A whole request refused; `busy`: 503 instead of 429, for senders that drop what is answered 429."""
    status, code = STATUS.get(problem.code, (400 if isinstance(problem, Permanent) else 503, 2))
    if busy and status == 429:
        status, code = 503, 14
    message = f"{problem.code}: {problem.reason}"
    if kind == PROTOBUF:
        body = Status(code=code, message=message).SerializeToString()
    else:
        body = orjson.dumps({"code": code, "message": message, "error": problem.code})
    answer = Answer(status, body, kind)
    if isinstance(problem, Transient):
        answer.headers["retry-after"] = str(max(1, round(problem.retry_after)))
    if status == 401:
        answer.headers["www-authenticate"] = "Bearer"
    return answer


def otlp_message(intake: Intake) -> str:
    """What a partial success says: each verdict once, then what was odd about records that were taken."""
    told: dict[str, int] = {}
    for verdict in intake.refused:
        told[f"{verdict.code}: {verdict.reason}"] = told.get(f"{verdict.code}: {verdict.reason}", 0) + 1
    parts = [f"{number} refused, {reason}" for reason, number in list(told.items())[:MESSAGE_VERDICTS]]
    if len(told) > MESSAGE_VERDICTS:
        parts.append(f"and {len(told) - MESSAGE_VERDICTS} other reasons")
    parts += [f"{number} {reason}" for reason, number in intake.warnings.items()]
    return "; ".join(parts)


def traces(intake: Intake, kind: str) -> Answer:
    response = ExportTraceServiceResponse()
    message = otlp_message(intake)
    if kind != PROTOBUF:
        return Answer(200, _partial_json("rejectedSpans", intake, message), kind)
    if message:
        response.partial_success.rejected_spans = len(intake.refused)
        response.partial_success.error_message = message
    return Answer(200, response.SerializeToString(), kind)


def logs(intake: Intake, kind: str) -> Answer:
    response = ExportLogsServiceResponse()
    message = otlp_message(intake)
    if kind != PROTOBUF:
        return Answer(200, _partial_json("rejectedLogRecords", intake, message), kind)
    if message:
        response.partial_success.rejected_log_records = len(intake.refused)
        response.partial_success.error_message = message
    return Answer(200, response.SerializeToString(), kind)


def metrics(kind: str) -> Answer:
    return Answer(200, b"" if kind == PROTOBUF else b"{}", kind)


def _partial_json(name: str, intake: Intake, message: str) -> bytes:
    if not message:
        return b"{}"
    return orjson.dumps({"partialSuccess": {name: str(len(intake.refused)), "errorMessage": message}})


def lines(intake: Intake) -> Answer:
    """Per-line verdicts: 200 when all were taken, 207 when some were, 400 when none was; beside them what was odd about
    events that were taken, and the id of an event that came alone."""
    verdicts = [{"index": v.index, "code": v.code, "reason": v.reason} for v in intake.refused]
    status = 200 if not verdicts else 207 if intake.accepted else 400
    told: dict[str, Any] = {"accepted": intake.accepted, "rejected": len(verdicts), "errors": verdicts}
    if intake.warnings:
        told["warnings"] = list(intake.warnings)
    if intake.only_id:
        told["event_id"] = intake.only_id
    return Answer(status, orjson.dumps(told))


async def send(answer: Answer, to: Send) -> None:
    headers = [(b"content-type", answer.kind.encode()), (b"content-length", str(len(answer.body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await to({"type": "http.response.start", "status": answer.status, "headers": headers})
    await to({"type": "http.response.body", "body": answer.body})
