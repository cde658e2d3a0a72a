"""The closed lists as a page for people: topics, settings, metrics, error codes. `make schemas` writes REFERENCE.md."""

from collections.abc import Iterable
from pathlib import Path

from waterline.schemas.errors import ErrorCode
from waterline.schemas.events import Kind
from waterline.schemas.metrics import METRICS
from waterline.schemas.settings import Settings
from waterline.schemas.topics import DAY_MS, TOPICS

PAGE = Path(__file__).parent / "REFERENCE.md"


def page() -> str:
    parts = [
        "# Reference",
        "Written by `make schemas` from the declarations; a test holds it against them.",
        "## Topics",
        *table(("topic", "keyed by", "what", "table", "kept"), (topic_row for topic_row in _topics())),
        "## Settings",
        "Environment variables, read once when a process starts. `waterline settings` prints the values in force.",
        *table(("variable", "default", "meaning"), _settings()),
        "## Error codes",
        *table(("code", "meaning"), ((f"`{code}`", code.meaning) for code in ErrorCode)),
        "## Kinds of event",
        ", ".join(f"`{kind}`" for kind in Kind),
        "## Metrics",
        *table(("metric", "kind", "labels", "meaning"), _metrics()),
    ]
    return "\n\n".join(parts) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A Markdown table as one block."""
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return ["\n".join(f"| {line} |" for line in lines)]


def _topics() -> Iterable[tuple[str, ...]]:
    for topic in TOPICS:
        days = (topic.newest_ms if topic.compacted else topic.retention_ms) // DAY_MS
        kept = ", ".join(["compacted"] * topic.compacted + [f"{days} d"] * bool(days))
        name = f"`{topic.name}`" + (" (internal)" if topic.internal else "")
        yield name, topic.key, topic.meaning, f"`{topic.table}`" if topic.table else "", kept


def _settings() -> Iterable[tuple[str, ...]]:
    for name, field in Settings.model_fields.items():
        default = "" if field.default in ("", None) else f"`{field.default}`"
        yield f"`WATERLINE_{name.upper()}`", default, field.description or ""


def _metrics() -> Iterable[tuple[str, ...]]:
    for metric in METRICS:
        yield f"`{metric.name}`", metric.kind, ", ".join(metric.labels), metric.meaning
