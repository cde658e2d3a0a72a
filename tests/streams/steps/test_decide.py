"""Decisions over several partitions: routing, election, parking, merging, closing."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.streams.steps.test_decision import events
from tests.streams.steps.world import T0, World, call, content, event, fact_of
from waterline.schemas.errors import ErrorCode
from waterline.schemas.events import Event, Kind, Outcome, Verdict
from waterline.schemas.facts import DecisionState, PriceState
from waterline.schemas.frames import parse_frame
from waterline.schemas.identity import partition_of, routing_key

REVIEW: dict[str, Any] = {"review_minutes": 30, "review_verdict": Verdict.OVERRIDE, "reviewer": "r"}


def key_on(partition: int, partitions: int = 3, prefix: str = "k") -> str:
    """A decision key or business id that lies on a partition."""
    return next(k for n in range(1000) if partition_of(routing_key("acme", k := f"{prefix}{n}"), partitions) == partition)


def test_events_of_one_trace_are_one_decision() -> None:
    world = World()
    sent = [call(n) for n in range(4)]
    world.send(sent)
    world.run()
    (fact,) = world.decisions.values()
    assert content(fact) == content(fact_of(sent))
    assert fact.revision == 4
    assert sum(cost.cost or 0 for cost in world.costs.values()) == fact.realized_cost == Decimal("0.0112")


def test_a_line_in_a_wrong_partition_reaches_its_own() -> None:
    world = World(partitions=5, seed=3)
    sent = [call(n, key=f"k{n % 7}") for n in range(50)]
    world.send(sent, astray=True)
    world.run()
    assert {key: fact.events for key, fact in world.decisions.items()} == {
        f"k{k}": sum(one.decision_key == f"k{k}" for one in sent) for k in range(7)
    }


def test_without_key_and_business_id_an_event_is_its_own_decision() -> None:
    world = World()
    world.send([call(key="", event_id="alone"), event(Kind.DEPLOYMENT, key=""), event(Kind.REVIEW, key="")])
    world.run()
    assert set(world.decisions) == {"alone"}
    (letter,) = world.letters
    assert letter.code is ErrorCode.UNLINKED
    assert "names neither" in letter.reason


@pytest.mark.parametrize("alias_on", [0, 1])
@pytest.mark.parametrize("review_first", [False, True])
def test_a_review_that_knows_only_the_business_id_finds_its_decision(alias_on: int, review_first: bool) -> None:
    """Whichever partition the id lies on, and whether the review comes before the id was linked or after."""
    world = World()
    key, alias = key_on(0), key_on(alias_on, prefix="ticket-")
    agent = [call(0, key=key, agent="a"), call(5, key=key, decision_id=alias)]
    human = [event(Kind.REVIEW, 60, key="", decision_id=alias, **REVIEW)]
    for part in (human, agent) if review_first else (agent, human):
        world.send(part)
        world.run()
    (fact,) = world.decisions.values()
    assert content(fact) == content(fact_of(agent + human))
    assert (fact.decision_key, fact.overturned, fact.cost_human) == (key, True, Decimal(30))
    assert world.links[alias].decision_key == key
    assert not world.letters


def test_work_that_knows_only_a_business_id_is_a_decision_of_that_name() -> None:
    world = World()
    named = {"key": "", "decision_id": "ticket-1"}
    sent = [call(0, **named), event(Kind.OUTCOME, 9, outcome=Outcome.CORRECT, **named)]
    world.send(sent)
    world.run()
    (fact,) = world.decisions.values()
    assert (fact.decision_key, fact.outcome, fact.events) == ("ticket-1", Outcome.CORRECT, 2)


def test_of_two_traces_under_one_business_id_the_first_to_propose_stays() -> None:
    world = World()
    alias, winner, loser = key_on(2, prefix="ticket-"), key_on(0), key_on(1)
    first = [call(0, key=winner, decision_id=alias, agent="a"), call(1, key=winner)]
    second = [call(2, key=loser, agent="b"), call(3, key=loser, decision_id=alias), call(4, key=loser)]
    world.send(first)
    world.run()
    world.send(second[:1])
    world.run()
    assert world.decisions[loser].state is DecisionState.OPEN
    world.send(second[1:])
    world.run()
    fact, gone = world.decisions[winner], world.decisions[loser]
    assert content(fact) == content(fact_of(first + second))
    assert fact.revision == 5
    assert (gone.state, gone.merged_into, gone.realized_cost) == (DecisionState.MERGED, winner, Decimal(0))
    assert gone.events == 0
    assert gone.previous is not None, "its group takes back what it had"
    assert set(world.contributions) == {winner}
    counted = [cost for cost in world.costs.values() if not cost.retracted]
    assert sum(cost.cost or 0 for cost in counted) == fact.realized_cost
    assert {cost.decision_key for cost in counted} == {winner}


def test_what_comes_later_for_a_merged_decision_goes_where_it_went() -> None:
    world = World()
    alias, winner, loser = key_on(2, prefix="ticket-"), key_on(0), key_on(1)
    world.send([call(0, key=winner, decision_id=alias)])
    world.run()
    early = call(1, key=loser, decision_id=alias)
    world.send([early])
    world.run()
    world.send([call(2, key=loser), early, event(Kind.REVIEW, 50, key="", decision_id=alias, **REVIEW)])
    world.run()
    assert world.decisions[winner].events == 4, "and the copy counts once"
    assert world.decisions[loser].state is DecisionState.MERGED


def test_two_ids_that_send_two_decisions_to_each_other() -> None:
    """Each wins one election and loses the other at the same time: one of them stays, with all events."""
    for seed in range(30):
        world = World(seed=seed)
        one, other = key_on(0), key_on(1)
        a, b = key_on(2, prefix="a-"), key_on(1, prefix="b-")
        sent = [call(0, key=one, decision_id=a), call(1, key=other, decision_id=b)]
        sent += [call(2, key=one, decision_id=b), call(3, key=other, decision_id=a), call(4, key=one), call(5, key=other)]
        world.send(sent)
        world.run(shuffled=True)
        (fact,) = world.live().values()
        assert content(fact) == content(fact_of(sent)) | {"decision_id": fact.decision_id}


KEYS, ALIASES = ("k0", "k1", "k2", "k3", ""), ("", "", "a0", "a1", "a2")


def components(sent: list[Event]) -> list[list[Event]]:
    """The events that end up together: joined by keys and business ids, as a reader of the contract would."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    waiting = {Kind.REVIEW, Kind.OUTCOME, Kind.CORRECTION}
    names: dict[str, str] = {}
    linked: set[str] = set()
    for one in sent:
        alias = f"alias {one.decision_id}" if one.decision_id else ""
        if one.decision_key:
            names[one.event_id] = one.decision_key
        elif alias:
            names[one.event_id] = alias
        elif one.kind not in waiting | {Kind.DEPLOYMENT, Kind.POLICY, Kind.SESSION}:
            names[one.event_id] = one.event_id
        else:
            continue
        if alias:
            parent[root(names[one.event_id])] = root(alias)
            if one.decision_key or one.kind not in waiting:
                linked.add(alias)
    found: dict[str, list[Event]] = defaultdict(list)
    ok = {root(alias) for alias in linked}
    for one in sent:
        if name := names.get(one.event_id):
            if name.startswith("alias ") and root(name) not in ok:
                continue
            found[root(name)].append(one)
    return list(found.values())


