"""Which names mean which model: the matching rules that travel with a price, and the aliases of provider names.

A rule is one of {"equals": text}, {"starts_with": text}, {"ends_with": text}, {"contains": text}, {"regex": pattern},
{"or": [rules]}, {"and": [rules]}; text is compared without case, as genai-prices does.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

Rule = Mapping[str, Any]
Test = Callable[[str], bool]

PROVIDER_ALIASES: dict[str, str] = {
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "azure_ai": "azure",
    "aws_bedrock": "aws",
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "novita_ai": "novita",
    "together.ai": "together",
    "togetherai": "together",
    "x.ai": "x-ai",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "z.ai": "zai",
    "z_ai": "zai",
}
"""Names of OpenTelemetry's `gen_ai.provider.name` and of gateways -> provider ids of the price table."""

GATEWAYS = frozenset({"", "litellm"})
"""Providers that say nothing about who served the model; the name before the slash may."""

_COMPACT_DATE = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def provider_name(provider: str) -> str:
    name = provider.strip().lower()
    if (alias := PROVIDER_ALIASES.get(name)) is not None:
        return alias
    return "azure" if name.startswith(("azure.", "azure-openai.", "azure_openai.")) else name


def compile_rule(rule: Rule | None) -> Test:
    """A rule as a test of lower-case text. Raises ValueError for what is no rule."""
    if rule is None:
        return lambda text: False
    if len(rule) != 1:
        raise ValueError(f"a rule has one key, this has {len(rule)}: {sorted(rule)}")
    ((kind, value),) = rule.items()
    if kind in ("or", "and"):
        return _several(kind, [compile_rule(part) for part in value])
    if kind == "regex":
        pattern = re.compile(value)
        return lambda text: pattern.search(text) is not None
    wanted = str(value).lower()
    if kind == "equals":
        return lambda text: text == wanted
    if kind == "starts_with":
        return lambda text: text.startswith(wanted)
    if kind == "ends_with":
        return lambda text: text.endswith(wanted)
    if kind == "contains":
        return lambda text: wanted in text
    raise ValueError(f"no such rule: {kind!r}")


def _several(kind: str, tests: Sequence[Test]) -> Test:
    if kind == "or":
        return lambda text: any(test(text) for test in tests)
    return lambda text: all(test(text) for test in tests)


def dashed_dates(model: str) -> str:
    """`gpt-5.2-20251211` as `gpt-5.2-2025-12-11`: gateways write dates without dashes, price tables with them."""

    def dashed(found: re.Match[str]) -> str:
        year, month, day = (int(found.group(index)) for index in range(2, 5))
        try:
            date(year, month, day)
        except ValueError:
            return found.group(0)
        return f"{found.group(1)}{year:04d}-{month:02d}-{day:02d}"

    return _COMPACT_DATE.sub(dashed, model)
