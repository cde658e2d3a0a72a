"""One record on its way to being an event: attributes go in as they come, first match wins, and a line comes out."""

from typing import Any

from waterline.connectors.sources.collector.dialects.plan import (
    ATTRIBUTE,
    BODY,
    FIELD,
    FIRST,
    MEASURE,
    NOTHING,
    PRIMARY,
    SPECIAL,
    USAGE,
    More,
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
        self.won: dict[str, More] = {}
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
        """Take an attribute. Of two for one slot the better key wins; the other keeps its own name if it says something else."""
        where, slot, value, more = op
        target = self.targets[where]
        if slot not in target or where not in (FIELD, USAGE):
            target[slot] = value
            if more is not None:
                self._note(slot, more)
            return
        rank, key, own = more or (FIRST, PRIMARY[slot], None)
        before_rank, before_key, _ = self.won.get(slot) or (FIRST, PRIMARY.get(slot, slot), None)
        same = value == target[slot]
        if rank >= before_rank:
            self._keep(key, value if own is None else own, same)
            return
        self._keep(before_key, target[slot], same or before_key in self.attributes)
        target[slot] = value
        self._note(slot, (rank, key, own))

    def _note(self, slot: str, more: More) -> None:
        self.won[slot] = more
        if more[2] is not None:
            self.attributes[more[1]] = more[2]

    def _keep(self, key: str, value: Any, same: bool) -> None:
        if same:
            return
        if isinstance(value, int | float):
            self.measures.setdefault(key, float(value))
        else:
            self.attributes.setdefault(key, value if isinstance(value, str) else str(value))


__all__ = ["ATTRIBUTE", "BODY", "FIELD", "MEASURE", "NOTHING", "SPECIAL", "USAGE", "Draft", "Fields"]
