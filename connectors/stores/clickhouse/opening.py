"""Taking a partition over: where to begin, what its copy window holds, and which rows of the open plan are there already.

Runs in a thread; everything is read from ClickHouse, given what Kafka knows (the committed position and its metadata).
"""

from typing import Protocol

from msgspec import Struct

from waterline.connectors.stores.clickhouse.batch import Form, Position
from waterline.connectors.stores.clickhouse.plan import Lane, PlanError, Range
from waterline.connectors.stores.clickhouse.window import Window
from waterline.schemas.faults import Guard, without


class Reader(Protocol):
    """ClickHouse, as far as opening needs it. All raise Transient."""

    def window_keys(self, form: Form, lane: Lane, before: int | None, size: int) -> bytes: ...

    def positions(self, form: Form, lane: Lane, first: int, last: int | None) -> frozenset[Position]: ...

    def listed(self, lane: Lane) -> int | None: ...


class Opening(Struct, frozen=True):
    """What Kafka says of a partition. `committed` is None when it knows no position, `begin` the first offset it holds."""

    lane: Lane
    form: Form
    committed: int | None
    begin: int
    plan: Range | None
    window: int


class Opened(Struct, frozen=True):
    """`start`: the offset to read from. `window` is None for a topic without copies."""

    start: int
    window: Window | None
    present: frozenset[Position]


def open_partition(store: Reader, opening: Opening) -> Opened:
    """Raises Transient, and PlanError when the ledger is ahead of the position.

    A committed position is where to go on. Without one (a new group, or its offsets were lost) the ledger knows: the
    offset after its last range. Rows beyond it are of a range that was not finished; they stay, and are not sent again.
    """
    lane, form, plan = opening.lane, opening.form, opening.plan
    listed = store.listed(lane) or 0
    if opening.committed is None:
        start = max(listed, opening.begin)
        return Opened(start, _window(store, opening, start), store.positions(form, lane, start, None))
    ahead = plan.next if plan else opening.committed
    if listed > ahead:
        raise PlanError(
            f"the position was moved back to {opening.committed}, but rows up to {listed - 1} are stored; commit {listed}"
        )
    present: frozenset[Position] = frozenset()
    if plan and not without(Guard.PRESENCE):
        present = store.positions(form, lane, plan.first, plan.last)
    return Opened(opening.committed, _window(store, opening, opening.committed), present)


def _window(store: Reader, opening: Opening, start: int) -> Window | None:
    if not opening.form.identity or without(Guard.WINDOW):
        return None
    window = Window(opening.window)
    if opening.window and not without(Guard.REBUILD):
        before = None if without(Guard.BELOW_FIRST) else start
        window.fill(store.window_keys(opening.form, opening.lane, before, opening.window))
    return window
