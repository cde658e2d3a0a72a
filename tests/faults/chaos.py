"""What a seed does to the stack while it is loaded: kill -9 and SIGSTOP at random moments, through the supervisor's own hands."""

import random
import threading
import time
from collections.abc import Callable

from msgspec import Struct

from waterline.stack import Stack

VICTIMS = ("collector", "sink", "streams", "kafka", "front")
FEWEST, MOST = 5, 8
KILLED = 0.6
"""share of kills; the others are stops"""
SHORT_S, LONG_S = (0.3, 3.0), (6.5, 11.0)
"""how long a process stands still; the long ones outlast the sessions of the consumer groups"""
LONG = 0.2


class Fault(Struct, frozen=True, order=True):
    """`at`: seconds after the load began. `pause_s`: 0 = kill -9, else SIGSTOP for so long."""

    at: float
    victim: str
    pause_s: float = 0.0

    def __str__(self) -> str:
        what = f"stop {self.victim} for {self.pause_s:.1f} s" if self.pause_s else f"kill -9 {self.victim}"
        return f"{self.at:.1f} s {what}"


def plan(seed: int, within_s: float) -> list[Fault]:
    """In order of time. The same for the same seed."""
    chance = random.Random(f"chaos-{seed}")
    faults = []
    for _ in range(chance.randint(FEWEST, MOST)):
        kill = chance.random() < KILLED
        pause_s = 0.0 if kill else chance.uniform(*(LONG_S if chance.random() < LONG else SHORT_S))
        faults.append(Fault(chance.uniform(0.0, within_s), chance.choice(VICTIMS), pause_s))
    return sorted(faults)


class Chaos(threading.Thread):
    """Carries out a plan. A process that stands still may be killed meanwhile, and one that starts may be stopped."""

    def __init__(self, stack: Stack, faults: list[Fault], report: Callable[[str], None]) -> None:
        super().__init__(name="chaos", daemon=True)
        self.stack = stack
        self.faults = faults
        self.report = report

    def run(self) -> None:
        began = time.monotonic()
        due: list[tuple[float, int, str]] = []
        for number, fault in enumerate(self.faults):
            due.append((fault.at, number, "pause" if fault.pause_s else "kill"))
            if fault.pause_s:
                due.append((fault.at + fault.pause_s, number, "resume"))
        timer = threading.Event()
        for at, number, what in sorted(due):
            timer.wait(max(0.0, began + at - time.monotonic()))
            victim = self.faults[number].victim
            match what:
                case "kill":
                    self.stack.kill(victim)
                case "pause":
                    self.stack.pause(victim)
                case _:
                    self.stack.resume(victim)
            self.report(f"{time.monotonic() - began:.1f} s {what} {victim}")
