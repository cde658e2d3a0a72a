"""History in slices, time over it, and what fired beside what would: the parts of a backtest that need no store."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.streams.steps.world import Disk, call, event, seconds, small_book
from waterline.backtest.compare import compare, totals
from waterline.backtest.course import Course
from waterline.backtest.kept import Minute, cut
from waterline.backtest.run import warm_up
from waterline.backtest.stages import Costs, Stages, inputs
from waterline.cli import main
from waterline.schemas.alerts import AlertState, AlertTransition, alert_id
from waterline.schemas.events import Clock, Event, Kind, Status
from waterline.schemas.frames import Frame, Line
from waterline.schemas.identity import partition_of, routing_key
from waterline.schemas.settings import Settings
from waterline.schemas.topics import AGENT_EVENTS, ALERT_TRANSITIONS, GROUP_INPUTS
from waterline.streams.__main__ import plans
from waterline.streams.rules_file import DEFAULT, default
from waterline.streams.steps.fold import Fold, Out, Position
from waterline.streams.steps.moment import HOUR, SECOND, instant, micros
from waterline.streams.steps.rules import Rule, RuleBook, Rules

ERRORS = Rule(name="errors", measure="tool_error_rate", window_s=300, above=Decimal("0.2"), at_least=5)
ESCALATED = Rule(name="escalated", measure="escalation_rate", window_s=600, above=Decimal("0.3"), at_least=3)
RULES = Rules("v1", (ERRORS, ESCALATED))
FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=1, max_size=60), st.integers(1, 9))
def test_every_row_is_in_one_slice_and_no_partition_loses_its_order(rows: list[tuple[int, int]], most: int) -> None:
    """`rows`: partition and minute of receipt, in the order of their offsets; receipts may go back."""
    at = [(partition, minute * 60, offset) for offset, (partition, minute) in enumerate(rows)]
    groups: dict[tuple[int, int], list[int]] = {}
    for partition, minute, offset in at:
        groups.setdefault((minute, partition), []).append(offset)
    minutes = [Minute(p, minute, min(found), max(found), len(found)) for (minute, p), found in sorted(groups.items())]
    slices = cut(minutes, most)
    for partition, minute, offset in at:
        homes = [one for one in slices if one.above[partition] < offset <= one.upto[partition]]
        assert len(homes) == 1
        assert homes[0].first <= minute <= homes[0].last
    if all(one[1] <= two[1] for one, two in pairwise(at)):
        assert all(one.last < two.first for one, two in pairwise(slices)), "nothing looks back without a reason"


class Heard:
    """What a course hands on: (microseconds, "t" or "r" for ticks, "e" and how many for events)."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def take(self, frame: Frame) -> None:
        self.frames.append(frame)

    def drain(self) -> None:
        """Nothing is kept back."""

    @property
    def ticks(self) -> list[int]:
        return [micros(frame.time) for frame in self.frames if frame.tick and not frame.replay_tick]

    @property
    def replayed(self) -> list[int]:
        return [micros(frame.time) for frame in self.frames if frame.replay_tick]


def test_live_time_passes_by_receipt_and_goes_on_in_quiet_hours() -> None:
    heard, events = Heard(), [event(at=0), event(at=0.5), event(at=90), event(at=90 + 5 * 3600)]
    first = micros(events[0].received_at or events[0].ts)
    Course([heard], timedelta(days=1), 30).run(events, first + 6 * HOUR)
    ticks = heard.ticks
    assert ticks == sorted(set(ticks))
    assert ticks[0] == first
    assert ticks[-1] == first + 6 * HOUR
    pauses = {two - one for one, two in pairwise(ticks)}
    assert max(pauses) <= 60 * SECOND
    assert all(two - one <= 5 * SECOND for one, two in pairwise(ticks) if two < first + HOUR)
    lines = [(n, len(frame.lines)) for n, frame in enumerate(heard.frames) if frame.lines]
    assert [count for _, count in lines] == [2, 1, 1]
    assert heard.replayed == []
    before_last = [frame for frame in heard.frames[: lines[-1][0]] if frame.tick][-1]
    assert micros(before_last.time) == micros(events[-1].received_at or events[-1].ts), "it comes when its second has come"


