"""What to do with an attribute: decided once per key, and once per value where values repeat, then looked up.

An `Op` is the decision for one attribute as it came: where its value goes, under which name, and what else is kept of it.
"""

import math
from collections.abc import Callable
from typing import Any

from waterline.connectors.sources.collector import wire
from waterline.connectors.sources.collector.dialects import aliases, convert
from waterline.connectors.sources.collector.dialects.kinds import KINDS, provider_of

FIELD, ATTRIBUTE, MEASURE, USAGE, SPECIAL, BODY, NOTHING = range(7)

More = tuple[int, str, str | None]
"""(rank among the slot's keys, the key, the value's own spelling if `attributes` keeps it too)."""

Op = tuple[int, str, Any, More | None]
"""(where, slot, value, more); more is None for a slot's first key with nothing else to keep, which is nearly always."""

Plan = tuple[int, str, int, convert.Converter | None]
"""(where, slot, rank, converter) of a key."""

Clean = Callable[[str, str], str]
"""Redaction: (key, text) -> text."""

VALUES_PER_KEY = 256
VALUE_BYTES = 256
OPS = 20_000
KEYS = 5_000

_SPECIAL = frozenset(
    {
        "ai.response.providerMetadata",
        "langfuse.observation.usage_details",
        "langfuse.observation.cost_details",
        "waterline.usage",
        "waterline.tenant",
    }
)
_NAMED_RANK = 0


def plan_of(key: str) -> Plan:
    """What an attribute key means, whoever sent it."""
    if key.startswith("waterline.") and (field := own_field(key)):
        return FIELD, field, _NAMED_RANK, convert.converter_of(field)
    if known := _KNOWN.get(key):
        return known
    if key in _SPECIAL or (key.startswith(("retrieval.documents.", "reranker.output_documents.")) and not is_body(key)):
        return SPECIAL, key, 1, None
    return (BODY, key, 1, None) if is_body(key) else (ATTRIBUTE, key, 1, None)


def own_field(key: str) -> str | None:
    """The event field that a `waterline.` key sets: `waterline.decision.id` and `waterline.decision_id` are one."""
    field = key.removeprefix("waterline.").replace(".", "_")
    return field if field in convert.SETTABLE else None


def is_body(key: str) -> bool:
    """Whether a key carries what was said."""
    if key in aliases.NOT_BODIES:
        return False
    return key in aliases.BODIES or key.startswith(aliases.BODY_PREFIXES) or key.endswith(aliases.BODY_SUFFIXES)


def _known() -> dict[str, Plan]:
    table: dict[str, Plan] = {}
    for field, keys in aliases.FIELDS.items():
        how = _provider if field == "provider" else convert.converter_of(field)
        table.update({key: (FIELD, field, rank, how) for rank, key in enumerate(keys, 1)})
    for rank, key in enumerate(aliases.KIND, 1):
        table[key] = (FIELD, "kind", rank, _lookup(KINDS[key]))
    for slot, keys in aliases.USAGE.items():
        table.update({key: (USAGE, slot, rank, convert.whole) for rank, key in enumerate(keys, 1)})
    for rank, key in enumerate(aliases.COST, 1):
        table[key] = (FIELD, "reported_cost", rank, convert.money)
    for rank, (key, factor) in enumerate(aliases.FIRST_TOKEN.items(), 1):
        table[key] = (FIELD, "time_to_first_token_ms", rank, convert.scaled(factor))
    return table


def _lookup(table: dict[str, str]) -> convert.Converter:
    return lambda value: table.get(value) if isinstance(value, str) else None


def _provider(value: Any) -> str | None:
    return provider_of(value)[: convert.NAME_LIMIT] if isinstance(value, str) else None


_KNOWN = _known()
FIRST = 1
"""The rank of a slot's first key; 0 is our own `waterline.` key, which goes before it."""
PRIMARY: dict[str, str] = {plan[1]: key for key, plan in _KNOWN.items() if plan[2] == FIRST}
"""The first key of each slot: what a value came under that came with nothing more."""


class Seen:
    """A key as it came, what is done with it, and how many of its values are remembered."""

    __slots__ = ("counts", "key", "more", "names", "slot", "values")

    def __init__(self, key: str) -> None:
        where, self.slot, rank, how = plan_of(key)
        self.key = key
        self.values = 0
        self.more: More | None = None if rank == FIRST else (rank, key, None)
        self.counts = where == USAGE
        self.names = where == FIELD and how is convert.name


class Plans:
    """The decisions under one redaction policy. Bounded: high-cardinality values are not remembered."""

    def __init__(self, clean: Clean) -> None:
        self.ops: dict[bytes, Op] = {}
        self.bases: dict[tuple[bytes, bytes], Any] = {}
        self.clean = clean
        self._names: dict[str, str] = {}
        self._keys: dict[str, Plan] = {}
        self._seen: dict[bytes, Seen] = {}

    def learn(self, pair: bytes) -> Op:
        """The decision for an encoded KeyValue, remembered while its key has few values."""
        raw, value = wire.split(pair)
        seen = self._seen.get(raw) or self._see(raw)
        kind = type(value)
        if kind is int and seen.counts and 0 <= value <= convert.EXACT:
            op: Op = (USAGE, seen.slot, value, seen.more)
        elif kind is str and seen.names and 0 < len(value) < convert.NAME_LIMIT:
            op = (FIELD, seen.slot, self.clean(seen.key, value)[: convert.NAME_LIMIT], seen.more)
        else:
            op = self.op(seen.key, value)
        if seen.values < VALUES_PER_KEY and len(pair) <= VALUE_BYTES:
            seen.values += 1
            self.ops[pair] = op
        return op

    def _see(self, raw: bytes) -> Seen:
        if len(self._seen) >= KEYS or len(self.ops) >= OPS:
            self._seen.clear()
            self.ops.clear()
        seen = self._seen[raw] = Seen(raw.decode())
        return seen

    def op(self, key: str, value: Any) -> Op:
        """The decision for one attribute."""
        plan = self._keys.get(key)
        if plan is None:
            if len(self._keys) >= KEYS:
                self._keys.clear()
            plan = self._keys[key] = plan_of(key)
        where, slot, rank, how = plan
        if value is None:
            return NOTHING, key, None, None
        if isinstance(value, str):
            value = self.clean(key, value)
        if where in (BODY, SPECIAL):
            return where, key, value, None
        if how is not None:
            converted = how(value)
            if converted is not None:
                own = value if isinstance(value, str) and isinstance(converted, str) and value != converted else None
                return where, slot, converted, None if rank == FIRST and own is None else (rank, key, own)
        return self._kept(key, value)

    def _kept(self, key: str, value: Any) -> Op:
        """An attribute that no field takes: numbers are measures, all else is text."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            exact = isinstance(value, float) or -convert.EXACT <= value <= convert.EXACT
            if exact and math.isfinite(value):
                return MEASURE, key, float(value), None
            return ATTRIBUTE, key, str(value), None
        return ATTRIBUTE, key, value if isinstance(value, str) else self.text(key, value), None

    def name(self, told: str) -> str:
        """A span's name, redacted and at most 1,024 characters."""
        name = self._names.get(told)
        if name is None:
            if len(self._names) >= KEYS:
                self._names.clear()
            name = self._names[told] = self.clean("name", told)[: convert.NAME_LIMIT]
        return name

    def text(self, key: str, value: Any) -> str:
        """Any value as redacted text."""
        if isinstance(value, str):
            return self.clean(key, value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, bytes):
            return wire.text_of(value)
        return self.clean(key, wire.json_of(value))
