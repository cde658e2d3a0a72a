"""Agents of which nothing is to be said any more leave the state; what was told of a candidate stays numbered."""

from msgspec.structs import replace

from tests.streams.steps.canaries import BEGIN, PLAN, Trial, like, mark, traffic
from waterline.schemas.facts import GroupInput
from waterline.streams.steps.canary import Canaries
from waterline.streams.steps.canary_plan import Form, Guard, Limit
from waterline.streams.steps.canary_state import Watch
from waterline.streams.steps.moment import DAY
from waterline.streams.steps.rules import Rules
from waterline.streams.steps.tally import MINUTE

ACCURACY = Limit(Guard.ACCURACY, Form.POINTS, 0.03)


def watches(trial: Trial) -> dict[bytes, Watch]:
    (part,) = (one for one in trial.fold.parts if isinstance(one, Canaries))
    return part.watches


def of(given: GroupInput, agent: str) -> GroupInput | None:
    """The same decision of another agent."""
    if given.now is None:
        return None
    contribution = replace(given.now.contribution, agent=agent)
    return replace(given, agent=agent, now=replace(given.now, contribution=contribution))


def test_who_is_not_heard_of_any_more_is_forgotten_unless_a_verdict_was_told_of_it() -> None:
    """One agent without a canary, one with; both of which nothing is heard for as long as decisions are kept."""
    trial = Trial(replace(PLAN, agent="", limits=(ACCURACY,)))
    trial.begin()
    trial.run(3, 0.5, like(), like())
    plain = [one for one in (of(given, "b") for given in traffic(3, 0.0, like(), like(), since=3)) if one is not None]
    trial.take([*plain, mark(BEGIN + 7 * MINUTE)], restart=True)

    def kept() -> list[str]:
        assert {b"k" + key for key in watches(trial)} == {key for key in trial.disk if key[:1] == b"k"} - {b"k\x00"}
        return sorted(watch.agent for watch in watches(trial).values())

    assert kept() == ["a", "b"]
    last = len(trial.told)
    trial.take([mark(BEGIN + 7 * MINUTE + 45 * DAY)], restart=True)
    assert kept() == ["a", "b"]
    trial.take([mark(BEGIN + 8 * MINUTE + 45 * DAY)])
    assert kept() == ["a"]
    trial.restart()
    since = 45 * 1440 + 9
    trial.take(given for one in traffic(3, 1.0, like(), like(), since=since) if (given := of(one, "b")))
    trial.take([mark(BEGIN + (since + 4) * MINUTE)])
    assert kept() == ["a", "b"]
    assert len(trial.told) == last, "what it comes back with is its usual artifact"


def test_with_its_plan_an_agent_without_a_canary_is_forgotten() -> None:
    trial = Trial()
    trial.run(3, 0.0, like(), like())
    assert len(watches(trial)) == 1
    trial.book.now = Rules("v2", ())
    trial.take([mark(BEGIN + 9 * MINUTE)])
    assert not watches(trial)
    assert [key for key in trial.disk if key.startswith(b"k")] == [b"k\x00"]
