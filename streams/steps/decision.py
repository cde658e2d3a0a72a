"""One decision: what its events add up to, whatever order they came in.

The state is the entries of the distinct events; all else is drawn from them and can be drawn again. So applying, applying
again, splitting and merging give the same fact: `snapshot(merge(a, b)) == snapshot(apply(... all events ...))`.

- An event id counts once, the first copy wins. The newest `decision_ids` events are remembered; a copy that comes after more
  than that many others counts again. Leaves that old are no longer judged beside new ones, but stay in the sums.
- Fields of belonging are those of the first event, by (ts, event_id), that says so. Verdict, reviewer and outcome are of the
  last that says so; output class and confidence too, but events of kind `decision` go before all others.
- Any verdict but `approve` overturns the decision, at the `ts` of the event that brings it.
"""

from typing import Any

from msgspec import Struct

from waterline.schemas.events import Event, Kind, Status, Verdict
from waterline.schemas.facts import Standing
from waterline.schemas.faults import Guard, without
from waterline.streams.steps.cost import leaf_of, review_ms
from waterline.streams.steps.entry import (
    ESCALATED,
    FAILED,
    KIND_BITS,
    KINDS,
    OVERTURNED,
    RESOLVED,
    RETRIED,
    Chunk,
    Entry,
)
from waterline.streams.steps.ledger import Ledger
from waterline.streams.steps.moment import END, NEVER, micros
from waterline.streams.steps.prices import PriceBook
from waterline.streams.steps.resolution import Resolution
from waterline.streams.steps.trail import Trail

FIRST = (
    "agent",
    "agent_version",
    "team",
    "environment",
    "session_id",
    "task",
    "subject",
    "actor",
    "artifact_id",
    "stage",
    "decision_id",
    "escalation_reason",
)
_KIND = {kind: index for index, kind in enumerate(KINDS)}
_REVIEW, _DECISION, _ESCALATION = _KIND[Kind.REVIEW], _KIND[Kind.DECISION], _KIND[Kind.ESCALATION]
_CORRECTION = _KIND[Kind.CORRECTION]
_TOOL, _RETRIEVAL = _KIND[Kind.TOOL_CALL], _KIND[Kind.RETRIEVAL]
_FIRST_WINS = not without(Guard.FIRST_WINS)

Order = tuple[int, str]
Saying = tuple[Any, Any]


class Life(Struct, array_like=True):
    """What of a decision is not in its entries. `retractions` is what the revision is ahead of the events by, `told` the
    revision that was told last, `news` the latest event time, `received` the latest record's time, `expires` the day marked."""

    entries: int = 0
    chunks: int = 0
    retractions: int = 0
    merged_into: str = ""
    aliases: list[str] = []
    absorbed: list[str] = []
    news: int = 0
    received: int = 0
    replay: bool = False
    expires: int = 0
    told: int = 0
    published: Standing | None = None


