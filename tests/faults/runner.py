"""One seed after the other on one stack: load it, hurt it, let it settle, check."""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from confluent_kafka import KafkaError, Message, Producer
from msgspec import Struct, field

from tests.faults import checks, load
from tests.faults.chaos import Chaos
from tests.faults.sender import send_all
from waterline.connectors.stores.clickhouse.client import connect
from waterline.schemas.topics import AGENT_EVENTS
from waterline.stack import Stack


class Verdict(Struct):
    """Of one seed. `wrong` is empty when it passed."""

    seed: int
    events: int
    seconds: float
    story: list[str]
    wrong: list[str]


class Runner(Struct):
    """Holds the stack and the poison so far, since dead letters are checked over all seeds."""

    stack: Stack
    report: Callable[[str], None]
    decisions: int = 150
    poisoned: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def run(self, seed: int) -> Verdict:
        began = time.monotonic()
        made = load.make(seed, self.decisions)
        chaos = Chaos(self.stack, seed, self.report)
        chaos.start()
        wrong: list[str] = []
        try:
            half = len(made.batches) // 2
            send_all(self.stack, made.batches[:half], seed)
            self._poison(seed)
            send_all(self.stack, made.batches[half:], seed)
        except RuntimeError as error:
            wrong.append(str(error))
        finally:
            chaos.finish()
        wrong += self._check(f"{seed:08x}", made)
        return Verdict(seed, len(made.ids), time.monotonic() - began, chaos.story, wrong)

    def _check(self, prefix: str, made: load.Load) -> list[str]:
        client = connect(self.stack.settings)
        try:
            wrong = checks.settle(lambda: checks.events(client, prefix, made) + checks.facts(client, prefix, made))
            wrong += checks.repeated(client, prefix)
            wrong += checks.settle(lambda: checks.letters(client, self.poisoned), 30)
        finally:
            client.close()
        return wrong + self._completeness()

    def _completeness(self) -> list[str]:
        command = [sys.executable, "-m", "waterline", "verify", "completeness", "--wait", "60"]
        run = subprocess.run(command, env=self.stack.environment, capture_output=True, text=True)
        return [] if run.returncode == 0 else [f"verify completeness: {run.stdout[-1500:]}{run.stderr[-500:]}"]

    def _poison(self, seed: int) -> None:
        """Straight onto the topic; where each record landed is what its dead letter must name."""

        def landed(bad: int, error: KafkaError | None, message: Message) -> None:
            if error is not None:
                raise RuntimeError(f"the poison was not delivered: {error}")
            place = (AGENT_EVENTS.name, int(message.partition() or 0), int(message.offset() or 0))
            self.poisoned[place] = bad

        producer = Producer({"bootstrap.servers": self.stack.kafka, "enable.idempotence": True, "message.timeout.ms": 120_000})
        for number, (value, bad) in enumerate(load.poison(seed)):
            producer.produce(
                AGENT_EVENTS.name,
                value,
                partition=(seed + number) % self.stack.settings.partitions,
                on_delivery=partial(landed, bad),
            )
        if producer.flush(150):
            raise RuntimeError("the poison was not delivered in 150 s")
