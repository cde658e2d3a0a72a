"""OTLP/gRPC: the standard exporters get in, and errors carry what a client needs to know whether to try again."""

from collections.abc import Callable, Iterator

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.connectors.sources.collector.conftest import Running, Start, Tap
from tests.connectors.sources.collector.test_http import START, request_protobuf

BASE = "/opentelemetry.proto.collector."
TRACES, LOGS, METRICS = (f"{BASE}{name}Service/Export" for name in ("trace.v1.Trace", "logs.v1.Logs", "metrics.v1.Metrics"))
Call = Callable[..., bytes]


@pytest.fixture
def call(collector: Running) -> Iterator[Call]:
    with grpc.insecure_channel(collector.grpc) as channel:
        yield lambda method, body, **more: channel.unary_unary(method)(body, timeout=15, **more)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_traces(call: Call, tap: Tap, compression: grpc.Compression) -> None:
    answer = call(TRACES, request_protobuf(5).SerializeToString(), compression=compression)
    assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()
    assert len(tap.events(5)) == 5


def test_logs_and_metrics(call: Call, tap: Tap) -> None:
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=START, event_name="shop.order.placed")
    record.attributes.add(key="gen_ai.agent.name").value.string_value = "booking"
    assert ExportLogsServiceResponse.FromString(call(LOGS, request.SerializeToString())) == ExportLogsServiceResponse()
    assert call(METRICS, ExportMetricsServiceRequest().SerializeToString()) == b""
    (event,) = tap.events(1)
    assert (event["name"], event["agent"], event["kind"]) == ("shop.order.placed", "booking", "step")


def test_partial_success(call: Call, tap: Tap) -> None:
    request = request_protobuf(2)
    request.resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano = 2**64 - 1
    partial = ExportTraceServiceResponse.FromString(call(TRACES, request.SerializeToString())).partial_success
    assert partial.rejected_spans == 1
    assert len(tap.events(1)) == 1


def test_what_is_not_protobuf(call: Call) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(TRACES, b"hello, world")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith("invalid_protobuf: the body is not a valid ExportTraceServiceRequest")


def test_no_other_method(call: Call) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(f"{BASE}trace.v1.TraceService/Import", b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_an_unknown_key_is_unauthenticated(call: Call) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(TRACES, b"", metadata=(("authorization", "Bearer wl_nope_nope"),))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit(start: Start, compression: grpc.Compression) -> None:
    small = start(collector_body_limit=200_000)
    body = request_protobuf(1, big="x" * 1_000_000).SerializeToString()
    with grpc.insecure_channel(small.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(TRACES)(body, timeout=15, compression=compression)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not retry_info(caught.value), "without RetryInfo a client does not send it again"


def test_no_room_is_unavailable_with_a_delay(start: Start) -> None:
    full = start(wait=False, free_space_mark=2**60)
    full.until_it_says("bytes free")
    with grpc.insecure_channel(full.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(TRACES)(request_protobuf().SerializeToString(), timeout=15, wait_for_ready=True)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert retry_info(caught.value)[0].retry_delay.seconds == 10


def retry_info(error: grpc.RpcError) -> list[RetryInfo]:
    found = []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Unpack(info):
                    found.append(info)
    return found
