"""What each guard of the streams is for: with it a fault at the worst place leaves no trace; without it the defect is there."""

import signal

import pytest

from tests.streams.arena import Arena, until

KILLED = -signal.SIGKILL


def test_a_worker_killed_at_any_step_leaves_no_trace(arena: Arena) -> None:
    for point in ("batch_applied", "facts_written", "state_written", "transaction_committed", "copy_written"):
        arena.send(30)
        arena.send(10, topic=1)
        assert arena.ended(arena.start(crash=f"{point}:5")) == KILLED
    worker = arena.start()
    arena.wait_applied(worker)
    assert arena.wrongs() == {}


def test_without_the_transaction_a_kill_repeats_facts(arena: Arena) -> None:
    arena.send(40)
    assert arena.ended(arena.start(without="transaction", crash="facts_written:6")) == KILLED
    arena.wait_applied(arena.start(without="transaction"))
    assert arena.wrongs().get("repeated facts", 0) > 0


def test_without_the_applied_offsets_a_kill_counts_twice(arena: Arena) -> None:
    arena.send(40)
    assert arena.ended(arena.start(without="applied", crash="transaction_committed:6")) == KILLED
    arena.wait_applied(arena.start(without="applied"))
    assert arena.wrongs().get("wrong states", 0) > 0


@pytest.mark.parametrize("arena", [1], indirect=True)
@pytest.mark.parametrize("fenced", [True, False])
def test_a_zombie_is_shut_out(arena: Arena, fenced: bool) -> None:
    """It stops with a batch applied, another worker takes over and finishes, and then it wakes up."""
    off = {} if fenced else {"without": "stream_fencing"}
    arena.send(40)
    zombie = arena.start(pause="batch_applied:3", **off)
    until(lambda: stopped(zombie.pid), zombie.tail)
    heir = arena.start(**off)
    arena.wait_applied(heir)
    zombie.signal(signal.SIGCONT)
    if fenced:
        assert arena.ended(zombie) == 75
        assert "shut out" in zombie.tail()
        assert arena.wrongs() == {}
    else:
        until(lambda: "repeated facts" in arena.wrongs(), zombie.tail)


def stopped(pid: int | None) -> bool:
    """Whether the process stands still (state T of proc(5))."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "T"
