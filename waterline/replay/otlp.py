"""Events as spans of the OpenTelemetry SDK, sent by its own OTLP/HTTP exporter, named after the GenAI conventions."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.util.types import AttributeValue

from waterline.replay.door import Door, Refused
from waterline.schemas.events import Event, Kind
from waterline.schemas.events import Status as Result

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SPANS = 500
"""Spans of one export: a batch as the SDK's own processor makes it."""


class Ids(IdGenerator):
    """Gives out the ids the next span is to have, so that a run sent again has the ids it had."""

    def __init__(self) -> None:
        self.trace, self.span = 0, 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class Ended(SpanProcessor):
    """Keeps the spans that ended until they are exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class Tracing:
    """One OpenTelemetry pipeline per agent version, all into one exporter."""

    def __init__(self, door: Door) -> None:
        self._exporter: SpanExporter = OTLPSpanExporter(
            endpoint=f"{door.endpoint}/v1/traces",
            headers=door.headers,
            timeout=door.patience_s,
            compression=Compression.Gzip,
        )
        self._ids, self._ended = Ids(), Ended()
        self._providers: dict[str, TracerProvider] = {}

    def send(self, events: Iterable[Event]) -> None:
        """Make a span of each event and export them. Raises `Refused`."""
        for event in events:
            self._span(event)
        spans, self._ended.spans = self._ended.spans, []
        for first in range(0, len(spans), SPANS):
            if self._exporter.export(spans[first : first + SPANS]) is not SpanExportResult.SUCCESS:
                raise Refused("the OTLP exporter gave up; its log line says why")

    def close(self) -> None:
        self._exporter.shutdown()

    def _span(self, event: Event) -> None:
        self._ids.trace, self._ids.span = int(event.trace_id, 16), int(event.span_id, 16)
        parent = None
        if event.parent_span_id:
            sampled = TraceFlags(TraceFlags.SAMPLED)
            context = SpanContext(self._ids.trace, int(event.parent_span_id, 16), is_remote=False, trace_flags=sampled)
            parent = set_span_in_context(NonRecordingSpan(context))
        name, kind, attributes = describe(event)
        span = (
            self._provider(event.agent_version)
            .get_tracer("waterline.replay")
            .start_span(name, parent, kind, attributes | _common(event), start_time=_nanoseconds(event.ts))
        )
        if event.status is not Result.OK:
            span.set_status(Status(StatusCode.ERROR, event.attributes.get("error.message")))
        span.end(_nanoseconds(event.ts + timedelta(milliseconds=event.duration_ms)))

    def _provider(self, version: str) -> TracerProvider:
        if version not in self._providers:
            named = {"service.name": "airline-agent", "service.version": version, "deployment.environment.name": "replay"}
            provider = TracerProvider(ALWAYS_ON, Resource.create(named), shutdown_on_exit=False, id_generator=self._ids)
            provider.add_span_processor(self._ended)
            self._providers[version] = provider
        return self._providers[version]


def describe(event: Event) -> tuple[str, SpanKind, dict[str, AttributeValue]]:
    """Name, kind and attributes that the GenAI conventions give the span of `event`."""
    match event.kind:
        case Kind.MODEL_CALL:
            return f"chat {event.model_requested}", SpanKind.CLIENT, _model_call(event)
        case Kind.TOOL_CALL:
            tool: dict[str, AttributeValue] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": event.tool}
            return (
                f"execute_tool {event.tool}",
                SpanKind.INTERNAL,
                tool | ({"error.type": event.error_type} if event.error_type else {}),
            )
        case Kind.DECISION:
            root: dict[str, AttributeValue] = {
                "gen_ai.operation.name": "invoke_agent",
                "waterline.decision.id": event.decision_id,
            }
            return event.name, SpanKind.INTERNAL, root | {"waterline.kind": event.kind.value}
        case _:
            queued = event.queue_entered_at.isoformat() if event.queue_entered_at else ""
            told: dict[str, AttributeValue] = {"waterline.escalation_reason": event.escalation_reason}
            return (
                event.name,
                SpanKind.INTERNAL,
                told | {"waterline.kind": event.kind.value, "waterline.queue_entered_at": queued},
            )


def _model_call(event: Event) -> dict[str, AttributeValue]:
    """OpenTelemetry counts cached tokens as a part of the input."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": event.provider,
        "gen_ai.request.model": event.model_requested,
        "gen_ai.response.id": event.response_id,
        "gen_ai.response.finish_reasons": [event.finish_reason],
        "gen_ai.response.time_to_first_chunk": (event.time_to_first_token_ms or 0.0) / 1000,
        "gen_ai.usage.input_tokens": event.tokens_input + event.tokens_cache_read,
        "gen_ai.usage.cache_read.input_tokens": event.tokens_cache_read,
        "gen_ai.usage.output_tokens": event.tokens_output,
        "waterline.usage_source": event.usage_source.value,
    }


def _common(event: Event) -> dict[str, AttributeValue]:
    return {
        "gen_ai.agent.name": event.agent,
        "gen_ai.agent.version": event.agent_version,
        "gen_ai.conversation.id": event.session_id,
        "user.id": event.subject,
        "waterline.actor": event.actor,
        "waterline.task": event.task,
        "waterline.runtime": event.runtime,
        "waterline.prompt_version": event.prompt_version,
        "waterline.sequence": event.sequence,
        "waterline.clock": event.clock.value,
        "waterline.synthetic_fields": event.synthetic_fields,
        **event.attributes,
    }


def _nanoseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1000
