"""What fired then beside what would fire now. Pure.

Firings are the same when they are of the same alert and the same window. A provisional one that its window's end took back counts
on neither side: when in a window it is said depends on batches.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from msgspec import Struct

from waterline.schemas.alerts import AlertState, AlertTransition

Key = tuple[str, datetime | None]
"""alert and start of its window; a decision's alert has no window"""


class Compared(Struct, frozen=True):
    """One rule on one group: firings then and now, each side in order of time."""

    tenant: str
    rule: str
    group: dict[str, str]
    both: list[AlertTransition]
    then: list[AlertTransition]
    now: list[AlertTransition]

    @property
    def fired(self) -> int:
        return len(self.both) + len(self.then)

    @property
    def fires(self) -> int:
        return len(self.both) + len(self.now)


class Total(Struct):
    """One rule over all its groups. `then` and `now` are firings of that side alone."""

    rule: str
    fired: int = 0
    fires: int = 0
    both: int = 0
    then: int = 0
    now: int = 0


def compare(then: Iterable[AlertTransition], now: Iterable[AlertTransition]) -> list[Compared]:
    """Groups that fired on either side, by rule, tenant and group."""
    old, new = firings(then), firings(now)
    found: dict[str, Compared] = {}
    for key in sorted(old.keys() | new.keys(), key=lambda key: (old.get(key) or new[key]).at):
        one = old.get(key) or new[key]
        place = found.setdefault(one.alert_id, Compared(one.tenant, one.rule, one.group, [], [], []))
        side = place.both if key in old and key in new else place.then if key in old else place.now
        side.append(new.get(key) or one)
    return sorted(found.values(), key=lambda one: (one.rule, one.tenant, sorted(one.group.items())))


def firings(told: Iterable[AlertTransition]) -> dict[Key, AlertTransition]:
    """By the last word on each."""
    last = {(one.alert_id, one.transition): one for one in sorted(told, key=lambda one: one.revision)}
    ordered = [one for _, one in sorted(last.items())]
    found: dict[Key, AlertTransition] = {}
    for _, alert in groupby(ordered, key=lambda one: one.alert_id):
        each = list(alert)
        for number, one in enumerate(each):
            if one.state is AlertState.FIRING and not _taken_back(each, number):
                found.setdefault((one.alert_id, one.window_from), one)
    return found


def _taken_back(alert: Sequence[AlertTransition], number: int) -> bool:
    one = alert[number]
    after = alert[number + 1] if number + 1 < len(alert) else None
    return one.provisional and after is not None and after.window_from == one.window_from


def totals(compared: Iterable[Compared], rules: Iterable[str]) -> list[Total]:
    """One for each of `rules`, also those that fired on no side, and for each rule that only fired then."""
    found = {name: Total(name) for name in rules}
    for one in compared:
        total = found.setdefault(one.rule, Total(one.rule))
        total.fired, total.fires = total.fired + one.fired, total.fires + one.fires
        total.both, total.then, total.now = total.both + len(one.both), total.then + len(one.then), total.now + len(one.now)
    return list(found.values())
