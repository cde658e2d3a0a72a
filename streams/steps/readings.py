"""What the kept windows say of one window under a rule: its panes, what it is compared with, its verdict."""

from collections.abc import Iterable
from decimal import Decimal

from waterline.streams.steps.evidence import Reading, read, samples_of, value_of
from waterline.streams.steps.moment import DAY, HOUR
from waterline.streams.steps.rules import BEFORE, MEASURE, Baseline, How, Rule
from waterline.streams.steps.windows import Cell, Known, WindowKey, Windows

ENOUGH = 50
"""The samples that a baseline of the same hour needs at least."""


def reading(windows: Windows, rule: Rule, key: WindowKey) -> Reading:
    return read(rule, panes(windows, rule, key), _baseline(windows, rule, key))


def promising(windows: Windows, rule: Rule, key: WindowKey) -> bool:
    """Whether a closer look may find the rule broken: there are the samples it needs, and a share or sum that has a fixed
    threshold is over it. Cheap, since it is asked whenever something comes."""
    measure, cells = MEASURE[rule.measure], panes(windows, rule, key)
    samples = samples_of(measure, cells)
    if samples < rule.at_least:
        return False
    if measure.how is How.QUANTILE:
        return True
    part: int = sum(getattr(cell, measure.part) for cell in cells)
    if rule.baseline is not Baseline.NONE or measure.part == "nanos":
        return part > 0
    return part > float(rule.above) * (samples if measure.how is How.RATIO else 1) * (1 - 1e-9)


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
    """What the rule's threshold is relative to; None while there is too little of it. It is drawn from windows that end by
    `until`, and remembered until one of those changes."""
    if rule.baseline is Baseline.NONE:
        return None
    until = key.start - key.start % HOUR if rule.baseline is Baseline.HOURS else key.start
    known = windows.baselines.get(key.series)
    if known is None or known.until != until:
        known = windows.baselines[key.series] = Known(until, {})
    if rule.name not in known.values:
        known.values[rule.name] = _drawn(windows, rule, key)
    return known.values[rule.name]


def _drawn(windows: Windows, rule: Rule, key: WindowKey) -> Decimal | None:
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
