"""The leaves of one decision beside each other: what counts, what is a wrapper or a copy of another, and the sums.

The verdicts are a function of the set of leaves, not of their order:
- Calls that carry the same response id are one call. The priced one counts before the unpriced and the one without usage,
  then the one of the preferred side (setting `price_from`), then the first by (ts, event_id); the others are duplicates.
- A call of the other side that shares no response id with a call of the preferred side is a duplicate too where it cannot be
  told apart: the preferred side has calls with usage in the decision, and it or one of them has no response id.
- A call whose span is the parent of another call with usage, that is no duplicate, is a wrapper.
- What comes after the first overturn, in event time, is rework.
"""

from waterline.schemas.facts import Component, PriceState
from waterline.streams.steps.entry import KIND_BITS, Entry, Leaf
from waterline.streams.steps.moment import NEVER

PRICED, UNPRICED, NO_USAGE = PriceState.PRICED.value, PriceState.UNPRICED.value, PriceState.NO_USAGE.value
WRAPPER, DUPLICATE = PriceState.WRAPPER.value, PriceState.DUPLICATE.value
MODEL, TOOL, RETRIEVAL, HUMAN = (part.value for part in (Component.MODEL, Component.TOOL, Component.RETRIEVAL, Component.HUMAN))
_WORTH = {PRICED: 0, UNPRICED: 1, NO_USAGE: 2}


class _Response:
    """Calls with one response id: the one that counts, and whether a call of the preferred side is among them."""

    __slots__ = ("best", "preferred")

    def __init__(self, best: Entry, preferred: bool) -> None:
        self.best, self.preferred = best, preferred


class _Side:
    """Calls of the preferred side that have usage, and calls of the other side, of one kind."""

    __slots__ = ("nameless", "others", "preferred")

    def __init__(self) -> None:
        self.preferred = self.nameless = 0
        self.others: dict[str, Entry] = {}


