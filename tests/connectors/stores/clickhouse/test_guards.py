"""Each guard of the sink at its worst place: with the guard every row is there once, physically, with merges stopped; with
the guard switched off the defect shows. Guards that would hide the one in question are off in both runs."""

import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.connectors.stores.clickhouse.conftest import NewWorld
from tests.connectors.stores.clickhouse.world import EVENTS, LETTERS, Sink, World, line, wait

guarded_or_not = pytest.mark.parametrize("off", [False, True], ids=["guarded", "without"])
ALONE = {"sink_instance": ""}


def once(world: World, expected: int) -> bool:
    """Whether every position is there exactly once. None may be missing."""
    found = Counter(world.positions())
    assert len(found) == expected, f"{expected - len(found)} rows are missing"
    return max(found.values()) == 1


def crash(world: World, point: str, without: str) -> None:
    sink = world.sink(wait_ready=False, crash=point, without=without)
    wait(sink.crashed, f"never came to {point}")


def finish(world: World, without: str) -> None:
    with world.running(without=without):
        world.settle()


@guarded_or_not
def test_plan(world: World, off: bool) -> None:
    without = "presence,plan" if off else "presence"
    world.send(line("a0"), line("a1"))
    crash(world, "after_insert", without)
    world.send(line("b0"))
    finish(world, without)
    assert once(world, 3) is not off


@guarded_or_not
def test_token(world: World, off: bool) -> None:
    without = "presence,token" if off else "presence"
    world.send(line("a0"), line("a1"))
    crash(world, "after_insert", without)
    finish(world, without)
    assert once(world, 2) is not off


@guarded_or_not
def test_presence(world: World, off: bool) -> None:
    without = "token,presence" if off else "token"
    world.send(line("a0"), line("a1"))
    crash(world, "after_insert", without)
    finish(world, without)
    assert once(world, 2) is not off
    assert sum(row["rows"] for row in world.ranges()) == 2


@guarded_or_not
def test_ledger_token(world: World, off: bool) -> None:
    without = "ledger_token" if off else ""
    world.send(line("a0"))
    crash(world, "after_ledger", without)
    finish(world, without)
    assert once(world, 1)
    assert (len(world.ranges()) == 1) is not off


@guarded_or_not
def test_split_plan(new_world: NewWorld, off: bool) -> None:
    """A table that takes tomorrow what it refused today must not make a repeated half a repeated whole."""
    world = new_world(own_tables=True)
    without = "presence,split_plan" if off else "presence"
    world.send(line("a0"))
    world.send(line("b0", reported_cost="1e30"))
    crash(world, "after_insert", without)
    assert world.ids() == ["a0"]
    world.merges("START")
    world.client.command("ALTER TABLE events MODIFY COLUMN reported_cost Nullable(Float64)")
    world.merges("STOP")
    finish(world, without)
    assert once(world, 2) is not off


@guarded_or_not
def test_window(world: World, off: bool) -> None:
    with world.running(without="window" if off else ""):
        world.send(line("a0"), line("a1"))
        world.settle()
        world.send(line("a1", name="changed"), line("a2"))
        world.settle()
    assert (world.ids() == ["a0", "a1", "a2"]) is not off
    copied = [(one["kafka_offset"], one["frame_index"], one["event_id"]) for row in world.ranges() for one in row["copied"]]
    assert (copied == [(1, 0, "a1")]) is not off


@guarded_or_not
def test_rebuild(world: World, off: bool) -> None:
    without = "rebuild" if off else ""
    world.send(line("a0"), line("a1"))
    crash(world, "after_commit", without)
    world.send(line("a1"), line("a2"))
    finish(world, without)
    assert (world.ids() == ["a0", "a1", "a2"]) is not off


@guarded_or_not
def test_below_first(world: World, off: bool) -> None:
    without = "presence,below_first" if off else "presence"
    world.send(line("a0"), line("a1"))
    crash(world, "after_insert", without)
    finish(world, without)
    assert once(world, 2)
    (row,) = world.ranges()
    assert ((row["rows"], row["copies"]) == (2, 0)) is not off


def both(new_world: NewWorld, act: Callable[[World, bool], None]) -> None:
    """With the guard and without it, side by side: most of it is the silence after which Kafka gives a partition away."""
    worlds = [new_world(), new_world()]
    with ThreadPoolExecutor(len(worlds)) as pool:
        list(pool.map(act, worlds, (False, True)))


def test_fencing(new_world: NewWorld) -> None:
    both(new_world, fencing)


def fencing(world: World, off: bool) -> None:
    """A sink stands still before it plans, its partition goes to another, and it wakes up."""
    without = "deadline,fencing" if off else "deadline"
    world.send(line("a0"))
    zombie = world.sink(pause="before_plan", without=without, **ALONE, wait_ready=False)
    wait(zombie.stopped, "never stood still")
    world.send(line("b0"))
    with world.running(without=without, **ALONE):
        world.settle()
        wake(zombie)
        if off:
            wait(lambda: len(world.positions()) > 2, "the zombie wrote nothing")
    assert once(world, 2) is not off


def test_deadline(new_world: NewWorld) -> None:
    both(new_world, deadline)


def deadline(world: World, off: bool) -> None:
    """A sink stands still just before it sends, its partition goes to another, and it wakes up."""
    without = "token,deadline" if off else "token"
    world.send(line("a0"))
    zombie = world.sink(pause="before_insert", without=without, **ALONE, wait_ready=False)
    wait(zombie.stopped, "never stood still")
    with world.running(without=without, **ALONE):
        world.settle()
        wake(zombie)
        if off:
            wait(lambda: len(world.positions()) > 1, "the zombie wrote nothing")
    assert once(world, 1) is not off


def wake(zombie: Sink) -> None:
    """Returns when it has understood that it lost its partition."""
    zombie.signal(signal.SIGCONT)
    wait(lambda: "given up" in zombie.log.read_text(), "the zombie holds on")


@guarded_or_not
def test_revocation(new_world: NewWorld, off: bool) -> None:
    """A sink is told to stop while a range is half done: its rows are in, its ledger row is not."""
    world = new_world(own_tables=True)
    without = "presence,revocation" if off else "presence"
    with world.running(without=without):
        world.client.command("RENAME TABLE ranges TO away")
        world.send(line("a0"))
        wait(world.positions, "nothing was inserted")
    world.client.command("RENAME TABLE away TO ranges")
    world.send(line("b0"))
    finish(world, without)
    assert once(world, 2) is not off


@guarded_or_not
def test_flush(world: World, off: bool) -> None:
    without = "flush" if off else ""
    world.send(b"no json")
    crash(world, "after_commit", without)
    assert world.end(0, EVENTS) == world.committed()[0]
    with world.running():
        if not off:
            world.settle(topic=LETTERS)
    assert (len(world.letters()) == 1) is not off
