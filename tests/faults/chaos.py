"""What a seed does to the stack while it is loaded: kill -9 and SIGSTOP at random moments, through the supervisor's own hands."""

import random
import threading
from collections.abc import Callable

from waterline.stack import Stack

VICTIMS = ("collector", "sink", "streams", "kafka", "front")
LONGEST_PAUSE_S = 8.0


class Chaos(threading.Thread):
    """Runs until `done` is set; what it did is in `story`, so that a failing seed can be read."""

    def __init__(self, stack: Stack, seed: int, report: Callable[[str], None]) -> None:
        super().__init__(name=f"chaos-{seed}", daemon=True)
        self.stack = stack
        self.chance = random.Random(f"chaos-{seed}")
        self.done = threading.Event()
        self.report = report
        self.story: list[str] = []

    def run(self) -> None:
        while not self.done.wait(self.chance.uniform(0.3, 2.5)):
            victim = self.chance.choice(VICTIMS)
            if self.chance.random() < 0.65:
                self._say(f"kill -9 {victim}")
                self.stack.kill(victim)
            else:
                seconds = self.chance.uniform(0.5, LONGEST_PAUSE_S)
                self._say(f"stop {victim} for {seconds:.1f} s")
                self.stack.pause(victim)
                self.done.wait(seconds)
                self.stack.resume(victim)

    def finish(self) -> None:
        """Ends the faults and returns when all parts are ready again."""
        self.done.set()
        self.join()
        for name in ("kafka", "front", "sink", "streams", "collector"):
            self.stack.wait_ready(name)

    def _say(self, what: str) -> None:
        self.story.append(what)
        self.report(what)
