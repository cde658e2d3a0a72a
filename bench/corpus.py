"""One corpus for every contender: OTLP requests of GenAI spans, seeded, serialised before the clock starts.

A span is a chat call with 12 attributes and about 460 bytes; ten spans make a trace. Ids differ between rounds, so that
nobody can answer from memory.
"""

import random
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

MODELS = ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "gpt-4.1-2025-04-14")
SPANS_PER_TRACE = 10


def requests(spans: int, per_request: int, seed: int) -> list[bytes]:
    """Serialised `ExportTraceServiceRequest`s that hold `spans` spans in all, `per_request` in each."""
    chance = random.Random(seed)
    now = time.time_ns()
    found: list[bytes] = []
    trace = b""
    for first in range(0, spans, per_request):
        batch: list[Span] = []
        for index in range(first, min(first + per_request, spans)):
            if index % SPANS_PER_TRACE == 0 or not trace:
                trace = chance.randbytes(16)
            batch.append(_span(chance, trace, now))
        scope = ScopeSpans(spans=batch)
        resource = ResourceSpans(scope_spans=[scope])
        resource.resource.attributes.append(_text("service.name", "bench-agent"))
        found.append(ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString())
    return found


def _span(chance: random.Random, trace: bytes, now: int) -> Span:
    model = chance.choice(MODELS)
    start = now - chance.randrange(10**9)
    return Span(
        trace_id=trace,
        span_id=chance.randbytes(8),
        name=f"chat {model}",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=start,
        end_time_unix_nano=start + chance.randrange(10**8, 10**9),
        attributes=[
            _text("gen_ai.operation.name", "chat"),
            _text("gen_ai.provider.name", "openai"),
            _text("gen_ai.request.model", model),
            _text("gen_ai.response.model", model),
            _text("gen_ai.response.id", f"chatcmpl-{chance.getrandbits(64):016x}"),
            _text("gen_ai.conversation.id", f"conversation-{chance.randrange(10_000)}"),
            _text("gen_ai.agent.name", f"agent-{chance.randrange(20)}"),
            _text("server.address", "api.openai.com"),
            _number("server.port", 443),
            _number("gen_ai.usage.input_tokens", chance.randrange(100, 8000)),
            _number("gen_ai.usage.output_tokens", chance.randrange(10, 800)),
            _number("gen_ai.usage.cache_read.input_tokens", chance.randrange(0, 100)),
        ],
    )


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _number(key: str, value: int) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(int_value=value))
