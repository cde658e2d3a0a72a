"""What died is started again, with a pause that grows, and given up when it dies too often."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from waterline.stack.keeper import Keeper
from waterline.stack.process import Child

LIVE = "import signal; signal.pause()"


def until(holds: Callable[[], bool], changed: threading.Event, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert changed.wait(max(0.0, deadline - time.monotonic())), "nothing changed any more"
        changed.clear()


class Bench:
    def __init__(self, folder: Path) -> None:
        self.changed = threading.Event()
        self.lines: list[str] = []
        self.folder = folder
        self.keeper = Keeper(self.lines.append, self.changed.set, pauses_s=(0.0, 0.05, 0.1))

    def child(self, code: str) -> Child:
        return Child("part", [sys.executable, "-I", "-S", "-c", code], self.folder / "part.log")

    @property
    def state(self) -> str:
        return self.keeper.kept["part"].state


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.keeper.close()
    made.keeper.end(["part"])


def test_what_was_killed_comes_back_under_another_pid(bench: Bench) -> None:
    child = bench.child(LIVE)
    bench.keeper.start(child)
    bench.keeper.watch()
    before = child.pid
    bench.keeper.kill("part")
    until(lambda: child.pid not in (None, before), bench.changed)
    assert bench.keeper.kept["part"].restarts == 1
    assert not bench.keeper.kept["part"].deaths, "a death on request does not count"


def test_what_dies_too_often_is_given_up_with_its_last_words(bench: Bench) -> None:
    bench.keeper.start(bench.child("raise SystemExit('broken')"))
    bench.keeper.watch()
    until(lambda: bench.state == "failed", bench.changed)
    assert bench.keeper.kept["part"].restarts == 3
    assert "given up" in bench.lines[-1]
    assert "broken" in bench.lines[-1]


def test_a_stopped_part_stays_stopped_and_a_paused_one_stays_alive(bench: Bench) -> None:
    bench.keeper.start(bench.child(LIVE))
    bench.keeper.watch()
    bench.keeper.pause("part")
    assert bench.state == "paused"
    bench.keeper.resume("part")
    assert bench.state == "running"
    bench.keeper.stop("part")
    assert bench.state == "stopped"
    assert not bench.keeper.kept["part"].restarts


def test_restarting_can_be_switched_off_and_on(bench: Bench) -> None:
    child = bench.child(LIVE)
    bench.keeper.restart_dead = False
    bench.keeper.start(child)
    bench.keeper.watch()
    bench.keeper.kill("part")
    assert bench.state == "waiting"
    assert bench.keeper.kept["part"].hopeless(bench.keeper.restarting)
    bench.keeper.restart_dead = True
    until(lambda: child.alive, bench.changed)