def belongs(one: Event) -> set[str]:
    return {name for name in (one.decision_key, one.decision_id) if name}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events(KEYS, ALIASES), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_wherever_events_go_the_facts_are_those_of_one_fold(sent: list[Event], seed: int, restarts: bool, again: bool) -> None:
    """Random keys, business ids, interleavings, batches, copies and restarts."""
    world = World(partitions=4, seed=seed)
    world.send(sent)
    if again:
        world.send(world.random.choices(sent, k=len(sent)), astray=True)
    world.run(shuffled=True, restarts=restarts)
    expected = [fact_of(part) for part in components(sent)]
    got = list(world.live().values())
    assert sorted((content(fact) for fact in got), key=repr) == sorted((content(fact) for fact in expected), key=repr)
    assert set(world.contributions) == set(world.live())
    for key, fact in world.live().items():
        counted = [c for c in world.costs.values() if c.decision_key == key and c.price_state is PriceState.PRICED]
        assert sum((c.cost for c in counted if c.cost is not None), Decimal(0)) == fact.realized_cost
    merged = {key for key, fact in world.decisions.items() if fact.state is DecisionState.MERGED}
    assert all(cost.retracted for cost in world.costs.values() if cost.decision_key in merged)


EXTREMES = st.fixed_dictionaries(
    {},
    optional={
        "ts": st.sampled_from(["1970-01-01T00:00:00Z", "2199-12-31T23:59:59.999999Z"]),
        "received_at": st.sampled_from(["1970-01-01T00:00:00+14:00", "2199-12-31T23:59:59Z"]),
        "queue_entered_at": st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]),
        "duration_ms": st.sampled_from([0, 1e13]),
        "review_minutes": st.sampled_from([0, 1e7]),
        "tokens_input": st.just(2**53),
        "tokens_output": st.just(2**53),
        "tokens_reasoning": st.just(2**53),
        "requests": st.just(2**53),
        "tool_cost": st.sampled_from(["NaN", "-Infinity", "1E+999999", "1e-400", "-5", "99999999999999999"]),
        "reported_cost": st.sampled_from(["sNaN", "1E+999999", "999999999999999999"]),
        "decision_key": st.sampled_from(["", "k", "\x1f/\x00", "ü" * 1024]),
        "decision_id": st.sampled_from(["a", "a/\x1f1"]),
        "agent": st.sampled_from(["/", "ü" * 1024]),
        "task": st.sampled_from(["/", "ü" * 1024]),
        "attempt": st.just(2**31),
    },
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Kind)), EXTREMES), min_size=1, max_size=8), st.integers(0, 99))
def test_nothing_a_valid_event_can_hold_breaks_the_fold(drawn: list[tuple[Kind, dict[str, Any]]], seed: int) -> None:
    """And the facts it leads to are valid themselves."""
    world = World(seed=seed)
    base = {"tenant": "acme", "provider": "openai", "model_served": "gpt", "ts": "2026-11-20T09:00:00Z"}
    for kind, fields in drawn:
        line = msgspec.json.encode(base | fields | {"kind": kind})
        frame = parse_frame(line, [], 0)
        world.send(one.event for one in frame.lines)
        world.run(shuffled=True)
    for replay in (False, True):
        world.tick(T0, replay)
        world.tick(T0 + timedelta(days=99), replay)
    world.run()
    world.run()
