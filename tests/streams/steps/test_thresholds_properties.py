"""Rules over windows, compared with a walk from scratch over all that has come: whatever is late, whatever the batches, whatever
restarts. The walk is written here anew, from the words of the rules, and shares no code with the fold."""

import random
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.streams.steps.test_thresholds import BEGIN, MINUTE, Watched
from waterline.schemas.alerts import AlertState, AlertTransition
from waterline.schemas.facts import GroupInput
from waterline.streams.steps.moment import instant
from waterline.streams.steps.rules import AGENT_TOOL, Baseline, Rule

SHARE = Decimal("0.05")
PLAIN = Rule(name="plain", measure="tool_error_rate", window_s=300, above=SHARE, at_least=20)
BY_TOOL = Rule(name="by_tool", measure="tool_error_rate", window_s=300, above=SHARE, at_least=20, by=AGENT_TOOL)
LASTING = Rule(name="lasting", measure="tool_error_rate", window_s=300, above=SHARE, at_least=20, for_windows=3, hold_windows=2)
SLIDING = Rule(name="sliding", measure="tool_error_rate", window_s=300, panes=4, above=SHARE, at_least=40, for_windows=2)
RELATIVE = Rule(name="relative", measure="tool_error_rate", window_s=300, above=Decimal(2), baseline=Baseline.DAYS, at_least=10)
RULES = (PLAIN, BY_TOOL, LASTING, SLIDING, RELATIVE)
KEPT = 60
"""minutes after its end for which a window can be corrected"""
Counts = Mapping[int, tuple[int, int]]
"""start of a window in minutes -> calls, errors"""
GONE = frozenset({AlertState.OK, AlertState.RESOLVED, AlertState.INSUFFICIENT})


class Came(Struct, frozen=True):
    """Calls of a minute, and how many minutes after that they came."""

    minute: int
    delay: int
    calls: int
    errors: int
    tool: str


came = st.builds(
    Came,
    minute=st.integers(0, 150),
    delay=st.sampled_from([0, 0, 0, 1, 4, 7, 20, 54]),
    calls=st.sampled_from([5, 20, 40, 100]),
    errors=st.integers(0, 5),
    tool=st.sampled_from(["t0", "t1"]),
)


def judged(rule: Rule, counts: Counts, start: int) -> str:
    """What the window that begins then says."""
    length = rule.window_s // 60
    panes = [counts.get(start - n * length, (0, 0)) for n in range(rule.panes)]
    calls, errors = sum(pane[0] for pane in panes), sum(pane[1] for pane in panes)
    limit = rule.above
    if rule.baseline is Baseline.DAYS:
        before = [counts.get(start - n * length, (0, 0)) for n in range(1, 8)]
        if not all(pane[0] for pane in before):
            return "little"
        rates = [round(Decimal(pane[1]) / pane[0], 9) for pane in before]
        limit = round(round(sum(rates, Decimal(0)) / 7 * rule.above, 12), 9)
    if calls < rule.at_least:
        return "little"
    rate = round(Decimal(errors) / calls, 9)
    return "over" if rate > limit else "under" if rate <= limit * rule.clear_at else "between"


def stands(rule: Rule, counts: Counts, now: int) -> str:
    """ok, pending or firing, after all windows that end by `now`."""
    length = rule.window_s // 60
    state, streak, silent = "ok", 0, 0
    for start in range(min(counts, default=now), now - length + 1, length):
        if state == "ok" and not any(start - n * length in counts for n in range(rule.panes)):
            continue
        said = judged(rule, counts, start)
        if said == "little":
            silent, streak = silent + 1, 0
            state = "ok" if silent >= rule.hold_windows else state
            continue
        silent = 0
        streak = streak + 1 if said == "over" else 0
        if said == "over":
            state = "firing" if state == "firing" or streak >= rule.for_windows else "pending"
        elif state == "pending" or said == "under":
            state = "ok"
    return state


def check_numbers(told: list[AlertTransition]) -> None:
    """Of each alert: numbered from 1 without a hole, each from where the one before left it, none to where it was; so are the
    revisions of each."""
    last: dict[str, AlertTransition] = {}
    words: dict[tuple[str, int], AlertTransition] = {}
    for one in told:
        if (same := words.get((one.alert_id, one.transition))) is not None:
            assert one.revision == same.revision + 1
            assert (one.state, one.previous, one.at, one.opened_at, one.window_from) == (
                *(same.state, same.previous, same.at, same.opened_at, same.window_from),
            )
            assert not one.provisional
            assert same.provisional or (one.value, one.threshold, one.samples) != (same.value, same.threshold, same.samples)
            words[one.alert_id, one.transition] = one
            continue
        assert one.revision == 1
        words[one.alert_id, one.transition] = one
        before = last.get(one.alert_id)
        assert one.transition == (before.transition if before else 0) + 1
        assert one.previous is (before.state if before else AlertState.OK)
        assert one.state is not one.previous
        if one.state is AlertState.PENDING:
            assert one.previous in GONE, "a receiver was told that it fires, and must be told that it does not"
        last[one.alert_id] = one


