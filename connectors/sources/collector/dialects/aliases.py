"""The one table of names: our field <- the attribute keys that mean it, in order of preference.

The first key that an event carries wins. What it promotes leaves the maps; a second key that says something else stays in
`attributes` or `measures` under its own name. Any field of the event can also be set as `waterline.<field>`, which wins over all.
"""

FIELDS: dict[str, tuple[str, ...]] = {
    "session_id": (
        "gen_ai.conversation.id",
        "session.id",
        "langfuse.session.id",
        "traceloop.association.properties.session_id",
        "conversation.id",
    ),
    "subject": (
        "enduser.id",
        "user.account_uuid",
        "user.id",
        "gen_ai.user",
        "langfuse.user.id",
        "traceloop.association.properties.user_id",
    ),
    "agent": ("gen_ai.agent.name", "agent.name"),
    "agent_version": ("gen_ai.agent.version", "langfuse.release"),
    "task": ("gen_ai.workflow.name", "traceloop.workflow.name", "ai.telemetry.functionId"),
    "step": ("graph.node.id", "traceloop.entity.name"),
    "environment": ("langfuse.environment",),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"),
    "model_requested": (
        "gen_ai.request.model",
        "llm.request.model_name",
        "ai.model.id",
        "embedding.model_name",
        "reranker.model_name",
        "langfuse.observation.model.name",
    ),
    "model_served": ("gen_ai.response.model", "llm.response.model_name", "llm.model_name", "ai.response.model"),
    "response_id": ("gen_ai.response.id", "ai.response.id", "llm.response.id"),
    "finish_reason": (
        "gen_ai.response.finish_reasons",
        "gen_ai.response.finish_reason",
        "gen_ai.completion.0.finish_reason",
        "llm.finish_reason",
        "llm.response.finish_reason",
        "llm.response.stop_reason",
        "ai.response.finishReason",
    ),
    "service_tier": (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "openai.request.service_tier",
        "gen_ai.openai.request.service_tier",
    ),
    "prompt_version": (
        "gen_ai.prompt.version",
        "langfuse.observation.prompt.version",
        "traceloop.prompt.version",
        "llm.prompt_template.version",
    ),
    "tool": ("gen_ai.tool.name", "tool.name", "tool_call.function.name", "ai.toolCall.name"),
    "target_system": ("gen_ai.data_source.id", "server.address", "db.system.name", "db.system", "peer.service", "net.peer.name"),
    "retrieved": ("gen_ai.retrieval.documents",),
    "error_type": ("error.type", "exception.type"),
}

KIND: tuple[str, ...] = (
    "gen_ai.operation.name",
    "openinference.span.kind",
    "ai.operationId",
    "traceloop.span.kind",
    "langfuse.observation.type",
    "llm.request.type",
    "mcp.method.name",
)
"""Keys that say what the unit of work was; their values are in `kinds`."""

USAGE: dict[str, tuple[str, ...]] = {
    "input": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ),
    "output": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "total": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens"),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cached_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
    ),
    "cache_write": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ),
    "cache_write_1h": ("gen_ai.usage.cache_creation.ephemeral_1h_input_tokens",),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.reasoning_output_tokens",
        "codex.usage.reasoning_output_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
    ),
    "input_audio": ("gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"),
    "input_image": ("gen_ai.usage.image.input_tokens", "llm.token_count.prompt_details.image"),
    "output_audio": ("gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"),
    "output_image": ("gen_ai.usage.image.output_tokens",),
}

COST: tuple[str, ...] = (
    "gen_ai.usage.cost",
    "llm.cost.total",
    "gen_ai.cost.total_cost",
    "litellm.cost.total_cost",
    "operation.cost",
)
"""What the source says a call cost, in USD."""

FIRST_TOKEN: dict[str, float] = {
    "gen_ai.response.time_to_first_chunk": 1000.0,
    "gen_ai.server.time_to_first_token": 1000.0,
    "ai.response.msToFirstChunk": 1.0,
}
"""Time to the first token: key -> milliseconds in its unit."""

RESOURCE: dict[str, tuple[str, ...]] = {
    "agent": ("gen_ai.agent.name", "service.name"),
    "agent_version": ("gen_ai.agent.version", "service.version"),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "team": ("service.namespace",),
    "session_id": ("session.id",),
    "subject": ("enduser.id", "user.id"),
}
"""What a resource says about all that comes from it; an event's own attributes win over it."""

BODIES: frozenset[str] = frozenset(
    {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.retrieval.query.text",
        "gen_ai.evaluation.explanation",
        "gen_ai.memory.query.text",
        "gen_ai.memory.records",
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.event.content",
        "input.value",
        "output.value",
        "llm.prompts",
        "llm.completions",
        "llm.invocation_parameters.messages",
        "llm.function_call",
        "llm.prompt_template.template",
        "llm.prompt_template.variables",
        "tool.parameters",
        "tool_call.function.arguments",
        "embedding.text",
        "embedding.vector",
        "reranker.query",
        "exception.stacktrace",
        "traceloop.entity.input",
        "traceloop.entity.output",
        "traceloop.prompt.template",
        "langfuse.trace.input",
        "langfuse.trace.output",
        "langfuse.observation.input",
        "langfuse.observation.output",
        "ai.prompt",
        "ai.schema",
        "ai.result.text",
        "ai.result.object",
        "ai.result.toolCalls",
        "ai.response.text",
        "ai.response.object",
        "ai.response.reasoning",
        "ai.response.toolCalls",
        "ai.response.files",
        "ai.toolCall.args",
        "ai.toolCall.result",
        "ai.value",
        "ai.values",
        "ai.embedding",
        "ai.embeddings",
        "ai.documents",
        "ai.ranking",
    }
)
"""Keys that carry what was said: prompts, completions, arguments, results, vectors."""

BODY_PREFIXES: tuple[str, ...] = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.prompts.",
    "llm.completions.",
    "llm.choices.",
    "llm.tools.",
    "input.images.",
    "embedding.embeddings.",
    "ai.prompt.",
    "traceloop.prompt.template_variables",
    "llm.prompt_template.variables.",
)
BODY_SUFFIXES: tuple[str, ...] = (".document.content", ".document.metadata")

NOT_BODIES: frozenset[str] = frozenset({"gen_ai.prompt.name", "gen_ai.prompt.version"})
"""Keys that a body's prefix would take in, but that are names."""
