"""What decisions contributed -> the expected review cost of each group and day (M1). A part of the fold of stage `groups`.

A group is (tenant, agent, task). For each day on which it has decisions, the window is the `expected_days` days before; a
fact is told when the window's sums differ from those last told. Days older than `expected_days + decision_keep_days` before
the newest one are let go, and contributions to them are counted no more: no decision that old can change.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from itertools import islice

import msgspec
from msgspec import Struct

from waterline.schemas.facts import ZERO, Contribution, GroupInput, QualityFact
from waterline.schemas.identity import routing_key
from waterline.schemas.topics import QUALITY_FACTS
from waterline.streams.steps.entry import NANO, money, nano
from waterline.streams.steps.fold import Changes, Cold, Out
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import day_name, day_number

GROUPS = 20_000
Sums = tuple[int, int, int]
"""decisions, reviewed, human cost in nano-dollars"""
NOTHING: Sums = (0, 0, 0)


class Group(Struct, array_like=True):
    """`days` and `told` are by day number: the sums of the day, and the sums of the window last told for it."""

    tenant: str
    agent: str
    task: str
    revision: int = 0
    days: dict[int, Sums] = {}
    told: dict[int, Sums] = {}


_decode = msgspec.msgpack.Decoder(Group).decode
_encode = msgspec.msgpack.Encoder().encode
_fact = msgspec.json.Encoder().encode


class Expected:
    """Up to `GROUPS` groups stay in memory; the others lie on disk."""

    prefix = b"g"

    def __init__(self, cold: Cold, limits: Limits) -> None:
        self.cold, self.limits = cold, limits
        self.span = limits.expected_days + limits.decision_keep_days
        self.groups: dict[bytes, Group] = {}
        self.touched: dict[bytes, set[int]] = {}

    def load(self, key: bytes, value: bytes) -> bool:
        if len(self.groups) >= GROUPS:
            return False
        self.groups[key] = _decode(value)
        return True

    def take(self, given: GroupInput) -> None:
        for standing, sign in ((given.previous, -1), (given.now, 1)):
            if standing is not None and standing.contribution.day:
                self._count(given.tenant, standing.contribution, sign)

    def _count(self, tenant: str, part: Contribution, sign: int) -> None:
        key = _key(tenant, part.agent, part.task)
        group = self.groups.get(key)
        if group is None:
            stored = self.cold.get(key)
            group = self.groups[key] = _decode(stored) if stored else Group(tenant, part.agent, part.task, days={}, told={})
        group.revision += 1
        day = day_number(part.day)
        newest = max(group.days, default=day)
        touched = self.touched.setdefault(key, set())
        if day <= newest - self.span:
            return
        decisions, reviewed, cost = group.days.get(day, NOTHING)
        sums = (decisions + sign, reviewed + sign * part.reviewed, cost + sign * (nano(part.human_cost) or 0))
        group.days[day] = sums
        touched.add(day)
        if day > newest:
            for old in [number for number in group.days if number <= day - self.span]:
                del group.days[old]
                group.told.pop(old, None)

    def drain(self, changes: Changes) -> None:
        for key, days in self.touched.items():
            group = self.groups[key]
            self._tell(group, days, changes.outs)
            changes.puts[key] = _encode(group)
        self.touched.clear()
        for key in list(islice(self.groups, max(0, len(self.groups) - GROUPS))):
            del self.groups[key]

    def _tell(self, group: Group, touched: set[int], outs: list[Out]) -> None:
        reach = self.limits.expected_days
        for day in sorted(group.days):
            if group.days[day][0] <= 0 or not any(day - reach <= changed <= day for changed in touched):
                continue
            window = self._window(group, day)
            if group.told.get(day) != window:
                group.told[day] = window
                key = routing_key(group.tenant, f"{group.agent}/{group.task}")
                outs.append(Out(QUALITY_FACTS, key, _fact(self._quality(group, day, window))))

    def _window(self, group: Group, day: int) -> Sums:
        held = [group.days[n] for n in range(day - self.limits.expected_days, day) if n in group.days]
        return sum(s[0] for s in held), sum(s[1] for s in held), sum(s[2] for s in held)

    def _quality(self, group: Group, day: int, window: Sums) -> QualityFact:
        decisions, reviewed, cost = window
        fact = QualityFact(
            tenant=group.tenant,
            group=f"{group.agent}/{group.task}",
            day=day_name(day),
            revision=group.revision,
            agent=group.agent,
            task=group.task,
            window_from=day_name(day - self.limits.expected_days),
            window_to=day_name(day - 1),
            decisions=decisions,
            reviewed=reviewed,
        )
        if decisions < self.limits.expected_min_decisions:
            fact.state = "insufficient"
            fact.reason = f"{decisions} decisions in the window, {self.limits.expected_min_decisions} are needed"
            return fact
        fact.p_review = reviewed / decisions
        fact.mean_review_cost = _share(cost, reviewed) if reviewed else None
        fact.expected_review_cost = _share(cost, decisions)
        return fact


def _key(tenant: str, agent: str, task: str) -> bytes:
    return b"g" + "\x1f".join((tenant, agent, task)).encode()


def _share(nanos: int, parts: int) -> Decimal:
    return (money(nanos) / parts).quantize(NANO, ROUND_HALF_EVEN) if nanos else ZERO
