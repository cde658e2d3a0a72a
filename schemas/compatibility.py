"""Whether two versions of a JSON Schema read each other's records (FULL compatibility), as a list of what breaks.

Kept in the log for months, a record meets readers both older and newer than itself. So a field is never removed,
renamed, retyped, narrowed or newly required; a closed list of values only grows with a new schema version.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "format")


def breaks(old: Schema, new: Schema) -> list[str]:
    """Each entry names the path and what to do about it; an empty list means FULL compatible."""
    return list(_compare("$", _resolve(old, old), _resolve(new, new), old, new))


def _compare(path: str, old: Schema, new: Schema, old_root: Schema, new_root: Schema) -> Iterator[str]:
    if "anyOf" in old or "anyOf" in new:
        yield from _compare_any(path, old, new, old_root, new_root)
        return
    if old.get("type") != new.get("type"):
        yield f"{path}: type {old.get('type')} became {new.get('type')}; add a new field instead"
        return
    if old.get("enum") != new.get("enum"):
        yield f"{path}: the values {old.get('enum')} became {new.get('enum')}; that takes a new SCHEMA_VERSION"
    for bound in _BOUNDS:
        if old.get(bound) != new.get(bound):
            yield f"{path}: {bound} {old.get(bound)} became {new.get(bound)}; keep it, or add a new field"
    for name in ("items", "additionalProperties"):
        if isinstance(old.get(name), Mapping) and isinstance(new.get(name), Mapping):
            yield from _compare(f"{path}[]", _resolve(old[name], old_root), _resolve(new[name], new_root), old_root, new_root)
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before:
        if name not in after:
            yield f"{path}.{name}: removed; keep the field and stop filling it"
        else:
            yield from _compare(
                f"{path}.{name}", _resolve(before[name], old_root), _resolve(after[name], new_root), old_root, new_root
            )
    for name in set(new.get("required", ())) - set(old.get("required", ())):
        yield f"{path}.{name}: newly required; give it a default"
    for name in set(old.get("required", ())) - set(new.get("required", ())):
        yield f"{path}.{name}: no longer required; older readers need it"


def _compare_any(path: str, old: Schema, new: Schema, old_root: Schema, new_root: Schema) -> Iterator[str]:
    before, after = (
        [_resolve(choice, root) for choice in schema.get("anyOf", [schema])]
        for schema, root in ((old, old_root), (new, new_root))
    )
    if len(before) != len(after):
        yield f"{path}: {len(before)} alternatives became {len(after)}; add a new field instead"
        return
    for one, other in zip(before, after, strict=True):
        yield from _compare(path, one, other, old_root, new_root)


def _resolve(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][str(schema["$ref"]).rsplit("/", 1)[-1]]
    return schema
