"""What a name has spent and what its budgets were told: the state of budget.py. The periods and forecasts drawn from it."""

from collections.abc import Set

from msgspec import Struct

from waterline.schemas.alerts import Severity
from waterline.schemas.control import ControlLimit, LimitVerdict, Period, Scope
from waterline.schemas.facts import Spend
from waterline.schemas.identity import SEPARATOR
from waterline.streams.steps.examples import Ranked, keys, put
from waterline.streams.steps.moment import DAY, instant

KEPT_DAYS = 70
"""Longer than a month and the thirty days before it that a forecast looks at."""
RATE_DAYS, LOOKS_BACK = 7, 30
GONE_DAYS = 62
"""A month, and the thirty days before that a forecast looks at."""


class Name(Struct, array_like=True, frozen=True):
    """Whose spending."""

    tenant: str
    scope: Scope
    name: str
    replay: bool

    @property
    def key(self) -> bytes:
        return SEPARATOR.join((self.tenant, self.scope, self.name, "r" if self.replay else "")).encode()


class Told(Struct, array_like=True):
    """What was last told of one budget: the first day of its period, revision, the limit itself, and per mark how often it
    changed and whether it fires."""

    period: int = 0
    revision: int = 0
    changes: dict[str, int] = {}
    fires: list[str] = []
    opened: dict[str, int] = {}
    last: tuple[int, int | None, LimitVerdict] | None = None
    limit: ControlLimit | None = None
    severity: Severity = Severity.WARNING


class Purse(Struct, array_like=True):
    """Nano-dollars by day, the latest event time, and what each budget was told; without days it was let go. `dearest`: the first
    day of the last period of each kind in which anything was spent, and the dearest decisions of it."""

    name: Name
    days: dict[int, int] = {}
    at: int = 0
    told: dict[str, Told] = {}
    dearest: dict[Period, tuple[int, Ranked[int]]] = {}

    def rank(self, spend: Spend, periods: Set[Period]) -> None:
        """For the periods that there is a budget of; spending of one that is over tells nothing any more."""
        for period in periods:
            first, _ = period_of(period, spend.day * DAY)
            since, best = self.dearest.get(period, (first, []))
            if first >= since:
                best = best if first == since else []
                for one in spend.dearest:
                    put(best, one)
                self.dearest[period] = first, best

    def examples(self, period: Period, first: int) -> list[str]:
        """Of the period that begins on the day `first`."""
        since, best = self.dearest.get(period, (first, []))
        return keys(best) if since == first else []


def period_of(period: Period, now: int) -> tuple[int, int]:
    """First day of the period that `now` (microseconds) lies in, and the first one after it, in days since 1970."""
    day = now // DAY
    if period is Period.DAY:
        return day, day + 1
    date = instant(now).date()
    first = day - (date.day - 1)
    following = (date.replace(day=28).toordinal() + 4) - date.toordinal() + day
    return first, following - (instant(following * DAY).day - 1)


def forecast(days: dict[int, int], spent: int, end: int, now: int) -> int | None:
    """Nano-dollars of the whole period."""
    today, passed = now // DAY, (now % DAY) / DAY
    full = sorted(day for day in days if today - LOOKS_BACK <= day < today)[-RATE_DAYS:]
    if full:
        since = full[0]
        rate = sum(days[day] for day in days if since <= day < today) / (today - since)
    elif passed >= 1 / 12:
        rate = days.get(today, 0) / passed
    else:
        return None
    return spent + max(0, round(rate * (end - today - passed)))
