"""OTLP/gRPC: the three Export methods, on bytes, through the same steps as HTTP."""

from collections.abc import Iterable
from typing import Any

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from waterline.connectors.sources.collector.answer import PROTOBUF, STATUS
from waterline.connectors.sources.collector.app import Collector, Handler
from waterline.connectors.sources.collector.doors import QuotaExceeded
from waterline.schemas.errors import ErrorCode, Transient, WaterlineError

log = structlog.get_logger()

_BASE = "/opentelemetry.proto.collector."
METHODS: dict[str, Handler] = {
    f"{_BASE}trace.v1.TraceService/Export": Collector.traces,
    f"{_BASE}logs.v1.LogsService/Export": Collector.logs,
    f"{_BASE}metrics.v1.MetricsService/Export": Collector.metrics,
}
CODES = {code.value[0]: code for code in grpc.StatusCode}

Context = Any
"""grpc.aio.ServicerContext; grpc has no types."""


class Services(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the method; messages stay bytes, so that they are read once, by us."""

    def __init__(self, collector: Collector) -> None:
        self._methods = {
            name: grpc.unary_unary_rpc_method_handler(_export(collector, name, handler)) for name, handler in METHODS.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._methods.get(handler_call_details.method)


def _export(collector: Collector, name: str, handler: Handler) -> Any:
    route = name.removeprefix(_BASE)

    async def export(request: bytes, context: Context) -> bytes:
        try:
            intake = collector.intake(_authorization(context.invocation_metadata() or ()))
            reply = await collector.take(handler, request, PROTOBUF, intake, route)
        except WaterlineError as error:
            problem = error
            tenant = error.tenant if isinstance(error, QuotaExceeded) else ""
        except Exception as bug:
            log.exception("a request failed in a way the code does not know", route=route)
            problem, tenant = Transient(ErrorCode.BUG, f"{type(bug).__name__}; the collector's log has the rest"), ""
        else:
            collector.meters.count("collector_requests_total", route, "0")
            return reply.body
        collector.meters.count("collector_refused_total", tenant, problem.code)
        collector.meters.count("collector_requests_total", route, str(_code(problem)))
        await _abort(context, problem)
        return b""

    return export


def _authorization(metadata: Iterable[Any]) -> str:
    return next((str(value) for key, value in metadata if key == "authorization"), "")


def _code(problem: WaterlineError) -> int:
    return STATUS.get(problem.code, (0, 14 if isinstance(problem, Transient) else 3))[1]


async def _abort(context: Context, problem: WaterlineError) -> None:
    """End the call; what may be tried again carries RetryInfo, without which a client must not retry RESOURCE_EXHAUSTED."""
    code, message = _code(problem), f"{problem.code}: {problem.reason}"
    metadata: tuple[tuple[str, bytes], ...] = ()
    if isinstance(problem, Transient):
        status = Status(code=code, message=message)
        delay = Duration(nanos=int(problem.retry_after % 1 * 1e9), seconds=int(problem.retry_after))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
        metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(CODES[code], message, metadata)


def server(collector: Collector, address: str, credentials: grpc.ServerCredentials | None) -> tuple[grpc.aio.Server, int]:
    """A server bound to `host:port`, not started, and its port. Raises RuntimeError when the port is taken."""
    made = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", collector.body_limit),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ]
    )
    made.add_generic_rpc_handlers((Services(collector),))
    port = made.add_insecure_port(address) if credentials is None else made.add_secure_port(address, credentials)
    return made, port
