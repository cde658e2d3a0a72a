"""What a day of an artifact is compared with, and which days are kept for that.

In this order: what the rules pin (an artifact, or days of the agent whatever its artifact); the artifact before, the newest of
those that began earlier; the artifact's own first `FIRST` days, once they are there. An artifact begins on its first day, at the
mean moment of what it did on it, so that one decision that is taken back or comes late does not turn two artifacts round. What
names no artifact is compared with its own first days, and nothing named is compared with it.

Of an artifact that is a baseline the `SPAN` newest days up to the day itself count, so that what comes after a day does not
change what was said of it.
"""

from collections.abc import Iterable

from msgspec import Struct

from waterline.streams.steps.days import AgentKey, Place
from waterline.streams.steps.moment import DAY, SECOND, day_name
from waterline.streams.steps.rules import Pin

KEPT = 62
"""Days, counted from the newest of the agent, that are compared and can be corrected; older than any decision can change."""
FIRST, SPAN = 7, 30
ARTIFACTS = 64
"""Artifacts of an agent that are known; beyond, the one that was seen least lately is forgotten."""


class Era(Struct, array_like=True):
    """One artifact: by day how much it did, and the sum of when, in seconds of the day. `first`: (day, samples, seconds) of a
    first day that is no longer kept."""

    days: dict[int, tuple[int, int]]
    first: tuple[int, int, int] | None = None

    @property
    def worked(self) -> list[int]:
        """Days on which it did something, in order."""
        return sorted(day for day, (samples, _) in self.days.items() if samples > 0)

    @property
    def begin(self) -> tuple[int, float] | None:
        """Day and mean second; None if it did nothing."""
        first = self.first
        if first is None:
            worked = self.worked
            if not worked:
                return None
            first = (worked[0], *self.days[worked[0]])
        return first[0], first[2] / first[1]


class Agent(Struct, array_like=True, tag="agent"):
    """`compared`: what each artifact was compared with when its days were told last, `pin` what the rules pinned then. `due`:
    when there is more to tell, in microseconds; 0 = there is nothing."""

    key: AgentKey
    eras: dict[str, Era]
    compared: dict[str, tuple[str, bool]]
    pin: Pin | None = None
    due: int = 0

    @property
    def newest(self) -> int:
        return max((day for era in self.eras.values() for day in era.days), default=0)

    def count(self, place: Place, at: int, samples: int) -> bool:
        """Whether it is now another day on which the artifact worked, or one less."""
        era = self.eras[place[0]]
        known, seconds = era.days[place[1]]
        era.days[place[1]] = known + samples, seconds + samples * ((at - place[1] * DAY) // SECOND)
        return not known or known == -samples


class Choice(Struct, frozen=True):
    """`days`: what the baseline of one day is drawn from; none: there is nothing yet."""

    name: str
    pinned: bool
    days: tuple[Place, ...]


def pin_of(key: AgentKey, pins: Iterable[Pin]) -> Pin | None:
    """The first that is about the agent."""
    return next((pin for pin in pins if pin.agent == key.agent and pin.tenant in ("", key.tenant)), None)


def before(agent: Agent, artifact: str) -> str | None:
    """The artifact that it took the place of."""
    era = agent.eras.get(artifact)
    begin = era.begin if era else None
    if begin is None or not artifact:
        return None
    earlier = [
        (other, name)
        for name, one in agent.eras.items()
        if name and name != artifact and (other := one.begin) is not None and (other, name) < (begin, artifact)
    ]
    return max(earlier)[1] if earlier else None


class Compared(Struct, frozen=True):
    """What the days of one artifact are compared with: another `artifact`; or `days`, its own first ones, or those of all
    artifacts from the first to the last day of `span`."""

    name: str
    pinned: bool = False
    artifact: str | None = None
    days: tuple[Place, ...] = ()
    span: tuple[int, int] = (0, -1)

    def has(self, place: Place, day: int) -> bool:
        """Whether the baseline of `day` depends on that place."""
        if self.artifact is not None:
            return place[0] == self.artifact and place[1] <= day
        return place in self.days or self.span[0] <= place[1] <= self.span[1]

    def since(self, day: int) -> int:
        """The first day that depends on what changed on `day` or later."""
        return day if self.artifact is not None else min(day, 0)


def compared(agent: Agent, artifact: str, pin: Pin | None) -> Compared:
    if pin is not None and pin.artifact and pin.artifact != artifact:
        return Compared(pin.artifact, True, pin.artifact)
    if pin is not None and not pin.artifact:
        chosen = ((name, day) for name, era in agent.eras.items() for day in era.worked if pin.since <= day <= pin.until)
        return Compared(_range(pin.since, pin.until), True, days=tuple(sorted(chosen)), span=(pin.since, pin.until))
    if (other := before(agent, artifact)) is not None:
        return Compared(other, artifact=other)
    first = agent.eras[artifact].worked[:FIRST] if artifact in agent.eras else []
    if len(first) < FIRST:
        return Compared("")
    return Compared(_range(first[0], first[-1]), days=tuple((artifact, day) for day in first))


def choose(agent: Agent, how: Compared, day: int) -> Choice:
    if how.artifact is not None:
        era = agent.eras.get(how.artifact)
        days = [one for one in era.worked if one <= day][-SPAN:] if era else []
        return Choice(how.name, how.pinned, tuple((how.artifact, one) for one in days))
    if not how.pinned and how.days and day <= how.days[-1][1]:
        return Choice("", False, ())
    return Choice(how.name, how.pinned, how.days)


def _range(first: int, last: int) -> str:
    return f"{day_name(first)} to {day_name(last)}"


def outdated(agent: Agent, pin: Pin | None) -> list[Place]:
    """Days that are neither compared nor compared with any more."""
    oldest = agent.newest - KEPT
    needed: set[Place] = set()
    for artifact, era in agent.eras.items():
        recent = {(artifact, day) for day in era.days if day > oldest}
        if recent:
            needed |= recent
            needed |= set(choose(agent, compared(agent, artifact, pin), agent.newest).days)
            needed |= {(artifact, day) for day in era.worked[:FIRST]} if before(agent, artifact) is None else set()
    return [(artifact, day) for artifact, era in agent.eras.items() for day in era.days if (artifact, day) not in needed]


def let_go(agent: Agent, place: Place) -> None:
    """Forgets a day, but not when its artifact began while that matters to those after it."""
    era = agent.eras[place[0]]
    worked = era.worked
    samples, seconds = era.days.pop(place[1])
    if era.first is None and worked and worked[0] == place[1]:
        era.first = place[1], samples, seconds
    if not era.days:
        del agent.eras[place[0]]
        agent.compared.pop(place[0], None)


def surplus(agent: Agent, new: str) -> str | None:
    """An artifact that is one too many; not the `new` one."""
    if len(agent.eras) <= ARTIFACTS:
        return None
    return min((name for name in agent.eras if name != new), key=lambda name: (max(agent.eras[name].days), name))