class Ledger:
    """Sums are nano-dollars and tokens. `dirty` holds the leaves whose fact has to be told (again)."""

    __slots__ = (
        "_by_span",
        "_responses",
        "_settled",
        "_sides",
        "_under",
        "_wrapping",
        "cache_read",
        "cache_write",
        "cost",
        "dirty",
        "entries",
        "gateway_first",
        "input",
        "model_calls",
        "no_usage",
        "output",
        "overturned_at",
        "reasoning",
        "reported",
        "reports",
        "rework",
        "unpriced",
    )

    def __init__(self, price_from: str) -> None:
        self.gateway_first = price_from == "gateway"
        self.entries: dict[str, Entry] = {}
        self.dirty: dict[str, Entry] = {}
        self.overturned_at = NEVER
        self.cost = {MODEL: 0, TOOL: 0, RETRIEVAL: 0, HUMAN: 0}
        self.rework = self.reported = self.reports = self.unpriced = self.no_usage = self.model_calls = 0
        self.input = self.cache_read = self.cache_write = self.output = self.reasoning = 0
        self._responses: dict[str, _Response] = {}
        self._by_span: dict[str, list[Entry]] = {}
        self._under: dict[str, dict[str, Entry]] = {}
        self._wrapping: set[str] = set()
        self._sides: dict[int, _Side] = {}
        self._settled = 0

    def add(self, entry: Entry) -> None:
        """Take in an entry that has a leaf. Work is constant, but for the few leaves whose verdict it changes."""
        leaf = entry.leaf
        assert leaf is not None
        told = leaf.state
        leaf.state = leaf.base
        self.entries[entry.event_id] = entry
        self._count(entry, leaf, 1)
        if leaf.call:
            self._judge(self._place(entry, leaf))
        if leaf.state != told:
            self.dirty[entry.event_id] = entry

    def settle(self, told: dict[str, str]) -> None:
        """All of these leaves were told, as what counts by their id: only what counts differently now is dirty."""
        self.dirty = {
            event_id: entry
            for event_id, entry in self.dirty.items()
            if entry.leaf is not None and entry.leaf.state != told.get(event_id)
        }

    def overturn(self, ts: int) -> None:
        """The decision was overturned at `ts`; only the first time counts."""
        if ts < self.overturned_at:
            self.overturned_at = ts
            later = (entry.leaf for entry in self.entries.values() if entry.ts > ts)
            self.rework = self._settled + sum(leaf.cost for leaf in later if leaf is not None and leaf.state == PRICED)

    def forget(self, entry: Entry) -> None:
        """Let go of a leaf that is too old to be judged again; its sums stay."""
        leaf = entry.leaf
        if leaf is None or self.entries.pop(entry.event_id, None) is None:
            return
        if leaf.state == PRICED and entry.ts > self.overturned_at:
            self._settled += leaf.cost
        if not leaf.call:
            return
        if left := [other for other in self._by_span.pop(leaf.span, ()) if other is not entry]:
            self._by_span[leaf.span] = left
        self._under.get(leaf.parent, {}).pop(entry.event_id, None)
        if leaf.parent and leaf.state != DUPLICATE and leaf.base != NO_USAGE:
            self._wrapping.add(leaf.parent)
        if leaf.response_id and (response := self._responses.get(leaf.response_id)) is not None and response.best is entry:
            del self._responses[leaf.response_id]
        if not self._preferred(leaf):
            self._sides[entry.flags & KIND_BITS].others.pop(entry.event_id, None)

    def _place(self, entry: Entry, leaf: Leaf) -> list[Entry]:
        """Index a call; the calls whose verdict may change by it, itself first."""
        touched = [entry]
        preferred = self._preferred(leaf)
        if leaf.response_id:
            response = self._responses.get(leaf.response_id)
            if response is None:
                self._responses[leaf.response_id] = _Response(entry, preferred)
            else:
                touched.append(response.best)
                if self._rank(entry) < self._rank(response.best):
                    response.best = entry
                response.preferred |= preferred
        kind = entry.flags & KIND_BITS
        side = self._sides.get(kind)
        if side is None:
            side = self._sides[kind] = _Side()
        if not preferred:
            side.others[entry.event_id] = entry
        elif leaf.base != NO_USAGE:
            side.preferred += 1
            side.nameless += not leaf.response_id
            if side.preferred == 1 or (side.nameless == 1 and not leaf.response_id):
                touched += side.others.values()
        if leaf.span:
            if (same := self._by_span.get(leaf.span)) is None:
                self._by_span[leaf.span] = [entry]
            else:
                same.append(entry)
        if leaf.parent:
            self._under.setdefault(leaf.parent, {})[entry.event_id] = entry
            touched += self._by_span.get(leaf.parent, ())
        return touched

    def _judge(self, touched: list[Entry]) -> None:
        while touched:
            entry = touched.pop()
            leaf = entry.leaf
            assert leaf is not None
            verdict = self._verdict(entry, leaf)
            if verdict != leaf.state:
                self._count(entry, leaf, -1)
                leaf.state = verdict
                self._count(entry, leaf, 1)
                self.dirty[entry.event_id] = entry
                if leaf.parent:
                    touched += self._by_span.get(leaf.parent, ())

    def _verdict(self, entry: Entry, leaf: Leaf) -> str:
        response = self._responses.get(leaf.response_id) if leaf.response_id else None
        if response is not None and response.best is not entry and self._rank(response.best) < self._rank(entry):
            return DUPLICATE
        if not self._preferred(leaf) and not (response is not None and response.preferred):
            side = self._sides[entry.flags & KIND_BITS]
            if side.preferred and (side.nameless or not leaf.response_id):
                return DUPLICATE
        if not leaf.span:
            return leaf.base
        if leaf.span in self._wrapping:
            return WRAPPER
        for child in self._under.get(leaf.span, {}).values():
            below = child.leaf
            if below is not None and child is not entry and below.state != DUPLICATE and below.base != NO_USAGE:
                return WRAPPER
        return leaf.base

    def _preferred(self, leaf: Leaf) -> bool:
        return leaf.gateway == self.gateway_first

    def _rank(self, entry: Entry) -> tuple[int, bool, int, str]:
        leaf = entry.leaf
        assert leaf is not None
        return _WORTH[leaf.base], not self._preferred(leaf), entry.ts, entry.event_id

    def _count(self, entry: Entry, leaf: Leaf, sign: int) -> None:
        state = leaf.state
        if state in (WRAPPER, DUPLICATE):
            return
        if state == PRICED:
            cost = sign * leaf.cost
            self.cost[leaf.component] += cost
            if entry.ts > self.overturned_at:
                self.rework += cost
        elif state == UNPRICED:
            self.unpriced += sign
        else:
            self.no_usage += sign
        if leaf.reported is not None:
            self.reported += sign * leaf.reported
            self.reports += sign
        if leaf.call:
            self._count_tokens(leaf, sign)

    def _count_tokens(self, leaf: Leaf, sign: int) -> None:
        if leaf.component == MODEL:
            self.model_calls += sign
        self.reasoning += sign * leaf.reasoning
        for name, count in leaf.tokens.items():
            if name == "tokens_input" or name == "tokens_input_audio" or name == "tokens_input_image":
                self.input += sign * count
            elif name.startswith("tokens_output") or name == "tokens_reasoning":
                self.output += sign * count
            elif name.startswith("tokens_cache_read"):
                self.cache_read += sign * count
            elif name.startswith("tokens_cache_write"):
                self.cache_write += sign * count
