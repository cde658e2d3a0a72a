"""Rules that are not about windows: an agent that falls silent, a decision that takes too many tokens."""

from decimal import Decimal

import msgspec

from tests.streams.steps.world import T0, TENANT, Disk
from waterline.schemas.alerts import AlertState, AlertTransition
from waterline.schemas.events import Kind
from waterline.schemas.facts import Calls, Contribution, GroupInput, Mark, Standing
from waterline.schemas.frames import Frame, Line
from waterline.schemas.topics import ALERT_TRANSITIONS, GROUP_INPUTS
from waterline.streams.steps.fold import Position
from waterline.streams.steps.groups import GroupsFold
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.moment import SECOND, instant
from waterline.streams.steps.rules import Baseline, Rule, RuleBook, Rules
from waterline.streams.steps.silence import Agent, Silence

MINUTE = 60 * SECOND
BEGIN = 29_000_000 - 29_000_000 % 1440
"""The beginning of a day, in minutes since 1970."""
SILENT = Rule(name="no_data", measure="silence", window_s=300, above=Decimal(300))
TOKENS = Rule(
    name="task_tokens", measure="decision_tokens", window_s=86400, above=Decimal(3), baseline=Baseline.TASK, at_least=20
)
FIRING, RESOLVED, NO_DATA = AlertState.FIRING, AlertState.RESOLVED, AlertState.NO_DATA


class Agents:
    """The fold, thrown away and loaded again after every batch; all it told."""

    def __init__(self) -> None:
        self.book, self.disk = RuleBook(Rules("v1", (), (), (SILENT, TOKENS))), Disk()
        self.told: list[AlertTransition] = []

    def take(self, *inputs: GroupInput) -> None:
        fold = GroupsFold(0, 1, self.disk, Limits(window_lateness_s=10, decision_grace_s=900), self.book)
        for key, value in self.disk.items():
            fold.load(key, value)
        fold.apply(Position(GROUP_INPUTS.name, 0, 0), Frame([Line(n, b"", one) for n, one in enumerate(inputs)], [], T0))
        changes = fold.drain()
        self.disk.write(changes)
        outs = [out for out in changes.outs if out.topic is ALERT_TRANSITIONS]
        self.told += [msgspec.json.decode(out.value, type=AlertTransition) for out in outs]

    @property
    def states(self) -> list[AlertState]:
        return [told.state for told in self.told]

    def kept(self) -> list[Agent]:
        """What is stored of agents that may fall silent."""
        return [msgspec.msgpack.decode(value, type=Agent) for key, value in self.disk.items() if key.startswith(Silence.prefix)]


def calls(minute: int, replay: bool = False) -> GroupInput:
    return GroupInput(tenant=TENANT, agent="a", calls=Calls(Kind.TOOL_CALL, "search", BEGIN + minute, 1, replay=replay))


def time(minute: float, replay: bool = False) -> GroupInput:
    return GroupInput(mark=Mark(0, replay, round((BEGIN + minute) * MINUTE)))


def decision(key: str, tokens: int, day: float = 0, was: int | None = None) -> GroupInput:
    def standing(tokens: int) -> Standing:
        return Standing(Contribution(day="2025-02-19", agent="a", task="t"), (BEGIN + round(day * 1440)) * MINUTE, tokens=tokens)

    previous = None if was is None else standing(was)
    return GroupInput(tenant=TENANT, agent="a", decision_key=key, now=standing(tokens), previous=previous)


def test_who_spoke_every_minute_and_is_silent_for_five_is_told_and_resolves_when_it_speaks() -> None:
    agents = Agents()
    for minute in (0, 1, 3, 2, 4):
        agents.take(calls(minute), time(minute + 1))
    agents.take(time(10.1))
    assert agents.told == [], "five minutes and the lateness that is allowed"
    agents.take(time(10.2))
    (fired,) = agents.told
    assert (fired.state, fired.value, fired.samples) == (FIRING, Decimal(300), 5)
    assert fired.window_to == instant((BEGIN + 5) * MINUTE)
    agents.take(time(60), calls(61), time(62))
    assert agents.states == [FIRING, RESOLVED]
    assert [told.transition for told in agents.told] == [1, 2]


def test_who_speaks_now_and_then_is_not_missed() -> None:
    agents = Agents()
    for minute in (0, 1, 2, 4, 5, 6):
        agents.take(calls(minute), time(minute + 1))
    agents.take(time(60))
    assert agents.told == []


def test_the_end_of_a_replay_is_no_silence() -> None:
    agents = Agents()
    for minute in range(10):
        agents.take(calls(minute, replay=True), time(minute + 1, replay=True))
    agents.take(time(60), time(60, replay=True))
    assert agents.told == []


def test_who_is_gone_for_a_day_is_closed_and_its_numbers_go_on() -> None:
    agents = Agents()
    agents.take(*(calls(minute) for minute in range(5)), time(5))
    agents.take(time(20))
    agents.take(time(5 + 1440.2))
    assert agents.states == [FIRING, NO_DATA]
    agents.take(calls(2000), time(2001))
    assert agents.states == [FIRING, NO_DATA], "one minute says nothing"
    agents.take(*(calls(minute) for minute in range(2001, 2005)), time(2005))
    agents.take(time(2020))
    assert [(told.state, told.transition) for told in agents.told] == [(FIRING, 1), (NO_DATA, 2), (FIRING, 3)]


