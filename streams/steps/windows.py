"""Windows of event time: what they hold, how time passes them, and how long they can be corrected.

A window begins at a multiple of its length since 1970 and is over when the watermark has come to its end. The watermark is the
least of what the partitions upstream have come to, less the lateness that is allowed (none for a replay, which brings its own
time). For `KEPT` after its end, what comes for a window corrects what was said; then it is settled. It stays for as long as a
later window is compared with it.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import IntEnum
from itertools import islice
from typing import Self

import msgspec
from msgspec import Struct

from waterline.schemas.events import Clock as event_clock
from waterline.schemas.facts import Mark
from waterline.streams.steps.agenda import Agenda
from waterline.streams.steps.examples import EXAMPLES, Ranked, keys, put, raised
from waterline.streams.steps.moment import HOUR, SECOND
from waterline.streams.steps.rules import MEASURE, Rules
from waterline.streams.steps.sketch import Sketch

KEPT = HOUR
ALL = 2**62
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Sketch).decode


class Age(IntEnum):
    OPEN = 0
    OVER = 1
    SETTLED = 2


class Cell(Struct, array_like=True):
    """One window of one series. `model_ms` are durations of model calls in milliseconds, `nanos` the cost of decisions in
    nano-dollars; `examples` are decision keys by field. Of a settled window the durations are `packed`. `slowest` are the
    decisions with the slowest model calls, in milliseconds, `dearest` those that cost most, in nano-dollars; the latter are known
    where a rule shows them."""

    age: Age = Age.OPEN
    calls: int = 0
    errors: int = 0
    model_calls: int = 0
    decisions: int = 0
    escalated: int = 0
    reviewed: int = 0
    overturned: int = 0
    unpriced: int = 0
    nanos: int = 0
    model_ms: Sketch = {}
    examples: dict[str, list[str]] = {}
    events: int = 0
    missing: int = 0
    packed: bytes = b""
    slowest: Ranked[float] | None = None
    dearest: Ranked[int] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing happened in it: it is there because an alert waits for it."""
        return not (self.calls or self.model_calls or self.decisions or self.events)

    def unpacked(self) -> Sketch:
        """The durations, to be changed."""
        if self.packed:
            self.model_ms, self.packed = _unpack(self.packed), b""
        return self.model_ms

    def pack(self) -> None:
        """Durations that will hardly change again take a tenth of the memory."""
        if self.model_ms:
            self.packed, self.model_ms = _pack(self.model_ms), {}

    def sketch(self) -> Sketch:
        """The durations, to be read."""
        return _unpack(self.packed) if self.packed else self.model_ms

    def show(self, field: str, decision_key: str, sign: int) -> None:
        """Remember, or forget, a decision as an example of what `field` counts."""
        shown = self.examples.setdefault(field, [])
        if sign < 0:
            if decision_key in shown:
                shown.remove(decision_key)
        elif len(shown) < EXAMPLES and decision_key not in shown:
            shown.append(decision_key)

    def costs(self, decision_key: str, nanos: int) -> None:
        """A decision of this window costs so much now, all in all; nothing: it is none of this window any more."""
        if self.dearest is not None:
            put(self.dearest, (nanos, decision_key))

    def forget(self, length: int, shown: "Shown") -> None:
        """What is no part of anything that is still told needs no examples."""
        self.examples = {field: known for field, known in self.examples.items() if (field, length) in shown.panes}
        if ("model_ms", length) not in shown.panes:
            self.slowest = None
        if ("nanos", length) not in shown.panes:
            self.dearest = None


class Shown(Struct, frozen=True):
    """Which examples the rules in force tell: the lengths of windows of which they show the dearest decisions, and the fields and
    lengths of those that are panes of longer ones, so that they are shown long after their end."""

    dearest: frozenset[int] = frozenset()
    panes: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def of(cls, rules: Rules) -> Self:
        parts = [(MEASURE[rule.measure].part, rule.window_s * SECOND, rule.panes > 1) for rule in rules.rules]
        return cls(
            frozenset(length for part, length, _ in parts if part == "nanos"),
            frozenset((part, length) for part, length, panes in parts if panes),
        )


def examples(part: str, cells: Sequence[Cell]) -> list[str]:
    """Decisions that stand for what `part` of the cells comes to: the slowest, the dearest, else those that came first."""
    if part == "model_ms":
        slowest: Ranked[float] = []
        for one in (one for cell in cells for one in cell.slowest or ()):
            raised(slowest, one)
        return keys(slowest)
    if part == "nanos":
        dearest: Ranked[int] = []
        for known in (known for cell in cells for known in cell.dearest or ()):
            raised(dearest, known)
        return keys(dearest)
    return list(islice((key for cell in cells for key in cell.examples.get(part, ())), EXAMPLES))


class Series(Struct, frozen=True, order=True):
    """What a window is about: `by` says what `names` are, as in a rule. A replay's windows are their own."""

    tenant: str
    by: tuple[str, ...]
    names: tuple[str, ...]
    replay: bool = False

    @property
    def group(self) -> dict[str, str]:
        """As alerts name it."""
        group = dict(zip(self.by, self.names, strict=True))
        return group | {"clock": event_clock.REPLAY.value} if self.replay else group

    @property
    def key(self) -> bytes:
        """Of its state."""
        return "\x1f".join((self.tenant, *self.by, *self.names, "r" if self.replay else "")).encode()

    @property
    def about(self) -> str:
        """For a sentence: an agent by its name, and its tool; anything else with what it is."""
        first, *rest = self.names
        return ", ".join([first if self.by[0] == "agent" else f"{self.by[0]} {first}", *rest]) + ("," if rest else "")