class Trial:
    """The fold and all that came, side by side."""

    def __init__(self, replay: bool, sources: int, rnd: random.Random) -> None:
        self.watched = Watched(*RULES, replay=replay, sources=sources)
        self.rnd, self.sources, self.replay = rnd, sources, replay
        self.counts: dict[tuple[str, int], dict[int, tuple[int, int]]] = defaultdict(dict)
        self.held: list[GroupInput] = []
        self.marks = [0] * sources

    def come(self, one: Came) -> None:
        self.held.append(self.watched.calls(one.minute, one.calls, one.errors, one.tool))
        for tool in ("", one.tool):
            counts = self.counts[tool, 5]
            start = one.minute - one.minute % 5
            calls, errors = counts.get(start, (0, 0))
            counts[start] = (calls + one.calls, errors + one.errors)
        if self.rnd.random() < 0.3:
            self.take()

    def time(self, minute: int) -> None:
        """Some sources come to that minute, or all."""
        for source in range(self.sources):
            if self.rnd.random() < 0.7 and minute > self.marks[source]:
                self.marks[source] = minute
                self.held.append(self.watched.time(minute + (0 if self.replay else 0.2), source))

    def take(self) -> None:
        """A restart only after something was written: else the same would come again."""
        before = dict(self.watched.disk)
        self.watched.take(*self.held)
        self.held = []
        if self.rnd.random() < 0.3 and self.watched.disk != before:
            self.watched.drain(restart=True)

    def compare(self, provisional: bool) -> None:
        now = min(self.marks)
        latest = {(one.rule, one.group.get("tool", "")): one for one in self.watched.told if one.revision == 1}
        for rule in RULES:
            for tool, length in self.counts:
                if bool(tool) != (rule.by == AGENT_TOOL) or length != rule.window_s // 60:
                    continue
                told = latest.get((rule.name, tool))
                if told is not None and told.provisional and provisional:
                    continue
                self.check_said(rule, tool, now)
                fires = told is not None and told.state is AlertState.FIRING
                assert fires == (stands(rule, self.counts[tool, length], now) == "firing"), (rule.name, tool, now)

    def check_said(self, rule: Rule, tool: str, now: int) -> None:
        """What was said last of a window that is over is what is in it."""
        counts, length = self.counts[tool, rule.window_s // 60], rule.window_s // 60
        mine = (one for one in self.watched.told if (one.rule, one.group.get("tool", "")) == (rule.name, tool))
        last = {one.window_to: one for one in mine}
        for one in last.values():
            assert one.window_to is not None
            end = round(one.window_to.timestamp()) // 60 - BEGIN
            panes = [counts.get(end - n * length, (0, 0)) for n in range(1, rule.panes + 1)]
            calls, errors = sum(pane[0] for pane in panes), sum(pane[1] for pane in panes)
            if end <= now:
                value = round(Decimal(errors) / calls, 9) if calls else None
                assert (one.samples, one.value, one.provisional) == (calls, value, False)


def run(items: list[Came], rnd: random.Random, replay: bool, sources: int) -> None:
    trial = Trial(replay, sources, rnd)
    clock = 0
    for one in sorted(items, key=lambda one: one.minute + one.delay):
        arrives = one.minute + one.delay
        if arrives > clock:
            trial.time(arrives)
            clock = arrives
            if rnd.random() < 0.5:
                trial.take()
                trial.compare(provisional=not replay)
        trial.come(one)
    end = clock - clock % 5 + 5
    for source in range(sources):
        trial.held.append(trial.watched.time(end + 0.2, source))
    trial.marks = [end] * sources
    trial.take()
    trial.compare(provisional=False)
    check_numbers(trial.watched.told)


@pytest.mark.parametrize("sources", [1, 3])
@pytest.mark.parametrize("replay", [True, False])
@settings(max_examples=60, deadline=None)
@given(items=st.lists(came, max_size=50), rnd=st.randoms(use_true_random=False))
def test_the_fold_stands_where_a_walk_from_scratch_does(
    items: list[Came], rnd: random.Random, replay: bool, sources: int
) -> None:
    run(items, rnd, replay, sources)


@settings(max_examples=60, deadline=None)
@given(items=st.lists(came, max_size=50), rnd=st.randoms(use_true_random=False))
def test_without_late_calls_it_fires_once_for_each_time_a_walk_from_scratch_begins_to(
    items: list[Came], rnd: random.Random
) -> None:
    trial = Trial(True, 1, rnd)
    clock = 0
    for one in sorted(items, key=lambda one: one.minute):
        if one.minute > clock:
            trial.time(one.minute)
            clock = one.minute
        trial.come(Came(one.minute, 0, one.calls, one.errors, one.tool))
    end = clock - clock % 5 + 5
    trial.held.append(trial.watched.time(end))
    trial.take()
    for rule in RULES:
        for (tool, length), counts in trial.counts.items():
            if bool(tool) == (rule.by == AGENT_TOOL):
                due = [
                    now
                    for now in range(length, end + 1, length)
                    if stands(rule, counts, now) == "firing" and stands(rule, counts, now - length) != "firing"
                ]
                told = [one for one in trial.watched.told if (one.rule, one.group.get("tool", "")) == (rule.name, tool)]
                assert all(one.revision == 1 for one in told)
                fired = [one.window_to for one in told if one.state is AlertState.FIRING]
                assert fired == [instant((BEGIN + now) * MINUTE) for now in due]
                assert not any(one.late for one in told)
