"""Windows of event time: what they hold, how time passes them, and how long they can be corrected.

A window begins at a multiple of its length since 1970 and is over when the watermark has come to its end. The watermark is the
least of what the partitions upstream have come to, less the lateness that is allowed (none for a replay, which brings its own
time). A window is kept for `KEPT` after its end: what comes for it in that time corrects what was said.
"""

from collections.abc import Iterator

from msgspec import Struct

from waterline.schemas.facts import Mark
from waterline.streams.steps.agenda import Agenda
from waterline.streams.steps.moment import HOUR, SECOND
from waterline.streams.steps.sketch import Sketch

KEPT = HOUR
EXAMPLES = 5
ALL = 2**62


class Cell(Struct, array_like=True):
    """One window of one series. `durations` of model calls, in milliseconds; `examples` are decision keys by field."""

    over: bool = False
    calls: int = 0
    errors: int = 0
    model_calls: int = 0
    decisions: int = 0
    escalated: int = 0
    reviewed: int = 0
    overturned: int = 0
    unpriced: int = 0
    tokens: int = 0
    model_ms: Sketch = {}
    examples: dict[str, list[str]] = {}

    def show(self, field: str, decision_key: str, sign: int) -> None:
        """Remember, or forget, a decision as an example of what `field` counts."""
        shown = self.examples.setdefault(field, [])
        if sign < 0:
            if decision_key in shown:
                shown.remove(decision_key)
        elif len(shown) < EXAMPLES and decision_key not in shown:
            shown.append(decision_key)


class Series(Struct, frozen=True, order=True):
    """What a window is about. An empty `tool` means the agent as a whole. A replay's windows are their own."""

    tenant: str
    agent: str
    tool: str = ""
    replay: bool = False


class WindowKey(Struct, frozen=True, order=True):
    """`length` and `start` in microseconds."""

    series: Series
    length: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.length


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


class Windows:
    """All windows that are open or can still be corrected."""

    def __init__(self) -> None:
        self.cells: dict[WindowKey, Cell] = {}
        self.touched: set[WindowKey] = set()
        self.gone: set[WindowKey] = set()
        self._agendas: tuple[Agenda[WindowKey], Agenda[WindowKey]] = (Agenda(SECOND), Agenda(SECOND))
        self._kept: dict[tuple[Series, int], list[int]] = {}

    def load(self, key: WindowKey, cell: Cell) -> None:
        self._enter(key, cell)

    def _enter(self, key: WindowKey, cell: Cell) -> None:
        self.cells[key] = cell
        self._kept.setdefault((key.series, key.length), []).append(key.start)
        self._agendas[key.series.replay].add(key.end + (KEPT if cell.over else 0), key)

    def at(self, series: Series, length: int, time: int, watermark: int) -> Cell | None:
        """The cell of the window that `time` falls into, to be changed; None when it can be corrected no more."""
        return self.open(WindowKey(series, length, time - time % length), watermark)

    def open(self, key: WindowKey, watermark: int) -> Cell | None:
        cell = self.cells.get(key)
        if cell is None:
            if key.end + KEPT <= watermark:
                return None
            cell = Cell(model_ms={}, examples={})
            self._enter(key, cell)
            self.gone.discard(key)
        self.touched.add(key)
        return cell

    def due(self, replay: bool, watermark: int) -> Iterator[WindowKey]:
        """Windows that the watermark has passed: each once when it is over, and once more, as the last, when it is let go."""
        agenda = self._agendas[replay]
        for key in agenda.due(watermark, ALL):
            if key in self.cells:
                if not self.cells[key].over:
                    agenda.add(key.end + KEPT, key)
                yield key

    def over(self, series: Series, length: int) -> list[int]:
        """Starts of the kept windows that are over, in order."""
        starts = sorted(self._kept.get((series, length), ()))
        return [start for start in starts if self.cells[WindowKey(series, length, start)].over]

    def drop(self, key: WindowKey) -> None:
        del self.cells[key]
        starts = self._kept[key.series, key.length]
        starts.remove(key.start)
        if not starts:
            del self._kept[key.series, key.length]
        self.touched.discard(key)
        self.gone.add(key)
