"""Waiting, resting and forgetting: what event time does to parked events and to decisions."""

from datetime import timedelta
from typing import Any

from tests.streams.steps.world import REPLAY, T0, World, call, content, event, fact_of, seconds
from waterline.schemas.errors import ErrorCode
from waterline.schemas.events import Event, Kind, Verdict
from waterline.schemas.facts import PriceState
from waterline.schemas.topics import AGENT_EVENTS
from waterline.streams.steps.keep import SAID
from waterline.streams.steps.limits import Limits
from waterline.streams.steps.trail import CHUNK

REVIEW: dict[str, Any] = {"review_minutes": 30, "review_verdict": Verdict.OVERRIDE, "reviewer": "r"}


def left(world: World) -> list[bytes]:
    """Keys on disk but the one that each partition has for time."""
    return [key for disk in world.disks for key in disk if key != SAID]


# parking


def waiting_review(n: int = 0, alias: str = "ticket-9", **fields: Any) -> Event:
    return event(Kind.REVIEW, n, key="", decision_id=alias, **REVIEW, **fields)


def test_an_event_that_is_never_linked_is_buried_with_the_reason() -> None:
    world = World(limits=Limits(parked_hours=72))
    world.send([waiting_review(), waiting_review(3600)])
    world.run(restarts=True)
    world.tick(T0 + timedelta(hours=71))
    world.run()
    assert not world.letters
    world.tick(T0 + timedelta(hours=72, minutes=30))
    world.run()
    assert len(world.letters) in (0, 1)
    world.tick(T0 + timedelta(hours=80))
    world.run()
    assert {letter.code for letter in world.letters} == {ErrorCode.UNLINKED}
    assert len({letter.id for letter in world.letters}) == len(world.letters) == 2
    assert "within 72 hours" in world.letters[0].reason
    assert not any(key[:1] in (b"p", b"q", b"w") for disk in world.disks for key in disk)


def test_only_so_many_events_wait_for_one_business_id() -> None:
    world = World(limits=Limits(parked_events=2))
    world.send([waiting_review(n) for n in range(3)])
    world.run()
    (letter,) = world.letters
    assert "2 events already wait" in letter.reason
    world.send([call(key="k", decision_id="ticket-9")])
    world.run()
    assert world.decisions["k"].reviews == 2


def test_a_replay_lets_no_event_wait_shorter() -> None:
    """A month of event time passes in seconds, and the link may still be on its way: only time since receipt counts."""
    world = World(limits=Limits(parked_hours=72))
    world.send([waiting_review(clock=REPLAY)])
    world.run()
    world.tick(T0 + timedelta(days=30), replay=True)
    world.run()
    assert not world.letters
    world.tick(T0 + timedelta(days=4))
    world.run()
    assert len(world.letters) == 1


def test_a_copy_waits_once() -> None:
    world = World(limits=Limits(parked_events=2))
    one, other = waiting_review(0), waiting_review(9)
    world.send([one, one, one, other, one])
    world.run()
    assert not world.letters
    world.send([call(key="k", decision_id="ticket-9")])
    world.run()
    assert world.decisions["k"].reviews == 2


# closing


def resident(world: World) -> int:
    return sum(len(fold.keep.decisions) for fold in world.folds)


def test_a_decision_at_rest_leaves_the_memory_and_comes_back_when_needed() -> None:
    world = World(limits=Limits(decision_grace_s=60))
    sent = [call(0), call(200)]
    world.send(sent[:1])
    world.run()
    world.tick(T0 + seconds(59))
    world.run()
    assert resident(world) == 1
    told = dict(world.decisions)
    world.tick(T0 + seconds(90))
    world.run()
    assert resident(world) == 0
    assert world.decisions == told, "closing tells nothing"
    world.send(sent[1:])
    world.run()
    (fact,) = world.decisions.values()
    assert content(fact) == content(fact_of(sent))


def test_a_decision_that_is_not_stored_yet_does_not_leave() -> None:
    """Its first event, a tick that ends its grace, and its second event lie in one batch."""
    world = World(partitions=1, limits=Limits(decision_grace_s=60))
    world.send([call(0)])
    world.tick(T0 + timedelta(hours=1))
    world.send([call(1)])
    for _ in range(3):
        world.take(AGENT_EVENTS.name, 0)
    world.run()
    assert world.decisions["k"].events == 2