class WindowKey(Struct, frozen=True, order=True):
    """`length` and `start` in microseconds."""

    series: Series
    length: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.length


def first_of_each(keys: Iterable[WindowKey]) -> list[WindowKey]:
    """The earliest window of each series and length: an alert walks on from there over all that follow."""
    first: dict[tuple[Series, int], WindowKey] = {}
    for key in sorted(keys, reverse=True):
        first[key.series, key.length] = key
    return list(first.values())


class Clock:
    """The watermark of one kind of time, from the marks of `sources` partitions."""

    def __init__(self, sources: int, lateness: int) -> None:
        self.sources, self.lateness = sources, lateness
        self.marks: dict[int, int] = {}

    def mark(self, mark: Mark) -> None:
        self.marks[mark.source] = max(mark.now, self.marks.get(mark.source, 0))

    @property
    def watermark(self) -> int:
        """Microseconds; 0 while a source has not been heard of."""
        return min(self.marks.values()) - self.lateness if len(self.marks) >= self.sources else 0

    @property
    def heard(self) -> int:
        """The latest that any source has come to."""
        return max(self.marks.values(), default=0)


class Kept(Struct):
    """Of one series and length: the starts of windows that are over and can still be corrected, in order, and how many windows
    are not settled."""

    over: list[int] = []
    young: int = 0


class Known(Struct):
    """What rules compare a series with, by the rule's name: drawn from windows that end by `until`."""

    until: int
    values: dict[str, Decimal | None]


class Windows:
    """All windows that are open, can be corrected or are compared with. `reach`: by length, how long after it is settled a
    window is compared with. `shown`: the examples that are told."""

    def __init__(self) -> None:
        self.cells: dict[WindowKey, Cell] = {}
        self.touched: set[WindowKey] = set()
        self.gone: set[WindowKey] = set()
        self.reach: dict[int, int] = {}
        self.shown = Shown()
        self._agendas: tuple[Agenda[WindowKey], Agenda[WindowKey]] = (Agenda(SECOND), Agenda(SECOND))
        self._kept: dict[tuple[Series, int], Kept] = {}
        self.baselines: dict[Series, Known] = {}

    def enter(self, key: WindowKey, cell: Cell) -> None:
        self.cells[key] = cell
        if cell.age is not Age.SETTLED:
            if (kept := self._kept.get((key.series, key.length))) is None:
                kept = self._kept[key.series, key.length] = Kept(over=[])
            kept.young += 1
            if cell.age is Age.OVER:
                insort(kept.over, key.start)
        self._agendas[key.series.replay].add(self._next(key, cell), key)

    def _next(self, key: WindowKey, cell: Cell) -> int:
        """When it grows older."""
        later = (0, KEPT, KEPT + self.reach.get(key.length, 0))
        return key.end + later[cell.age]

    def open(self, key: WindowKey, watermark: int) -> Cell | None:
        """A window that is settled takes in what comes for it, for the windows after it that it is a part of."""
        if key.end + KEPT + self.reach.get(key.length, 0) <= watermark:
            return None
        if (known := self.baselines.get(key.series)) is not None and key.end <= known.until:
            del self.baselines[key.series]
        cell = self.cells.get(key)
        if cell is None:
            cell = Cell(Age.SETTLED if key.end + KEPT <= watermark else Age.OPEN, model_ms={}, examples={})
            self.enter(key, cell)
            self.gone.discard(key)
        if cell.dearest is None and key.length in self.shown.dearest and cell.age is not Age.SETTLED:
            cell.dearest = []
        self.touched.add(key)
        return cell

    def due(self, replay: bool, watermark: int) -> Iterator[tuple[WindowKey, Cell]]:
        """Windows that grow older as the watermark passes, in order of time: over, settled, gone."""
        agenda = self._agendas[replay]
        for key in agenda.due(watermark, ALL):
            cell = self.cells.get(key)
            if cell is None:
                continue
            if (due := self._next(key, cell)) > agenda.at:  # entered before it was known what it is compared with
                agenda.add(due, key)
                continue
            if cell.age is Age.SETTLED:
                self.drop(key)
                continue
            settles = cell.age is Age.OVER
            self._grow(key, cell)
            self.touched.add(key)
            agenda.add(self._next(key, cell), key)
            yield key, cell
            if settles:
                cell.forget(key.length, self.shown)

    def over(self, series: Series, length: int) -> list[int]:
        """Starts of the windows that are over and can still be corrected, in order."""
        kept = self._kept.get((series, length))
        return kept.over if kept is not None else []

    def unsettled(self, series: Series, length: int) -> bool:
        """Whether a window is open or can still be corrected."""
        return (series, length) in self._kept

    def _grow(self, key: WindowKey, cell: Cell) -> None:
        """Open, over, settled."""
        kept = self._kept[key.series, key.length]
        if cell.age is Age.OPEN:
            cell.age = Age.OVER
            insort(kept.over, key.start)
            return
        cell.age = Age.SETTLED
        cell.pack()
        del kept.over[bisect_left(kept.over, key.start)]
        kept.young -= 1
        if not kept.young:
            del self._kept[key.series, key.length]

    def drop(self, key: WindowKey) -> None:
        cell = self.cells.pop(key)
        while cell.age is not Age.SETTLED:
            self._grow(key, cell)
        self.touched.discard(key)
        self.baselines.pop(key.series, None)
        self.gone.add(key)
