"""One seed after the other on one stack: load it, hurt it meanwhile, let it settle, check."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from msgspec import Struct, field

from tests.faults import chaos, checks, load, poison
from tests.faults.sender import Clients
from waterline.connectors.stores.clickhouse.client import connect
from waterline.replay.ticks import Ticks
from waterline.stack import Stack
from waterline.stack.parts import NAMES
from waterline.stack.process import NotReady

LOAD_S = 10.0
"""the events of a seed are spread over this time, and its faults fall into it"""
DECISIONS = 150
READY_S, SETTLE_S = 90.0, 120.0
LEAP, LEAPS = timedelta(minutes=5), 4


class Verdict(Struct):
    """Of one seed. `wrong` is empty when it passed; `phases` says where the seconds went."""

    seed: int
    events: int
    faults: list[str]
    wrong: list[str] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(self.phases.values())

    def __str__(self) -> str:
        spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.phases.items())
        state = "FAILED" if self.wrong else "ok"
        return f"seed {self.seed}: {state}, {self.events} events, {len(self.faults)} faults, {self.seconds:.0f} s ({spent})"


class Runner(Struct):
    """Holds the stack and the poison so far, since dead letters are checked over all seeds."""

    stack: Stack
    report: Callable[[str], None] = lambda line: None
    decisions: int = DECISIONS
    load_s: float = LOAD_S
    poisoned: dict[str, int] = field(default_factory=dict)

    def run(self, seed: int) -> Verdict:
        made = load.make(seed, self.decisions)
        records = poison.make(seed, made)
        faults = chaos.plan(seed, self.load_s)
        verdict = Verdict(seed, len(made.ids), [str(fault) for fault in faults])
        self.poisoned |= {record.name: record.bad for record in records}
        try:
            self._phase(verdict, "load", lambda: self._hurt(seed, made, records, faults))
            self._phase(verdict, "ready", self._recover)
        except NotReady as error:
            verdict.wrong.append(str(error))
        self._check(verdict, made)
        return verdict

    def told(self) -> list[str]:
        """After the last seed: what is wrong with what was told of quality once all has been told."""
        client = connect(self.stack.settings)
        try:
            return checks.settle(lambda: checks.told(client), checks.TOLD_S)
        finally:
            client.close()

    def drifted(self) -> list[str]:
        """What is wrong with what was told of drift once all has been told. Nothing that goes by time may be asked of the stack
        afterwards: of an agent it is told every five minutes, and the time on the wall is made to leap by as much."""
        client, ticks, now = connect(self.stack.settings), Ticks(self.stack.settings), datetime.now(UTC)
        try:
            for leap in range(1, LEAPS + 1):
                ticks.tell(now + leap * LEAP, replay=False)
                if not (wrong := checks.settle(lambda: checks.drifted(client), checks.TOLD_S / LEAPS)):
                    break
            return wrong
        finally:
            client.close()

    def _hurt(self, seed: int, made: load.Load, records: list[poison.Record], faults: list[chaos.Fault]) -> list[str]:
        """Returns when everything is acknowledged and the last fault is over."""
        poisoner = poison.Poisoner(self.stack, seed, records, self.load_s)
        pain = chaos.Chaos(self.stack, faults, self.report)
        pain.start()
        poisoner.start()
        failures = Clients(self.stack, made.batches, seed, self.load_s).finish()
        pain.join()
        poisoner.join()
        return failures + ([poisoner.failure] if poisoner.failure else [])

    def _recover(self) -> list[str]:
        for name in NAMES:
            self.stack.wait_ready(name, READY_S)
        return []

    def _check(self, verdict: Verdict, made: load.Load) -> None:
        prefix = f"{verdict.seed:08x}"
        client = connect(self.stack.settings)
        try:
            looks: tuple[tuple[str, float, Callable[[], list[str]]], ...] = (
                ("events", SETTLE_S, lambda: checks.events(client, prefix, made)),
                ("facts", SETTLE_S, lambda: checks.facts(client, prefix, made)),
                ("reconciled", 10.0, lambda: checks.reconciled(client)),
                ("letters", 30.0, lambda: checks.letters(client, self.poisoned)),
                ("proof", 0.0, lambda: checks.proven(self.stack, client)),
                ("repeated", 0.0, lambda: checks.repeated(client, prefix)),
            )
            for name, patience, look in looks:
                self._phase(verdict, name, partial(checks.settle, look, patience))
        finally:
            client.close()

    def _phase(self, verdict: Verdict, name: str, act: Callable[[], list[str]]) -> None:
        began = time.monotonic()
        try:
            verdict.wrong += act()
        finally:
            verdict.phases[name] = time.monotonic() - began
