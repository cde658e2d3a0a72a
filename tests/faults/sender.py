"""Clients that do what OTLP clients do: each sends a batch until it is acknowledged, and sometimes sends it once more."""

import random
import threading
import time
from collections.abc import Iterator, Sequence

import httpx

from tests.faults.load import Batch
from waterline.stack import Stack

DEADLINE_S = 240.0
RETRY_S = 0.25
ANSWER_S = 15.0
AGAIN = 0.15
"""share of the batches that are sent once more although they were acknowledged"""

Due = tuple[float, Batch]
"""When a batch is to be sent, in seconds after the start, and the batch."""


class Client(threading.Thread):
    """Takes batches from a shared iterator, each when it is due. What was never acknowledged is in `failure`."""

    def __init__(self, url: str, due: Iterator[Due], lock: threading.Lock, seed: str, again: float, began: float) -> None:
        super().__init__(name=f"client-{seed}", daemon=True)
        self.url = url
        self.due = due
        self.lock = lock
        self.chance = random.Random(seed)
        self.again = again
        self.began = began
        self.timer = threading.Event()
        self.acked = 0
        self.refused = 0
        self.failure = ""

    def run(self) -> None:
        with httpx.Client(timeout=ANSWER_S, headers={"Content-Type": "application/json"}) as client:
            while not self.failure:
                with self.lock:
                    at, batch = next(self.due, (0.0, None))
                if batch is None:
                    return
                self.timer.wait(max(0.0, self.began + at - time.monotonic()))
                for _ in range(2 if self.chance.random() < self.again else 1):
                    self._deliver(client, batch)
                self.acked += batch.events

    def _deliver(self, client: httpx.Client, batch: Batch) -> None:
        deadline = time.monotonic() + DEADLINE_S
        said = ""
        while time.monotonic() < deadline:
            try:
                answer = client.post(self.url, content=batch.body)
            except httpx.TransportError as error:
                said = repr(error)
            else:
                if answer.status_code == 200:
                    return
                said = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code not in (429, 503):
                    break
            self.refused += 1
            self.timer.wait(RETRY_S)
        self.failure = f"{batch.events} events were never acknowledged: {said}"


class Clients:
    """Spread the batches evenly over `within_s`. `acked` events so far, `refused` answers that were no success."""

    def __init__(
        self, stack: Stack, batches: Sequence[Batch], seed: int, within_s: float, *, clients: int = 4, again: float = AGAIN
    ) -> None:
        lock, began = threading.Lock(), time.monotonic()
        due = iter([(within_s * number / len(batches), batch) for number, batch in enumerate(batches)])
        url = f"{stack.collector_url}/v1/events"
        self._threads = [Client(url, due, lock, f"{seed}-{number}", again, began) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    @property
    def acked(self) -> int:
        return sum(thread.acked for thread in self._threads)

    @property
    def refused(self) -> int:
        return sum(thread.refused for thread in self._threads)

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def finish(self) -> list[str]:
        """Returns when every batch is acknowledged, with what never was."""
        for thread in self._threads:
            thread.join()
        return [thread.failure for thread in self._threads if thread.failure]
