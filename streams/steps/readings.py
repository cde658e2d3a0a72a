"""What the kept windows say of one window under a rule: its panes, what it is compared with, its verdict."""

from collections.abc import Iterable
from decimal import Decimal

from waterline.streams.steps.evidence import Reading, read, samples_of, value_of
from waterline.streams.steps.moment import DAY, HOUR
from waterline.streams.steps.rules import BEFORE, MEASURE, Baseline, Rule
from waterline.streams.steps.windows import Cell, WindowKey, Windows

ENOUGH = 50
"""The samples that a baseline of the same hour needs at least."""


def reading(windows: Windows, rule: Rule, key: WindowKey) -> Reading:
    return read(rule, panes(windows, rule, key), _baseline(windows, rule, key))


def enough(windows: Windows, rule: Rule, key: WindowKey) -> bool:
    """Whether there are the samples that the rule needs."""
    return samples_of(MEASURE[rule.measure], panes(windows, rule, key)) >= rule.at_least


def says(windows: Windows, rule: Rule, key: WindowKey) -> bool:
    """Whether there is anything in a window."""
    return any(not cell.empty for cell in panes(windows, rule, key))


def panes(windows: Windows, rule: Rule, key: WindowKey) -> list[Cell]:
    """Those of the window whose last one is `key`."""
    if rule.panes == 1:
        cell = windows.cells.get(key)
        return [] if cell is None else [cell]
    return _found(windows, key, key.length, (key.start - n * key.length for n in range(rule.panes)))


def _found(windows: Windows, key: WindowKey, length: int, starts: Iterable[int]) -> list[Cell]:
    keys = (WindowKey(key.series, length, start) for start in starts)
    return [cell for one in keys if (cell := windows.cells.get(one)) is not None]


def _baseline(windows: Windows, rule: Rule, key: WindowKey) -> Decimal | None:
    """What the rule's threshold is relative to; None while there is too little of it."""
    measure = MEASURE[rule.measure]
    if rule.baseline is Baseline.DAYS:
        before = _found(windows, key, key.length, (key.start - n * key.length for n in range(1, BEFORE + 1)))
        values = [value_of(measure, [cell], samples_of(measure, [cell])) for cell in before]
        known = [value for value in values if value is not None]
        return sum(known, Decimal(0)) / BEFORE if len(known) == BEFORE else None
    if rule.baseline is Baseline.HOURS:
        hour = key.start - key.start % HOUR
        for starts in ((hour - n * DAY for n in range(1, BEFORE + 1)), (hour - n * HOUR for n in range(1, 25))):
            cells = _found(windows, key, HOUR, starts)
            if (samples := samples_of(measure, cells)) >= max(ENOUGH, rule.at_least):
                return value_of(measure, cells, samples)
    return None
