"""When the recorded runs take place: laid one after another over the last 30 days, and cut into windows to be sent."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from waterline.replay.recording import Run
from waterline.replay.telemetry import Item, items_of

SPAN = timedelta(days=30)
AFTERMATH = timedelta(hours=2)
"""Longer than any run with its review and verdict takes, so that nothing lies in the future."""


class Window(Struct, frozen=True):
    """What was told in (`until` - length, `until`], in order."""

    until: datetime
    items: list[Item]


def lay_out(count: int, now: datetime, start: datetime | None, spacing: timedelta | None) -> tuple[datetime, timedelta]:
    """Start of the first run and time between starts. By default the runs fill the 30 days before `now`; a spacing alone
    ends them just before `now`, a start alone fills the time from there to `now`."""
    end = now - AFTERMATH
    if spacing is None:
        spacing = (end - (start or now - SPAN)) / max(count, 1)
    if start is None:
        start = end - spacing * count
    return start.astimezone(UTC).replace(microsecond=0), spacing


def items_in_order(runs: Sequence[Run], start: datetime, spacing: timedelta, seed: int) -> list[Item]:
    """Everything that is told about all runs, by when it is told; the order of what is told at once is kept."""
    items = [item for at, run in enumerate(runs) for item in items_of(run, start + at * spacing, seed)]
    return sorted(items, key=lambda item: item.at)


def windows(items: Iterable[Item], length: timedelta) -> Iterator[Window]:
    """Cut `items` (in order) at multiples of `length` since the first; empty windows are left out."""
    held: list[Item] = []
    until: datetime | None = None
    for item in items:
        if until is None:
            until = item.at + length
        elif item.at > until:
            yield Window(until, held)
            held = []
            until += length * -(-(item.at - until) // length)
        held.append(item)
    if until is not None:
        yield Window(until, held)
