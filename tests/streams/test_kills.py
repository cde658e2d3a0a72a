"""Workers killed and stopped at random moments under load: each event counts once, and each fact is there once."""

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.streams.arena import PAUSE, Arena, until

FRAMES_A_ROUND = 4


@contextmanager
def load(arena: Arena) -> Iterator[None]:
    """Frames on both input topics for as long as the block runs, and one more round when it is over."""
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.05):
            arena.send(FRAMES_A_ROUND, decisions=200)
            arena.send(1, decisions=200, topic=1)
            arena.tick()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    arena.send(FRAMES_A_ROUND)


def test_nothing_is_lost_or_doubled_by_kills_and_stops(arena: Arena) -> None:
    chance = random.Random(11)
    zombies = []
    with load(arena):
        worker = arena.start()
        for fault in ("kill", "stop", "kill", "stop"):
            arena.ready(worker)
            before = arena.applied()
            until(lambda: arena.applied() > before, worker.tail)  # noqa: B023
            PAUSE.wait(chance.random())
            if fault == "kill":
                arena.kill(worker)
            else:
                worker.signal(signal.SIGSTOP)
                zombies.append(worker)
            worker = arena.start()
            arena.ready(worker)
        for zombie in zombies:
            zombie.signal(signal.SIGCONT)
            arena.ended(zombie)
    arena.wait_applied(worker)
    assert arena.wrongs() == {}
    assert [zombie.exit_code for zombie in zombies] == [75, 75]
