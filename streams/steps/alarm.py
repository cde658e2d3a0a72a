"""The state machine of an alert, window by window. Pure: a point and a verdict give the next point.

    breach        the value is over the threshold          ok, resolved, ... -> pending -> firing
    between       under the threshold, over the clear mark  firing stays; all else -> ok
    clear         at or under the clear mark                firing -> resolved; pending, insufficient -> ok
    little        too few samples                           after `hold_windows` in a row -> insufficient; else as it was
    nothing       no data of any kind                       an alert at rest stays as it was; for others the same as little

So an alert that fires is put to rest by the first clear window, or, when no more data come, by `hold_windows` empty ones.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import IntEnum

from msgspec import Struct

from waterline.schemas.alerts import AlertState
from waterline.streams.steps.rules import Rule


class Verdict(IntEnum):
    CLEAR = 0
    BETWEEN = 1
    BREACH = 2
    LITTLE = 3


class Point(Struct, array_like=True, frozen=True):
    """Where an alert stands after a window. `streak`: breaches in a row; `held`: windows in a row with too little data."""

    state: AlertState = AlertState.OK
    streak: int = 0
    held: int = 0


START = Point()
REST = frozenset({AlertState.OK, AlertState.RESOLVED, AlertState.INSUFFICIENT, AlertState.NO_DATA})


class Said(Struct, array_like=True):
    """A transition as it was last told, of the window whose last pane begins at `start`. Times are microseconds."""

    transition: int
    start: int
    previous: AlertState
    state: AlertState
    at: int
    opened_at: int | None
    revision: int = 1
    value: Decimal | None = None
    threshold: Decimal | None = None
    samples: int = 0
    provisional: bool = False


class Alarm(Struct, array_like=True):
    """What is kept of an alert. `base` is its point before the oldest window that can still change, `told` its state as last
    told, `fired` the windows that can still change after which it was told as firing, `said` what was told of such windows.
    Times are microseconds."""

    base: Point = START
    told: AlertState = AlertState.OK
    transition: int = 0
    opened_at: int | None = None
    provisional: int | None = None
    fired: list[int] = []
    said: list[Said] = []


def step(point: Point, verdict: Verdict, rule: Rule) -> Point:
    state = point.state
    if verdict is Verdict.LITTLE:
        held = point.held + 1
        return Point(AlertState.INSUFFICIENT if held >= rule.hold_windows else state, 0, held)
    if verdict is Verdict.BREACH:
        streak = point.streak + 1
        fires = state is AlertState.FIRING or streak >= rule.for_windows
        return Point(AlertState.FIRING if fires else AlertState.PENDING, streak)
    if state is AlertState.FIRING:
        return Point(AlertState.RESOLVED if verdict is Verdict.CLEAR else state)
    return Point(AlertState.RESOLVED if state is AlertState.RESOLVED else AlertState.OK)


def alike(state: AlertState, told: AlertState) -> bool:
    """Whether a receiver would see no difference: an alert that resolved is as good as one that never fired."""
    return state is told or {state, told} == {AlertState.OK, AlertState.RESOLVED}


def walk(
    base: Point,
    starts: Sequence[int],
    length: int,
    says: Callable[[int], bool],
    verdict: Callable[[int], Verdict],
    rule: Rule,
) -> tuple[list[tuple[int, Point]], list[int]]:
    """The point after each of the windows that begin at `starts`, in order, and of those between them that are judged although
    they are not there; the latter once more. An alert at rest passes over windows that have nothing to say."""
    points: list[tuple[int, Point]] = []
    between: list[int] = []
    point = base
    for start in starts:
        for at in range(points[-1][0] + length if points else start, start + length, length):
            if point.state not in REST or says(at):
                point = step(point, verdict(at), rule)
                if at < start:
                    between.append(at)
                    points.append((at, point))
        points.append((start, point))
    return points, between