def test_a_leaf_is_told_again_only_when_it_counts_differently() -> None:
    """A parent far back becomes a wrapper; after that it is left alone, also by a fold that reads it from disk."""
    world = World(partitions=1)
    world.send([call(n, event_id=f"e{n}", span_id=f"span-of-16-chars{n}") for n in range(3 * CHUNK)])
    world.run()
    world.send([call(500, parent_span_id="span-of-16-chars0")])
    world.run()
    told = world.costs["k", "e0"]
    assert (told.price_state, told.revision) == (PriceState.WRAPPER, 3 * CHUNK + 1)
    world.restart()
    world.send([call(501)])
    world.run()
    assert world.costs["k", "e0"] is told


def test_memory_holds_only_so_many_decisions() -> None:
    """The others lie on disk, and what they were is not lost."""
    world = World(partitions=1, limits=Limits(decisions_in_memory=5))
    for n in range(3):
        world.send([call(n, key=f"d{k}") for k in range(20)])
        world.run()
    assert resident(world) == 5
    assert {fact.events for fact in world.decisions.values()} == {3}
    assert len(world.decisions) == 20


def test_wall_ticks_close_no_replay() -> None:
    world = World(limits=Limits(decision_grace_s=60))
    world.send([call(0, clock=REPLAY)])
    world.run()
    world.tick(T0 + timedelta(days=2))
    world.run()
    assert resident(world) == 1
    world.tick(T0 + timedelta(minutes=5), replay=True)
    world.run()
    assert resident(world) == 0


def test_a_clock_that_is_ahead_closes_nobody_else() -> None:
    world = World(partitions=1, limits=Limits(decision_grace_s=900))
    world.send([call(0), call(0, key="wild", ts=T0 + timedelta(days=300), received_at=T0)])
    world.run()
    assert resident(world) == 2


def test_a_decision_is_forgotten_when_it_can_be_reopened_no_more() -> None:
    world = World(limits=Limits(decision_keep_days=45))
    world.send([call(0, decision_id="ticket-1")])
    world.run()
    world.tick(T0 + timedelta(days=44))
    world.run()
    assert any(key[:1] == b"d" for disk in world.disks for key in disk)
    world.tick(T0 + timedelta(days=46))
    world.run()
    world.run()
    assert not left(world), "no key is left behind"


def test_news_puts_off_the_end() -> None:
    world = World(limits=Limits(decision_keep_days=45))
    world.send([call(0)])
    world.run()
    world.send([call(40 * 86400)])
    world.run()
    world.tick(T0 + timedelta(days=50))
    world.run()
    assert sum(key[:1] == b"d" for disk in world.disks for key in disk) == 1
    world.tick(T0 + timedelta(days=86))
    world.run()
    assert not left(world)


def test_a_decision_larger_than_its_memory_goes_on_from_disk() -> None:
    """Restarts in between; leaves that left the memory are handed over and retracted all the same."""
    world = World(partitions=2, limits=Limits(decision_ids=2 * CHUNK))
    key, other = "k1", "k2"
    sent = [call(n, key=key, event_id=f"n{n}", span_id=f"span-of-16-chars{n}") for n in range(6 * CHUNK)]
    for begin in range(0, len(sent), CHUNK):
        world.send(sent[begin : begin + CHUNK])
        world.run()
        if begin % (2 * CHUNK) == 0:
            world.restart()
    assert world.decisions[key].events == world.decisions[key].model_calls == 6 * CHUNK
    held = sum(len(decision.trail.ids) for fold in world.folds for decision in fold.keep.decisions.values())
    assert held <= 3 * CHUNK
    world.send([call(0, key=other, decision_id="ticket-1"), call(999, key=key, decision_id="ticket-1")])
    world.run()
    (fact,) = world.live().values()
    assert fact.events == 6 * CHUNK + 2
    merged = [cost for (of, _), cost in world.costs.items() if of != fact.decision_key]
    assert merged
    assert all(cost.retracted for cost in merged)
    counted = [cost.cost for (of, _), cost in world.costs.items() if of == fact.decision_key and cost.cost is not None]
    assert sum(counted) == fact.realized_cost