def test_who_is_gone_leaves_nothing_but_the_number_of_what_was_told() -> None:
    agents = Agents()
    agents.take(calls(0), time(1))
    agents.take(time(1 + 1440 + 5))
    assert len(agents.kept()) == 1, "a day and the five minutes it may be silent for"
    agents.take(time(1 + 1440 + 5.2))
    assert agents.kept() == []
    agents.take(calls(0), time(1450))
    assert agents.kept() == [], "what comes of it from then is not taken up again"
    agents.take(*(calls(minute) for minute in range(1450, 1455)), time(1455))
    agents.take(time(1465))
    agents.take(time(1455 + 1440.2))
    agents.take(time(1455 + 1443))
    assert agents.states == [FIRING, NO_DATA], "once for each silence, also after a restart"
    agents.take(time(1455 + 1445.2))
    (left,) = agents.kept()
    assert (left.minutes, left.last, left.told["no_data"].transition) == ([], [], 2)


def test_who_speaks_all_the_time_is_on_the_agenda_once() -> None:
    silence = Silence(RuleBook(Rules("v1", (), (), (SILENT,))))
    for minute in range(300):
        silence.take(calls(minute), 0)
        silence.advance(False, (BEGIN + minute + 1) * MINUTE)
    assert sum(1 for _ in silence._agenda.due(2**62, 1000)) == 1


def test_the_last_decisions_are_named_and_none_that_turned_out_to_be_anothers() -> None:
    agents = Agents()
    begun = [decision(f"d{minute}", 1, minute / 1440) for minute in range(5)]
    agents.take(*begun, time(5))
    moved = begun[3].now
    agents.take(msgspec.structs.replace(begun[3], now=None, previous=moved), time(5.1))
    agents.take(time(11))
    (fired,) = agents.told
    assert (fired.state, fired.decisions) == (FIRING, ["d4", "d2", "d1", "d0"])


def test_a_decision_over_three_times_its_tasks_mean_fires_and_is_over_when_nothing_more_is_heard() -> None:
    agents = Agents()
    agents.take(*(decision(f"d{n}", 1000) for n in range(20)))
    agents.take(decision("big", 3000, day=1), time(1440))
    assert agents.told == []
    agents.take(decision("big", 3001, day=1, was=3000))
    (fired,) = agents.told
    assert (fired.state, fired.value, fired.threshold, fired.decisions) == (FIRING, Decimal(3001), Decimal(3000), ["big"])
    assert fired.group == {"agent": "a", "task": "t", "decision": "big"}
    agents.take(decision("big", 9000, day=1, was=3001), time(1450))
    assert agents.states == [FIRING]
    agents.take(time(1480))
    assert agents.states == [FIRING, RESOLVED]
    agents.take(decision("big", 9500, day=1, was=9000))
    assert [(told.state, told.transition) for told in agents.told] == [(FIRING, 1), (RESOLVED, 2), (FIRING, 3)]


def test_a_task_that_is_hardly_known_has_no_outliers() -> None:
    agents = Agents()
    agents.take(*(decision(f"d{n}", 1000) for n in range(19)), decision("big", 10**6, day=1))
    agents.take(decision("same-day", 10**6))
    assert agents.told == []


def test_a_task_is_let_go_when_nothing_can_be_compared_with_it_and_its_numbers_stay_sound() -> None:
    """Decisions are heard for 45 days, and compared with the 30 before their own."""
    agents, day = Agents(), 1440

    def kept() -> int:
        return len([key for key in agents.disk if key.startswith(b"t")])

    agents.take(*(decision(f"d{n}", 1000) for n in range(20)))
    agents.take(decision("big", 5000, day=1), time(day))
    agents.take(time(2 * day))
    assert agents.states == [FIRING, RESOLVED]
    agents.take(time(46 * day))
    agents.take(decision("big", 9000, day=1, was=5000), decision("old", 9000, day=1))
    assert [(told.state, told.transition) for told in agents.told[2:]] == [(FIRING, 3), (FIRING, 1)], "on its last day"
    late = decision("big", 9500, day=1, was=9000), decision("other", 9000, day=1)
    agents.take(time(47 * day), *late, decision("new", 1000, day=47))
    assert [(told.state, told.transition) for told in agents.told[4:]] == [(RESOLVED, 4), (RESOLVED, 2)], "they are over"
    assert kept() == 1
    agents.take(time(47 * day + 75 * day + 1))
    assert kept() == 1
    agents.take(time(47 * day + 76 * day + 1))
    assert kept() == 0
    agents.take(time(47 * day + 76 * day + 1), decision("later", 1000, day=47))
    assert kept() == 0


def test_an_event_of_a_distant_day_takes_no_tasks_past_away() -> None:
    agents = Agents()
    agents.take(*(decision(f"d{n}", 1000) for n in range(20)), decision("clock", 1000, day=60_000))
    agents.take(decision("big", 3001, day=1), time(1440))
    assert agents.states == [FIRING]
