"""What each dialect calls a unit of work -> our closed list of kinds; providers and outcomes of a call likewise."""

from waterline.schemas.events import Kind, Status

_MODEL, _TOOL, _SEARCH, _STEP = Kind.MODEL_CALL.value, Kind.TOOL_CALL.value, Kind.RETRIEVAL.value, Kind.STEP.value
_EMBED, _GUARD, _EVAL = Kind.EMBEDDING.value, Kind.GUARDRAIL.value, Kind.EVALUATION.value

KINDS: dict[str, dict[str, str]] = {
    "gen_ai.operation.name": {
        "chat": _MODEL,
        "text_completion": _MODEL,
        "completion": _MODEL,
        "generate_content": _MODEL,
        "responses": _MODEL,
        "embeddings": _EMBED,
        "embedding": _EMBED,
        "retrieval": _SEARCH,
        "rerank": _SEARCH,
        "search_memory": _SEARCH,
        "execute_tool": _TOOL,
        "invoke_agent": _STEP,
        "create_agent": _STEP,
        "invoke_workflow": _STEP,
        "plan": _STEP,
        "create_memory": _STEP,
        "update_memory": _STEP,
        "upsert_memory": _STEP,
        "delete_memory": _STEP,
        "create_memory_store": _STEP,
        "delete_memory_store": _STEP,
    },
    "openinference.span.kind": {
        "LLM": _MODEL,
        "EMBEDDING": _EMBED,
        "RETRIEVER": _SEARCH,
        "RERANKER": _SEARCH,
        "TOOL": _TOOL,
        "GUARDRAIL": _GUARD,
        "EVALUATOR": _EVAL,
        "AGENT": _STEP,
        "CHAIN": _STEP,
        "PROMPT": _STEP,
    },
    "ai.operationId": {
        "ai.generateText": _STEP,
        "ai.streamText": _STEP,
        "ai.generateObject": _STEP,
        "ai.streamObject": _STEP,
        "ai.embed": _STEP,
        "ai.embedMany": _STEP,
        "ai.rerank": _STEP,
        "ai.generateText.doGenerate": _MODEL,
        "ai.streamText.doStream": _MODEL,
        "ai.generateObject.doGenerate": _MODEL,
        "ai.streamObject.doStream": _MODEL,
        "ai.embed.doEmbed": _EMBED,
        "ai.embedMany.doEmbed": _EMBED,
        "ai.rerank.doRerank": _SEARCH,
        "ai.toolCall": _TOOL,
    },
    "traceloop.span.kind": {"workflow": _STEP, "task": _STEP, "agent": _STEP, "tool": _TOOL},
    "langfuse.observation.type": {
        "generation": _MODEL,
        "embedding": _EMBED,
        "retriever": _SEARCH,
        "tool": _TOOL,
        "guardrail": _GUARD,
        "evaluator": _EVAL,
        "agent": _STEP,
        "chain": _STEP,
        "span": _STEP,
        "event": _STEP,
    },
    "llm.request.type": {"chat": _MODEL, "completion": _MODEL, "embedding": _EMBED, "rerank": _SEARCH},
    "mcp.method.name": {"tools/call": _TOOL},
}
"""A wrapper around other work is a step, so that only its leaves are priced."""

PROVIDERS: dict[str, str] = {
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google.generative-ai": "gcp.gemini",
    "google_generative_ai": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "google.vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "watsonx": "ibm.watsonx.ai",
}
"""Spellings of a provider -> OpenTelemetry's `gen_ai.provider.name`."""

_CALL_SHAPES = (".responses", ".chat", ".completion", ".embedding", ".messages", ".image", ".speech", ".transcription")


def provider_of(told: str) -> str:
    """The provider in OpenTelemetry's spelling. The AI SDK appends the shape of the call (`openai.responses`); it is cut off."""
    name = told.strip().lower()
    for shape in _CALL_SHAPES:
        name = name.removesuffix(shape)
    return PROVIDERS.get(name, name)


REFUSED = frozenset(
    {"refusal", "content_filter", "content-filter", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "guardrail_intervened"}
)
"""Finish reasons of a call whose answer was withheld."""

TIMEOUTS = frozenset(
    {
        "timeout",
        "408",
        "504",
        "deadline_exceeded",
        "DEADLINE_EXCEEDED",
        "TimeoutError",
        "TimeoutException",
        "APITimeoutError",
        "ReadTimeout",
        "ConnectTimeout",
        "Timeout",
        "asyncio.TimeoutError",
        "asyncio.exceptions.TimeoutError",
    }
)
TRANSIENT = TIMEOUTS | {
    "409",
    "425",
    "429",
    "500",
    "502",
    "503",
    "529",
    "overloaded_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "api_error",
    "server_error",
    "RateLimitError",
    "InternalServerError",
    "ServiceUnavailableError",
    "APIConnectionError",
    "ConnectionError",
    "ConnectError",
    "UNAVAILABLE",
    "RESOURCE_EXHAUSTED",
    "ThrottlingException",
}
PERMANENT = {
    "400",
    "401",
    "402",
    "403",
    "404",
    "405",
    "413",
    "422",
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "insufficient_quota",
    "context_length_exceeded",
    "BadRequestError",
    "AuthenticationError",
    "PermissionDeniedError",
    "NotFoundError",
    "ContextWindowExceededError",
    "INVALID_ARGUMENT",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "ValidationException",
}
"""Values of `error.type`: whether the same call may succeed when tried again. Others are left unsaid."""


def status_of(failed: bool, error_type: str, finish_reason: str) -> str:
    """The event's status from the span's status, its error type and its finish reason."""
    if error_type in TIMEOUTS:
        return Status.TIMEOUT.value
    if failed or error_type:
        return Status.ERROR.value
    return Status.REFUSED.value if finish_reason in REFUSED else Status.OK.value


def retry_class_of(error_type: str) -> str:
    if error_type in TRANSIENT:
        return "transient"
    return "permanent" if error_type in PERMANENT else ""