def test_a_replay_tells_its_time_once_all_before_was_taken() -> None:
    at = [0.0, 50.0, 30.0, 61.0, 300.0]
    events = [event(at=n, clock=Clock.REPLAY, received_at=event().ts + seconds(9e6 + i)) for i, n in enumerate(at)]
    heard, first = Heard(), micros(events[0].ts)
    Course([heard], timedelta(seconds=60), 30).run(events, 0)
    minute = 60 * SECOND
    assert heard.replayed == [first + minute, first + 2 * minute, first + 5 * minute, first + 5 * minute + 30 * SECOND]
    order = [frame.lines[0].event.ts if frame.lines else "tick" for frame in heard.frames if frame.lines or frame.replay_tick]
    assert order.index("tick") == 3, "the three events of the first minute come before its end is told"


def incident() -> list[Event]:
    """An hour of calls and decisions of two agents in many traces; one has a bad quarter of an hour, and events come late."""
    made: list[Event] = []
    for n in range(720):
        agent, key = ("a", "b")[n % 2], f"{n % 97}-{n // 97}"
        bad = agent == "a" and 240 <= n < 420 and n % 3 == 0
        late = 400.0 if n % 45 == 1 else 0.2
        at = n * 4.5
        one = event(Kind.TOOL_CALL, at, key, agent=agent, tool="t", status=Status.ERROR if bad else Status.OK)
        made.append(replace(one, received_at=one.ts + seconds(late)))
        if bad:
            made.append(replace(event(Kind.ESCALATION, at + 1, key, agent=agent), received_at=one.ts + seconds(1.5)))
    return sorted(made, key=lambda one: one.received_at or one.ts)


def reference(events: Sequence[Event], until: int, partitions: int = 3) -> list[AlertTransition]:
    """As workers do it: folds for each partition, a tick a second in each, in the real order of things."""
    decide, groups = plans(Settings(), small_book(), RuleBook(RULES))
    deciders: list[Fold] = [decide.fold(n, partitions, Disk()) for n in range(partitions)]
    groupers: list[Fold] = [groups.fold(n, partitions, Disk()) for n in range(partitions)]
    told: list[AlertTransition] = []
    parse = groups.inputs[GROUP_INPUTS.name]

    def hand_on(outs: list[Out]) -> None:
        for n, grouper in enumerate(groupers):
            for out in outs:
                if out.topic is GROUP_INPUTS and partition_of(out.key, partitions) == n:
                    grouper.apply(Position(GROUP_INPUTS.name, n, 0), parse(out.value, (), 0))
            told.extend(transition(out) for out in grouper.drain().outs if out.topic is ALERT_TRANSITIONS)

    def give(n: int, frame: Frame) -> None:
        deciders[n].apply(Position(AGENT_EVENTS.name, n, 0), frame)
        changes = deciders[n].drain()
        hand_on(changes.outs)

    second = micros(events[0].received_at or events[0].ts) // SECOND
    waiting = list(events)
    while second * SECOND <= until:
        while waiting and micros(waiting[0].received_at or waiting[0].ts) < second * SECOND:
            one = waiting.pop(0)
            give(partition_of(routing_key(one.tenant, one.decision_key), partitions), frame_of(one))
        for n in range(partitions):
            give(n, Frame([], [], instant(second * SECOND), tick=True))
        second += 1
    return told


def transition(out: Out) -> AlertTransition:
    return msgspec.json.decode(out.value, type=AlertTransition)


def frame_of(one: Event) -> Frame:
    return Frame([Line(0, b"", one)], [], one.received_at or one.ts)


def last_words(told: Sequence[AlertTransition]) -> list[tuple[object, ...]]:
    return sorted(
        (one.alert_id, one.transition, one.state.value, str(one.window_from), one.value, one.samples, one.late)
        for one in told
        if not one.provisional
    )


def test_one_partition_in_memory_says_what_workers_say(tmp_path: Path) -> None:
    events, told = incident(), list[AlertTransition]()
    until = micros(events[-1].received_at or events[-1].ts) + HOUR // 5
    costs = Costs(0, until)
    stages = Stages(plans(Settings(), small_book(), RuleBook(RULES)), tmp_path, costs, told.append)
    Course([stages], timedelta(days=1), 30).run(events, until)
    stages.close()
    wanted = reference(events, until)
    assert {(one.rule, one.state) for one in wanted} >= {("errors", FIRING), ("errors", RESOLVED), ("escalated", FIRING)}
    assert last_words(told) == last_words(wanted)


