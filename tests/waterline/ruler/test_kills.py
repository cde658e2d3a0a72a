"""kill -9 at the worst places of the ruler: nothing is told twice, and nothing is forgotten."""

import os
import signal
import subprocess
import sys

import pytest

from tests.waterline.ruler.world import BEGIN, RUN, World, calls, indexed, only
from waterline.schemas.alerts import AlertState, AlertTransition
from waterline.stack import addresses
from waterline.streams.steps.moment import micros
from waterline.streams.writer import Fenced

MINUTES = 12
KILLS = ("facts_written:3", "transaction_committed:3")


def run(world: World, crash: str = "") -> int:
    environment = os.environ | addresses.environment(world.settings) | {"WATERLINE_CRASH": crash}
    command = [sys.executable, str(RUN), world.name, world.transitions, world.changelog, str(micros(BEGIN)), str(MINUTES)]
    return subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode


def test_a_kill_neither_repeats_nor_forgets(world: World) -> None:
    world.noted(10.99)
    for minute in range(1, 11):
        slow = minute in (3, 4, 5, 8)
        world.wrote(minute - 0.1, *calls(minute - 0.1, *([30.0] * 3 if slow else [2.0] * 3)))
        world.events(indexed(minute - 0.5, 70 if minute % 3 else 10))
        world.noted(minute - 0.01)
    assert [run(world, crash) for crash in KILLS] == [-signal.SIGKILL] * len(KILLS)
    assert run(world) == 0
    lag, fresh = ([one for one in world.told() if one.rule == rule] for rule in ("pipeline_lag", "context_freshness"))
    assert [(one.state.value, minute_of(one)) for one in lag] == [
        ("pending", 3),
        ("firing", 4),
        ("resolved", 6),
        ("pending", 8),
        ("ok", 9),
    ]
    assert [(one.state.value, minute_of(one)) for one in fresh] == [
        ("firing", 2),
        ("resolved", 3),
        ("firing", 4),
        ("resolved", 6),
        ("firing", 7),
        ("resolved", 9),
        ("firing", 10),
    ]
    for alert in (lag, fresh):
        assert [one.transition for one in alert] == list(range(1, len(alert) + 1))


def minute_of(told: AlertTransition) -> int:
    """In which minute its window ends."""
    assert told.window_to is not None
    return round((told.window_to - BEGIN).total_seconds() / 60)


def test_of_two_rulers_only_the_later_writes(world: World) -> None:
    world.events(*(indexed(minute + 0.5, 100) for minute in range(3)))
    first = world.ruler(only("context_freshness"))
    world.pass_to(first, 1)
    second = world.ruler(only("context_freshness"))
    world.pass_to(second, 2.5)
    with pytest.raises(Fenced):
        world.pass_to(first, 3.5)
    assert [one.state for one in world.told()] == [AlertState.FIRING]
