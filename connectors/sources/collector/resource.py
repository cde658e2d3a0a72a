"""What a resource and a scope say about all records under them, worked out once and remembered."""

from typing import Any

from msgspec import Struct
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from waterline.connectors.sources.collector import wire
from waterline.connectors.sources.collector.dialects import aliases, convert
from waterline.connectors.sources.collector.dialects.plan import own_field
from waterline.connectors.sources.collector.intake import Door

REMEMBERED = 1_000
UNNAMED = "unknown_service"
"""What an SDK says when nobody gave the service a name."""


class Base(Struct, frozen=True):
    """Defaults of every event under it. `tenant` is what the resource claims, empty if it claims none."""

    fields: dict[str, Any]
    attributes: dict[str, str]
    measures: dict[str, float]
    tenant: str = ""


_PREFIXES = ("openinference.instrumentation.", "opentelemetry.instrumentation.", "@opentelemetry/instrumentation-")
_RUNTIMES = {"ai": "vercel-ai-sdk", "com.anthropic.claude_code": "claude-code", "com.anthropic.claude_code.events": "claude-code"}
_BY_SERVICE = {
    "claude-code": "claude-code",
    "codex_exec": "codex",
    "codex_tui": "codex",
    "codex_cli_rs": "codex",
    "gemini-cli": "gemini-cli",
}


def base_of(door: Door, resource: bytes, scope: bytes) -> Base:
    """The base of a resource and scope as encoded messages."""
    remembered = door.plans.bases
    base = remembered.get((resource, scope))
    if base is None:
        told = {pair.key: wire.plain(pair.value) for pair in Resource.FromString(resource).attributes}
        named = InstrumentationScope.FromString(scope)
        base = make_base(door, told, named.name, named.version)
        if len(remembered) >= REMEMBERED:
            remembered.clear()
        remembered[resource, scope] = base
    return base


def make_base(door: Door, told: dict[str, Any], scope: str, version: str) -> Base:
    fields: dict[str, Any] = {"tenant": door.tenant, "source": "litellm" if scope == "litellm" else "otlp"}
    attributes: dict[str, str] = {}
    measures: dict[str, float] = {}
    for field, keys in aliases.RESOURCE.items():
        for key in keys:
            if (text := convert.name(told.get(key))) is not None and not text.startswith(UNNAMED):
                fields[field] = door.plans.clean(key, text)
                break
    for key, value in told.items():
        own = own_field(key) if key.startswith("waterline.") else None
        if own is not None and (converted := convert.converter_of(own)(value)) is not None:
            fields[own] = converted
        elif value is not None and key not in aliases.BODIES:
            _keep(door, attributes, measures, key, value)
    if runtime := _runtime(scope, str(told.get("service.name", ""))):
        fields.setdefault("runtime", runtime)
    emitter = f"{scope} {version}".strip() or str(told.get("telemetry.sdk.version", ""))
    if emitter:
        fields["emitter_version"] = emitter[: convert.NAME_LIMIT]
    if scope:
        attributes["scope.name"] = scope
    return Base(fields, attributes, measures, str(told.get("waterline.tenant") or ""))


def _keep(door: Door, attributes: dict[str, str], measures: dict[str, float], key: str, value: Any) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool) and convert.number(value) is not None:
        measures[f"resource.{key}"] = float(value)
    else:
        attributes[f"resource.{key}"] = door.plans.text(key, value)


def _runtime(scope: str, service: str) -> str:
    for prefix in _PREFIXES:
        if scope.startswith(prefix):
            return scope.removeprefix(prefix)[: convert.NAME_LIMIT]
    return _RUNTIMES.get(scope) or _BY_SERVICE.get(service, "")