def test_what_decisions_cost_is_summed_by_their_start(tmp_path: Path) -> None:
    events = [call(0, key="in"), call(2, key="in"), call(10, key="in"), call(4000, key="out")]
    costs = Costs(micros(events[0].ts), micros(events[-1].ts))
    stages = Stages(plans(Settings(), small_book(), RuleBook(RULES)), tmp_path, costs, lambda _: None)
    Course([stages], timedelta(days=1), 30).run(events, 0)
    stages.close()
    assert costs.nanos == 3 * 2_800_000
    assert inputs([]) == []


def told(rule: str, at: int, state: AlertState = FIRING, number: int = 1, provisional: bool = False) -> AlertTransition:
    group = {"agent": "a"}
    return AlertTransition(
        alert_id=alert_id("t", rule, group),
        transition=number,
        tenant="t",
        rule=rule,
        group=group,
        state=state,
        at=instant(at * SECOND),
        window_from=instant(at * SECOND),
        provisional=provisional,
    )


def test_firings_are_the_same_when_alert_and_window_are() -> None:
    then = [told("x", 10), told("x", 20, RESOLVED, 2), told("x", 30, number=3), told("gone", 5)]
    now = [told("x", 30, number=1), told("x", 50, number=2, provisional=True)]
    gone, x = compare(then, now)
    assert [one.rule for one in (gone, x)] == ["gone", "x"]
    assert (gone.fired, gone.fires) == (1, 0)
    assert [[one.window_from for one in side] for side in (x.both, x.then, x.now)] == [
        [instant(30 * SECOND)],
        [instant(10 * SECOND)],
        [instant(50 * SECOND)],
    ]
    quiet, total, lost = totals([gone, x], ["quiet", "x"])
    assert (quiet.fired, quiet.fires) == (0, 0)
    assert (total.rule, total.fired, total.fires, total.both, total.then, total.now) == ("x", 2, 2, 1, 1, 1)
    assert lost.rule == "gone"


def test_what_was_said_too_early_and_taken_back_is_no_firing() -> None:
    taken_back = [told("x", 10, provisional=True), told("x", 10, RESOLVED, 2)]
    assert compare(taken_back, []) == []
    (held,) = compare([told("x", 10, provisional=True), told("x", 20, RESOLVED, 2)], [told("x", 10)])
    assert len(held.both) == 1


def test_the_warm_up_reaches_as_far_as_the_rules_look_back() -> None:
    assert warm_up(Rules("", (ERRORS,))) == timedelta(hours=1, minutes=5)
    week = Rule(name="w", measure="override_rate", window_s=86400, panes=7, above=Decimal(1))
    assert timedelta(days=7) <= warm_up(Rules("", (week,))) <= timedelta(days=8)
    assert warm_up(default()) >= timedelta(days=31)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.yaml"], "nowhere.yaml: No such file or directory"),
        ([str(DEFAULT), "--from", "now", "--to", "now-1h"], "is not before --to"),
        ([str(DEFAULT), "--from", "2026-13-01"], "'2026-13-01' is not a time"),
        ([str(DEFAULT), "--warm-up", "long"], "'long' is no duration"),
        ([str(DEFAULT), "--replay-step", "0s"], "a step of time takes more than nothing"),
        ([str(DEFAULT), "--prices", "nowhere.toml"], "nowhere.toml: there is no such file"),
    ],
)
def test_a_wrong_question_is_answered_in_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["backtest", *arguments])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("waterline: ")
    assert said in line


def test_mistakes_of_a_rules_file_are_told_as_by_rules_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(DEFAULT.read_text().replace("measure: tool_error_rate", "measure: tol_error_rate"))
    main(["rules", "check", str(file)])
    checked = capsys.readouterr().err.splitlines()[:-1]
    with pytest.raises(SystemExit):
        main(["backtest", str(file)])
    assert capsys.readouterr().err.splitlines() == [f"waterline: {line}" for line in checked]
