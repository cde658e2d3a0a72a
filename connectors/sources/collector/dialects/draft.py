"""One record on its way to being an event: attributes go in as they come, first match wins, and a line comes out."""

from typing import Any

from waterline.connectors.sources.collector.dialects.plan import (
    ATTRIBUTE,
    BODY,
    FIELD,
    MEASURE,
    NOTHING,
    PRIMARY,
    SPECIAL,
    USAGE,
    Op,
)

Fields = dict[str, Any]


class Draft:
    """`fields` are event fields as JSON values; `usage` are token totals by slot; `bodies` what was said, by key."""

    __slots__ = ("attributes", "bodies", "fields", "measures", "special", "targets", "usage", "won")

    def __init__(self) -> None:
        self.fields: Fields = {}
        self.attributes: dict[str, str] = {}
        self.measures: dict[str, float] = {}
        self.usage: dict[str, int] = {}
        self.special: dict[str, Any] = {}
        self.bodies: dict[str, Any] = {}
        self.won: dict[str, Op] = {}
        self.targets: tuple[dict[str, Any], ...] = (
            self.fields,
            self.attributes,
            self.measures,
            self.usage,
            self.special,
            self.bodies,
            {},
        )

    def put(self, op: Op) -> None:
        where, slot, value, rank, key, own = op
        target = self.targets[where]
        if slot in target:
            self.clash(op)
            return
        target[slot] = value
        if rank != 1:
            self.won[slot] = op
        if own is not None:
            self.attributes[key] = own

    def clash(self, op: Op) -> None:
        """A second attribute for a slot: the better key wins, the other keeps its own name if it says something else."""
        where, slot, value, rank, key, own = op
        target = self.targets[where]
        if where not in (FIELD, USAGE):
            target[slot] = value
            return
        before = self.won.get(slot)
        if rank >= (before[3] if before else 1):
            self._keep(key, value if own is None else own, value == target[slot])
            return
        loser_key = before[4] if before else PRIMARY.get(slot, slot)
        self._keep(loser_key, target[slot], value == target[slot] or loser_key in self.attributes)
        target[slot] = value
        self.won[slot] = op
        if own is not None:
            self.attributes[key] = own

    def _keep(self, key: str, value: Any, same: bool) -> None:
        if same:
            return
        if isinstance(value, int | float):
            self.measures.setdefault(key, float(value))
        else:
            self.attributes.setdefault(key, value if isinstance(value, str) else str(value))


__all__ = ["ATTRIBUTE", "BODY", "FIELD", "MEASURE", "NOTHING", "SPECIAL", "USAGE", "Draft", "Fields"]