class Decision:
    """The state of one decision: its `trail` of entries, and what is drawn from them."""

    __slots__ = (
        "began",
        "corrected_at",
        "corrections",
        "ended",
        "errors",
        "escalated",
        "first",
        "keep",
        "key",
        "last",
        "latest_first",
        "ledger",
        "life",
        "price_from",
        "resolution",
        "retries",
        "retrievals",
        "reviews",
        "started",
        "synthetic",
        "tenant",
        "tool_calls",
        "tool_errors",
        "trail",
        "unsaid",
    )

    def __init__(self, tenant: str, key: str, price_from: str = "agent", keep: int = 10_000) -> None:
        self.tenant, self.key, self.keep = tenant, key, keep
        self.price_from = price_from
        self.life = Life()
        self.clear()

    def clear(self) -> None:
        """As before the first event."""
        self.life.entries = 0
        self.trail = Trail()
        self.first: dict[str, tuple[Order, str]] = {}
        self.last: dict[str, Saying] = {}
        self.unsaid: tuple[str, ...] = FIRST
        self.latest_first: Order = (-1, "")
        self.started = self.began = NEVER
        self.ended = 0
        self.escalated = False
        self.tool_calls = self.tool_errors = self.retrievals = self.errors = self.retries = self.reviews = 0
        self.synthetic: set[str] = set()
        self.corrections: set[str] = set()
        self.corrected_at = NEVER
        self.ledger = Ledger(self.price_from)
        self.resolution = Resolution()

    @property
    def overturned(self) -> bool:
        return self.ledger.overturned_at != NEVER

    @property
    def revision(self) -> int:
        return self.life.entries + self.life.retractions

    def apply(self, event: Event, ts: int, received: int, start: int, book: PriceBook) -> int:
        """Take in an event and return its end; 0 if it was there already. Times in microseconds: its `ts`, its receipt, and
        its `ts` as far as the receipt lets one believe it."""
        if event.event_id in self.trail.ids and _FIRST_WINS:
            return 0
        kind = _KIND[event.kind]
        flags = kind
        length = event.duration_ms
        if kind == _REVIEW:
            length = max(length, review_ms(event))
        if event.status is not Status.OK:
            flags |= FAILED
        if event.attempt > 1:
            flags |= RETRIED
        said = self._sayings(event, (ts, event.event_id))
        if event.review_verdict:
            said = _say(said, "review_verdict", event.review_verdict.value)
            if event.review_verdict is not Verdict.APPROVE:
                flags |= OVERTURNED
        if event.outcome:
            flags |= RESOLVED
            said = _say(said, "outcome", event.outcome.value)
        if kind == _ESCALATION or event.escalation_reason:
            flags |= ESCALATED
        leaf = None
        if (priced := leaf_of(event, ts, received, book)) is not None:
            leaf, price = priced
            if price is not None:
                self.trail.prices.setdefault(price.id, price)
        queue = min(max(0, micros(event.queue_entered_at)), END) if event.queue_entered_at is not None else 0
        end = min(ts + round(length * 1000), END)
        if event.synthetic_fields and not self.synthetic.issuperset(event.synthetic_fields):
            said = _say(said, "synthetic_fields", event.synthetic_fields)
        if event.correction_key:
            said = _say(said, "correction_key", event.correction_key)
        self._take(Entry(event.event_id, ts, end, start, flags, queue, said, leaf))
        return end or 1

    def merge(self, part: Chunk) -> bool:
        """Take in a part of the same decision; False if all of it was there already."""
        prices, entries = part
        before = self.life.entries
        self.trail.know(prices)
        for entry in entries:
            if entry.event_id not in self.trail.ids:
                if entry.leaf is not None:
                    entry.leaf.state, entry.leaf.spent = "", 0
                self._take(entry)
        return self.life.entries != before

    def restore(self, chunks: list[Chunk]) -> None:
        """Draw everything again from stored chunks."""
        told = {entry.event_id: entry.leaf.state for _, chunk in chunks for entry in chunk if entry.leaf is not None}
        self.life.entries = 0
        for prices, chunk in chunks:
            self.trail.know(prices)
            self.trail.open()
            for entry in chunk:
                self._take(entry)
        self.ledger.settle(told)
        self.trail.changed.clear()
        while len(self.trail.ids) > self.keep and self._seal():
            pass

    def _take(self, entry: Entry) -> None:
        self.trail.add(entry)
        self.life.entries += 1
        self._draw(entry)
        if len(self.trail.ids) > self.keep:
            self._seal()

    def _draw(self, entry: Entry) -> None:
        flags, ts = entry.flags, entry.ts
        kind = flags & KIND_BITS
        if ts < self.started:
            self.started = ts
        if entry.end > self.ended:
            self.ended = entry.end
        if entry.start < self.began:
            self.began = entry.start
        if flags > KIND_BITS:
            self._draw_flags(kind, flags, ts)
        if kind == _TOOL:
            self.tool_calls += 1
        elif kind == _RETRIEVAL:
            self.retrievals += 1
        elif kind == _REVIEW:
            self.reviews += 1
        elif kind == _CORRECTION and ts < self.corrected_at:
            self.corrected_at = ts
        if entry.said is not None:
            self._draw_sayings(entry, entry.said, kind)
        self.resolution.add(entry)
        if entry.leaf is not None:
            self.ledger.add(entry)

    def _draw_flags(self, kind: int, flags: int, ts: int) -> None:
        if flags & FAILED:
            self.errors += 1
            self.tool_errors += kind == _TOOL
        if flags & RETRIED:
            self.retries += 1
        if flags & ESCALATED:
            self.escalated = True
        if flags & OVERTURNED:
            self.ledger.overturn(ts)
            self.corrected_at = min(ts, self.corrected_at)

    def _sayings(self, event: Event, order: Order) -> dict[str, Any] | None:
        """Fields that this event may be the first or the last to say."""
        said: dict[str, Any] | None = None
        for name in self.unsaid if order > self.latest_first else FIRST:
            if value := getattr(event, name):
                said = _say(said, name, value)
        if event.reviewer:
            said = _say(said, "reviewer", event.reviewer)
        if event.output_class:
            said = _say(said, "output_class", event.output_class)
        if event.confidence is not None:
            said = _say(said, "confidence", event.confidence)
        return said

    def _draw_sayings(self, entry: Entry, said: dict[str, Any], kind: int) -> None:
        order = (entry.ts, entry.event_id)
        for name, value in list(said.items()):
            if name in _FIRST_NAMES:
                if (known := self.first.get(name)) is None or order < known[0]:
                    self.first[name] = (order, value)
                    continue
            elif name == "synthetic_fields":
                self.synthetic.update(value)
                continue
            elif name == "correction_key":
                self.corrections.add(value)
                continue
            else:
                rank = (kind == _DECISION, *order) if name in _OF_THE_DECISION else order
                if (latest := self.last.get(name)) is None or rank > latest[0]:
                    self.last[name] = (rank, value)
                    continue
            del said[name]
        self.unsaid = tuple(name for name in FIRST if name not in self.first)
        self.latest_first = max((order for order, _ in self.first.values()), default=(-1, ""))

    def _seal(self) -> bool:
        """Let the oldest entries go, if they can."""
        gone = self.trail.seal(self.ledger.dirty)
        for entry in gone:
            self.ledger.forget(entry)
        return bool(gone)


_FIRST_NAMES = frozenset(FIRST)
_OF_THE_DECISION = frozenset(("output_class", "confidence"))


def _say(said: dict[str, Any] | None, name: str, value: Any) -> dict[str, Any]:
    if said is None:
        return {name: value}
    said[name] = value
    return said
